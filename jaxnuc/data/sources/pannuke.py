"""PanNuke: 7,901 tiles of 19 tissues with nuclei of five classes, in three folds.

Gamper et al., "PanNuke: an open pan-cancer histology dataset for nuclei instance segmentation and
classification", ECDP 2019, and "PanNuke dataset extension, insights and baselines", 2020
(arXiv:2003.10778). Published under CC BY-NC-SA 4.0 at
https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnuc import registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.sources import _neoplastic
from jaxnuc.data.sources._pannuke_folds import FOLDS, find_folds
from jaxnuc.data.sources._splitting import SPLITS
from jaxnuc.labels import label_set

# Training, validation and test fold of the three published splits; results are means over them.
# No split trains on two folds, and fold 2 is never the test fold.
PROTOCOL = {1: (1, 2, 3), 2: (2, 1, 3), 3: (3, 2, 1)}
VARIANTS = ("full", "neoplastic", "neoplastic_compat")


class Source:
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

    Args:
      root: the folder of the folds (`Fold 1`, ... or `fold_1.zip`, ..., at any depth), or one of
        them. Zips must hold the arrays uncompressed, or be unpacked; where both are there the
        unpacked one is read.
      split: `"train"`, `"val"`, `"test"` or `"all"`.
      protocol: which published split: 1 trains on fold 1, validates on 2, tests on 3; 2 on 2, 1
        and 3; 3 on 3, 2 and 1. Without effect for `"all"` and the neoplastic variants.
      folds: which folds `"all"` and the neoplastic variants are made of; by default all three,
        and fold 1, as published.
      variant: `"full"`, `"neoplastic"` or `"neoplastic_compat"`.
      seed: of the neoplastic variants' split; the published one is not known.

    Attributes:
      name: `"pannuke"`.
      ids: `fold1_0`, ...: fold and index in its arrays; copies add the turn, `fold1_0_rot90`.
      label_set: `label_set("pannuke")`, None for the neoplastic variants.

    Raises:
      FileNotFoundError: no fold is there, or not the one that is asked for, or a file of it.
      ValueError: unknown split, protocol, fold or variant; `folds` for a split of the protocol;
        arrays that are compressed, cut off, or do not fit one another; on reading, pixels or ids
        that are none.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        protocol: int = 1,
        folds: Sequence[int] | None = None,
        variant: str = "full",
        seed: int = 0,
    ):
        self.name = "pannuke"
        if variant not in VARIANTS:
            raise registry.unknown("variant of PanNuke", variant, VARIANTS)
        self._variant = variant
        self.label_set = label_set("pannuke") if variant == "full" else None
        chosen = _folds_of(split, protocol, folds, variant)
        self._folds = find_folds(Path(root), chosen)
        tiles = [(f, i) for f in chosen for i in range(len(self._folds[f]))]
        self._items = [(fold, index, "") for fold, index in tiles]
        if variant != "full":
            tiles = [(f, i) for f, i in tiles if self._folds[f].masks[i][..., 0].any()]
            self._items = _neoplastic.items(tiles, split, seed, variant == "neoplastic_compat")
        self.ids = [f"fold{f}_{i}{copy and '_' + copy}" for f, i, copy in self._items]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        number, tile, copy = self._items[index]
        fold = self._folds[number]
        image = fold.image(tile)
        classes: np.ndarray | None
        if self.label_set is not None:
            instances, classes = nuclei(fold.ids(tile))
            classes = self.label_set.from_native(classes)
        else:
            instances, classes = nuclei(fold.ids(tile)[..., :1])[0], None
        if self._variant == "neoplastic_compat":
            image, instances = _neoplastic.as_published(image, instances, copy)
        meta = {
            "name": self.ids[index],
            "source": self.name,
            "mpp": 0.25,
            "tissue": fold.types[tile],
            "modality": "H&E",
            "fold": number,
        }
        return Sample(image, instances, classes, meta)


def nuclei(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Instances and classes of a stack of maps with ids of their own.

    Args:
      ids: (H, W, C) int64, 0 is no nucleus; an id means a nucleus within its channel only.

    Returns:
      (H, W) int32 instances and (H, W) int32 classes, channel + 1; nuclei are numbered by channel
      and id. Of several in one pixel the smallest shows.
    """
    height, width, channels = ids.shape
    pixels, channel = np.nonzero(ids.reshape(-1, channels))
    pairs = channel * (ids.max(initial=0) + 1) + ids.reshape(-1, channels)[pixels, channel]
    _, number, areas = np.unique(pairs, return_inverse=True, return_counts=True)
    order = np.argsort(-areas[number], kind="stable")  # of equal indices the last one stays
    instances = np.zeros(height * width, np.int32)
    classes = np.zeros(height * width, np.int32)
    instances[pixels[order]] = number[order] + 1
    classes[pixels[order]] = channel[order] + 1
    return instances.reshape(height, width), classes.reshape(height, width)


def _folds_of(
    split: str, protocol: int, folds: Sequence[int] | None, variant: str
) -> tuple[int, ...]:
    if split not in (*SPLITS, "all"):
        raise registry.unknown("split", split, (*SPLITS, "all"))
    if protocol not in PROTOCOL:
        raise registry.unknown("protocol", str(protocol), map(str, PROTOCOL))
    strange = [fold for fold in folds or () if fold not in FOLDS]
    if strange:
        raise registry.unknown("fold", str(strange[0]), map(str, FOLDS))
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
