"""ISBI 2014: overlapping cervical cells in 16 real extended-depth-of-field images.

Lu et al., "Evaluation of three algorithms for the segmentation of overlapping cervical cells",
IEEE Journal of Biomedical and Health Informatics 21, 2017. Published at
https://cs.adelaide.edu.au/~carneiro/isbi14_challenge, to be cited; no licence is stated.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._arrays import equal_components, instance_map
from jaxnuc.data.sources._label_images import check_size
from jaxnuc.data.sources._mat import read_mat
from jaxnuc.data.sources._pairs import File, find
from jaxnuc.data.sources._splitting import random_split
from jaxnuc.postprocess import fill_holes, label_components

EXPECTED = (
    "expected the folder `EDF/` with EDF000.png ... and edfsetnuclei.mat, or the zip of it, as "
    "published at https://cs.adelaide.edu.au/~carneiro/isbi14_challenge"
)
LAYOUT = {"image": r"edf(\d+)\.png", "label": r"edfsetnuclei\.mat"}
KEY = "edfsetnuclei"


class Source:
    """The real images, 1024x1024 grey, with their nuclei, as distributed (folder or zip).

    `edfsetnuclei` holds a mask for each image: outlines in the first four, whose holes are filled
    here, and filled nuclei in the others. Nuclei are the 8-connected components. The files
    `EDF*_GT.png` are the same masks; outlines of the cytoplasm are not among the real images'
    annotations, and the challenge's synthetic images are not read.

    Args:
      root: the folder with the zip or the folder `EDF/`, or one of these itself.
      split: `"train"`, `"val"`, `"test"`, or `"all"`; none is published for the real images.
        Isolated cells of theirs make up the challenge's synthetic training and test images, which
        so are no independent test of a network trained here.
      seed: of the random split.
      fractions: shares of train, val and test.
      separate: read touching outlines of two grey values as two nuclei. There are two such pairs,
        so that there are 647 nuclei; the 645 that are commonly reported come of joining them.
      mpp: microns per pixel, which the set does not state (40x). Where given, every sample
        carries it.

    Attributes:
      name: `"isbi2014"`.
      ids: `"EDF000"`, ..., in natural order; `source[i]` is `ids[i]`.
      label_set: None, there are no classes.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split, a damaged `edfsetnuclei.mat`, or one without a mask for every
        image; on reading, a damaged image or sizes that differ.
    """

    name = "isbi2014"
    label_set = None

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        fractions: Sequence[float] = (0.5, 0.25, 0.25),
        separate: bool = False,
        mpp: float | None = None,
    ):
        found = find(root, "*isbi*2014*.zip", EXPECTED, [LAYOUT])
        self._images = {f"EDF{number}": file for (number,), file in found["image"].items()}
        self._labels = next(iter(found["label"].values()))
        self._masks: dict[str, np.ndarray] | None = _masks(self._labels, list(self._images))
        self.ids = random_split(list(self._images), split, seed, fractions)
        self._separate, self._mpp = separate, mpp

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_masks": None}

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        file = self._images[name]
        if self._masks is None:
            self._masks = _masks(self._labels, list(self._images))
        image, mask = file.files.rgb(file.name), self._masks[name]
        check_size(f"a mask in {KEY}.mat", mask, image.shape[:2], file.where)
        parts = equal_components(mask) if self._separate else label_components(mask)
        meta = {"name": name, "source": self.name, "mpp": self._mpp, "tissue": "Cervix"}
        return Sample(image, fill_holes(parts), None, meta)


def _masks(file: File, names: list[str]) -> dict[str, np.ndarray]:
    """The mask of each image: cell k is that of the image of number k."""
    cells = read_mat(file.files, file.name, [KEY])[KEY]
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
