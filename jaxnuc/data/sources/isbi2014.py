"""ISBI 2014: overlapping cervical cells in 16 real extended-depth-of-field images.

Lu et al., "Evaluation of three algorithms for the segmentation of overlapping cervical cells",
IEEE Journal of Biomedical and Health Informatics 21, 2017. Published at
https://cs.adelaide.edu.au/~carneiro/isbi14_challenge, to be cited; no license is stated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.data.annotations import equal_components, instance_map
from jaxnuc.data.layouts import Pair, find
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.io.files import File
from jaxnuc.io.mat import read_mat
from jaxnuc.postprocess import fill_holes, label_components

KEY = "edfsetnuclei"


@dataclass(eq=False)
class Source(RandomSplit):
    """The real images, 1024x1024 gray, with their nuclei.

    `edfsetnuclei` holds a mask for each image: outlines in the first four, whose holes are filled
    here, and filled nuclei in the others. Nuclei are the 8-connected components. The files
    `EDF*_GT.png` are the same masks; outlines of the cytoplasm are not among the real images'
    annotations, and the challenge's synthetic images are not read. Isolated cells of the real
    images make up its synthetic training and test images, which so are no independent test of a
    network trained here.

    Args:
      separate: read touching outlines of two gray values as two nuclei. There are two such pairs,
        so that there are 647 nuclei; the 645 that are commonly reported join them.
    """

    name = "isbi2014"
    archives = "*isbi*2014*.zip"
    layouts = ({"image": r"edf(\d+)\.png", "label": r"edfsetnuclei\.mat"},)
    expected = (
        "expected the folder `EDF/` with EDF000.png ... and edfsetnuclei.mat, or the zip of it, "
        "as published at https://cs.adelaide.edu.au/~carneiro/isbi14_challenge"
    )

    fractions: Sequence[float] = (0.5, 0.25, 0.25)
    separate: bool = False
    mpp: float | None = None

    def find_pairs(self) -> dict[str, Pair]:
        found = find(self.root, self.archives, self.expected, self.layouts)
        (self._file,) = found["label"].values()
        self._names = [f"EDF{key[0]}" for key in found["image"]]
        self._masks: dict[str, np.ndarray] | None = _masks(self._file, self._names)
        images = zip(self._names, found["image"].items(), strict=True)
        return {name: Pair(key, image, self._file) for name, (key, image) in images}

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        if self._masks is None:
            self._masks = _masks(file, self._names)
        mask = self._masks[name]
        parts = equal_components(mask) if self.separate else label_components(mask)
        return Annotation(fill_holes(parts))

    def about(self, name: str) -> dict[str, Any]:
        return {"mpp": self.mpp, "tissue": "Cervix"}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_masks": None}


def _masks(file: File, names: list[str]) -> dict[str, np.ndarray]:
    """The mask of each image: cell k is that of the image of number k."""
    cells = read_mat(file.read(), file.where, [KEY])[KEY]
    if cells.dtype != object or not cells.size:
        raise ValueError(f"{file.where}: {KEY} is {cells.dtype} {cells.shape}; expected cells")
    numbers = [int(name.removeprefix("EDF")) for name in names]
    if sorted(numbers) != list(range(cells.size)):
        raise ValueError(
            f"{file.where}: {cells.size} masks for the {len(names)} images {names[0]} to "
            f"{names[-1]}; complete the data"
        )
    masks = [instance_map(np.asarray(cell), file.where) for cell in cells.ravel()]
    return {name: masks[number] for name, number in zip(names, numbers, strict=True)}
