"""MoNuSAC 2020: H&E images of four organs with nuclei of four classes.

Verma et al., "MoNuSAC2020: A Multi-Organ Nuclei Segmentation and Classification Challenge", IEEE
Transactions on Medical Imaging 40(12), 2021. Published under CC BY-NC-SA 4.0 at
https://monusac-2020.grand-challenge.org/Data/.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np

from jaxnuc import labels
from jaxnuc.data.annotations import paint
from jaxnuc.data.sources import monuseg
from jaxnuc.data.sources.base import Annotation
from jaxnuc.data.sources.tcga import TIFF
from jaxnuc.io.aperio import Layer, read_aperio
from jaxnuc.io.files import File
from jaxnuc.io.polygons import Polygon, rasterize
from jaxnuc.registry import unknown

AMBIGUOUS = "Ambiguous"


class Source(monuseg.Source):
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
    label_set = labels.label_set("monusac")
    ignores = True
    suffixes = (*TIFF, ".svs")
    expected = (
        "expected `MoNuSAC_images_and_annotations.zip` (or the folder) for train and val, "
        "`MoNuSAC Testing Data and Annotations.zip` (or the folder) for test, each with "
        "<patient>/<image>.tif, .svs and .xml, as published at "
        "https://monusac-2020.grand-challenge.org/Data/"
    )

    def side(self, name: str) -> str:
        """What the innermost name of a folder or zip says that says it."""
        label = self.pairs[name].label
        folders = PurePosixPath(label.name).parts[-2::-1]
        for part in map(str.casefold, (*folders, label.files.path.resolve().stem)):
            if "test" in part:
                return "test"
            if "train" in part or "images_and" in part:
                return "train"
        raise ValueError(
            f"{label.where}: neither the name of a folder above it nor of the zip says whether it "
            f"is a training or a test image; {self.expected}"
        )

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        found = read_aperio(file.read(), file.where)
        numbers = {label.name: label.native for label in self.label_set.labels}
        polygons: list[Polygon] = []
        ambiguous: list[Polygon] = []
        natives = [0]
        for layer in found.layers:
            if not layer.polygons:
                continue
            kind = _class(layer, numbers, file.where)
            if kind == AMBIGUOUS:
                ambiguous += layer.polygons
            else:
                polygons += layer.polygons
                natives += [numbers[kind]] * len(layer.polygons)
        painted = paint(polygons, shape, self.convention, file.where)
        classes = np.array(natives, np.int32)[painted.instances]
        ignore = rasterize(ambiguous, shape).instances > 0 if ambiguous else None
        meta = {"mpp": found.mpp, **painted.counts}
        return Annotation(painted.instances, classes, ignore, meta, painted.covered)


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
