"""The scores of one image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from jaxnuc.metrics.base import STANDARD, Metric, make
from jaxnuc.metrics.contingency import ContingencyTable
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.pair import NEEDS, ImagePair, Unavailable
from jaxnuc.metrics.rows import aligned, cell, html_table


@dataclass(frozen=True)
class Scores:
    """The scores of one image, and the counts that pool over a data set.

    Each value and each count is an attribute too: `scores.pq`, `scores.tp`. Printed, it is a table
    that ends with its conventions.

    Attributes:
      values: by name of the metric; NaN where an image has none.
      counts: by name, such as `tp`, `fp` and `fn` of the matched, false and missed nuclei.
      true_nuclei: how many true nuclei were scored.
      predicted_nuclei: how many predicted nuclei were scored.
      metrics: the metrics.
      conventions: with which they were computed.
      unavailable: why metrics could not be computed, by their name.
    """

    values: Mapping[str, float]
    counts: Mapping[str, float]
    true_nuclei: int
    predicted_nuclei: int
    metrics: tuple[Metric, ...]
    conventions: Conventions = DEFAULT
    unavailable: Mapping[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> float:
        # `__dict__` is still empty where pickle asks for its own methods.
        known = {**self.__dict__.get("counts", {}), **self.__dict__.get("values", {})}
        if name not in known:
            raise AttributeError(f"these scores have no {name!r}; they have {', '.join(known)}")
        return known[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.values, *self.counts]

    @property
    def empty(self) -> bool:
        """Whether there are no nuclei on either side."""
        return not (self.true_nuclei or self.predicted_nuclei)

    def _rows(self) -> list[tuple[str, str]]:
        figures = {**self.values, **self.counts}
        return [(name.replace("_", " "), cell(value)) for name, value in figures.items()]

    def __str__(self) -> str:
        return f"{aligned(self._rows())}\n{self.conventions}"

    def _repr_html_(self) -> str:
        return html_table([("", "score"), *self._rows()], str(self.conventions))


def score(
    truth: np.ndarray,
    prediction: np.ndarray,
    threshold: float = 0.5,
    empty: str = "skip",
    *,
    inclusive: bool = False,
    matching: str = "iou",
    border: int | None = None,
    tolerance: float = 0.0,
) -> Scores:
    """Scores a predicted label map against the true one with the standard metrics.

    They are those of `jaxnuc.metrics.STANDARD`; `score_image` computes others. No epsilon is added
    anywhere: identical maps score exactly 1. If only one map is empty, every score is 0.

    Args:
      truth: (H, W) integer or bool label map, 0 is background; any non-negative ids.
      prediction: (H, W) of the same shape.
      threshold: IoU above which instances match.
      empty: the scores if both maps are empty: `"skip"` or `"nan"` NaN, `"one"` 1, `"zero"` 0.
      inclusive: whether an IoU of exactly the threshold is a match.
      matching: the choice among competing pairs, `"iou"` or `"count"`: see `pairs_above`.
      border: leaves out instances so near to the image border: see `drop_border`.
      tolerance: leaves out the pixels so near to a true outline: see `ignore_outlines`.

    Raises:
      ValueError: the maps are no label maps of one shape, the threshold is out of range, or
        `empty` or `matching` is unknown.

    Example:
      >>> scores = score(np.array([[1, 1, 1, 0, 2]]), np.array([[0, 5, 5, 9, 0]]))
      >>> scores.dice, scores.aji, scores.tp, scores.fp, scores.fn
      (0.5714285714285714, 0.4, 1, 1, 1)
    """
    conventions = Conventions(threshold, inclusive, matching, empty, border, tolerance)
    return score_image(ImagePair.of(truth, prediction, conventions))


def score_table(table: ContingencyTable, conventions: Conventions = DEFAULT) -> Scores:
    """The standard scores of a table of overlaps: also of instances that overlap each other.

    `border` and `tolerance` of the conventions only say what was done to the maps before.

    Raises:
      ValueError: the threshold is out of range.
    """
    return score_image(ImagePair(table, conventions))


def score_image(
    image: ImagePair, metrics: Sequence[Metric] = (), *, optional: bool = False
) -> Scores:
    """Computes metrics of one image.

    Args:
      image: its nuclei.
      metrics: from `base.make`; empty: the standard ones.
      optional: whether a metric that cannot be computed is left out, with the reason in
        `Scores.unavailable`, in place of an error.

    Raises:
      ValueError: a metric needs more than the image has, or the threshold is out of range.
    """
    metrics = tuple(metrics) or _standard()
    values: dict[str, float] = {}
    counts: dict[str, float] = {}
    unavailable: dict[str, str] = {}
    for metric in metrics:
        try:
            if lacking := image.lacks(metric.needs):
                raise Unavailable(f"needs {NEEDS[lacking]}")
            counts.update(metric.counts(image))
            if metric.per_image:
                rule = image.conventions.empty
                value = metric.of_empty(rule) if image.empty else metric.value(image)
                values[metric.name] = value
        except Unavailable as error:
            if not optional:
                raise ValueError(f"metric {metric.name!r}: {error}") from error
            unavailable[metric.name] = str(error)
    table = image.table
    nuclei = len(table.truth_ids), len(table.prediction_ids)
    return Scores(values, counts, *nuclei, metrics, image.conventions, unavailable)


def columns(scores: Sequence[Scores], field: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """`values` or `counts` of scored images as (images,) float64 columns by name."""
    return {n: np.array([getattr(s, field)[n] for s in scores], np.float64) for n in names}


@cache
def _standard() -> tuple[Metric, ...]:
    return make(STANDARD)
