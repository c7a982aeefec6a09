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

from jaxnuc.metrics.class_counts import ClassCounts, binary_counts, counts_of_table
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.panoptic import mean, qualities
from jaxnuc.postprocess.components import binary, label_components
from jaxnuc.postprocess.regions import relabel
from jaxnuc.registry import unknown

CLASSES = ("Epithelial", "Lymphocyte", "Macrophage", "Neutrophil")


class MonusacScores(NamedTuple):
    """The challenge's scores of a data set, in [0, 1]; NaN where nothing contributes.

    Attributes:
      class_pq: (4,) float64, for each class the mean over the images that have it.
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
) -> dict[str, float]:
    """Panoptic quality of one image, by the rules of the challenge's notebook.

    Only classes that the truth has are scored: false positives of others are never punished. The
    ambiguous region is blanked in the prediction only. What is left of a prediction that reached
    out of it counts with this remainder.

    Args:
      truth: the label map (H, W) of each class in the image; classes without nuclei may be missing.
      prediction: the same; a missing class scores 0. A map of a single id is taken for a mask, and
        its 8-connected components for the nuclei.
      ambiguous: (H, W) bool or integer, the region in which nothing is judged; None: there is none.

    Returns:
      PQ of each class that the truth has; matches have an IoU above 1/2.

    Raises:
      ValueError: a class is unknown, or maps are no label maps of one shape.
    """
    _known_classes(truth, prediction)
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


def monusac_challenge_scores(images: Sequence[Mapping[str, float]]) -> MonusacScores:
    """The means of `monusac_challenge_pq` over a data set.

    Args:
      images: PQ of each class that the image has, for each image.

    Returns:
      The mean for each class, and the two means of those.

    Raises:
      ValueError: there are no images.
    """
    if not images:
        raise ValueError("no scores to average; the data set has no images")
    pq = np.array([[image.get(name, np.nan) for name in CLASSES] for image in images])
    class_pq = mean(pq)
    return MonusacScores(class_pq, float(mean(class_pq)), float(mean(mean(pq.T))))


def monusac_counts(
    truth: Mapping[str, np.ndarray],
    prediction: Mapping[str, np.ndarray],
    ambiguous: np.ndarray | None = None,
) -> ClassCounts:
    """The counts of one image by corrected rules, for `pooled_pq`.

    Every class is counted, whether the truth has it or not. The ambiguous region is taken out of
    both sides, and a prediction without a match of which it took more than half is left out, as
    ignored instances are in `class_counts`. Ids are taken as they are.

    Args:
      truth: the label map (H, W) of each class in the image; classes without nuclei may be missing.
      prediction: the same.
      ambiguous: (H, W) bool or integer, the region in which nothing is judged; None: there is none.

    Returns:
      The counts of the 4 classes, in the order of `CLASSES`; matches have an IoU above 1/2.

    Raises:
      ValueError: a class is unknown, or maps are no label maps of one shape.
    """
    _known_classes(truth, prediction)
    none = np.zeros(1, np.int64)
    counts = [ClassCounts(none, none, none, np.zeros(1))] * len(CLASSES)
    for k, name in enumerate(CLASSES):
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
        classes = np.where(table.truth_ids == region_id, -1, 1)
        counts[k] = counts_of_table(table, classes, np.ones(len(table.prediction_ids), int), 1)
    return ClassCounts(*map(np.concatenate, zip(*counts, strict=True)))


def _known_classes(*maps: Mapping[str, np.ndarray]) -> None:
    for name in {name for each in maps for name in each}:
        if name not in CLASSES:
            raise unknown("class of MoNuSAC", name, CLASSES)


def _region(ambiguous: np.ndarray, labels: np.ndarray) -> np.ndarray:
    region = binary(ambiguous, "ambiguous")
    if region.shape != labels.shape:
        raise ValueError(f"ambiguous has shape {region.shape}, the label maps {labels.shape}")
    return region
