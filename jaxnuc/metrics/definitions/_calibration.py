"""Metrics of the agreement between probabilities and the share of nuclei that is right."""

from typing import Any, ClassVar

from jaxnuc.metrics.base import Counts, Metric
from jaxnuc.metrics.calibration import Scored, brier_score, calibration_counts, expected_error
from jaxnuc.metrics.pair import ImagePair, Unavailable


class CalibrationMetric(Metric):
    """A metric of the calibration of all nuclei of a data set."""

    higher_is_better = False
    best, worst = 0.0, 1.0
    per_image = False
    pooled_as = ("pooled",)
    prefix: ClassVar[str]  # of the names of the counts

    def scored(self, image: ImagePair) -> Scored:
        """The probabilities of an image, and which of them are right."""
        raise NotImplementedError

    def counts(self, image: ImagePair) -> dict[str, float]:
        try:
            return calibration_counts(self.scored(image), self.prefix)
        except ValueError as error:  # not in [0, 1]
            raise Unavailable(str(error)) from error


class ScoreCalibration(CalibrationMetric):
    """Of the predicted nuclei: a score is right where the nucleus matches a true one."""

    prefix = "calibration"
    needs = ("scores",)

    def scored(self, image: ImagePair) -> Scored:
        return Scored.of(image)


class ClassCalibration(CalibrationMetric):
    """Of the matched nuclei: the probability of the predicted class, right if it is true."""

    prefix = "class_calibration"
    needs = ("classes", "probabilities")

    def scored(self, image: ImagePair) -> Scored:
        return Scored.of_classes(image)


class ExpectedError(CalibrationMetric):
    """The expected calibration error (ECE)."""

    def pooled(self, counts: Counts) -> Any:
        return expected_error(counts, self.prefix)


class Brier(CalibrationMetric):
    """The Brier score."""

    def pooled(self, counts: Counts) -> Any:
        return brier_score(counts, self.prefix)
