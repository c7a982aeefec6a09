"""TNBC: nuclei in triple negative breast cancer, 50 images of 11 patients.

Naylor et al., "Segmentation of nuclei in histopathology images by deep regression of the distance
map", IEEE Transactions on Medical Imaging 38, 2019. Published under CC BY 4.0 at
https://zenodo.org/records/1175282, and with images of brain at
https://zenodo.org/records/3552674.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.data.sources._arrays import foreground
from jaxnuc.data.sources._pairs import File, PairedSource, find, named, pair, patient_split
from jaxnuc.postprocess import label_components

EXPECTED = (
    "expected folders Slide_NN/*.png and GT_NN/*.png, or the zip of them, as published at "
    "https://zenodo.org/records/1175282 or, with brain, https://zenodo.org/records/3552674"
)
LAYOUT = {"image": r"slide_(\d+)/([^/]+)\.png", "label": r"gt_(\d+)/([^/]+)\.png"}
_PATIENTS = 11


class Source(PairedSource):
    """Images of TNBC, 512x512 pixels at 40x, as distributed (folder or zip).

    The annotations are masks; the annotators left a gap between nuclei, so that nuclei are the
    connected components.

    Args:
      root: the folder with the zip or the folders `Slide_NN` and `GT_NN`, or the zip itself.
      split: `"train"`, `"val"`, `"test"`, or `"all"`; none is published. All images of a patient
        (slide) are in the same.
      seed: of the random split.
      fractions: shares of the patients in train, val and test.
      connectivity: of the components: 2, pixels that share a corner belong together, as in
        scikit-image's `label`; 1, only those that share an edge, which also separates nuclei whose
        gap is a diagonal line, and tears off single pixels.
      others: read the slides after the eleventh too, which the later release adds, of brain.

    Attributes:
      name: `"tnbc"`.
      ids: stems such as `"01_1"`, in natural order; `source[i]` is `ids[i]`.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split or connectivity, or files that do not match; on reading, a damaged
        file, or sizes that differ.
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
        if connectivity not in (1, 2):
            raise ValueError(
                f"connectivity {connectivity} is neither 1 (edges) nor 2 (corners too)"
            )
        found = pair(find(root, "*tnbc*.zip", EXPECTED, [LAYOUT]))
        found = {key: files for key, files in found.items() if others or int(key[0]) <= _PATIENTS}
        pairs = named(found)
        self._patients = {n: key[0] for n, key in zip(pairs, found, strict=True)}
        chosen = patient_split(self._patients, split, seed, fractions)
        super().__init__({name: pairs[name] for name in chosen})
        self._connectivity = connectivity

    def _labels(self, file: File) -> tuple[np.ndarray, None]:
        mask = foreground(file.files.array(file.name), file.where)
        return label_components(mask, connectivity=self._connectivity), None

    def _meta(self, name: str) -> dict[str, Any]:
        patient = self._patients[name]
        tissue = "Breast" if int(patient) <= _PATIENTS else "Brain"
        return {"mpp": 0.25, "tissue": tissue, "patient": patient}
