"""HD95: the 95th percentile of the Hausdorff distance of the foregrounds."""

from jaxnuc.metrics.definitions._boundary import ForegroundDistance


class Metric(ForegroundDistance):
    """The larger of both directed 95th percentiles, as in MONAI: see `boundary_scores`."""

    title = "HD95, outlines of the foreground"
    field = "hd95"
