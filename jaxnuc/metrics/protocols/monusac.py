"""MoNuSAC's panoptic quality, as the challenge computed it and as it should be.

Figures of the two must not be compared with each other, nor either with the published challenge
table without saying so: Foucart et al. found errors in the code behind that table.

References:
  Verma et al., MoNuSAC2020: A Multi-Organ Nuclei Segmentation and Classification Challenge, 2021.
  Foucart et al., Comments on "MoNuSAC2020: A Multi-Organ Nuclei Segmentation and Classification
  Challenge", 2022.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxnuc.metrics.class_counts import (
    ClassCounts,
    binary_counts,
    counts_of_table,
    instance_classes,
)
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.pair import ImagePair, present
from jaxnuc.metrics.panoptic import mean, pooled_pq, qualities
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Figure
from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.regions import relabel

State = tuple[list[float], ClassCounts]
ClassMaps = tuple[np.ndarray, np.ndarray, np.ndarray]


class Protocol(base.Protocol):
    """PQ of each class, as the challenge computed it and by corrected rules.

    Ambiguous are the regions that the data set ignores and its nuclei of ignored classes. With the
    classes of any data set.
    """

    title = "MoNuSAC"
    needs = ("maps", "classes")

    def state(self, image: ImagePair) -> State:
        maps = list(_class_maps(image))
        counts = (corrected_counts(*of_class) for of_class in maps)
        pooled = ClassCounts(*map(np.concatenate, zip(*counts, strict=True)))
        return [challenge_pq(*of_class) for of_class in maps], pooled

    def figures(self, states: Sequence[State], class_names: Sequence[str]) -> list[Figure]:
        challenge, counts = zip(*states, strict=True)
        image_pq = np.array(challenge)
        class_pq, corrected = mean(image_pq), pooled_pq(counts)
        of_images = float(mean(mean(image_pq.T)))
        meaning = "PQ of the classes that an image's truth has, mean over"
        pooled = "PQ from counts of all images, each class counts"
        figures = [
            Figure("challenge_pq", float(mean(class_pq)), f"{meaning} classes"),
            Figure("challenge_pq_images", of_images, f"{meaning} images"),
            Figure("corrected_pq", float(mean(corrected)), pooled),
        ]
        for figure, values in (("challenge_pq", class_pq), ("corrected_pq", corrected)):
            figures += base.of_each(figure, class_names, values)
        return figures


def challenge_pq(truth: np.ndarray, prediction: np.ndarray, ambiguous: np.ndarray) -> float:
    """Panoptic quality of one class in one image, by the rules of the challenge's notebook.

    False positives of a class that the truth lacks are never punished. The ambiguous region is
    blanked in the prediction only. What is left of a prediction that reached out of the region
    counts with this remainder.

    Args:
      truth: (H, W) label map of the nuclei of the class.
      prediction: the same. A map of a single id is taken for a mask, and its 8-connected components
        for the nuclei.
      ambiguous: (H, W) bool, the region in which nothing is scored.

    Returns:
      PQ, matches having an IoU above 1/2; NaN where the truth has no nucleus.
    """
    if not truth.any():
        return float("nan")
    if np.unique(prediction[prediction != 0]).size == 1:
        prediction = label_components(prediction != 0)
    counts = binary_counts(truth, np.where(ambiguous, 0, prediction))
    return float(qualities(counts)[2][0])


def corrected_counts(
    truth: np.ndarray, prediction: np.ndarray, ambiguous: np.ndarray
) -> ClassCounts:
    """The counts (1,) of one class in one image by corrected rules, for `pooled_pq`.

    A class is counted whether the truth has it or not. The ambiguous region is taken out of both
    sides, and a prediction without a match of which it took more than half is left out, as ignored
    instances are in `class_counts`. Ids are taken as they are, and matches have an IoU above 1/2.

    Args:
      truth: (H, W) label map of the nuclei of the class.
      prediction: the same.
      ambiguous: (H, W) bool, the region in which nothing is scored.
    """
    # The region becomes a true instance, to be ignored, with an id of its own.
    truth = relabel(truth)
    region = int(truth.max(initial=0)) + 1
    table = contingency_table(np.where(ambiguous, region, truth), prediction)
    of_truth = np.where(table.truth_ids == region, -1, 1)
    return counts_of_table(table, of_truth, np.ones(len(table.prediction_ids), int), 1)


def _class_maps(image: ImagePair) -> Iterator[ClassMaps]:
    """For each class its nuclei on either side as annotated and predicted, and what is ambiguous.

    The challenge has rules of its own for ambiguous regions, so nothing may be left out before.
    """
    given = present(image.given, "maps")
    of_given = present(given.classes, "classes")
    n, class_maps = len(of_given.names), []
    maps = given.truth, given.prediction
    for labels, classes in zip(maps, (of_given.truth, of_given.prediction), strict=True):
        ids, ranks = np.unique(labels, return_inverse=True)
        foreground = ids[ids > 0]
        if classes.ndim == 1 and labels is given.prediction:
            classes = classes[foreground.astype(np.int64) - 1]
        found = instance_classes(labels, classes, n, len(foreground))
        if len(ids) > len(foreground):  # the background
            found = np.append(0, found)
        class_maps.append(found[ranks].reshape(labels.shape))
    ambiguous = class_maps[0] < 0
    if given.ignore is not None:
        ambiguous = ambiguous | np.asarray(given.ignore, bool)
    for k in range(1, n + 1):
        truth, prediction = (
            np.where(of == k, labels, 0) for labels, of in zip(maps, class_maps, strict=True)
        )
        yield truth, prediction, ambiguous
