"""CPM-15: the training images of the MICCAI 2015 digital pathology challenge, brain tumors.

"Segmentation of Nuclei in Images", Computational Precision Medicine challenge, MICCAI 2015;
redistributed with HoVer-Net (Graham et al., Medical Image Analysis 58, 2019), see
https://github.com/vqdang/hover_net. No license is stated.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.data.annotations import instance_map, mat_instances
from jaxnuc.data.layouts import Pair
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.io.files import File
from jaxnuc.io.image_files import image_size
from jaxnuc.io.label_text import text_labels, text_size
from jaxnuc.io.mat import mat_variables

_AT_20X = 7  # the first seven images; the others are at 40x


@dataclass(eq=False)
class Source(RandomSplit):
    """Images of CPM-15 with their nuclei.

    In copies of the set the labels of images 04 and 05 are exchanged. Sizes tell: an image whose
    labels have another size takes those of its size among all that fit no image by name; if that
    is not unique, nothing is guessed, but the set refused.

    The samples' `mpp` is nominal: 0.5 for images 01 to 07, taken at 20x, and 0.25 for 08 to 15,
    at 40x (a copy whose numbers start at 0 counts from there); None without a number in the name.
    """

    name = "cpm15"
    archives = "*cpm*15*.zip"
    layouts = (
        {"image": r"(image_?\d+)\.png", "label": r"(image_?\d+)_mask\.txt"},
        {"image": r"images/([^/]+)\.png", "label": r"labels/([^/]+)\.mat"},
    )
    expected = (
        "expected `imageNN.png` with `imageNN_mask.txt`, as the challenge of MICCAI 2015 "
        "published them, or `Images/*.png` with `Labels/*.mat`, as redistributed with HoVer-Net"
    )

    fractions: Sequence[float] = (0.6, 0.2, 0.2)

    def find_pairs(self) -> dict[str, Pair]:
        pairs = _matched_by_size(super().find_pairs())
        self._first = min([1, *(n for n in map(_number, pairs) if n is not None)])
        return pairs

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        return Annotation(read_instances(file))

    def about(self, name: str) -> dict[str, Any]:
        number = _number(name)
        if number is None:
            return {"tissue": "Brain"}
        return {"mpp": 0.5 if number - self._first < _AT_20X else 0.25, "tissue": "Brain"}


def read_instances(file: File) -> np.ndarray:
    """The nuclei (H, W) int32 in a text file of the challenges, or in a MAT file."""
    if file.suffix == ".txt":
        return instance_map(text_labels(file.read(), file.where), file.where)
    return mat_instances(file)


def _number(name: str) -> int | None:
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else None


def _matched_by_size(pairs: dict[str, Pair]) -> dict[str, Pair]:
    """The images with the labels of their size: by name, else the only ones left that fit."""
    sizes = {
        name: (image_size(image.read(), image.where), _label_size(label))
        for name, (_, image, label) in pairs.items()
    }
    wrong = [name for name, (image, label) in sizes.items() if image != label]
    by_size = {sizes[name][1]: pairs[name].label for name in wrong}
    images = Counter(sizes[name][0] for name in wrong)
    for name in wrong:
        image, label = sizes[name]
        if image not in by_size or images[image] > 1 or len(by_size) < len(wrong):
            raise ValueError(
                f"{pairs[name].label.where}: labels of {label} pixels for an image of {image} "
                f"({pairs[name].image.name}), and sizes do not tell which labels are the image's; "
                f"of {len(wrong)} images the labels do not fit: fetch the set again"
            )
    return pairs | {n: pairs[n]._replace(label=by_size[sizes[n][0]]) for n in wrong}


def _label_size(file: File) -> tuple[int, ...]:
    if file.suffix == ".txt":
        return text_size(file.read(), file.where)
    variables = mat_variables(file.read(), file.where)
    # Reading a MAT file without the instances says what there is instead.
    return variables["inst_map"].shape if "inst_map" in variables else mat_instances(file).shape
