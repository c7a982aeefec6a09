"""The nuclei of one image in a few numbers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.regions import disc_diameter

# Measurements of which the mean over the nuclei is of use; others are places and shapes.
_STAINS = ("hematoxylin", "eosin")
_INTENSITIES = ("_mean", "_background")
_ENOUGH = 10  # nuclei: the median area of fewer says little
_OTHER_SIZE = 1.5  # times; estimates are within 1.4 times nearly always
_FULL = 0.6  # of an image: hardly any tissue has more nuclei
_FEW = 8  # gray levels: nuclei of fewer fall into pieces
_SPARSE = 0.005  # of an image: such nuclei may be the few bright pixels themselves


def statistics(tables: Iterable[NucleiTable], scene: Scene) -> dict[str, Any]:
    """Counts, areas, density and means of the stains or intensities.

    Returns:
      Plain numbers, as JSON has them, None where there is none:
        `nuclei`;
        `classes`, the number of nuclei by name, those without a class last, under `""`; empty where
          no classes are predicted;
        `median_area_px`, `median_area_um2`, `mean_area_px`, `mean_area_um2`;
        `density_per_mm2` of the whole image;
        `coverage`, the areas of all nuclei as a share of the image;
        the means over the nuclei of `hematoxylin` and `eosin`, or of `intensity_mean` and
          `intensity_background` (of three colors `red_mean` and so on), where these were measured.
    """
    counts: Counter[int] = Counter()
    areas: list[np.ndarray] = []
    measured: dict[str, list[np.ndarray]] = {}
    for table in tables:
        if not len(table):
            continue
        if table.classes is not None:
            counts.update(table.classes.tolist())
        areas.append(np.array([np.count_nonzero(mask.mask) for mask in table.masks]))
        for name, column in table.measurements.items():
            if name in _STAINS or name.endswith(_INTENSITIES):
                measured.setdefault(name, []).append(column)
    area = np.concatenate(areas) if areas else np.zeros(0)
    pixels = scene.shape[0] * scene.shape[1]
    classes = {name: counts[k] for k, name in enumerate(scene.class_names or ()) if k}
    if counts[0]:
        classes[""] = counts[0]
    um2 = None if scene.mpp is None else scene.mpp**2
    found: dict[str, Any] = {"nuclei": len(area), "classes": classes}
    for name, value in (("median", _of(np.median, area)), ("mean", _of(np.mean, area))):
        found[f"{name}_area_px"] = value
        found[f"{name}_area_um2"] = None if value is None or um2 is None else value * um2
    found["density_per_mm2"] = None if um2 is None else 1e6 * len(area) / (pixels * um2)
    found["coverage"] = float(area.sum()) / pixels
    # A nucleus without free pixels around it has no background.
    return found | {name: _of(np.mean, np.concatenate(c)) for name, c in measured.items()}


def doubts(
    found: Mapping[str, Any],
    trained: Sequence[float] | None,
    sized_for: float | None = None,
    levels: int | None = None,
) -> list[str]:
    """Why nuclei are probably not what is in the image, a sentence each; empty where they may be.

    Args:
      found: from `statistics`.
      trained: 5th, 50th and 95th percentile of the areas of nuclei that the network was trained on,
        in the same pixels; None or empty: unknown.
      sized_for: the diameter of nuclei, in the same pixels, by which the image was enlarged or
        shrunk; None: it was not.
      levels: of gray that 99.5 % of the pixels have, of the 256 that a network sees; None: unknown.
    """
    if not found["nuclei"]:
        return ["no nuclei were found"]
    lines = []
    middle = found["median_area_px"]
    if trained and found["nuclei"] >= _ENOUGH and not trained[0] <= middle <= trained[-1]:
        limit = (
            f"more than {trained[0]:.0f}" if middle < trained[0] else f"less than {trained[-1]:.0f}"
        )
        lines.append(
            f"the median nucleus has {middle:.0f} px², but 95 % of those that the network was "
            f"trained on have {limit} px²: the image may need another resolution (--diameter, "
            "--mpp, --model-mpp) or another network"
        )
    if sized_for is not None and found["nuclei"] >= _ENOUGH:
        diameter = disc_diameter(middle)
        if not 1 / _OTHER_SIZE < diameter / sized_for < _OTHER_SIZE:
            lines.append(
                f"the image was sized for nuclei of {sized_for:.3g} px across, and the median of "
                f"those found is {diameter:.3g} px: compare with --diameter={diameter:.0f}"
            )
    if levels is not None and levels < _FEW and found["coverage"] > _SPARSE:
        lines.append(
            f"99.5 % of the pixels have no more than {levels} of 256 gray levels: the image is "
            "dark or flat, or a few bright pixels take the rest of the range; rescale it"
        )
    if found["coverage"] > _FULL:
        lines.append(f"nuclei cover {found['coverage']:.0%} of the image")
    return lines


def _of(function: Any, values: np.ndarray) -> float | None:
    """A statistic of the finite values, None where there are none."""
    finite = values[np.isfinite(values)]
    return float(function(finite)) if len(finite) else None
