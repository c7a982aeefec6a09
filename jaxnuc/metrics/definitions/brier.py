"""Brier score of the scores of nuclei."""

from jaxnuc.metrics.definitions._calibration import Brier, ScoreCalibration


class Metric(ScoreCalibration, Brier):
    """The mean over the predicted nuclei of (score - matched)^2: see `Calibration`."""

    title = "Brier score"
