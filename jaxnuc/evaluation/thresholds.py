"""Chooses the thresholds of a representation on validation images."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.detection import aggregate_detections, detections
from jaxnuc.registry import check_known
from jaxnuc.representations import Representation, foreground_probability

NO_IMAGES = "no images to choose thresholds by; give at least one"
Pair = tuple[Mapping[str, np.ndarray], np.ndarray]


class Optimum(NamedTuple):
    """The best thresholds by name, and the accuracy reached with them."""

    thresholds: dict[str, float]
    figure: float


def optimize_thresholds(
    pairs: Iterable[Pair],
    representation: Representation,
    *,
    choices: Mapping[str, Sequence[float]] | None = None,
    ious: Sequence[float] = (0.3, 0.5, 0.7),
) -> Optimum:
    """Chooses the thresholds of a representation by the accuracy on validation images.

    The accuracy tp / (tp + fp + fn) of all images together, averaged over IoU thresholds, is to be
    as high as possible: among all combinations of the values that the representation names
    (`threshold_choices`). Where it names none for its first threshold, that of a probability, this
    is looked for between half the highest probability that is predicted and this probability.

    StarDist's published code looks for it by golden section. Where a higher threshold only leaves
    out nuclei (`filters_by_score`), images are decoded once for each suppression here, and every
    threshold is tried.

    Args:
      pairs: maps of each image as for `decode`, and its true instances (H, W); read one by one,
        but for a search of a probability that changes nuclei, for which all are held in memory.
      representation: with `thresholds`. Classes have no part in it.
      choices: values to choose from by name, in place of those of the representation; such as
        `{"nms_thresh": (0.1, 0.2, 0.3)}`, as StarDist's CoNIC variant has it.
      ious: at which the accuracy is averaged; a pair matches at an IoU of this or above.

    Returns:
      The thresholds and the accuracy. Where no threshold gives a match, they are those that the
      representation has, with an accuracy of 0.

    Raises:
      ValueError: there are no images, the representation has no thresholds to choose, or none of
        a name that is given.

    References:
      The code published with Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI
      2018.
    """
    base = representation.without_classes  # which takes less time
    present = base.thresholds
    if not present:
        raise ValueError(
            "the decoder of this representation names no thresholds that could be chosen"
        )
    for name in choices or ():
        check_known("threshold of the decoder:", name, present)
    first = next(iter(present))
    values = {**base.threshold_choices, **(choices or {})}
    searched = [name for name in present if not values[name]]
    if searched not in ([], [first]) or not ious:
        raise ValueError(f"no values for {', '.join(searched[-1:]) or 'ious'}; give at least one")
    grid = [name for name in present if values[name]]
    variants = [
        dict(zip(grid, combination, strict=True))
        for combination in itertools.product(*(values[name] for name in grid))
    ]
    decoders = [base.with_thresholds(variant) for variant in variants]
    if not searched:
        figures = _figures(pairs, decoders, ious)
        found = [
            (variant[first], figure) for variant, figure in zip(variants, figures, strict=True)
        ]
    elif base.filters_by_score:
        found = _every_threshold(pairs, decoders, first, ious)
    else:
        found = _searched(list(pairs), decoders, first, ious)
    best = Optimum(dict(present), 0.0)
    for variant, (threshold, figure) in zip(variants, found, strict=True):
        if figure > best.figure:
            best = Optimum({**present, **variant, first: threshold}, figure)
    return best


def _figures(
    pairs: Iterable[Pair], variants: Sequence[Representation], ious: Sequence[float]
) -> list[float]:
    """The accuracy of each variant."""
    images: list[list[Any]] = [[] for _ in variants]
    for maps, truth in pairs:
        for variant, of_variant in zip(variants, images, strict=True):
            nuclei = variant.decode(maps, shape=truth.shape)
            of_variant.append(detections(contingency_table(truth, nuclei.instances), ious))
    if not images[0]:
        raise ValueError(NO_IMAGES)
    pooled = [aggregate_detections(of_variant, empty="zero") for of_variant in images]
    return [sum(each.accuracy for each in of_ious) / len(ious) for of_ious in pooled]


def _every_threshold(
    pairs: Iterable[Pair], variants: Sequence[Representation], name: str, ious: Sequence[float]
) -> list[tuple[float, float]]:
    """For each variant the best of all thresholds and its accuracy."""
    highest, n_true = 0.0, []
    # Of each variant, the scores of all nuclei and, at each IoU, whether the match of the more
    # probable ones gains one by them.
    scores: list[list[np.ndarray]] = [[] for _ in variants]
    gains: list[list[np.ndarray]] = [[] for _ in variants]
    for maps, truth in pairs:
        # Half of the highest so far is below every threshold that counts in the end.
        highest = max(highest, _highest(maps, variants[0]))
        for variant, of_scores, of_gains in zip(variants, scores, gains, strict=True):
            lowest = variant.with_thresholds({name: highest / 2})
            nuclei = lowest.decode(maps, shape=truth.shape)
            table = contingency_table(truth, nuclei.instances)
            order = np.argsort(-nuclei.scores, kind="stable")
            of_scores.append(nuclei.scores[order].astype(np.float64))
            of_gains.append(np.stack([_gains(table, order, iou) for iou in ious]))
        n_true.append(len(table.truth_ids))
    if not n_true:
        raise ValueError(NO_IMAGES)
    found = []
    for variant, of_scores, of_gains in zip(variants, scores, gains, strict=True):
        every = np.concatenate(of_scores)
        order = np.argsort(-every, kind="stable")
        order = order[every[order] > highest / 2]
        every = np.append(every[order], highest / 2)
        tp = np.cumsum(np.concatenate(of_gains, axis=1)[:, order], axis=1)
        # tp / (tp + fp + fn) with the first 1, 2, ... of all nuclei.
        accuracy = (tp / (sum(n_true) + np.arange(1, len(order) + 1) - tp)).mean(axis=0)
        accuracy[every[1:] == every[:-1]] = 0  # no threshold parts equal scores
        if accuracy.any():
            i = int(accuracy.argmax())
            found.append((float(every[i : i + 2].mean()), float(accuracy[i])))
        else:
            found.append((variant.thresholds[name], 0.0))
    return found


def _gains(table: ContingencyTable, order: np.ndarray, iou: float) -> np.ndarray:
    """(P,) 0 or 1, whether the match gains a pair when each of the nuclei `order` is added.

    The match is the largest there is, `pairs_above(..., inclusive=True, matching="count")`. It
    grows by one if and only if an augmenting path begins at the new nucleus.
    """
    above = table.iou >= iou
    near: dict[int, list[int]] = {}
    for row, column in zip(table.rows[above].tolist(), table.columns[above].tolist(), strict=True):
        near.setdefault(column, []).append(row)
    taken: dict[int, int] = {}  # by true instance, the nucleus matched to it

    def placed(column: int, seen: set[int]) -> bool:
        for row in near.get(column, ()):
            if row not in seen:
                seen.add(row)
                if row not in taken or placed(taken[row], seen):
                    taken[row] = column
                    return True
        return False

    return np.array([placed(column, set()) for column in order.tolist()], np.int64)


def _searched(
    pairs: Sequence[Pair], variants: Sequence[Representation], name: str, ious: Sequence[float]
) -> list[tuple[float, float]]:
    """For each variant the best threshold of a search and its accuracy."""
    from scipy.optimize import minimize_scalar  # takes half a second to import

    if not pairs:
        raise ValueError(NO_IMAGES)
    highest = max(_highest(maps, variants[0]) for maps, _ in pairs)
    found = []
    for variant in variants:
        reached: dict[float, float] = {}

        def loss(threshold: float, variant: Any = variant, reached: Any = reached) -> float:
            chosen = variant.with_thresholds({name: float(threshold)})
            (reached[float(threshold)],) = _figures(pairs, [chosen], ious)
            return -reached[float(threshold)]

        # The published code's search may leave the interval, and SciPy's raises where all
        # thresholds are equally good; the bounded one does neither.
        options = {"xatol": 1e-2, "maxiter": 20}
        minimize_scalar(loss, bounds=(highest / 2, highest), method="bounded", options=options)
        found.append(max(reached.items(), key=lambda item: item[1]))
    return found


def _highest(maps: Mapping[str, np.ndarray], representation: Representation) -> float:
    """The highest probability in the first map."""
    name = next(iter(representation.outputs))
    return float(foreground_probability(maps[name], name).max(initial=0))
