"""Aggregated Jaccard index."""

from jaxnuc.metrics import base
from jaxnuc.metrics.definitions._aggregated import aggregated, best_pairs
from jaxnuc.metrics.pair import ImagePair


class Metric(base.Metric):
    """Each true nucleus takes the prediction of the greatest IoU; several may take the same one.

    References:
      Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
      Pathology, 2017.
    """

    title = "AJI, aggregated Jaccard index"

    def value(self, image: ImagePair) -> float:
        table = image.table
        return aggregated(table, image.once(best_pairs), table.intersections, table.unions)
