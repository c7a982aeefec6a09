"""CPM-15: the training images of the MICCAI 2015 digital pathology challenge, brain tumours.

"Segmentation of Nuclei in Images", Computational Precision Medicine challenge, MICCAI 2015;
redistributed with HoVer-Net (Graham et al., Medical Image Analysis 58, 2019), see
https://github.com/vqdang/hover_net. No licence is stated.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.data.sources._arrays import instance_map
from jaxnuc.data.sources._cpm_text import text_labels, text_size
from jaxnuc.data.sources._mat import mat_shapes, read_mat
from jaxnuc.data.sources._pairs import File, Pair, PairedSource, find, named, pair
from jaxnuc.data.sources._splitting import random_split
from jaxnuc.io.image_files import image_size

EXPECTED = (
    "expected `imageNN.png` with `imageNN_mask.txt`, as the challenge of MICCAI 2015 published "
    "them, or `Images/*.png` with `Labels/*.mat`, as redistributed with HoVer-Net"
)
LAYOUTS = (
    {"image": r"(image_?\d+)\.png", "label": r"(image_?\d+)_mask\.txt"},
    {"image": r"images/([^/]+)\.png", "label": r"labels/([^/]+)\.mat"},
)
_AT_20X = 7  # the first seven images; the others are at 40x


class Source(PairedSource):
    """Images of CPM-15 with their nuclei, as distributed (folder or zip).

    In copies of the set the labels of images 04 and 05 are exchanged. Sizes tell: an image whose
    labels have another size takes those of its size among all that fit no image by name; if that
    is not unique, nothing is guessed.

    Args:
      root: the folder of the files or a zip of it, or the folder with `cpm15.zip` or `cpm15/`.
      split: `"train"`, `"val"`, `"test"`, or `"all"`; none is published.
      seed: of the random split.
      fractions: shares of train, val and test.

    Attributes:
      name: `"cpm15"`.
      ids: stems of the images, in natural order; `source[i]` is `ids[i]`.

    The samples' `mpp` is nominal: 0.5 for images 01 to 07, taken at 20x, and 0.25 for 08 to 15,
    at 40x (a copy whose numbers start at 0 counts from there); None without a number in the name.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split, files that do not match by name, or sizes that do not tell which
        labels are an image's; on reading, a damaged file.
    """

    name = "cpm15"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
    ):
        found = pair(find(root, "*cpm*15*.zip", EXPECTED, LAYOUTS))
        pairs = _matched_by_size(named(found))
        super().__init__({n: pairs[n] for n in random_split(list(pairs), split, seed, fractions)})
        numbers = [n for n in map(_number, pairs) if n is not None]
        self._first = min([1, *numbers])

    def _labels(self, file: File) -> tuple[np.ndarray, None]:
        if file.suffix == ".txt":
            return text_labels(file), None
        labels = read_mat(file.files, file.name, ["inst_map"])["inst_map"]
        return instance_map(labels, file.where), None

    def _meta(self, name: str) -> dict[str, Any]:
        number = _number(name)
        if number is None:
            return {"mpp": None, "tissue": "Brain"}
        return {"mpp": 0.5 if number - self._first < _AT_20X else 0.25, "tissue": "Brain"}


def _number(name: str) -> int | None:
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else None


def _matched_by_size(pairs: dict[str, Pair]) -> dict[str, Pair]:
    """The images with the labels of their size: by name, else the only ones left that fit."""
    sizes = {
        name: (image_size(image.read(), image.where), _label_size(label))
        for name, (image, label) in pairs.items()
    }
    wrong = [name for name, (image, label) in sizes.items() if image != label]
    if not wrong:
        return pairs
    by_size = {sizes[name][1]: pairs[name][1] for name in wrong}
    images = Counter(sizes[name][0] for name in wrong)
    for name in wrong:
        image, label = sizes[name]
        if image not in by_size or images[image] > 1 or len(by_size) < len(wrong):
            raise ValueError(
                f"{pairs[name][1].where}: labels of {label} pixels for an image of {image} "
                f"({pairs[name][0].name}), and sizes do not tell which labels are the image's; "
                f"of {len(wrong)} images the labels do not fit: fetch the set again"
            )
    return pairs | {name: (pairs[name][0], by_size[sizes[name][0]]) for name in wrong}


def _label_size(file: File) -> tuple[int, ...]:
    if file.suffix == ".txt":
        return text_size(file)
    shapes = mat_shapes(file.files, file.name)
    if "inst_map" not in shapes:
        read_mat(file.files, file.name, ["inst_map"])  # says what there is instead
    return shapes["inst_map"]
