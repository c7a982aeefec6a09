"""MoNuSAC's panoptic quality, as the challenge computed it and as it should be.

Figures of the two must not be compared with each other, nor either with the published challenge
table without saying so: Foucart et al. found errors in the code behind that table.

References:
  Verma et al., MoNuSAC2020: A Multi-Organ Nuclei Segmentation and Classification Challenge, 2021.
  Foucart et al., Comments on "MoNuSAC2020: A Multi-Organ Nuclei Segmentation and Classification
  Challenge", 2022.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
from jaxnuc.postprocess.components import binary, label_components
from jaxnuc.postprocess.regions import relabel
from jaxnuc.registry import unknown

CLASSES = ("Epithelial", "Lymphocyte", "Macrophage", "Neutrophil")

State = tuple[dict[str, float], ClassCounts]


class Protocol(base.Protocol):
    """PQ of each class, as the challenge computed it and by corrected rules.

    Ambiguous are the regions that the data set ignores and its nuclei of ignored classes. With the
    classes of any data set.
    """

    title = "MoNuSAC"
    needs = ("maps", "classes")

    def state(self, image: ImagePair) -> State:
        truth, prediction, ambiguous = _class_maps(image)
        names = image.class_names
        return (
            monusac_challenge_pq(truth, prediction, ambiguous, names),
            monusac_counts(truth, prediction, ambiguous, names),
        )

    def figures(self, states: Sequence[State], class_names: Sequence[str]) -> list[Figure]:
        challenge = monusac_challenge_scores([pq for pq, _ in states], class_names)
        corrected = pooled_pq([counts for _, counts in states])
        classes, of_class = challenge.mean_over_classes, challenge.class_pq
        meaning = "PQ of the classes that an image's truth has, mean over"
        figures = [
            Figure("challenge_pq", classes, f"{meaning} classes"),
            Figure("challenge_pq_images", challenge.mean_over_images, f"{meaning} images"),
            Figure(
                "corrected_pq", corrected.mpq, "PQ from counts of all images, each class counts"
            ),
        ]
        for figure, values in (("challenge_pq", of_class), ("corrected_pq", corrected.pq)):
            for name, value in zip(class_names, values, strict=True):
                figures.append(Figure(f"{figure}/{name}", float(value), f"{figure} of {name}"))
        return figures


class MonusacScores(NamedTuple):
    """The challenge's scores of a data set, in [0, 1]; NaN where nothing contributes.

    Attributes:
      class_pq: (C,) float64, for each class the mean over the images that have it.
      mean_over_classes: the mean of `class_pq`.
      mean_over_images: the mean over images of the mean over the classes each of them has.
    """

    class_pq: np.ndarray
    mean_over_classes: float
    mean_over_images: float


def monusac_challenge_pq(
    truth: Mapping[str, np.ndarray],
    prediction: Mapping[str, np.ndarray],
    ambiguous: np.ndarray | None = None,
    classes: Sequence[str] = CLASSES,
) -> dict[str, float]:
    """Panoptic quality of one image, by the rules of the challenge's notebook.

    Only classes that the truth has are scored: false positives of others are never punished. The
    ambiguous region is blanked in the prediction only. What is left of a prediction that reached
    out of the region counts with this remainder.

    Args:
      truth: the label map (H, W) of each class in the image; classes without nuclei may be missing.
      prediction: the same; a missing class scores 0. A map of a single id is taken for a mask, and
        its 8-connected components for the nuclei.
      ambiguous: (H, W) bool or integer, the region in which nothing is scored; None: there is none.
      classes: their names.

    Returns:
      PQ of each class that the truth has; matches have an IoU above 1/2.

    Raises:
      ValueError: a class is unknown, or maps are no label maps of one shape.
    """
    _check_classes(classes, truth, prediction)
    scores = {}
    for name, true in truth.items():
        if not np.any(true):
            continue
        predicted = np.asarray(prediction.get(name, np.zeros_like(true)))
        if np.unique(predicted[predicted != 0]).size == 1:
            predicted = label_components(predicted != 0)
        if ambiguous is not None:
            region = _region(ambiguous, predicted)
            predicted = np.where(region, 0, predicted)
        scores[name] = float(qualities(binary_counts(true, predicted))[2][0])
    return scores


def monusac_challenge_scores(
    images: Sequence[Mapping[str, float]], classes: Sequence[str] = CLASSES
) -> MonusacScores:
    """The means of `monusac_challenge_pq` over a data set.

    Args:
      images: PQ of each class that the image has, for each image.
      classes: their names.

    Returns:
      The mean for each class, and the two means of those.

    Raises:
      ValueError: there are no images.
    """
    if not images:
        raise ValueError("no scores to average; the data set has no images")
    pq = np.array([[image.get(name, np.nan) for name in classes] for image in images])
    class_pq = mean(pq)
    return MonusacScores(class_pq, float(mean(class_pq)), float(mean(mean(pq.T))))


def monusac_counts(
    truth: Mapping[str, np.ndarray],
    prediction: Mapping[str, np.ndarray],
    ambiguous: np.ndarray | None = None,
    classes: Sequence[str] = CLASSES,
) -> ClassCounts:
    """The counts of one image by corrected rules, for `pooled_pq`.

    Every class is counted, whether the truth has it or not. The ambiguous region is taken out of
    both sides, and a prediction without a match of which it took more than half is left out, as
    ignored instances are in `class_counts`. Ids are taken as they are.

    Args:
      truth: the label map (H, W) of each class in the image; classes without nuclei may be missing.
      prediction: the same.
      ambiguous: (H, W) bool or integer, the region in which nothing is scored; None: there is none.
      classes: their names.

    Returns:
      The counts of the classes, in their order; matches have an IoU above 1/2.

    Raises:
      ValueError: a class is unknown, or maps are no label maps of one shape.
    """
    _check_classes(classes, truth, prediction)
    none = np.zeros(1, np.int64)
    counts = [ClassCounts(none, none, none, np.zeros(1))] * len(classes)
    for k, name in enumerate(classes):
        true, predicted = truth.get(name), prediction.get(name)
        if true is None and predicted is None:
            continue
        true = np.zeros_like(predicted) if true is None else np.asarray(true)
        predicted = np.zeros_like(true) if predicted is None else np.asarray(predicted)
        region_id = -1
        if ambiguous is not None:
            # The region becomes a true instance, to be ignored, with an id of its own.
            true = relabel(true)
            region_id = int(true.max(initial=0)) + 1
            true = np.where(_region(ambiguous, true), region_id, true)
        table = contingency_table(true, predicted)
        of_truth = np.where(table.truth_ids == region_id, -1, 1)
        counts[k] = counts_of_table(table, of_truth, np.ones(len(table.prediction_ids), int), 1)
    return ClassCounts(*map(np.concatenate, zip(*counts, strict=True)))


def _check_classes(classes: Sequence[str], *maps: Mapping[str, np.ndarray]) -> None:
    for name in {name for each in maps for name in each}:
        if name not in classes:
            raise unknown("class of MoNuSAC", name, classes)


def _class_maps(
    image: ImagePair,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """The nuclei of each class on either side as annotated and predicted, and what is ambiguous.

    The challenge has rules of its own for ambiguous regions, so nothing may be left out before.
    """
    given = present(image.given, "maps")
    of_given = present(given.classes, "classes")
    names, sides = of_given.names, []
    for labels, classes in (
        (given.truth, of_given.truth),
        (given.prediction, of_given.prediction),
    ):
        ids, ranks = np.unique(labels, return_inverse=True)
        foreground = ids[ids > 0]
        if classes.ndim == 1 and labels is given.prediction:
            classes = classes[foreground.astype(np.int64) - 1]
        found = instance_classes(labels, classes, len(names), len(foreground))
        if len(ids) > len(foreground):  # the background
            found = np.append(0, found)
        sides.append((labels, found[ranks].reshape(labels.shape)))
    maps = [
        {name: np.where(of == k, labels, 0) for k, name in enumerate(names, 1)}
        for labels, of in sides
    ]
    truth = {name: labels for name, labels in maps[0].items() if labels.any()}
    ambiguous = sides[0][1] < 0
    if given.ignore is not None:
        ambiguous = ambiguous | np.asarray(given.ignore, bool)
    return truth, maps[1], ambiguous


def _region(ambiguous: np.ndarray, labels: np.ndarray) -> np.ndarray:
    region = binary(ambiguous, "ambiguous")
    if region.shape != labels.shape:
        raise ValueError(f"ambiguous has shape {region.shape}, the label maps {labels.shape}")
    return region
