"""Brier score of the class probabilities."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.calibration import brier_score
from jaxnuc.metrics.definitions._calibration import ClassCalibration


class Metric(ClassCalibration):
    """The mean over the matched nuclei of (probability - right)^2: see `Calibration`."""

    title = "Brier score of the classes"

    def pooled(self, counts: Counts) -> Any:
        return brier_score(counts, self.prefix)
