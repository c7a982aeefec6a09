"""BNS: nuclei in triple negative breast cancer, 33 images of 2017, forerunner of TNBC.

Naylor et al., "Nuclei segmentation in histopathology images using deep neural networks", ISBI 2017.
Published at http://members.cbio.mines-paristech.fr/~pnaylor/BNS.zip; no license is stated.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.data.annotations import check_connectivity, equal_components, instance_map
from jaxnuc.data.layouts import Pair
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.io.files import File
from jaxnuc.io.nifti import read_nifti
from jaxnuc.registry import check_known

# Of the voxels (x, y) to rows and columns: the eight ways to lay a picture down.
ORIENTATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transpose": lambda a: a.T,
    "transpose, rows flipped": lambda a: a.T[::-1],
    "transpose, columns flipped": lambda a: a.T[:, ::-1],
    "transpose, both flipped": lambda a: a.T[::-1, ::-1],
    "as stored": lambda a: a,
    "rows flipped": lambda a: a[::-1],
    "columns flipped": lambda a: a[:, ::-1],
    "both flipped": lambda a: a[::-1, ::-1],
}
_SAMPLED = 8  # images whose contrast is compared; one alone may have few nuclei


@dataclass(eq=False)
class Source(RandomSplit):
    """Images of BNS, 512x512 pixels at 40x.

    The labels are NIfTI files of voxels (x, y), and must be turned to lie on the images. How is
    not written down in the data: the default comes from other people's use of the set and has not
    been checked on it. Therefore the source compares the eight orientations on some images when
    it is made, and refuses one in which the nuclei are less dark against the rest than in another;
    look at the overlays of `jaxnuc inspect` nevertheless. Whether the labels are masks or ids is
    not written down either; nuclei are the connected parts of equal label, which serves both.

    All images of a patient, which the name `<patient>_<number>` gives, are in one split; without
    such names each image is its own.

    Args:
      orientation: how the stored array becomes rows and columns, a name of `ORIENTATIONS`.
    """

    name = "bns2017"
    archives = "*bns*.zip"
    layouts = (
        {"image": r"slide_(\d+)/([^/]+)\.png", "label": r"gt_(\d+)/([^/]+)\.nii(?:\.gz)?"},
        {"image": r"([^/]+)\.png", "label": r"([^/]+)\.nii(?:\.gz)?"},
    )
    expected = (
        "expected images *.png, one folder or several, and label files of the same names, "
        "*.nii.gz, or the zip of them: BNS of Naylor et al., ISBI 2017"
    )

    fractions: Sequence[float] = (0.6, 0.2, 0.2)
    orientation: str = "transpose"
    connectivity: int = 2

    def find_pairs(self) -> dict[str, Pair]:
        check_known("orientation", self.orientation, ORIENTATIONS)
        check_connectivity(self.connectivity)
        pairs = super().find_pairs()
        self._check_orientation(list(pairs.values()))
        return pairs

    def group(self, name: str) -> str:
        return re.sub(r"_\d+$", "", name)

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        return Annotation(equal_components(_oriented(file, self.orientation), self.connectivity))

    def about(self, name: str) -> dict[str, Any]:
        return {"mpp": 0.25, "tissue": "Breast", "patient": self.group(name)}

    def _check_orientation(self, pairs: list[Pair]) -> None:
        """Refuses the orientation if the nuclei of some images are darker in another one."""
        contrasts = dict.fromkeys(ORIENTATIONS, 0.0)
        for _, image, label in pairs[:: max(1, len(pairs) // _SAMPLED)]:
            gray = image.rgb().mean(axis=-1)
            for orientation in ORIENTATIONS:
                mask = _oriented(label, orientation) > 0
                if mask.shape == gray.shape and 0 < mask.sum() < mask.size:
                    contrasts[orientation] += gray[~mask].mean() - gray[mask].mean()
        best = max(contrasts, key=lambda name: contrasts[name])
        if contrasts[best] > contrasts[self.orientation]:
            raise ValueError(
                f"{pairs[0].label.where}: the labels lie wrong on the images with orientation="
                f"{self.orientation!r}: nuclei are darker than the rest by "
                f"{contrasts[self.orientation]:.0f} in sum over some images, with "
                f"orientation={best!r} by {contrasts[best]:.0f}"
            )


def _oriented(file: File, orientation: str) -> np.ndarray:
    labels = instance_map(read_nifti(file.read(), file.where), file.where)
    return np.ascontiguousarray(ORIENTATIONS[orientation](labels))
