"""TNBC: nuclei in triple negative breast cancer, 50 images of 11 patients.

Naylor et al., "Segmentation of nuclei in histopathology images by deep regression of the distance
map", IEEE Transactions on Medical Imaging 38, 2019. Published under CC BY 4.0 at
https://zenodo.org/records/1175282, and with images of brain at
https://zenodo.org/records/3552674.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxnuc.data.annotations import check_connectivity, foreground
from jaxnuc.data.layouts import Pair
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.io.files import File
from jaxnuc.postprocess import label_components

_PATIENTS = 11


@dataclass(eq=False)
class Source(RandomSplit):
    """Images of TNBC, 512x512 pixels at 40x.

    The annotations are masks; the annotators left a gap between nuclei, so that nuclei are the
    connected components: by default those of scikit-image's `label`. With `connectivity=1` nuclei
    whose gap is a diagonal line are apart too, but so are single pixels. All images of a patient
    (slide) are in one split.

    Args:
      others: read the slides after the eleventh too, which the later release adds, of brain.
    """

    name = "tnbc"
    layouts = ({"image": r"slide_(\d+)/([^/]+)\.png", "label": r"gt_(\d+)/([^/]+)\.png"},)
    archives = "*tnbc*.zip"
    expected = (
        "expected folders Slide_NN/*.png and GT_NN/*.png, or the zip of them, as published at "
        "https://zenodo.org/records/1175282 or, with brain, https://zenodo.org/records/3552674"
    )

    fractions: Sequence[float] = (0.6, 0.2, 0.2)
    connectivity: int = 2
    others: bool = False

    def find_pairs(self) -> dict[str, Pair]:
        check_connectivity(self.connectivity)
        pairs = super().find_pairs()
        return {n: p for n, p in pairs.items() if self.others or int(p.key[0]) <= _PATIENTS}

    def group(self, name: str) -> str:
        return self.pairs[name].key[0]

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        return Annotation(
            label_components(foreground(file.array(), file.where), 0, self.connectivity)
        )

    def about(self, name: str) -> dict[str, Any]:
        patient = self.group(name)
        tissue = "Breast" if int(patient) <= _PATIENTS else "Brain"
        return {"mpp": 0.25, "tissue": tissue, "patient": patient}
