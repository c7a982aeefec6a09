"""The scores of one image."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.metrics.border import drop_border, ignore_outlines, leave_out
from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.conventions import DEFAULT, EMPTY, Conventions
from jaxnuc.metrics.matching import best_pairs, optimal_pairs, pairs_above

METRICS = (
    "dice",
    "iou",
    "aji",
    "aji_plus",
    "dq",
    "sq",
    "pq",
    "precision",
    "recall",
    "dice2",
    "instance_dice",
)
COUNTS = ("pixel_tp", "pixel_fp", "pixel_fn", "tp", "fp", "fn", "iou_sum")


@dataclass(frozen=True)
class Scores:
    """The scores of one image, all in [0, 1], and the counts that pool over a data set.

    Printed, it is a table that ends with its conventions.

    Attributes:
      dice: F1 of the foreground pixels.
      iou: intersection over union of the foreground pixels.
      aji: aggregated Jaccard index.
      aji_plus: the same over a one-to-one assignment.
      dq: detection quality, F1 of the instances.
      sq: segmentation quality, mean IoU of the matched instances; 0 if none is matched.
      pq: panoptic quality, dq * sq.
      precision: share of the predicted instances that are matched; 0 if none is predicted.
      recall: share of the true instances that are matched; 0 if there is none.
      dice2: ensemble Dice, over all pairs of instances that overlap.
      instance_dice: Dice of each true instance with its best prediction, summed like AJI.
      pixel_tp, pixel_fp, pixel_fn: foreground pixels that are right, made up, missed.
      tp, fp, fn: instances that are matched, made up, missed.
      iou_sum: sum of the IoU of the matched instances.
      conventions: with which they were computed.
    """

    dice: float
    iou: float
    aji: float
    aji_plus: float
    dq: float
    sq: float
    pq: float
    precision: float
    recall: float
    dice2: float
    instance_dice: float
    pixel_tp: int
    pixel_fp: int
    pixel_fn: int
    tp: int
    fp: int
    fn: int
    iou_sum: float
    conventions: Conventions = DEFAULT

    @classmethod
    def of(cls, numbers: Iterable[float], conventions: Conventions) -> "Scores":
        """The inverse of `numbers`."""
        values: dict[str, Any] = dict(zip(METRICS + COUNTS, numbers, strict=True))
        values |= {name: int(values[name]) for name in COUNTS if name != "iou_sum"}
        return cls(**values, conventions=conventions)

    @property
    def numbers(self) -> tuple[float, ...]:
        """All metrics and counts, in the order of `METRICS + COUNTS`."""
        return tuple(getattr(self, name) for name in METRICS + COUNTS)

    def __str__(self) -> str:
        names = [name.replace("_", " ") for name in METRICS + COUNTS]
        cells = [f"{x:.4f}" if isinstance(x, float) else str(x) for x in self.numbers]
        first, second = max(map(len, names)), max(map(len, cells))
        lines = [f"{n:{first}}  {c:>{second}}" for n, c in zip(names, cells, strict=True)]
        return "\n".join([*lines, str(self.conventions)])


def score(
    truth: np.ndarray,
    prediction: np.ndarray,
    threshold: float = 0.5,
    empty: str = "skip",
    *,
    inclusive: bool = False,
    matching: str = "iou",
    border: int | None = None,
    tolerance: float = 0.0,
) -> Scores:
    """Scores a predicted label map against the true one.

    Dice and IoU compare foreground with background. AJI gives each true instance the prediction
    of the greatest IoU (several may take the same one; the lowest id wins a tie) and adds what is
    left over on both sides to the union; AJI+ takes the one-to-one assignment of the greatest
    total IoU instead. PQ counts one-to-one matches with an IoU above `threshold`. Dice2 is
    2 |T and P| / (|T| + |P|), numerator and denominator summed over all pairs that overlap;
    instance Dice sums over AJI's pairs and adds what is left over to the denominator.

    No epsilon is added anywhere: identical maps score exactly 1. If only one of the two maps is
    empty, every score is 0.

    Args:
      truth: (H, W) integer or bool label map, 0 is background; any non-negative ids.
      prediction: (H, W) label map of the same shape; its dtype may differ.
      threshold: IoU above which instances match.
      empty: the scores if both maps are empty: `"skip"` or `"nan"` NaN, `"one"` 1, `"zero"` 0.
      inclusive: whether an IoU of exactly the threshold is a match.
      matching: the choice among competing pairs, `"iou"` or `"count"`: see `pairs_above`.
      border: leaves out the instances within so many pixels of the image border: see
        `drop_border`. None keeps them.
      tolerance: leaves out the pixels so near to a true outline: see `ignore_outlines`.

    Returns:
      The scores as Python floats, and the counts.

    Raises:
      ValueError: the maps are no label maps of one shape, the threshold is out of range, or
        `empty` or `matching` is unknown.

    Example:
      >>> scores = score(np.array([[1, 1, 1, 0, 2]]), np.array([[0, 5, 5, 9, 0]]))
      >>> scores.dice, scores.aji, scores.tp, scores.fp, scores.fn
      (0.5714285714285714, 0.4, 1, 1, 1)

    References:
      AJI: Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation for
      Computational Pathology, 2017. AJI+, Dice2: Graham et al., HoVer-Net, 2019. PQ: Kirillov et
      al., Panoptic Segmentation, 2019. Instance Dice: Zhao et al., AL-Net, 2022.
    """
    conventions = Conventions(threshold, inclusive, matching, empty, border, tolerance)
    return score_with(conventions, truth, prediction)


def score_with(
    conventions: Conventions,
    truth: np.ndarray,
    prediction: np.ndarray,
    ignore: np.ndarray | None = None,
) -> Scores:
    """`score`, with all conventions as one argument.

    Args:
      conventions: of the scores.
      truth: (H, W) label map.
      prediction: (H, W) label map.
      ignore: (H, W) bool, where nothing is annotated: see `leave_out`.
    """
    return score_table(
        contingency_table(*judged(conventions, truth, prediction, ignore)), conventions
    )


def judged(
    conventions: Conventions,
    truth: np.ndarray,
    prediction: np.ndarray,
    ignore: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What of two label maps is scored: without what conventions and `ignore` leave out."""
    if ignore is not None:
        truth, prediction = leave_out(truth, prediction, ignore)
    if conventions.border is not None:
        truth, prediction = drop_border(truth, prediction, conventions.border)
    if conventions.tolerance:
        truth, prediction = ignore_outlines(truth, prediction, conventions.tolerance)
    return truth, prediction


def score_table(table: ContingencyTable, conventions: Conventions = DEFAULT) -> Scores:
    """Scores what a contingency table tells: also of instances that overlap.

    Args:
      table: from `contingency_table` or `overlapping_table`.
      conventions: threshold, matching and rule for empty images; `border` and `tolerance` say
        what was done to the maps before.

    Returns:
      The scores, as `score` describes them.

    Raises:
      ValueError: the threshold is out of range.
    """
    c = conventions
    pairs = pairs_above(table, c.threshold, inclusive=c.inclusive, matching=c.matching)
    iou_sum = float(table.iou[pairs].sum())
    tp, pixel_tp = len(pairs), table.shared_pixels
    fp, fn = len(table.prediction_ids) - tp, len(table.truth_ids) - tp
    pixel_fp, pixel_fn = table.prediction_pixels - pixel_tp, table.truth_pixels - pixel_tp
    counts = (pixel_tp, pixel_fp, pixel_fn, tp, fp, fn, iou_sum)

    if table.truth_ids.size or table.prediction_ids.size:
        best, sums = best_pairs(table), table.unions + table.intersections
        values = {name: float(value) for name, value in pooled(np.array(counts)).items()} | {
            "aji": _aggregated(table, best, table.intersections, table.unions),
            "aji_plus": _aggregated(table, optimal_pairs(table), table.intersections, table.unions),
            "dice2": float(2 * table.intersections.sum() / max(sums.sum(), 1)),
            "instance_dice": _aggregated(table, best, 2 * table.intersections, sums),
        }
    else:
        values = dict.fromkeys(METRICS, EMPTY[c.empty])
    return Scores.of([*(values[name] for name in METRICS), *counts], conventions)


def pooled(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics that follow from counts, be they of one image or summed over many.

    Args:
      counts: (..., 7) numbers in the order of `COUNTS`.

    Returns:
      dice, iou, dq, sq, pq, precision and recall, each (...,) float64. Dice and IoU are NaN where
      there is no foreground on either side, the others where there is no instance; precision,
      recall and SQ are 0 where only their own denominator is 0.
    """
    pixel_tp, pixel_fp, pixel_fn, tp, fp, fn, iou_sum = np.moveaxis(
        np.asarray(counts, np.float64), -1, 0
    )
    no_pixel, no_instance = pixel_tp + pixel_fp + pixel_fn == 0, tp + fp + fn == 0
    dq = _ratio(2 * tp, 2 * tp + fp + fn, no_instance)
    sq = _ratio(iou_sum, tp, no_instance)
    return {
        "dice": _ratio(2 * pixel_tp, 2 * pixel_tp + pixel_fp + pixel_fn, no_pixel),
        "iou": _ratio(pixel_tp, pixel_tp + pixel_fp + pixel_fn, no_pixel),
        "dq": dq,
        "sq": sq,
        "pq": dq * sq,
        "precision": _ratio(tp, tp + fp, no_instance),
        "recall": _ratio(tp, tp + fn, no_instance),
    }


def columns(scores: Sequence[Scores]) -> dict[str, np.ndarray]:
    """The metrics and counts of scored images as (images,) float64 columns by name."""
    names = METRICS + COUNTS
    table = np.array([s.numbers for s in scores], float).reshape(len(scores), len(names))
    return dict(zip(names, table.T, strict=True))


def pooled_figures(sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`dice_pooled`, `pq_pooled`, ... from the counts summed over images: see `summarize`.

    Args:
      sums: the counts of `Scores` by name, all of one shape.

    Raises:
      ValueError: a count is missing.
    """
    if missing := [name for name in COUNTS if name not in sums]:
        raise ValueError(
            f"pooled figures need the columns {', '.join(COUNTS)}; {', '.join(missing)} missing"
        )
    figures = pooled(np.stack([sums[name] for name in COUNTS], -1))
    return {f"{name}_pooled": figure for name, figure in figures.items()}


def _ratio(part: np.ndarray, whole: np.ndarray, undefined: np.ndarray) -> np.ndarray:
    return np.where(undefined, np.nan, part / np.where(whole > 0, whole, 1))


def _aggregated(
    table: ContingencyTable, pairs: np.ndarray, parts: np.ndarray, wholes: np.ndarray
) -> float:
    """Kumar et al. 2017: sums over the pairs, and what is unpaired added to the whole."""
    unpaired_truth = np.delete(table.truth_areas, table.rows[pairs])
    unpaired_prediction = np.delete(table.prediction_areas, table.columns[pairs])
    whole = wholes[pairs].sum() + unpaired_truth.sum() + unpaired_prediction.sum()
    return float(parts[pairs].sum() / whole)
