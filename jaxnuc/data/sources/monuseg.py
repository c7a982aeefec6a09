"""MoNuSeg 2018: H&E images of seven and more organs with outlines of all nuclei.

Kumar et al., "A Multi-Organ Nucleus Segmentation Challenge", IEEE Transactions on Medical Imaging
39(5), 2020. Published under CC BY-NC-SA 4.0 at https://monuseg.grand-challenge.org/Data/.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxnuc.data.layouts import Pair
from jaxnuc.data.sources.tcga import TIFF, OutlinedSource, find_outlined, patient
from jaxnuc.data.splitting import check_split, published_split

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


@dataclass(eq=False)
class Source(OutlinedSource):
    """Images of MoNuSeg 2018 with their nuclei.

    The zips and folders are known by names that begin with `monuseg`. The 14 images of the
    published test set, known by their names, are `"test"`; of the others, 37 if complete, some
    patients are cut off as `"val"`: by default there remain 30 for training, as many as the papers
    use. Any subset will do.
    """

    name = "monuseg"
    suffixes: ClassVar[tuple[str, ...]] = TIFF
    expected = (
        "expected `MoNuSeg 2018 Training Data.zip` (or the folder, with Tissue Images/*.tif and "
        "Annotations/*.xml) for train and val, `MoNuSegTestData.zip` (or the folder, with *.tif "
        "and *.xml) for test, as published at https://monuseg.grand-challenge.org/Data/"
    )

    unmatched: Any = "error"  # then the files that were left out, see `jaxnuc.data.Source`

    def find_pairs(self) -> dict[str, Pair]:
        pairs, self.unmatched = find_outlined(
            self.root, (self.name,), self.unmatched, self.suffixes
        )
        return pairs

    def side(self, name: str) -> str:
        return "test" if name in TEST else "train"

    def choose(self) -> list[str]:
        """`published_split` by patient, training images first."""
        check_split(self.split)
        sides = {name: self.side(name) for name in self.pairs}
        side = "train" if self.split == "val" else self.split
        if side not in ("all", *sides.values()):
            raise FileNotFoundError(
                f"{self.root}: no images of split {self.split!r}; {self.expected}"
            )
        ordered = {n: sides[n] for n in sorted(sides, key=lambda name: sides[name] == "test")}
        return published_split(ordered, self.split, self.seed, self.val_fraction, patient)
