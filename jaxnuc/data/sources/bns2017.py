"""BNS: nuclei in triple negative breast cancer, 33 images of 2017, forerunner of TNBC.

Naylor et al., "Nuclei segmentation in histopathology images using deep neural networks", ISBI 2017.
Published at http://members.cbio.mines-paristech.fr/~pnaylor/BNS.zip; no licence is stated.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.data.sources._arrays import equal_components, instance_map
from jaxnuc.data.sources._nifti import read_nifti
from jaxnuc.data.sources._pairs import (
    File,
    Pair,
    PairedSource,
    find,
    named,
    pair,
    patient_split,
)
from jaxnuc.registry import unknown

EXPECTED = (
    "expected images *.png, one folder or several, and label files of the same names, *.nii.gz, or "
    "the zip of them: BNS of Naylor et al., ISBI 2017"
)
LAYOUTS = (
    {"image": r"slide_(\d+)/([^/]+)\.png", "label": r"gt_(\d+)/([^/]+)\.nii(?:\.gz)?"},
    {"image": r"([^/]+)\.png", "label": r"([^/]+)\.nii(?:\.gz)?"},
)
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


class Source(PairedSource):
    """Images of BNS, 512x512 pixels at 40x, as distributed (folder or zip).

    The labels are NIfTI files of voxels (x, y), and must be turned to lie on the images. How is
    not written down in the data: the default comes from other people's use of the set and has not
    been checked on it. Therefore the source compares the eight orientations on some images when
    it is made, and refuses one in which the nuclei are less dark against the rest than in another;
    look at the overlays of `python -m jaxnuc.data inspect` nevertheless. Whether the labels are
    masks or ids is not written down either; nuclei are the connected parts of equal label, which
    serves both.

    Args:
      root: the folder with the zip or the images and labels, or the zip itself.
      split: `"train"`, `"val"`, `"test"`, or `"all"`; none is published. All images of a patient,
        which the name `<patient>_<number>` tells, are in the same; without such names images are
        the unit.
      orientation: how the stored array becomes rows and columns, a name of `ORIENTATIONS`.
      seed: of the random split.
      fractions: shares of the patients in train, val and test.
      connectivity: 2, pixels of one label that share a corner are one nucleus; 1, only those that
        share an edge.

    Attributes:
      name: `"bns2017"`.
      ids: stems of the images, in natural order; `source[i]` is `ids[i]`.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split, orientation or connectivity, files that do not match, or labels
        that lie better on the images in another orientation; on reading, a damaged file, sizes
        that differ, or labels that are none.
    """

    name = "bns2017"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        orientation: str = "transpose",
        seed: int = 0,
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        connectivity: int = 2,
    ):
        if orientation not in ORIENTATIONS:
            raise unknown("orientation", orientation, ORIENTATIONS)
        if connectivity not in (1, 2):
            raise ValueError(
                f"connectivity {connectivity} is neither 1 (edges) nor 2 (corners too)"
            )
        self._orientation, self._connectivity = orientation, connectivity
        pairs = named(pair(find(root, "*bns*.zip", EXPECTED, LAYOUTS)))
        matches = {name: re.fullmatch(r"(.+)_\d+", name) for name in pairs}
        self._patients = {name: match[1] if match else name for name, match in matches.items()}
        _check_orientation(list(pairs.values()), orientation)
        chosen = patient_split(self._patients, split, seed, fractions)
        super().__init__({name: pairs[name] for name in chosen})

    def _labels(self, file: File) -> tuple[np.ndarray, None]:
        labels = _oriented(file, self._orientation)
        return equal_components(labels, self._connectivity), None

    def _meta(self, name: str) -> dict[str, Any]:
        return {"mpp": 0.25, "tissue": "Breast", "patient": self._patients[name]}


def _oriented(file: File, orientation: str) -> np.ndarray:
    labels = instance_map(read_nifti(file.read(), file.where), file.where)
    return np.ascontiguousarray(ORIENTATIONS[orientation](labels))


def _check_orientation(pairs: list[Pair], chosen: str) -> None:
    """Refuses an orientation if the nuclei of some images are darker in another one."""
    contrasts = dict.fromkeys(ORIENTATIONS, 0.0)
    for image_file, label_file in pairs[:: max(1, len(pairs) // _SAMPLED)]:
        grey = image_file.files.rgb(image_file.name).mean(axis=-1)
        for orientation in ORIENTATIONS:
            mask = _oriented(label_file, orientation) > 0
            if mask.shape == grey.shape and 0 < mask.sum() < mask.size:
                contrasts[orientation] += grey[~mask].mean() - grey[mask].mean()
    best = max(contrasts, key=lambda name: contrasts[name])
    if contrasts[best] > contrasts[chosen]:
        raise ValueError(
            f"{pairs[0][1].where}: the labels lie wrong on the images with orientation={chosen!r}: "
            f"nuclei are darker than the rest by {contrasts[chosen]:.0f} in sum over some images, "
            f"with orientation={best!r} by {contrasts[best]:.0f}"
        )
