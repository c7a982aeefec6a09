"""CoNIC's protocol: mPQ+ and bPQ, and R2 of the counted nuclei."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.class_counts import ClassCounts
from jaxnuc.metrics.pair import ImagePair, present
from jaxnuc.metrics.panoptic import image_counts, mean, pooled_pq, qualities
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Figure
from jaxnuc.postprocess.regions import regions

CENTRAL = 224  # pixels a side: the part of an image in which nuclei are counted

State = tuple[ClassCounts, ClassCounts, np.ndarray, np.ndarray]


class Protocol(base.Protocol):
    """mPQ+, PQ of each class from counts summed over all images, and R2 of the counts.

    Nuclei are counted in the central 224 x 224 pixels, as in the challenge, whose images have 256 x
    256; what never occurs scores 0, and so does R2 of a class of which all images have equally
    many. With the classes of any data set.

    References:
      Graham et al., CoNIC: Colon Nuclei Identification and Counting Challenge 2022, 2021.
    """

    title = "CoNIC"
    needs = ("maps", "classes")

    def state(self, image: ImagePair) -> State:
        sides = present(image.maps, "maps"), present(image.classes, "classes")
        true, predicted = (
            central_counts(labels, classes, len(image.class_names))
            for labels, classes in zip(*sides, strict=True)
        )
        return *image_counts(image), true, predicted

    def figures(self, states: Sequence[State], class_names: Sequence[str]) -> list[Figure]:
        found = conic_scores([state[:2] for state in states])
        r2 = counting_r2(*(np.stack([state[k] for state in states]) for k in (2, 3)))
        figures = [
            Figure("mpq_plus", found.mpq_plus, "PQ from counts of all images, mean over classes"),
            Figure("r2", float(r2.mean()), "R2 of the nuclei of each image, mean over classes"),
            Figure("bpq", found.bpq, "PQ of all nuclei in one class, mean over images"),
        ]
        for figure, values in (("pq_plus", found.class_pq), ("r2", r2)):
            figures += base.of_each(figure, class_names, values)
        return figures


class ConicScores(NamedTuple):
    """Panoptic quality as in the CoNIC challenge, in [0, 1].

    Attributes:
      mpq_plus: the mean of `class_pq`.
      bpq: the mean of `image_bpq`.
      class_pq: (C,) float64, from counts summed over all images.
      image_bpq: (N,) float64, PQ of each image with all nuclei in one class.
    """

    mpq_plus: float
    bpq: float
    class_pq: np.ndarray
    image_bpq: np.ndarray


def conic_scores(
    counts: Iterable[tuple[ClassCounts, ClassCounts]], empty: str = "zero"
) -> ConicScores:
    """Pools the counts of a data set.

    The reference adds 1e-6 to denominators, nothing is added here: figures of classes with matches
    agree to 1e-6.

    Args:
      counts: of each image, by class and (1,) of all nuclei in one class.
      empty: the score of a class that occurs nowhere, and of an image without nuclei on both sides:
        `"zero"` as in the challenge, or another one of `qualities`.

    Raises:
      ValueError: there are no images, or `empty` is unknown.
    """
    images = list(counts)
    class_pq = pooled_pq([by_class for by_class, _ in images], empty)
    image_bpq = np.concatenate([qualities(binary, empty)[2] for _, binary in images])
    mpq_plus, bpq = float(mean(class_pq, empty)), float(mean(image_bpq, empty))
    return ConicScores(mpq_plus, bpq, class_pq, image_bpq)


def central_counts(instances: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts the nuclei of each class whose centroid lies in the central part of an image.

    Pixels are unit squares about their (row, col), and the part is half-open: the central 224 of
    256 pixels reach from 15.5 up to, not including, 239.5. In smaller images all nuclei count.

    Args:
      instances: (H, W) integer label map, 0 is background.
      classes: (N,) int64 in -1..n_classes, the class of each instance in ascending order of its id.
      n_classes: their number C.

    Returns:
      (C,) int64 counts of class 1, 2, ...
    """
    centers = regions(instances).centroids + 0.5
    start = np.maximum((np.array(instances.shape) - CENTRAL) / 2, 0)
    inside = ((centers >= start) & (centers < np.array(instances.shape) - start)).all(axis=1)
    return np.bincount(np.maximum(classes[inside], 0), minlength=n_classes + 1)[1:]


def counting_r2(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(C,) the coefficient of determination of the counts (N, C) of each class over N images.

    R^2 is 1 - sum (t - p)^2 / sum (t - mean t)^2, and 0 where all images have equally many.
    """
    residual = ((truth - prediction) ** 2).sum(axis=0)
    total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    varies = (truth != truth[0]).any(axis=0)  # exactly, whatever the rounding of the mean
    return np.where(varies, 1 - residual / np.where(varies, total, 1), 0.0)
