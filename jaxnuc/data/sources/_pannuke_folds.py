"""The arrays of PanNuke's folds, wherever they lie below a folder."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from jaxnuc.data.sources._mapped import MappedArray
from jaxnuc.io.archive import Files

FOLDS = (1, 2, 3)
KINDS = ("images", "masks", "types")
# Kaggle's copies are called Part 1, ...
_NUMBER = re.compile(r"(?:fold|part)[ _-]*([1-3])(?![0-9])", re.IGNORECASE)
EXPECTED = (
    "expected `fold_1.zip`, ... or the folders `Fold 1`, ... with images/fold1/images.npy, "
    "images/fold1/types.npy and masks/fold1/masks.npy, as published at "
    "https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke"
)


class Fold:
    """One fold: its images and masks mapped, its tissues in memory.

    Args:
      images: folder or zip, and `images.npy` in it.
      masks: the same for `masks.npy`.
      types: the same for `types.npy`.

    Attributes:
      types: the tissue of each tile.

    Raises:
      ValueError: arrays that cannot be mapped, of other shapes, or of different lengths.
    """

    def __init__(
        self, images: tuple[Files, str], masks: tuple[Files, str], types: tuple[Files, str]
    ):
        self.images, self.masks = MappedArray(*images), MappedArray(*masks)
        tissues = types[0].array(types[1])
        where = types[0].where(types[1])
        for array, name, channels in ((self.images, "images", 3), (self.masks, "masks", 6)):
            if len(array.shape) != 4 or array.shape[3] != channels or array.dtype.kind not in "iuf":
                raise ValueError(
                    f"{array.where}: {array.dtype} of shape {array.shape}; expected numbers of "
                    f"shape (N, H, W, {channels}), PanNuke's {name}"
                )
        if tissues.ndim != 1 or tissues.dtype.kind != "U":
            raise ValueError(
                f"{where}: {tissues.dtype} of shape {tissues.shape}; expected (N,) names of tissues"
            )
        if self.images.shape[:3] != self.masks.shape[:3] or len(tissues) != len(self.images):
            raise ValueError(
                f"{self.images.where}: {self.images.shape[:3]} tiles and pixels, masks.npy has "
                f"{self.masks.shape[:3]}, types.npy {tissues.shape}; they are not of one fold"
            )
        self.types = [str(tissue) for tissue in tissues]

    def __len__(self) -> int:
        return len(self.images)

    def image(self, tile: int) -> np.ndarray:
        """(H, W, 3) uint8 of the floats 0 .. 255 in the file."""
        values = self.images[tile]
        with np.errstate(invalid="ignore"):  # what does not fit is found below
            image = values.astype(np.uint8)
        if (image != values).any():
            raise ValueError(
                f"{self.images.where}, tile {tile}: pixels in {values.min()} .. {values.max()}, "
                "expected whole numbers in 0 .. 255"
            )
        return image

    def ids(self, tile: int) -> np.ndarray:
        """(H, W, 5) int64 ids, by channel; the sixth, background, is left out."""
        values = self.masks[tile][..., :5]
        with np.errstate(invalid="ignore"):
            ids = values.astype(np.int64)
        if (ids != values).any() or ids.min() < 0 or ids.max() > np.iinfo(np.int32).max:
            raise ValueError(
                f"{self.masks.where}, tile {tile}: ids in {values.min()} .. {values.max()}, "
                "expected whole numbers from 0 on"
            )
        return ids


def find_folds(root: Path, wanted: Sequence[int]) -> dict[int, Fold]:
    """Opens the folds that are asked for.

    Args:
      root: a folder or a zip, with folds at any depth.
      wanted: the numbers of the folds.

    Raises:
      FileNotFoundError: there is no fold, or one lacks a file.
      ValueError: two copies of one file.
    """
    if not root.exists():
        raise FileNotFoundError(f"{root}: {EXPECTED}")
    outer = Files(root)
    found = _arrays(outer)
    for name in outer.names if root.is_dir() else ():
        number = _fold_of(outer, name)
        # A zip beside its unpacked folder is left alone: the folder can be mapped in any case.
        if name.lower().endswith(".zip") and number in wanted and number not in found:
            found.update({n: f for n, f in _arrays(Files(root / name)).items() if n == number})
    for number in wanted:
        missing = [kind for kind in KINDS if kind not in found.get(number, {})]
        if missing:
            there = ", ".join(map(str, sorted(found))) or "none"
            raise FileNotFoundError(
                f"{root}: fold {number} has no {missing[0]}.npy (folds here: {there}); {EXPECTED}"
            )
    return {number: Fold(**found[number]) for number in wanted}


def _arrays(files: Files) -> dict[int, dict[str, tuple[Files, str]]]:
    found: dict[int, dict[str, tuple[Files, str]]] = {}
    for name in files.names:
        path = PurePosixPath(name)
        number = _fold_of(files, name)
        if path.suffix != ".npy" or path.stem not in KINDS or number is None:
            continue
        fold = found.setdefault(number, {})
        if path.stem in fold:
            raise ValueError(
                f"{files.where(fold[path.stem][1])} and {name} are both {path.name} of fold "
                f"{number}; remove one, or give the folder of one"
            )
        fold[path.stem] = files, name
    return found


def _fold_of(files: Files, name: str) -> int | None:
    """The last number after `fold` in a path; the root's own name counts too."""
    numbers = _NUMBER.findall(f"{files.path.resolve().name}/{name}")
    return int(numbers[-1]) if numbers else None
