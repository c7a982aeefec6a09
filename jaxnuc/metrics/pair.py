"""What a metric sees of one image, with everything that several metrics need computed once."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from jaxnuc.io.run_lengths import Instances
from jaxnuc.metrics.border import drop_border, ignore_outlines, leave_out
from jaxnuc.metrics.class_counts import instance_classes
from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.matching import Matches, match, matched_pairs
from jaxnuc.metrics.overlapping import overlapping_table

T = TypeVar("T")
Maps = tuple[np.ndarray, np.ndarray]

NEEDS = {
    "maps": "the label maps themselves, not only their overlaps",
    "scores": "a score of each predicted nucleus",
    "classes": "classes of the true and of the predicted nuclei",
    "probabilities": "class probabilities of the predicted nuclei",
    "tissue": "the tissue of each image",
}
"""What a metric or protocol may need besides the overlaps, and what each is."""


class Unavailable(ValueError):
    """A metric cannot be computed from what is known of an image; the message says why."""


def present(value: T | None, need: str) -> T:
    """`value`, a part of an image such as `image.maps`, that a metric needs.

    Raises:
      Unavailable: the image lacks it; names the need, of `NEEDS`.
    """
    if value is None:
        raise Unavailable(f"needs {NEEDS[need]}")
    return value


@dataclass(frozen=True)
class Classes:
    """The classes of the nuclei of one image.

    Attributes:
      names: of class 1, 2, ...; class 0 is none of them, -1 is ignored.
      truth: (H, W) class map, of which each true nucleus has the majority, or (T,) in ascending
        order of the true ids.
      prediction: (N,) class of the predicted ids 1..N.
      probabilities: (N, C + 1) of the predicted ids 1..N, that of class k in column k; None where
        they are not known.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    prediction: np.ndarray
    probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class Given:
    """What was given to `ImagePair.of`, before anything is left out."""

    truth: np.ndarray
    prediction: np.ndarray
    ignore: np.ndarray | None
    classes: Classes | None


@dataclass(frozen=True)
class ImagePair:
    """The true and the predicted nuclei of one image.

    Made by `ImagePair.of` from label maps, or by `of_masks` from nuclei that may overlap; a table
    alone is enough for metrics that need no more.

    Attributes:
      table: the overlaps of the nuclei that are scored: T true and P predicted ones.
      conventions: with which they are scored.
      maps: (H, W) true and predicted label map, without what is left out.
      outlines: the same with the pixels that `conventions.tolerance` leaves out: of these maps
        distances between outlines are measured.
      scores: (P,) float64 of the predicted nuclei.
      class_names: of class 1, 2, ...
      classes: (T,) int64 of the true and (P,) int64 of the predicted nuclei; 0 is none of the
        classes, -1 ignored.
      probabilities: (P, C + 1) of the classes, that of class k in column k.
      groups: what the image belongs to, such as `{"tissue": "breast"}`.
      given: the label maps and classes as they were given.
    """

    table: ContingencyTable
    conventions: Conventions = DEFAULT
    maps: Maps | None = None
    outlines: Maps | None = None
    scores: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    classes: tuple[np.ndarray, np.ndarray] | None = None
    probabilities: np.ndarray | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    given: Given | None = None
    _computed: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        truth: np.ndarray,
        prediction: np.ndarray,
        conventions: Conventions = DEFAULT,
        *,
        ignore: np.ndarray | None = None,
        scores: ArrayLike | None = None,
        classes: Classes | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> "ImagePair":
        """Leaves out what is not scored, and counts the overlaps of the rest.

        Args:
          truth: (H, W) integer or bool label map, 0 is background.
          prediction: (H, W) of the same shape.
          conventions: say what is left out, and how nuclei match.
          ignore: (H, W) bool, where nothing is annotated: see `leave_out`.
          scores: (N,) of the predicted ids 1..N.
          classes: of the nuclei.
          groups: what the image belongs to.

        Raises:
          ValueError: the maps are no label maps of one shape, or there are fewer scores or classes
            than predicted ids.
        """
        kept = outlines = kept_maps(truth, prediction, conventions, ignore)
        if conventions.tolerance:
            kept = ignore_outlines(*outlines, conventions.tolerance)
        table = contingency_table(*kept)
        given = Given(np.asarray(truth), np.asarray(prediction), ignore, classes)
        found: dict[str, Any] = {"maps": kept, "outlines": outlines, "given": given}
        if scores is not None:
            found["scores"] = of_ids(table, np.asarray(scores, np.float64), "scores")
        if classes is not None:
            n, true = len(classes.names), np.asarray(classes.truth)
            if true.ndim == 1:  # in the order of all true ids, of which some may be left out
                ids = np.unique(truth)
                true = true[np.searchsorted(ids[ids > 0], table.truth_ids)]
            found["class_names"] = classes.names
            predicted = of_ids(table, classes.prediction, "classes")
            found["classes"] = (
                instance_classes(kept[0], true, n, len(table.truth_ids)),
                instance_classes(kept[1], predicted, n, len(predicted)),
            )
            if classes.probabilities is not None:
                found["probabilities"] = of_ids(table, classes.probabilities, "probabilities")
        return cls(table, conventions, groups=groups or {}, **found)

    @classmethod
    def of_masks(
        cls,
        truth: Instances,
        prediction: Instances,
        shape: tuple[int, int],
        conventions: Conventions = DEFAULT,
        *,
        scores: ArrayLike | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> "ImagePair":
        """Counts the overlaps of nuclei that may overlap others of their own side.

        There are no label maps, so metrics that need them cannot be computed.

        Args:
          truth: the nuclei in a form of `jaxnuc.io.run_lengths.run_lengths`, such as `Mask`.
          prediction: likewise.
          shape: (H, W) of the image.
          conventions: how nuclei match.
          scores: (N,) of the predicted nuclei.
          groups: what the image belongs to.

        Raises:
          ValueError: a nucleus is empty or leaves the image, or there are fewer scores than nuclei.
        """
        table = overlapping_table(truth, prediction, shape)
        found = None if scores is None else of_ids(table, np.asarray(scores, np.float64), "scores")
        return cls(table, conventions, scores=found, groups=groups or {})

    def once(self, function: "Callable[[ImagePair], T]") -> T:
        """`function(self)`, computed the first time and kept for the metrics that come after."""
        if function not in self._computed:
            self._computed[function] = function(self)
        return cast(T, self._computed[function])

    @cached_property
    def matched(self) -> np.ndarray:
        """(M,) indices into the table's pairs: the nuclei that match by the conventions."""
        return matched_pairs(self.table, self.conventions)

    @property
    def empty(self) -> bool:
        """Whether there are no nuclei on either side."""
        return not (self.table.truth_ids.size or self.table.prediction_ids.size)

    def lacks(self, needs: tuple[str, ...]) -> str:
        """The first of the `needs` that this image has not; empty where it has all."""
        known = {**vars(self), "tissue": self.groups.get("tissue")}
        return next((need for need in needs if known[need] is None), "")


def kept_maps(
    truth: np.ndarray,
    prediction: np.ndarray,
    conventions: Conventions,
    ignore: np.ndarray | None = None,
) -> Maps:
    """Two label maps without the nuclei that `ignore` and `conventions.border` leave out."""
    if ignore is not None:
        truth, prediction = leave_out(truth, prediction, ignore)
    if conventions.border is not None:
        truth, prediction = drop_border(truth, prediction, conventions.border)
    return truth, prediction


def match_scored(truth: np.ndarray, prediction: np.ndarray, conventions: Conventions) -> Matches:
    """`match` of two label maps without all that the conventions leave out."""
    maps = kept_maps(truth, prediction, conventions)
    if conventions.tolerance:
        maps = ignore_outlines(*maps, conventions.tolerance)
    c = conventions
    return match(*maps, c.threshold, inclusive=c.inclusive, matching=c.matching)


def of_ids(table: ContingencyTable, values: np.ndarray, name: str) -> np.ndarray:
    """The rows of `values`, given for the ids 1..N, of the table's predicted nuclei."""
    values, ids = np.asarray(values), table.prediction_ids.astype(np.int64)
    if not values.ndim or ids.max(initial=0) > len(values):
        raise ValueError(
            f"{name} have shape {values.shape}, but predicted ids reach {ids.max(initial=0)}; "
            "give one for each of the ids 1..N"
        )
    return values[ids - 1]
