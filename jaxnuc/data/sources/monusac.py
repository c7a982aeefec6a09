"""MoNuSAC 2020: H&E images of four organs with nuclei of four classes.

Verma et al., "MoNuSAC2020: A Multi-Organ Nuclei Segmentation and Classification Challenge", IEEE
Transactions on Medical Imaging 40(12), 2021. Published under CC BY-NC-SA 4.0 at
https://monusac-2020.grand-challenge.org/Data/.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jaxnuc import labels, registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._aperio import Layer
from jaxnuc.data.sources._aperio_pairs import (
    TIFF,
    Annotated,
    archives,
    choose,
    find_pairs,
    paint,
    patient,
)
from jaxnuc.data.sources._memory import Memory
from jaxnuc.data.sources._polygons import Polygon, check_convention, rasterize
from jaxnuc.data.sources._svs import read_svs

AMBIGUOUS = "Ambiguous"
EXPECTED = (
    "expected `MoNuSAC_images_and_annotations.zip` (or the folder) for train and val, `MoNuSAC "
    "Testing Data and Annotations.zip` (or the folder) for test, each with <patient>/<image>.tif, "
    ".svs and .xml, as published at https://monusac-2020.grand-challenge.org/Data/"
)


class Source:
    """Images of MoNuSAC with their nuclei and classes, as distributed (folder or zip).

    Images have any size from some 35 to 2,200 pixels. Where the tif of an image is missing, as for
    some test images, the svs is read. The regions of the class `Ambiguous`, which the test images
    have, are no nuclei: there `ignore` is True.

    Train and test are told apart by the names they are published under: the name of the folder, of
    any folder above an image, or of the zip has `test` in it, or else `train` or `images_and`. They
    may lie in one folder. Val is cut from the training images by patient.

    Args:
      root: the folder with the two zips, or what is unpacked from them, any names that begin with
        `monusac`; or one of these itself.
      split: `"train"`, `"val"`, `"test"`, or `"all"`.
      seed: of the cut between train and val.
      val_fraction: share of the training images' patients in val.
      convention: how outlines of nuclei become pixels: `"pixel_centres"`, `"hovernet"`, `"haru"`,
        `"alnet"`; those of ambiguous regions by the first.
      unmatched: `"error"`, or `"skip"` to leave out images without annotations and the reverse.
      cache: keep label maps in memory, in each process that reads.

    Attributes:
      name: `"monusac"`.
      label_set: the label set: Epithelial, Lymphocyte, Macrophage, Neutrophil.
      ids: the images' names, in natural order, training images first; `source[i]` is `ids[i]`.
      unmatched: addresses of the files left out for lack of a partner.
      ignores: True, samples may have regions to ignore.

    The samples' `meta` also holds `patient`, `modality`, and of the regions in the file the counts
    `regions`, `skipped_regions` (under 3 vertices) and `hidden_regions` (no pixel left).

    Raises:
      FileNotFoundError: the data, or those of this split, are not there.
      ValueError: unknown split or convention; a file without a partner; images that are neither
        in train nor in test; on reading, a damaged or hostile file, vertices that are no numbers,
        regions of an unknown class or outside of the image.
    """

    ignores = True

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        val_fraction: float = 0.2,
        convention: str = "pixel_centres",
        unmatched: str = "error",
        cache: bool = True,
    ):
        check_convention(convention)
        self.name, self.label_set, self._convention = (
            "monusac",
            labels.label_set("monusac"),
            convention,
        )
        found = find_pairs(archives(root, "monusac"), unmatched, (*TIFF, ".svs"))
        self._pairs, self.unmatched = found
        test = [name for name, pair in self._pairs.items() if _is_test(pair)]
        train = [name for name in self._pairs if name not in set(test)]
        if not {"train": train, "val": train, "test": test}.get(split, self._pairs):
            raise FileNotFoundError(f"{root}: no images of split {split!r}; {EXPECTED}")
        self.ids = choose(train, test, split, seed, val_fraction)
        self._memory = Memory(cache)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        pair = self._pairs[name]
        if pair.image.lower().endswith(".svs"):
            image = read_svs(pair.files.read(pair.image), pair.files.where(pair.image))
        else:
            image = pair.files.rgb(pair.image)
        make = lambda: self._labels(pair, image.shape[:2])
        instances, (of_instance, ignored, known) = self._memory.get(index, make)
        ignore = None
        if ignored:
            ignore = rasterize(ignored, image.shape[:2])[0] > 0
        meta = {"name": name, "source": self.name, "patient": patient(name), "modality": "H&E"}
        return Sample(image, instances, of_instance[instances], meta | known, ignore)

    def _labels(
        self, pair: Annotated, shape: tuple[int, int]
    ) -> tuple[np.ndarray, tuple[np.ndarray, list[Polygon], dict[str, Any]]]:
        found, where = pair.annotations(), pair.files.where(pair.xml)
        numbers = {label.name: label.native for label in self.label_set.labels}
        polygons: list[Polygon] = []
        ignored: list[Polygon] = []
        natives = [0]
        for layer in found.layers:
            if not layer.polygons:
                continue
            kind = _class(layer, numbers, where)
            if kind == AMBIGUOUS:
                ignored += layer.polygons
            else:
                polygons += layer.polygons
                natives += [numbers[kind]] * len(layer.polygons)
        instances, counts = paint(polygons, shape, self._convention, where)
        known = {"mpp": found.mpp, **counts}
        return instances, (self.label_set.from_native(natives), ignored, known)


def _is_test(pair: Annotated) -> bool:
    """Whether the innermost name that says it says test."""
    for part in (*PurePosixPath(pair.xml).parts[-2::-1], pair.files.path.resolve().stem):
        if "test" in part.casefold():
            return True
        if "train" in part.casefold() or "images_and" in part.casefold():
            return False
    raise ValueError(
        f"{pair.files.where(pair.xml)}: neither the name of a folder above it nor of the zip says "
        f"whether it is a training or a test image; {EXPECTED}"
    )


def _class(layer: Layer, numbers: Mapping[str, int], where: str) -> str:
    known = {name.casefold(): name for name in numbers}
    stated = [name.strip() for name in (*layer.attributes, layer.name) if name.strip()]
    found = {known[name.casefold()] for name in stated if name.casefold() in known}
    if len(found) != 1:
        error = registry.unknown("class", ", ".join(stated), numbers)
        raise ValueError(
            f"{where}: {len(layer.polygons)} regions, the first of Id {layer.ids[0]!r}, without "
            f"one class: {error}"
        )
    return found.pop()
