"""Distance of the outlines: average symmetric surface distance (ASSD) of the foregrounds."""

from jaxnuc.metrics.definitions._boundary import ForegroundDistance


class Metric(ForegroundDistance):
    """The mean distance over both outlines, in MONAI's convention: see `boundary_scores`."""

    title = "Boundary distance (ASSD), outlines of the foreground"
    field = "assd"
