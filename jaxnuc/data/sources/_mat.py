"""MATLAB files in a folder or zip."""

from collections.abc import Iterable

import numpy as np

from jaxnuc.io import mat
from jaxnuc.io.archive import Files


def read_mat(files: Files, name: str, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The variables `keys` of the file `name`: see `jaxnuc.mat.read_mat`."""
    return mat.read_mat(files.read(name), files.where(name), keys)


def mat_shapes(files: Files, name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the variables of a MAT file, by name."""
    variables = mat.mat_variables(files.read(name), files.where(name))
    return {key: variable.shape for key, variable in variables.items()}
