"""Scores two folders of label images, whatever tool wrote them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from jaxnuc.io.label_images import LabelPair, label_pairs
from jaxnuc.io.workers import ordered_map
from jaxnuc.metrics.boundary import InstanceBoundaryScores, instance_boundary_scores
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.detection import Detection, aggregate_detections, detections
from jaxnuc.metrics.evaluation import Evaluation
from jaxnuc.metrics.scores import Scores, judged, score_table

TOLERANCES = (1.0, 2.0)  # of the normalised surface Dice, in the unit of mpp


@dataclass(frozen=True)
class FolderScores:
    """What two folders of label images score.

    Attributes:
      evaluation: the scores of the images.
      detections: pooled over the images, one record for each threshold that was asked for.
      boundaries: means over all matched nuclei by name, and how many were matched; empty unless
        asked for.
    """

    evaluation: Evaluation
    detections: tuple[Detection, ...]
    boundaries: dict[str, float]

    def write(self, folder: Path, level: float, about: dict[str, Any]) -> None:
        """Writes `metrics.json`, with all figures, and `per_image.csv`."""
        folder.mkdir(parents=True, exist_ok=True)
        also: dict[str, Any] = dict(about)
        if self.detections:
            also["detections"] = [found._asdict() for found in self.detections]
        if self.boundaries:
            also["boundaries"] = self.boundaries
        self.evaluation.write(folder, self.evaluation.summary(level=level), also)

    def text(self, level: float) -> str:
        """The figures as tables."""
        parts = [str(self.evaluation.summary(level=level))]
        if self.detections:
            parts.append(_table(self.detections))
        if self.boundaries:
            width = max(map(len, self.boundaries))
            parts.append("\n".join(f"{k:{width}}  {v:.4g}" for k, v in self.boundaries.items()))
        return "\n\n".join(parts)


def score_folders(
    truth: str | Path,
    prediction: str | Path,
    conventions: Conventions = DEFAULT,
    *,
    thresholds: Sequence[float] = (),
    boundaries: bool = False,
    mpp: float = 1.0,
    missing: str = "error",
    workers: int = 0,
) -> FolderScores:
    """Scores the label images of one folder against those of the same names in another.

    Args:
      truth: folder; see `label_pairs` for names and `read_label_image` for formats.
      prediction: folder.
      conventions: of the scores.
      thresholds: IoUs at which detection is scored besides, with the conventions of the scores
        but for `empty`, as counts are pooled; see `detections`.
      boundaries: whether the outlines of matched nuclei are measured, with the conventions of the
        scores but for `tolerance`, which would leave out the outlines themselves; see
        `instance_boundary_scores`.
      mpp: microns per pixel, for distances in micrometres; 1 gives pixels.
      missing: `"error"`, or `"zero"`: a true image without prediction counts as predicted empty.
      workers: processes; the result is the same whatever their number. 0: this one.

    Returns:
      The scores.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: files do not match, are no label images, or differ in size; names them.
    """
    pairs = label_pairs(truth, prediction, missing=missing)
    options = (conventions, tuple(thresholds), boundaries, mpp)
    results = ordered_map(_score_pair, ((pair, *options) for pair in pairs), workers)
    images = list(tqdm(results, total=len(pairs), desc="score", disable=None))
    names = [pair.name for pair in pairs]
    evaluation = Evaluation(names, [image.scores for image in images], [{}] * len(names))
    pooled = aggregate_detections([image.detections for image in images]) if thresholds else ()
    outlines = [image.outlines for image in images if image.outlines is not None]
    return FolderScores(evaluation, pooled, _means(outlines, mpp) if boundaries else {})


class _Image(NamedTuple):
    scores: Scores
    detections: tuple[Detection, ...]
    outlines: InstanceBoundaryScores | None


def _score_pair(
    pair: LabelPair,
    conventions: Conventions,
    thresholds: tuple[float, ...],
    boundaries: bool,
    mpp: float,
) -> _Image:
    c = conventions
    try:
        truth, prediction = pair.read()
        table = contingency_table(*judged(c, truth, prediction))
        scores = score_table(table, c)
        options: dict[str, Any] = {"inclusive": c.inclusive, "matching": c.matching}
        found = detections(table, thresholds, **options)
        outlines = None
        if boundaries:
            # Of whole nuclei: without the pixels near to it there is no outline to measure.
            whole = judged(dataclasses.replace(c, tolerance=0.0), truth, prediction)
            outlines = instance_boundary_scores(
                *whole, c.threshold, **options, tolerances=TOLERANCES, mpp=mpp
            )
    except ValueError as error:
        raise ValueError(f"{pair.truth} and {pair.prediction}: {error}") from error
    return _Image(scores, found, outlines)


def _means(images: list[InstanceBoundaryScores], mpp: float) -> dict[str, float]:
    unit = "px" if mpp == 1 else "um"
    named = {
        f"{name}_{unit}": np.concatenate([getattr(image, name) for image in images])
        for name in ("hd", "hd95", "assd")
    }
    nsd = np.concatenate([image.nsd for image in images])
    named |= {f"nsd_{t:g}_{unit}": nsd[:, k] for k, t in enumerate(TOLERANCES)}
    n = len(nsd)
    return {"matched_nuclei": n} | {k: float(v.mean()) if n else np.nan for k, v in named.items()}


def _table(found: Sequence[Detection]) -> str:
    names = [name for name in Detection._fields if name not in ("iou_sum", "n_true", "n_pred")]
    values = [[getattr(record, name) for name in names] for record in found]
    cells = [[f"{v:.4f}" if i > 3 else f"{v:g}" for i, v in enumerate(row)] for row in values]
    rows = [[name.replace("_", " ") for name in names], *cells]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)
