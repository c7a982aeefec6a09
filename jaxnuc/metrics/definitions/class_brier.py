"""Brier score of the class probabilities."""

from jaxnuc.metrics.definitions._calibration import Brier, ClassCalibration


class Metric(ClassCalibration, Brier):
    """The mean over the matched nuclei of (probability - right)^2: see `Calibration`."""

    title = "Brier score of the classes"
