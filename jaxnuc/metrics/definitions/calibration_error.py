"""Expected calibration error (ECE) of the scores of nuclei."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.calibration import expected_error
from jaxnuc.metrics.definitions._calibration import ScoreCalibration


class Metric(ScoreCalibration):
    """|precision - mean score| in ten bins, weighted by their nuclei: see `Calibration`."""

    title = "Calibration error (ECE)"

    def pooled(self, counts: Counts) -> Any:
        return expected_error(counts, self.prefix)
