"""mPQ: panoptic quality of each class, averaged over the classes."""

from collections.abc import Mapping

import numpy as np

from jaxnuc.metrics import base
from jaxnuc.metrics.base import Counts, ratio
from jaxnuc.metrics.class_counts import ClassCounts
from jaxnuc.metrics.definitions._classes import by_name, class_names_of, of_name, panoptic_counts
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.panoptic import mean, qualities


class Metric(base.Metric):
    """The mean over the classes of the PQ of each.

    Image by image, PQ of a class is averaged over the images that have it on either side, and then
    over the classes; pooled, it comes from counts summed over all images.
    """

    title = "mPQ, mean over the classes"
    needs = ("classes",)
    per_image = False
    pooled_as = ("image_mean", "pooled")

    def counts(self, image: ImagePair) -> Mapping[str, float]:
        counts, names = image.once(panoptic_counts), image.class_names
        pq = qualities(counts)[2]
        found: dict[str, float] = {}
        for field, values in counts._asdict().items():
            found |= by_name(f"class_{field}", names, values)
        found |= by_name("class_pq_sum", names, np.nan_to_num(pq))
        return found | by_name("class_images", names, (~np.isnan(pq)).astype(int))

    def aggregate(self, counts: Counts) -> dict[str, np.ndarray]:
        return {
            "image_mean": mean(_image_means(counts)),
            "pooled": mean(qualities(_class_counts(counts))[2]),
        }

    def by_class(self, counts: Counts) -> dict[str, dict[str, float]]:
        summed = _class_counts(counts)
        dq, sq, pq = qualities(summed)
        columns = {
            "true_nuclei": (summed.tp + summed.fn).astype(int),
            "predicted_nuclei": (summed.tp + summed.fp).astype(int),
            "pq_pooled": pq,
            "dq_pooled": dq,
            "sq_pooled": sq,
            "pq_image_mean": _image_means(counts),
        }
        names = class_names_of(counts, "class_tp")
        return {
            column: dict(zip(names, values.tolist(), strict=True))
            for column, values in columns.items()
        }


def _class_counts(counts: Counts) -> ClassCounts:
    return ClassCounts(*(of_name(counts, f"class_{field}") for field in ClassCounts._fields))


def _image_means(counts: Counts) -> np.ndarray:
    """(C, ...) for each class the mean PQ of the images that have it on either side."""
    means: np.ndarray = ratio(of_name(counts, "class_pq_sum"), of_name(counts, "class_images"))
    return means
