"""Expected calibration error (ECE) of the scores of nuclei."""

from jaxnuc.metrics.definitions._calibration import ExpectedError, ScoreCalibration


class Metric(ScoreCalibration, ExpectedError):
    """|precision - mean score| in ten bins, weighted by their nuclei: see `Calibration`."""

    title = "Calibration error (ECE)"
