"""Scores the segmentations of images one by one, in other processes where there are workers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.io.workers import ordered_map
from jaxnuc.labels import LabelSet
from jaxnuc.metrics import Classes, Conventions, ImagePair, Metric, Scores, score_image
from jaxnuc.metrics import Protocol as EvaluationProtocol
from jaxnuc.metrics.base import choose
from jaxnuc.metrics.protocols import base as protocols
from jaxnuc.postprocess.masks import masks_of
from jaxnuc.representations import Nuclei

GROUPS = ("modality", "style", "tissue")  # of a sample's meta data


class Segmentation(Protocol):
    """What a segmentation function returns, at least.

    It may have `scores` (N,) of ids 1..N, and `masks` of N nuclei that overlap.
    """

    @property
    def instances(self) -> np.ndarray: ...


Segment = Callable[[np.ndarray], Segmentation]


class Decode(Protocol):
    """From maps to nuclei; picklable."""

    def __call__(self, maps: Any, shape: tuple[int, ...]) -> Nuclei: ...

    @property
    def class_names(self) -> tuple[str, ...] | None: ...

    def at(self, label_set: LabelSet) -> "Decode": ...

    def cannot_read(self, label_set: LabelSet) -> str | None: ...


@runtime_checkable
class TwoSteps(Protocol):
    """A segmentation whose second step, from maps to nuclei, can run in another process."""

    def maps(self, image: np.ndarray) -> Any: ...

    @property
    def decode(self) -> Decode: ...


def instances_of(segment: Segment, image: np.ndarray) -> np.ndarray:
    """The label map (H, W) of an image of a data set, which is at the expected resolution."""
    if isinstance(segment, TwoSteps):
        return segment.decode(segment.maps(image), image.shape[:2]).instances
    return np.asarray(segment(image).instances)


@dataclass(frozen=True)
class Scoring:
    """What is computed of each image.

    Attributes:
      conventions: of the scores.
      metrics, protocols: to compute, to keep states for.
      label_set: of the data, scored at its finest groups: nuclei that are labeled at a coarser
        level are ignored in figures by class. None: classes are not scored.
      optional: whether metrics that turn out not to be computable are left out.
      why_no_classes: where the predicted classes cannot be read as those of the data.
    """

    conventions: Conventions
    metrics: tuple[Metric, ...]
    protocols: tuple[EvaluationProtocol, ...] = ()
    label_set: LabelSet | None = None
    optional: bool = False
    why_no_classes: str | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of class 1, 2, ..."""
        return () if self.label_set is None else self.label_set.finest.groups


class ImageScores(NamedTuple):
    """The scores of one image, the states of the protocols, and the areas of nuclei in pixels."""

    scores: Scores
    states: tuple[Any, ...]
    areas: tuple[np.ndarray, np.ndarray]  # of its true and of its predicted nuclei


def plan_scoring(
    segment: Segment, source: Source, options: EvaluationOptions, default: str = "all"
) -> Scoring:
    """Chooses what is computed, and refuses what cannot be before anything runs.

    A segmentation in two steps says whether it predicts classes. `default` are the metrics where
    the options name none: see `jaxnuc.metrics.base.choose`.

    Raises:
      ValueError: an unknown metric or protocol, or one that needs more than there is.
    """
    options = options.completed()
    assert options.conventions is not None
    assert options.metrics is not None
    metrics, wanted = list(options.metrics), protocols.make(options.protocols or ())
    label_set = source.label_set
    why = None
    available = {"maps", "scores"}
    if options.conventions.overlapping:
        if source.ignores:
            raise ValueError(
                "overlapping=True cannot leave out the regions to ignore of source "
                f"{source.name!r}; set it to False"
            )
        available = {"scores"}
        if label_set is not None:
            why = "nuclei that overlap are scored without classes"
    elif isinstance(segment, TwoSteps) and label_set is not None:
        why = segment.decode.cannot_read(label_set)
        if why is None and segment.decode.class_names is not None:
            available |= {"classes", "probabilities"}
    if any("tissue" in protocol.needs for protocol in wanted) and len(source):
        available |= {"tissue"} & source[0].meta.keys()
    protocols.check(wanted, available, options.conventions)
    return Scoring(
        options.conventions,
        choose(metrics, available, default),
        wanted,
        label_set if "classes" in available else None,
        optional=not metrics,
        why_no_classes=why,
    )


def score_images(
    segment: Segment, samples: Iterable[Sample], scoring: Scoring, workers: int = 0
) -> Iterator[ImageScores]:
    """Segments and scores images, in their order.

    Of a segmentation in two steps, the second runs in the `workers`, processes that also score.
    """

    def tasks() -> Iterator[tuple[Any, ...]]:
        for sample in samples:
            if isinstance(segment, TwoSteps):
                decode, found = segment.decode, segment.maps(sample.image)
                if scoring.label_set is not None:
                    decode = decode.at(scoring.label_set)
            else:
                whole = segment(sample.image)
                decode = None
                found = SimpleNamespace(
                    instances=np.asarray(whole.instances),
                    scores=getattr(whole, "scores", None),
                    masks=getattr(whole, "masks", None),
                )
            # What is scored, and not the image, goes to another process.
            annotation = replace(sample, image=np.zeros((0, 0, 3), np.uint8))
            yield decode, found, annotation, scoring

    return ordered_map(_score, tasks(), workers)


def groups_of(sample: Sample) -> dict[str, str]:
    """What an image is grouped by: `{"tissue": "breast"}`."""
    return {key: str(sample.meta[key]) for key in GROUPS if key in sample.meta}


def check_shape(instances: np.ndarray, truth: np.ndarray, name: str) -> np.ndarray:
    """The instances as an array, refused where they have another shape than their truth."""
    instances = np.asarray(instances)
    if instances.shape != truth.shape:
        raise ValueError(
            f"image {name!r}: segmented as {instances.shape}, but its truth is {truth.shape}; "
            "a segmentation must have its image's resolution"
        )
    return instances


def _score(decode: Decode | None, found: Any, truth: Sample, scoring: Scoring) -> ImageScores:
    name = str(truth.meta["name"])
    nuclei = found if decode is None else decode(found, truth.instances.shape)
    classes = None
    if scoring.label_set is not None and truth.classes is not None:
        assert nuclei.classes is not None  # `plan_scoring` says so
        own, finest = truth.classes, scoring.label_set.finest
        if finest != scoring.label_set:
            own = scoring.label_set.to(finest)[own]
        probabilities = nuclei.class_probabilities
        classes = Classes(scoring.class_names, own, nuclei.classes, probabilities)
    given: dict[str, Any] = {
        "scores": getattr(nuclei, "scores", None),
        "groups": groups_of(truth),
    }
    instances = check_shape(nuclei.instances, truth.instances, name)
    if scoring.conventions.overlapping:
        masks = getattr(nuclei, "masks", None)
        image = ImagePair.of_masks(
            masks_of(truth.instances, truth.covered)[1],
            instances if masks is None else masks,
            instances.shape,
            scoring.conventions,
            **given,
        )
    else:
        image = ImagePair.of(
            truth.instances,
            instances,
            scoring.conventions,
            ignore=truth.ignore,
            classes=classes,
            **given,
        )
    try:
        scores = score_image(image, scoring.metrics, optional=scoring.optional)
        states = tuple(protocol.state(image) for protocol in scoring.protocols)
    except ValueError as error:
        raise ValueError(f"image {name!r}: {error}") from error
    return ImageScores(scores, states, (image.table.truth_areas, image.table.prediction_areas))
