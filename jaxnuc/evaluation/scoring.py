"""Scores the segmentations of images one by one, in other processes where there are workers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.io.workers import ordered_map
from jaxnuc.labels import LabelSet
from jaxnuc.metrics import (
    Calibration,
    Conventions,
    Scored,
    Scores,
    contingency_table,
    score_table,
)
from jaxnuc.metrics.boundary import BoundaryScores, boundary_scores
from jaxnuc.metrics.by_class import ClassFigures, ClassJudgement, judge_classes
from jaxnuc.metrics.class_counts import instance_classes
from jaxnuc.metrics.scores import judged as judged_maps
from jaxnuc.representations import Nuclei


class Segmentation(Protocol):
    """What a segmentation function returns, at least.

    It may have `scores` (N,) of the ids 1..N.
    """

    @property
    def instances(self) -> np.ndarray: ...


Segment = Callable[[np.ndarray], Segmentation]


class Decode(Protocol):
    """From maps to nuclei; picklable."""

    def __call__(self, maps: Any, shape: tuple[int, ...]) -> Nuclei: ...

    def at(self, label_set: LabelSet) -> "Decode": ...

    def cannot_read(self, label_set: LabelSet) -> str | None: ...


@runtime_checkable
class TwoSteps(Protocol):
    """A segmentation whose second step, from maps to nuclei, can run in another process."""

    def maps(self, image: np.ndarray) -> Any: ...

    @property
    def decode(self) -> Decode: ...


class Judgement(NamedTuple):
    """What is said of one image.

    Attributes:
      scores: of its instances.
      classes: what it adds to the figures by class, where classes are true and predicted.
      boundary: distances of the outlines, where they were asked for.
      scored: the scores of the predicted nuclei, where they have any.
      areas: of its true and its predicted nuclei, in pixels.
      class_scored: the probabilities of the predicted classes, where `classes` are judged.
    """

    scores: Scores
    classes: ClassJudgement | None = None
    boundary: BoundaryScores | None = None
    scored: Scored | None = None
    areas: tuple[np.ndarray, np.ndarray] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    class_scored: Scored | None = None


class _Found(NamedTuple):
    """What is scored of a segmentation in one step."""

    instances: np.ndarray
    scores: np.ndarray | None


def judged(
    segment: Segment,
    samples: Iterable[Sample],
    conventions: Conventions,
    workers: int = 0,
    label_set: LabelSet | None = None,
    boundary: bool = False,
) -> Iterator[Judgement]:
    """What is said of images, in their order: see `jaxnuc.evaluation.evaluate.evaluate`.

    Args:
      segment: as there; only one in two steps is asked for classes, at `label_set`.
      samples: the images.
      conventions: of the scores.
      workers: processes that decode and score.
      label_set: the label set of the samples' classes; None: classes are not judged.
      boundary: measure outlines.
    """

    def tasks() -> Iterator[tuple[Any, ...]]:
        for sample in samples:
            if isinstance(segment, TwoSteps):
                decode, found = segment.decode, segment.maps(sample.image)
                decode = decode if label_set is None else decode.at(label_set)
            else:
                whole = segment(sample.image)
                scores = getattr(whole, "scores", None)
                decode, found = None, _Found(np.asarray(whole.instances), scores)
            # What is scored, and not the image, goes to another process.
            truth = (sample.instances, sample.classes, sample.ignore, sample.meta["name"])
            yield decode, found, *truth, conventions, label_set, boundary

    return ordered_map(_judge, tasks(), workers)


def _judge(
    decode: Decode | None,
    found: Any,
    truth: np.ndarray,
    true_classes: np.ndarray | None,
    ignore: np.ndarray | None,
    name: str,
    conventions: Conventions,
    label_set: LabelSet | None,
    boundary: bool,
) -> Judgement:
    nuclei = found if decode is None else decode(found, truth.shape)
    sides = judged_maps(conventions, truth, as_large(nuclei.instances, truth, name), ignore)
    table = contingency_table(*sides)
    classes = class_scored = None
    if decode is not None and label_set is not None and true_classes is not None:
        predicted, probabilities = nuclei.classes, nuclei.class_probabilities
        if predicted is not None and probabilities is not None:
            n = len(label_set.groups)
            true = instance_classes(sides[0], true_classes, n, len(table.truth_ids))
            of_ids = predicted[table.prediction_ids.astype(np.int64) - 1]
            classes = judge_classes(*sides, true, of_ids, n, conventions)
            class_scored = Scored.of_classes(table, true, predicted, probabilities, conventions)
    outlines = boundary_scores(*sides) if boundary else None
    scores = getattr(nuclei, "scores", None)
    scored = None if scores is None else Scored.of(table, scores, conventions)
    areas = (table.truth_areas, table.prediction_areas)
    found_scores = score_table(table, conventions)
    return Judgement(found_scores, classes, outlines, scored, areas, class_scored)


def figures_by_class(
    judgements: Sequence[Judgement], label_set: LabelSet | None
) -> ClassFigures | None:
    """The figures by class of a label set, where all images were judged by it."""
    found = [judgement.classes for judgement in judgements if judgement.classes is not None]
    if label_set is None or len(found) < len(judgements):
        return None
    return ClassFigures.of(label_set.groups, found)


def calibration(images: Sequence[Scored | None], level: float) -> Calibration | str:
    """How well the scores are calibrated, or why that cannot be said."""
    found = [image for image in images if image is not None]
    if len(found) < len(images):
        return "the segmentation gives no scores"
    try:
        return Calibration.of(found, level=level)
    except ValueError as error:  # scores that are no probabilities
        return str(error)


def as_large(instances: np.ndarray, truth: np.ndarray, name: str) -> np.ndarray:
    """The instances as an array, refused where they have another shape than their truth."""
    instances = np.asarray(instances)
    if instances.shape != truth.shape:
        raise ValueError(
            f"image {name!r}: segmented as {instances.shape}, but its truth is {truth.shape}; "
            "a segmentation must have its image's resolution"
        )
    return instances
