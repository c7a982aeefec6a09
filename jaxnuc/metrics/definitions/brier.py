"""Brier score of the scores of nuclei."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.calibration import brier_score
from jaxnuc.metrics.definitions._calibration import ScoreCalibration


class Metric(ScoreCalibration):
    """The mean over the predicted nuclei of (score - matched)^2: see `Calibration`."""

    title = "Brier score"

    def pooled(self, counts: Counts) -> Any:
        return brier_score(counts, self.prefix)
