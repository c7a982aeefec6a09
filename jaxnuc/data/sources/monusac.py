"""MoNuSAC 2020: H&E images of four organs with nuclei of four classes.

Verma et al., "MoNuSAC2020: A Multi-Organ Nuclei Segmentation and Classification Challenge", IEEE
Transactions on Medical Imaging 40(12), 2021. Published under CC BY-NC-SA 4.0 at
https://monusac-2020.grand-challenge.org/Data/.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from jaxnuc import labels
from jaxnuc.data.annotations import paint
from jaxnuc.data.layouts import Pair
from jaxnuc.data.sources.base import Annotation
from jaxnuc.data.sources.tcga import TIFF, OutlinedSource, find_outlined, outlined_split
from jaxnuc.io.aperio import Layer, read_aperio
from jaxnuc.io.files import File
from jaxnuc.io.polygons import Polygon, rasterize
from jaxnuc.io.svs import read_svs
from jaxnuc.registry import unknown

AMBIGUOUS = "Ambiguous"
EXPECTED = (
    "expected `MoNuSAC_images_and_annotations.zip` (or the folder) for train and val, `MoNuSAC "
    "Testing Data and Annotations.zip` (or the folder) for test, each with <patient>/<image>.tif, "
    ".svs and .xml, as published at https://monusac-2020.grand-challenge.org/Data/"
)


class Source(OutlinedSource):
    """Images of MoNuSAC with their nuclei and classes.

    The classes are Epithelial, Lymphocyte, Macrophage and Neutrophil. Images have any size from
    some 35 to 2,200 pixels. Where the tif of an image is missing, as for some test images, the svs
    is read. The regions of the class `Ambiguous`, which the test images have, are no nuclei: there
    `ignore` is True; they become pixels by the default convention.

    Train and test are known by the names under which they are published: the name of the folder, of
    any folder above an image, or of the zip has `test` in it, or else `train` or `images_and`. They
    may lie in one folder. Val is cut from the training images by patient.
    """

    name = "monusac"
    ignores = True

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        val_fraction: float = 0.2,
        convention: str = "pixel_centers",
        unmatched: str = "error",
        cache: bool = True,
    ):
        self.label_set = labels.label_set("monusac")
        self._numbers = {label.name: label.native for label in self.label_set.labels}
        pairs, self.unmatched = find_outlined(root, ("monusac",), unmatched, (*TIFF, ".svs"))
        sides = {name: "test" if _is_test(each) else "train" for name, each in pairs.items()}
        ids = outlined_split(root, sides, split, seed, val_fraction, EXPECTED)
        super().__init__(pairs, split, ids, convention, cache)

    def read_image(self, file: File) -> np.ndarray:
        return read_svs(file.read(), file.where) if file.suffix == ".svs" else file.rgb()

    def read_annotation(self, name: str, shape: tuple[int, int]) -> Annotation:
        file = self.pairs[name].label
        found = read_aperio(file.read(), file.where)
        polygons: list[Polygon] = []
        ambiguous: list[Polygon] = []
        natives = [0]
        for layer in found.layers:
            if not layer.polygons:
                continue
            kind = _class(layer, self._numbers, file.where)
            if kind == AMBIGUOUS:
                ambiguous += layer.polygons
            else:
                polygons += layer.polygons
                natives += [self._numbers[kind]] * len(layer.polygons)
        instances, counts = paint(polygons, shape, self.convention, file.where)
        classes = np.array(natives, np.int32)[instances]
        ignore = rasterize(ambiguous, shape)[0] > 0 if ambiguous else None
        return Annotation(instances, classes, ignore, {"mpp": found.mpp, **counts})


def _is_test(pair: Pair) -> bool:
    """Whether the innermost name that says it says test."""
    for part in (
        *PurePosixPath(pair.label.name).parts[-2::-1],
        pair.label.files.path.resolve().stem,
    ):
        if "test" in part.casefold():
            return True
        if "train" in part.casefold() or "images_and" in part.casefold():
            return False
    raise ValueError(
        f"{pair.label.where}: neither the name of a folder above it nor of the zip says "
        f"whether it is a training or a test image; {EXPECTED}"
    )


def _class(layer: Layer, numbers: Mapping[str, int], where: str) -> str:
    known = {name.casefold(): name for name in numbers}
    stated = [name.strip() for name in (*layer.attributes, layer.name) if name.strip()]
    found = {known[name.casefold()] for name in stated if name.casefold() in known}
    if len(found) != 1:
        error = unknown("class", ", ".join(stated), numbers)
        raise ValueError(
            f"{where}: {len(layer.polygons)} regions, the first of Id {layer.ids[0]!r}, without "
            f"one class: {error}"
        )
    return found.pop()
