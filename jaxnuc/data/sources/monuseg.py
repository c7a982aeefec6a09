"""MoNuSeg 2018: H&E images of seven and more organs with outlines of all nuclei.

Kumar et al., "A Multi-Organ Nucleus Segmentation Challenge", IEEE Transactions on Medical Imaging
39(5), 2020. Published under CC BY-NC-SA 4.0 at https://monuseg.grand-challenge.org/Data/.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._aperio_pairs import archives, choose, find_pairs, paint, patient
from jaxnuc.data.sources._memory import Memory
from jaxnuc.data.sources._polygons import check_convention

# The 14 images of the test set; all others are training images.
TEST = {
    "TCGA-2Z-A9J9-01A-01-TS1",
    "TCGA-44-2665-01B-06-BS6",
    "TCGA-69-7764-01A-01-TS1",
    "TCGA-A6-6782-01A-01-BS1",
    "TCGA-AC-A2FO-01A-01-TS1",
    "TCGA-AO-A0J2-01A-01-BSA",
    "TCGA-CU-A0YN-01A-02-BSB",
    "TCGA-EJ-A46H-01A-03-TSC",
    "TCGA-FG-A4MU-01B-01-TS1",
    "TCGA-GL-6846-01A-01-BS1",
    "TCGA-HC-7209-01A-01-TS1",
    "TCGA-HT-8564-01Z-00-DX1",
    "TCGA-IZ-8196-01A-01-BS1",
    "TCGA-ZF-A9R5-01A-01-TS1",
}
EXPECTED = (
    "expected `MoNuSeg 2018 Training Data.zip` (or the folder, with Tissue Images/*.tif and "
    "Annotations/*.xml) for train and val, `MoNuSegTestData.zip` (or the folder, with *.tif and "
    "*.xml) for test, as published at https://monuseg.grand-challenge.org/Data/"
)


class Source:
    """Images of MoNuSeg 2018 with their nuclei, as distributed (folder or zip).

    The 14 images of the published test set, known by their names, are `"test"`; of the others, 37
    if complete, some patients are cut off as `"val"`, since the set has none. Any subset will do.
    The id of a nucleus is the position of its region in the file, from 1; what becomes of regions
    that overlap or leave the image: see `convention`.

    Args:
      root: the folder with `MoNuSeg 2018 Training Data.zip` and `MoNuSegTestData.zip`, or what is
        unpacked from them, any names that begin with `monuseg`; or one of these itself.
      split: `"train"`, `"val"`, `"test"`, or `"all"`.
      seed: of the cut between train and val.
      val_fraction: share of the training images' patients in val; with 0.2 and all 37 images, 30
        are left for training, as many as the papers use.
      convention: how outlines become pixels: `"pixel_centres"`, `"hovernet"`, `"haru"`, `"alnet"`.
      unmatched: `"error"`, or `"skip"` to leave out images without annotations and the reverse.
      cache: keep label maps in memory (2 MB each), in each process that reads; reading the outlines
        of one image again costs some tenths of a second.

    Attributes:
      name: `"monuseg"`.
      label_set: None, the nuclei have no classes.
      ids: the images' names, in natural order, training images first; `source[i]` is `ids[i]`.
      unmatched: addresses of the files left out for lack of a partner.

    The samples' `meta` also holds `patient`, `modality`, and of the regions in the file the counts
    `regions`, `skipped_regions` (under 3 vertices) and `hidden_regions` (no pixel left).

    Raises:
      FileNotFoundError: the data, or those of this split, are not there.
      ValueError: unknown split or convention; a file without a partner; on reading, a damaged or
        hostile file, vertices that are no numbers, regions that lie outside of the image.
    """

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
        self.name, self.label_set, self._convention = "monuseg", None, convention
        self._pairs, self.unmatched = find_pairs(archives(root, "monuseg"), unmatched)
        train = [name for name in self._pairs if name not in TEST]
        test = [name for name in self._pairs if name in TEST]
        if not {"train": train, "val": train, "test": test}.get(split, self._pairs):
            raise FileNotFoundError(f"{root}: no images of split {split!r}; {EXPECTED}")
        self.ids = choose(train, test, split, seed, val_fraction)
        self._memory = Memory(cache)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        pair = self._pairs[name]
        image = pair.files.rgb(pair.image)
        instances, known = self._memory.get(index, lambda: self._labels(name, image.shape[:2]))
        meta = {"name": name, "source": self.name, "patient": patient(name), "modality": "H&E"}
        return Sample(image, instances, None, meta | known)

    def _labels(self, name: str, shape: tuple[int, int]) -> tuple[np.ndarray, dict[str, Any]]:
        pair = self._pairs[name]
        found = pair.annotations()
        where = pair.files.where(pair.xml)
        instances, counts = paint(found.polygons, shape, self._convention, where)
        return instances, {"mpp": found.mpp, **counts}
