"""Expected calibration error (ECE) of the class probabilities."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.calibration import expected_error
from jaxnuc.metrics.definitions._calibration import ClassCalibration


class Metric(ClassCalibration):
    """|share of right classes - mean probability| in ten bins: see `Calibration`."""

    title = "Calibration error of the classes (ECE)"

    def pooled(self, counts: Counts) -> Any:
        return expected_error(counts, self.prefix)
