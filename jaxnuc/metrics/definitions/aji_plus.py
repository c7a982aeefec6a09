"""AJI+: the aggregated Jaccard index over a one-to-one assignment."""

from jaxnuc.metrics import base
from jaxnuc.metrics.assignment import assign
from jaxnuc.metrics.definitions._aggregated import aggregated
from jaxnuc.metrics.pair import ImagePair


class Metric(base.Metric):
    """AJI over the one-to-one assignment of the greatest total IoU (HoVer-Net, 2019)."""

    title = "AJI+, one-to-one"

    def value(self, image: ImagePair) -> float:
        table = image.table
        pairs = assign(table.rows, table.columns, table.iou)
        return aggregated(table, pairs, table.intersections, table.unions)
