"""What a layout is: the names of a published checkpoint for the arrays of one of our networks."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

# the last part of our path and of their name
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
IGNORED = r".*\.num_batches_tracked"


@dataclass(frozen=True)
class Layout:
    """The names of a published checkpoint.

    Attributes:
      sign: a name by which a file of this layout is known.
      rules: the table of names: a regular expression of the whole path of a module of ours, its
        parts joined by "/", and the name of theirs, with `\\1` and so on for the groups.
      advice: what to look at where a network and a file do not fit.
      covers: regular expression of the paths of our arrays that a file of this layout holds.
      ignored: regular expression of their names that mean nothing to us.
      reorder: by the path of a kernel, what permutes its channels to their order and back.
    """

    sign: str
    rules: tuple[tuple[str, str], ...]
    advice: str
    covers: str = ".*"
    ignored: str = IGNORED
    reorder: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)

    def name(self, path: str) -> str:
        """Their name for our array `path`, empty where they have none."""
        module, _, leaf = path.rpartition("/")
        for ours, theirs in self.rules:
            match = re.fullmatch(ours, module)
            if match and leaf in LEAVES:
                return f"{match.expand(theirs)}.{LEAVES[leaf]}"
        return ""

    def to_theirs(self, path: str, array: np.ndarray) -> np.ndarray:
        """Our array `path` as torch has it; convolutions in groups need nothing else."""
        if array.ndim == 4:
            array = self._reordered(path, array).transpose(3, 2, 0, 1)
        return np.ascontiguousarray(array)

    def to_ours(self, path: str, array: np.ndarray) -> np.ndarray:
        """The inverse of `to_theirs`."""
        if array.ndim == 4:
            array = self._reordered(path, array.transpose(2, 3, 1, 0))
        return np.ascontiguousarray(array)

    def _reordered(self, path: str, kernel: np.ndarray) -> np.ndarray:
        return self.reorder[path](kernel) if path in self.reorder else kernel


def shape_of_theirs(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that an array of ours has in torch: (H, W, in, out) becomes (out, in, H, W)."""
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else tuple(shape)
