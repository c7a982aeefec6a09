"""TNBC: nuclei in triple negative breast cancer, 50 images of 11 patients.

Naylor et al., "Segmentation of nuclei in histopathology images by deep regression of the distance
map", IEEE Transactions on Medical Imaging 38, 2019. Published under CC BY 4.0 at
https://zenodo.org/records/1175282, and with images of brain at
https://zenodo.org/records/3552674.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxnuc.data.annotations import check_connectivity, foreground
from jaxnuc.data.layouts import find, pair
from jaxnuc.data.sources.base import Annotation, PairedSource
from jaxnuc.data.splitting import random_split
from jaxnuc.postprocess import label_components

EXPECTED = (
    "expected folders Slide_NN/*.png and GT_NN/*.png, or the zip of them, as published at "
    "https://zenodo.org/records/1175282 or, with brain, https://zenodo.org/records/3552674"
)
LAYOUT = {"image": r"slide_(\d+)/([^/]+)\.png", "label": r"gt_(\d+)/([^/]+)\.png"}
_PATIENTS = 11


class Source(PairedSource):
    """Images of TNBC, 512x512 pixels at 40x.

    The annotations are masks; the annotators left a gap between nuclei, so that nuclei are the
    connected components: by default those of scikit-image's `label`. With `connectivity=1` nuclei
    whose gap is a diagonal line are apart too, but so are single pixels. All images of a patient
    (slide) are in one split.

    Args:
      others: read the slides after the eleventh too, which the later release adds, of brain.
    """

    name = "tnbc"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        connectivity: int = 2,
        others: bool = False,
    ):
        check_connectivity(connectivity)
        self._connectivity = connectivity
        pairs = {
            name: each
            for name, each in pair(find(root, "*tnbc*.zip", EXPECTED, [LAYOUT])).items()
            if others or int(each.key[0]) <= _PATIENTS
        }
        patient = lambda name: pairs[name].key[0]
        ids = random_split(list(pairs), split, seed, fractions, patient)
        super().__init__(pairs, split, ids)

    def read_annotation(self, name: str, shape: tuple[int, int]) -> Annotation:
        file = self.pairs[name].label
        mask = foreground(file.array(), file.where)
        return Annotation(label_components(mask, connectivity=self._connectivity))

    def about(self, name: str) -> dict[str, Any]:
        patient = self.pairs[name].key[0]
        tissue = "Breast" if int(patient) <= _PATIENTS else "Brain"
        return {"mpp": 0.25, "tissue": tissue, "patient": patient}
