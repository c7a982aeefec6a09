"""CoNIC's protocol: mPQ+ and bPQ, and R2 of the counted nuclei."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.class_counts import ClassCounts, binary_counts, class_counts
from jaxnuc.metrics.counting import central_counts, counting_scores
from jaxnuc.metrics.pair import ImagePair, present
from jaxnuc.metrics.panoptic import mean, pooled_pq, qualities
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols._panoptic import image_counts
from jaxnuc.metrics.protocols.base import Figure

N_CLASSES = 6  # of `labels.npy`

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
        true, predicted = (np.stack([state[k] for state in states]) for k in (2, 3))
        counted = counting_scores(true, predicted, constant="zero")
        figures = [
            Figure("mpq_plus", found.mpq_plus, "PQ from counts of all images, mean over classes"),
            Figure("r2", counted.mean_r2, "R2 of the nuclei of each image, mean over classes"),
            Figure("bpq", found.bpq, "PQ of all nuclei in one class, mean over images"),
        ]
        for figure, values in (("pq_plus", found.class_pq), ("r2", counted.r2)):
            for name, value in zip(class_names, values, strict=True):
                figures.append(Figure(f"{figure}/{name}", float(value), f"{figure} of {name}"))
        return figures


class ConicScores(NamedTuple):
    """Panoptic quality as in the CoNIC challenge, in [0, 1].

    Attributes:
      mpq_plus: the mean of `class_pq`.
      bpq: the mean of `image_bpq`.
      class_pq: (C,) float64, from counts summed over all images; in `labels.npy` of neutrophil,
        epithelial, lymphocyte, plasma, eosinophil, connective.
      image_bpq: (N,) float64, PQ of each image with all nuclei in one class.
    """

    mpq_plus: float
    bpq: float
    class_pq: np.ndarray
    image_bpq: np.ndarray


def conic_counts(truth: np.ndarray, prediction: np.ndarray) -> tuple[ClassCounts, ClassCounts]:
    """The counts of one image, for `conic_scores`.

    A nucleus has the class of most of its pixels. The reference multiplies the two maps instead and
    so cuts a nucleus of several classes into one for each; the data set has no such nuclei.

    Args:
      truth: (H, W, 2) integers as in `labels.npy`: ids, and classes 1 to 6.
      prediction: the same.

    Returns:
      The counts of the 6 classes, and those (1,) of all nuclei in one class. Matches have an IoU
      above 1/2.

    Raises:
      ValueError: an array is not of this form, or the two differ in shape.
    """
    for array, name in [(truth, "truth"), (prediction, "prediction")]:
        if np.ndim(array) != 3 or np.shape(array)[2] != 2:
            raise ValueError(f"{name} must be (H, W, 2), got shape {np.shape(array)}")
    ids, classes = np.moveaxis(np.asarray(truth), -1, 0)
    predicted_ids, predicted_classes = np.moveaxis(np.asarray(prediction), -1, 0)
    counts = class_counts(ids, predicted_ids, classes, predicted_classes, N_CLASSES)
    return counts, binary_counts(ids, predicted_ids)


def conic_scores(
    counts: Iterable[tuple[ClassCounts, ClassCounts]], empty: str = "zero"
) -> ConicScores:
    """Pools the counts of a data set.

    Args:
      counts: of each image, from `conic_counts`.
      empty: the score of a class that occurs nowhere, and of an image without nuclei on both sides:
        `"zero"` as in the challenge, `"skip"`, `"nan"` or `"one"`; see `pooled_pq`.

    Returns:
      The figures. The reference adds 1e-6 to denominators, nothing is added here: figures of
      classes with matches agree to 1e-6.

    Raises:
      ValueError: there are no images, or `empty` is unknown.

    References:
      Graham et al., CoNIC: Colon Nuclei Identification and Counting Challenge 2022, 2021.
    """
    images = list(counts)
    classes = pooled_pq([by_class for by_class, _ in images], empty)
    image_bpq = np.concatenate([qualities(binary, empty)[2] for _, binary in images])
    return ConicScores(classes.mpq, float(mean(image_bpq, empty)), classes.pq, image_bpq)
