"""Instance Dice: Dice of each true nucleus with its best prediction, summed like AJI."""

from jaxnuc.metrics import base
from jaxnuc.metrics.definitions._aggregated import aggregated, best_pairs
from jaxnuc.metrics.pair import ImagePair


class Metric(base.Metric):
    """Sums over the pairs of AJI; nuclei in no pair add to the denominator.

    References:
      Zhao et al., AL-Net: Attention Learning Network Based on Multi-Task Learning for Cervical
      Nucleus Segmentation, IEEE JBHI 2022.
    """

    title = "Instance Dice"

    def value(self, image: ImagePair) -> float:
        table, shared = image.table, image.table.intersections
        return aggregated(table, image.once(best_pairs), 2 * shared, table.unions + shared)
