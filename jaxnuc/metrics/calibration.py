"""Whether scores are probabilities: of the nuclei scored 0.9, are nine in ten right?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxnuc.metrics.base import ratio
from jaxnuc.metrics.pair import ImagePair, present
from jaxnuc.metrics.rows import csv_text

BINS = 10


class Scored(NamedTuple):
    """Predicted nuclei of one image, each with a probability that may be right or wrong.

    Attributes:
      scores: (P,) float64 in [0, 1] of each.
      right: (P,) bool, whether it matches a true nucleus, or has the right class.
    """

    scores: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, image: ImagePair) -> "Scored":
        """The scores of the predicted nuclei; right is what panoptic quality matches.

        Example:
          >>> maps = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 0, 2]])
          >>> Scored.of(ImagePair.of(*maps, scores=[0.9, 0.6]))
          Scored(scores=array([0.9, 0.6]), right=array([ True, False]))
        """
        scores = present(image.scores, "scores")
        right = np.zeros(len(scores), bool)
        right[image.table.columns[image.matched]] = True
        return cls(scores, right)

    @classmethod
    def of_classes(cls, image: ImagePair) -> "Scored":
        """The probabilities of the predicted classes of the matched nuclei; right is the true one.

        Nuclei without a class do not count, nor does what matches a true nucleus without one, or
        one that is ignored.
        """
        rows, columns = (side[image.matched] for side in (image.table.rows, image.table.columns))
        of_truth, of_prediction = present(image.classes, "classes")
        true, predicted = of_truth[rows], of_prediction[columns]
        known = (true > 0) & (predicted > 0)
        probabilities = present(image.probabilities, "probabilities")
        scores = probabilities[columns[known], predicted[known]]
        return cls(scores.astype(np.float64), true[known] == predicted[known])


def calibration_counts(image: Scored, prefix: str = "", bins: int = BINS) -> dict[str, float]:
    """What an image adds to a calibration, by name: sums over its nuclei, in bins of the score.

    The bins have equal width; a score at an edge belongs to the bin below, 0 to the first.

    Raises:
      ValueError: scores and `right` are not as many, or a score is not in [0, 1].
    """
    scores, right = np.asarray(image.scores, np.float64), np.asarray(image.right, np.float64)
    if scores.ndim != 1 or scores.shape != right.shape:
        raise ValueError(
            f"scores of shape {scores.shape} and matches of shape {right.shape}; give one of each "
            "for every nucleus"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            f"scores reach from {scores.min():g} to {scores.max():g}; only those in [0, 1] can be "
            "compared with a share of nuclei"
        )
    cell = np.searchsorted(np.arange(1, bins) / bins, scores)
    weights = {"nuclei": np.ones_like(scores), "score": scores, "right": right}
    return {
        f"{prefix}/{name}/{b}": value
        for name, of_nuclei in weights.items()
        for b, value in enumerate(np.bincount(cell, of_nuclei, bins).tolist())
    } | {f"{prefix}/squares": float(((scores - right) ** 2).sum())}


def expected_error(counts: Mapping[str, Any], prefix: str = "") -> np.ndarray:
    """ECE from summed counts, arrays of any one shape; NaN without nuclei.

    A bin's nuclei times |share that is right - mean score| is |the sum of right - score|.
    """
    gap = np.abs(_bins(counts, prefix, "right") - _bins(counts, prefix, "score"))
    return ratio(gap.sum(axis=0), _bins(counts, prefix, "nuclei").sum(axis=0))


def brier_score(counts: Mapping[str, Any], prefix: str = "") -> np.ndarray:
    """The mean of (score - right)^2 from summed counts; NaN without nuclei."""
    nuclei = _bins(counts, prefix, "nuclei").sum(axis=0)
    return ratio(np.asarray(counts[f"{prefix}/squares"]), nuclei)


@dataclass(frozen=True)
class Calibration:
    """How scores of nuclei agree with the share of them that is right, in bins of the score.

    Attributes:
      edges: (B + 1,) of the bins; a score at an edge belongs to the bin below it, 0 to the first.
      counts: (B,) int64, nuclei in each bin.
      mean_scores: (B,) their mean score; NaN where there are none.
      precisions: (B,) the share of them that is right; NaN where there are none.
      expected_error: ECE, |precision - mean score| of the bins, weighted by their counts.
      maximum_error: MCE, the largest of these differences.
      brier: the mean over the nuclei of (score - right)^2.

    References:
      Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning,
      2015 (ECE, MCE). Guo et al., On Calibration of Modern Neural Networks, 2017 (reliability
      diagrams). Küppers et al., Multivariate Confidence Calibration for Object Detection, 2020
      (precision in place of accuracy). Brier, Verification of Forecasts Expressed in Terms of
      Probability, 1950.
    """

    edges: np.ndarray
    counts: np.ndarray
    mean_scores: np.ndarray
    precisions: np.ndarray
    expected_error: float
    maximum_error: float
    brier: float

    @classmethod
    def of(cls, images: Sequence[Scored], bins: int = BINS) -> "Calibration":
        """The calibration of all nuclei of several images.

        Raises:
          ValueError: there are no images or no bins, or as `calibration_counts` says.

        Example:
          >>> image = Scored(np.array([0.9, 0.9, 0.9, 0.9]), np.array([True, False, True, False]))
          >>> round(Calibration.of([image]).expected_error, 3)
          0.4
        """
        if bins < 1:
            raise ValueError(f"bins is {bins}; it must be 1 or more")
        if not images:
            raise ValueError("no images; there is no calibration of none")
        counts = [calibration_counts(image, bins=bins) for image in images]
        return cls.from_counts({name: math.fsum(c[name] for c in counts) for name in counts[0]})

    @classmethod
    def from_counts(cls, counts: Mapping[str, float], prefix: str = "") -> "Calibration":
        """The calibration of a data set from counts that were summed over its images."""
        nuclei = _bins(counts, prefix, "nuclei")
        scores, right = (ratio(_bins(counts, prefix, name), nuclei) for name in ("score", "right"))
        differences = np.abs(right - scores)[nuclei > 0]
        return cls(
            np.arange(len(nuclei) + 1) / len(nuclei),
            nuclei.astype(np.int64),
            scores,
            right,
            float(expected_error(counts, prefix)),
            float(differences.max()) if differences.size else math.nan,
            float(brier_score(counts, prefix)),
        )

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a bin."""
        columns = {
            "low": self.edges[:-1],
            "high": self.edges[1:],
            "count": self.counts,
            "mean_score": self.mean_scores,
            "precision": self.precisions,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def csv(self) -> str:
        """The bins as comma-separated values; what is not a number is `nan`."""
        return csv_text(self.rows())

    def json(self) -> dict[str, Any]:
        """The figures and the bins as plain data."""
        figures = ("expected_error", "maximum_error", "brier")
        return {name: getattr(self, name) for name in figures} | {"bins": self.rows()}


def _bins(counts: Mapping[str, Any], prefix: str, name: str) -> np.ndarray:
    """(B, ...) the counts of a name, bin by bin."""
    start = f"{prefix}/{name}/"
    return np.stack([np.asarray(v, float) for key, v in counts.items() if key.startswith(start)])
