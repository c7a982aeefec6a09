"""Expected calibration error (ECE) of the class probabilities."""

from jaxnuc.metrics.definitions._calibration import ClassCalibration, ExpectedError


class Metric(ClassCalibration, ExpectedError):
    """|share of right classes - mean probability| in ten bins: see `Calibration`."""

    title = "Calibration error of the classes (ECE)"
