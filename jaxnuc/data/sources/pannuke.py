"""PanNuke: 7,901 tiles of 19 tissues with nuclei of five classes, in three folds.

Gamper et al., "PanNuke: an open pan-cancer histology dataset for nuclei instance segmentation and
classification", ECDP 2019, and "PanNuke dataset extension, insights and baselines", 2020
(arXiv:2003.10778). Published under CC BY-NC-SA 4.0 at
https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from scipy import ndimage

from jaxnuc.data import sample
from jaxnuc.data.sample import Sample
from jaxnuc.data.splitting import SPLITS, check_split, random_split
from jaxnuc.io.files import File, Files
from jaxnuc.io.mapped_array import MappedArray
from jaxnuc.labels import label_set
from jaxnuc.registry import check_known, unknown

# Training, validation and test fold of the three published splits; results are means over them.
# No split trains on two folds, and fold 2 is never the test fold.
PROTOCOL = {1: (1, 2, 3), 2: (2, 1, 3), 3: (3, 2, 1)}
VARIANTS = ("full", "neoplastic", "neoplastic_compat")
FOLDS = (1, 2, 3)
KINDS = ("images", "masks", "types")
# Kaggle's copies are called Part 1, ...
_NUMBER = re.compile(r"(?:fold|part)[ _-]*([1-3])(?![0-9])", re.IGNORECASE)
EXPECTED = (
    "expected `fold_1.zip`, ... or the folders `Fold 1`, ... with images/fold1/images.npy, "
    "images/fold1/types.npy and masks/fold1/masks.npy, as published at "
    "https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke"
)
# Six copies of a tile, as the flexible U-Net was trained on.
_COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rot0": lambda a: a,
    "rot90": lambda a: np.rot90(a, 1),
    "rot180": lambda a: np.rot90(a, 2),
    "rot270": lambda a: np.rot90(a, 3),
    "mirror": lambda a: a[:, ::-1],
    "flip": lambda a: a[::-1],
}


class Source(sample.Source):
    """Tiles of PanNuke, 256x256 at 0.25 microns per pixel, read out of the folds' arrays at random.

    Ids of nuclei start anew in each channel of `masks.npy`: a nucleus is a pair of channel and id.
    Where two claim a pixel, the smaller one lies on top. Background is where there is no id; the
    sixth channel, which ought to say so too, contradicts the ids in places and is not read.

    The variants `"neoplastic"` and `"neoplastic_compat"` are the data of the flexible U-Net for
    neoplastic cells (antillia): the first class alone, without classes, of the tiles that have it,
    drawn from fold 1 and split by `seed` into 80 % train, 15 % val and 5 % test. For them all masks
    of the fold are read once on opening. The plain form is split by tile. The compatible form has
    six turned and mirrored copies of each tile, of which one may be trained on and another tested
    on, as published, and its nuclei are a pixel wider all around; so its figures are too good.

    The folds (`Fold 1`, ... or `fold_1.zip`, ...) may lie at any depth. Zips must hold the arrays
    uncompressed, or be unpacked; where both are there the unpacked one is read.

    Args:
      protocol: which published split: 1 trains on fold 1, validates on 2, tests on 3; 2 on 2, 1
        and 3; 3 on 3, 2 and 1. Without effect for `"all"` and the neoplastic variants.
      folds: which folds `"all"` and the neoplastic variants are made of; by default all three,
        and fold 1, as published.
      variant: `"full"`, `"neoplastic"` or `"neoplastic_compat"`.

    The ids are `fold1_0`, ...: fold and index in its arrays; copies add the turn, `fold1_0_rot90`.
    The published seed of the neoplastic variants' split is not known.
    """

    name = "pannuke"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        protocol: int = 1,
        folds: Sequence[int] | None = None,
        variant: str = "full",
        seed: int = 0,
    ):
        check_known("variant of PanNuke", variant, VARIANTS)
        self._variant, self.split = variant, split
        self.label_set = label_set("pannuke") if variant == "full" else None
        chosen = _folds_of(split, protocol, folds, variant)
        self._folds = _open_folds(Path(root), chosen)
        tiles = [(f, i) for f in chosen for i in range(len(self._folds[f]))]
        self._items = [(fold, index, "") for fold, index in tiles]
        if variant != "full":
            tiles = [(f, i) for f, i in tiles if self._folds[f].masks[i][..., 0].any()]
            self._items = neoplastic_items(tiles, split, seed, variant == "neoplastic_compat")
        self.ids = [f"fold{f}_{i}{copy and '_' + copy}" for f, i, copy in self._items]

    def __getitem__(self, index: int) -> Sample:
        number, tile, copy = self._items[index]
        fold = self._folds[number]
        image, ids = fold.image(tile), fold.ids(tile)
        classes: np.ndarray | None
        if self.label_set is not None:
            instances, classes = _nuclei(ids)
            classes = self.label_set.from_native(classes)
        else:
            instances, classes = _nuclei(ids[..., :1])[0], None
        if self._variant == "neoplastic_compat":
            image, instances = _as_published(image, instances, copy)
        meta = {"name": self.ids[index], "source": self.name, "mpp": 0.25}
        meta |= {"tissue": fold.types[tile], "modality": "H&E", "fold": number}
        return Sample(image, instances, classes, meta)


def _nuclei(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Instances and classes, (H, W) int32 each, of ids (H, W, C) of which each channel has its own.

    Nuclei are numbered by channel and id; of several in one pixel the smallest shows.
    """
    height, width, channels = ids.shape
    pixels, channel = np.nonzero(ids.reshape(-1, channels))
    pairs = channel * (ids.max(initial=0) + 1) + ids.reshape(-1, channels)[pixels, channel]
    _, number, areas = np.unique(pairs, return_inverse=True, return_counts=True)
    order = np.argsort(-areas[number], kind="stable")  # of equal indices the last one stays
    instances, classes = np.zeros((2, height * width), np.int32)
    instances[pixels[order]] = number[order] + 1
    classes[pixels[order]] = channel[order] + 1
    return instances.reshape(height, width), classes.reshape(height, width)


def _folds_of(
    split: str, protocol: int, folds: Sequence[int] | None, variant: str
) -> tuple[int, ...]:
    check_split(split)
    check_known("protocol", protocol, PROTOCOL)
    unfit = [fold for fold in folds or () if fold not in FOLDS]
    if unfit:
        raise unknown("fold", str(unfit[0]), map(str, FOLDS))
    if variant != "full":
        return tuple(folds or (1,))
    if split == "all":
        return tuple(folds or FOLDS)
    if folds is not None:
        raise ValueError(
            f"folds={tuple(folds)} for split {split!r}, of which protocol={protocol} decides the "
            "fold; leave folds out, or take split='all'"
        )
    return (PROTOCOL[protocol][SPLITS.index(split)],)


class _Fold:
    """One fold: its images and masks mapped, the tissue of each tile, `types`, in memory.

    Raises:
      ValueError: arrays that cannot be mapped, of other shapes, or of different lengths.
    """

    def __init__(self, images: File, masks: File, types: File):
        self.images, self.masks = MappedArray(images), MappedArray(masks)
        tissues, where = types.array(), types.where
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
        return _whole(self.images[tile], np.uint8, f"{self.images.where}, tile {tile}: pixels")

    def ids(self, tile: int) -> np.ndarray:
        """(H, W, 5) int64 ids, by channel; the sixth, background, is left out."""
        where = f"{self.masks.where}, tile {tile}: ids"
        return _whole(self.masks[tile][..., :5], np.int32, where).astype(np.int64)


def _whole(values: np.ndarray, dtype: type[np.integer], what: str) -> np.ndarray:
    """Numbers that are whole and not negative as integers."""
    with np.errstate(invalid="ignore"):  # what does not fit is found below
        whole = values.astype(dtype)
    if (whole != values).any() or whole.min() < 0:
        raise ValueError(
            f"{what} in {values.min()} .. {values.max()}, expected whole numbers in 0 .. "
            f"{np.iinfo(dtype).max}"
        )
    return whole


def _open_folds(root: Path, wanted: Sequence[int]) -> dict[int, _Fold]:
    """Opens folds, at any depth below a folder or in a zip.

    Raises:
      FileNotFoundError: there is no fold, or one lacks a file.
      ValueError: two copies of one file.
    """
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder or zip file; {EXPECTED}")
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
            present = ", ".join(map(str, sorted(found))) or "none"
            raise FileNotFoundError(
                f"{root}: fold {number} has no {missing[0]}.npy (folds here: {present}); {EXPECTED}"
            )
    return {number: _Fold(**found[number]) for number in wanted}


def _arrays(files: Files) -> dict[int, dict[str, File]]:
    found: dict[int, dict[str, File]] = {}
    for name in files.names:
        path = PurePosixPath(name)
        number = _fold_of(files, name)
        if path.suffix != ".npy" or path.stem not in KINDS or number is None:
            continue
        fold = found.setdefault(number, {})
        if path.stem in fold:
            raise ValueError(
                f"{fold[path.stem].where} and {name} are both {path.name} of fold "
                f"{number}; remove one, or give the folder of one"
            )
        fold[path.stem] = File(files, name)
    return found


def _fold_of(files: Files, name: str) -> int | None:
    """The last number after `fold` in a path; the root's own name counts too."""
    numbers = _NUMBER.findall(f"{files.path.resolve().name}/{name}")
    return int(numbers[-1]) if numbers else None


def neoplastic_items(
    tiles: list[tuple[int, int]], split: str, seed: int, compat: bool
) -> list[tuple[int, int, str]]:
    """The (fold, tile, copy) of a split, in order; without `compat` the copy is empty.

    `compat` splits the six copies of the tiles, not the tiles. The published split was drawn after
    copying, so that most tiles of val and test are in train too, turned: a leak, kept here because
    the published figures have it.
    """
    copies = tuple(_COPIES) if compat else ("",)
    triples = {f"{f} {tile} {copy}": (f, tile, copy) for f, tile in tiles for copy in copies}
    # Rounded down, the rest is test: 6,969, 1,306 and 437 of the 8,712 copies, as published.
    n = len(triples)
    train, val = n * 80 // 100, n * 15 // 100
    shares = (train / n, val / n, (n - train - val) / n) if n else (0.8, 0.15, 0.05)
    return [triples[key] for key in random_split(list(triples), split, seed, shares)]


def _as_published(
    image: np.ndarray, instances: np.ndarray, copy: str
) -> tuple[np.ndarray, np.ndarray]:
    """A tile, turned, as the published training saw it.

    Its loader blurred the mask over 3x3 pixels and took every value above 0 for foreground, which
    is a dilation: each nucleus grows by a pixel in all eight directions, and nuclei two pixels
    apart merge in the mask. Here the ids stay apart; of two that reach one pixel the higher wins.
    What its JPEG files did is left out: ids 1 to 4 lost, specks around nuclei, blurred images.
    """
    grown = ndimage.maximum_filter(instances, size=3, mode="constant")
    instances = np.where(instances > 0, instances, grown)
    turn = _COPIES[copy]
    return np.ascontiguousarray(turn(image)), np.ascontiguousarray(turn(instances))
