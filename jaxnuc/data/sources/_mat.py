"""MATLAB files in a folder or zip."""

from collections.abc import Iterable

import numpy as np

from jaxnuc import mat_files
from jaxnuc.data.files import Files


def read_mat(files: Files, name: str, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The variables `keys` of the file `name`: see `jaxnuc.mat_files.read_mat`."""
    return mat_files.read_mat(files.read(name), files.where(name), keys)


def mat_shapes(files: Files, name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the variables of a MAT file, by name."""
    variables = mat_files.mat_variables(files.read(name), files.where(name))
    return {key: variable.shape for key, variable in variables.items()}
