"""Whether scores mean what they say: of the nuclei scored 0.9, are nine in ten right?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxnuc.metrics._rows import csv_text
from jaxnuc.metrics.confidence import Interval, bootstrap_interval
from jaxnuc.metrics.contingency import ContingencyTable
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.matching import pairs_above

ERROR, BRIER = "calibration_error_pooled", "brier_pooled"


class Scored(NamedTuple):
    """The predicted nuclei of one image.

    Attributes:
      scores: (P,) float64 of each.
      matched: (P,) bool, whether it matches a true nucleus; or is right otherwise.
    """

    scores: np.ndarray
    matched: np.ndarray

    @classmethod
    def of(
        cls, table: ContingencyTable, scores: ArrayLike, conventions: Conventions = DEFAULT
    ) -> "Scored":
        """Which of the predicted nuclei are right, by the matching of panoptic quality.

        Args:
          table: of what is judged; predictions that were left out of the map are left out here.
          scores: (N,) of the predicted ids 1..N.
          conventions: threshold and matching.

        Raises:
          ValueError: there are fewer scores than ids, or the threshold is out of range.

        Example:
          >>> from jaxnuc.metrics import contingency_table
          >>> table = contingency_table(np.array([[1, 1, 0, 0]]), np.array([[1, 1, 0, 2]]))
          >>> Scored.of(table, [0.9, 0.6])
          Scored(scores=array([0.9, 0.6]), matched=array([ True, False]))
        """
        scores = np.asarray(scores, np.float64)
        ids, c = table.prediction_ids.astype(np.int64), conventions
        if scores.ndim != 1 or ids.max(initial=0) > len(scores):
            raise ValueError(
                f"scores have shape {scores.shape}, but predicted ids reach {ids.max(initial=0)}; "
                "give one score for each of the ids 1..N"
            )
        pairs = pairs_above(table, c.threshold, inclusive=c.inclusive, matching=c.matching)
        matched = np.zeros(len(ids), bool)
        matched[table.columns[pairs]] = True
        return cls(scores[ids - 1], matched)

    @classmethod
    def of_classes(
        cls,
        table: ContingencyTable,
        truth_classes: np.ndarray,
        classes: np.ndarray,
        probabilities: np.ndarray,
        conventions: Conventions = DEFAULT,
    ) -> "Scored":
        """Which of the matched nuclei have the right class, and the probabilities of their classes.

        Nuclei without a class do not count, nor does what matches a true nucleus without one, or
        one that is ignored.

        Args:
          table: of what is judged.
          truth_classes: (T,) in the order of the table's true ids; 0 is none, -1 ignored.
          classes: (N,) of the predicted ids 1..N; 0 is none.
          probabilities: (N, C) of theirs, that of class k in column k.
          conventions: threshold and matching, without regard to classes.

        Raises:
          ValueError: the threshold is out of range.

        Example:
          >>> from jaxnuc.metrics import contingency_table
          >>> table = contingency_table(np.array([[1, 1, 2, 2]]), np.array([[1, 1, 2, 2]]))
          >>> probabilities = np.array([[0.1, 0.7, 0.2], [0.0, 0.4, 0.6]])
          >>> Scored.of_classes(table, np.array([1, 1]), np.array([1, 2]), probabilities)
          Scored(scores=array([0.7, 0.6]), matched=array([ True, False]))
        """
        c = conventions
        pairs = pairs_above(table, c.threshold, inclusive=c.inclusive, matching=c.matching)
        true = truth_classes[table.rows[pairs]]
        rows = table.prediction_ids.astype(np.int64)[table.columns[pairs]] - 1
        known = (true > 0) & (classes[rows] > 0)
        true, rows = true[known], rows[known]
        scores = probabilities[rows, classes[rows]].astype(np.float64)
        return cls(scores, classes[rows] == true)


@dataclass(frozen=True)
class Calibration:
    """How the scores of nuclei agree with the share of them that is right, in bins of scores.

    Attributes:
      edges: (B + 1,) of the bins; a score at an edge belongs to the bin below it, 0 to the first.
      counts: (B,) int64, nuclei in each bin.
      mean_scores: (B,) their mean score; NaN where there are none.
      precisions: (B,) the share of them that is matched; NaN where there are none.
      expected_error: ECE, |precision - mean score| of the bins, weighted by their counts.
      maximum_error: MCE, the largest of these differences.
      brier: the mean over the nuclei of (score - matched)^2.
      intervals: of `figures()`, where they were asked for.
    """

    edges: np.ndarray
    counts: np.ndarray
    mean_scores: np.ndarray
    precisions: np.ndarray
    expected_error: float
    maximum_error: float
    brier: float
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @classmethod
    def of(
        cls, images: Sequence[Scored], bins: int = 10, *, level: float | None = None
    ) -> "Calibration":
        """Compares scores with the share of nuclei that is matched, pooled over all images.

        Nuclei that were missed have no score and do not count: they are recall's. Few nuclei in
        many bins have an error above 0 by chance, however well they are calibrated.

        Args:
          images: the nuclei of each; or any confidences and whether each was right, such as those
            of classes.
          bins: how many, of equal width over [0, 1].
          level: of confidence intervals, by bootstrap over images; None: no intervals.

        Returns:
          The bins and the figures, which are NaN where there are no nuclei.

        Raises:
          ValueError: there are no images or no bins, scores and matches of an image are not as
            many, a score is not in [0, 1], or the level is not in (0, 1).

        Example:
          >>> image = Scored(np.array([0.9, 0.9, 0.9, 0.9]), np.array([True, False, True, False]))
          >>> round(Calibration.of([image]).expected_error, 3)
          0.4

        References:
          Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian
          Binning, 2015 (ECE, MCE). Guo et al., On Calibration of Modern Neural Networks, 2017
          (reliability diagrams). Küppers et al., Multivariate Confidence Calibration for Object
          Detection, 2020 (precision in place of accuracy). Brier, Verification of Forecasts
          Expressed in Terms of Probability, 1950.
        """
        if bins < 1:
            raise ValueError(f"bins is {bins}; it must be 1 or more")
        scores, matched, image = _pooled(images)
        edges = np.arange(bins + 1) / bins
        cell = image * bins + np.searchsorted(edges[1:-1], scores)

        def summed(values: np.ndarray) -> np.ndarray:
            """(images, bins) sums."""
            return np.bincount(cell, values, len(images) * bins).reshape(len(images), bins)

        counts = summed(np.ones_like(scores))
        gaps = summed(matched - scores)
        columns = {
            "nuclei": counts.sum(axis=1),
            "squares": summed((scores - matched) ** 2).sum(axis=1),
            **{f"gap/{b}": column for b, column in enumerate(gaps.T)},
        }
        totals = counts.sum(axis=0)
        with np.errstate(invalid="ignore"):
            figures = _figures({name: column.sum() for name, column in columns.items()})
            mean_scores = summed(scores).sum(axis=0) / totals
            precisions = summed(matched).sum(axis=0) / totals
        differences = np.abs(precisions - mean_scores)[totals > 0]
        intervals: dict[str, Interval] = {}
        if level is not None and scores.size:
            intervals = bootstrap_interval(columns, _figures, level=level)
        return cls(
            edges,
            totals.astype(np.int64),
            mean_scores,
            precisions,
            float(figures[ERROR]),
            float(differences.max()) if differences.size else math.nan,
            float(figures[BRIER]),
            intervals,
        )

    def figures(self) -> dict[str, float]:
        """The figures of a data set, by name."""
        return {ERROR: self.expected_error, BRIER: self.brier}

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a bin."""
        edges, counts = self.edges.tolist(), self.counts.tolist()
        return [
            {
                "low": edges[b],
                "high": edges[b + 1],
                "count": count,
                "mean_score": float(self.mean_scores[b]),
                "precision": float(self.precisions[b]),
            }
            for b, count in enumerate(counts)
        ]

    def csv(self) -> str:
        """The bins as comma-separated values; what is not a number is `nan`."""
        return csv_text(self.rows())

    def json(self) -> dict[str, Any]:
        """All of it but the intervals."""
        return {
            "expected_error": self.expected_error,
            "maximum_error": self.maximum_error,
            "brier": self.brier,
            "bins": self.rows(),
        }


def _pooled(images: Sequence[Scored]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P,) scores and matches, float64, of all nuclei, and the image of each."""
    if not images:
        raise ValueError("no images; there is no calibration of none")
    for image in images:
        shapes = np.shape(image.scores), np.shape(image.matched)
        if len(shapes[0]) != 1 or shapes[0] != shapes[1]:
            raise ValueError(
                f"scores of shape {shapes[0]} and matches of shape {shapes[1]}; give one of each "
                "for every nucleus"
            )
    scores = np.concatenate([np.asarray(image.scores, np.float64) for image in images])
    matched = np.concatenate([np.asarray(image.matched, np.float64) for image in images])
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            f"scores reach from {scores.min():g} to {scores.max():g}; only those in [0, 1] can be "
            "compared with a share of nuclei"
        )
    return scores, matched, np.repeat(np.arange(len(images)), [len(i.scores) for i in images])


def _figures(sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The figures from sums over images.

    A bin's count times |precision - mean score| is |the sum of matched - score| over its nuclei.
    """
    gaps = np.stack([s for name, s in sums.items() if name.startswith("gap/")])
    return {
        ERROR: np.abs(gaps).sum(axis=0) / sums["nuclei"],
        BRIER: sums["squares"] / sums["nuclei"],
    }
