"""Chooses the thresholds of a representation on validation images."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.detection import aggregate_detections, detections
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
    nms: Sequence[float] = (0.3, 0.4, 0.5),
    ious: Sequence[float] = (0.3, 0.5, 0.7),
) -> Optimum:
    """Chooses the thresholds of a representation by the accuracy on validation images.

    The accuracy tp / (tp + fp + fn) of all images together, averaged over IoU thresholds, is to be
    as high as possible, for a probability threshold between half the highest probability that is
    predicted and this probability, and for each of some thresholds of the suppression.

    The published code looks for the probability by golden section. Where a higher threshold only
    leaves out nuclei (`filters_by_score`), images are decoded once for each suppression here, and
    every threshold is tried.

    Args:
      pairs: maps of each image as for `decode`, and its true instances (H, W); read one by one
        where a higher threshold only leaves out nuclei, otherwise all are held in memory.
      representation: with `thresholds`, the first of which is one of the probability of its first
        map; where `nms_thresh` is among them, it is chosen as well. Classes have no part in it.
      nms: values of `nms_thresh` to choose from; (0.1, 0.2, 0.3) in the CoNIC variant.
      ious: at which the accuracy is averaged; a pair matches at an IoU of this or above.

    Returns:
      The thresholds and the accuracy. Where no threshold gives a match, they are those that the
      representation has, with an accuracy of 0.

    Raises:
      ValueError: there are no images, or the representation has no thresholds to choose.

    References:
      The code published with Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI
      2018.
    """
    base = representation.without_classes  # which takes less time
    present = base.thresholds
    if not present:
        raise ValueError(
            "this representation names no thresholds that could be chosen; stardist does"
        )
    if not len(ious) or ("nms_thresh" in present and not len(nms)):
        raise ValueError(f"nms {tuple(nms)} and ious {tuple(ious)} must hold a number at least")
    name = next(iter(present))
    choices = [{"nms_thresh": value} for value in nms] if "nms_thresh" in present else [{}]
    variants = [base.with_thresholds(choice) for choice in choices]
    if base.filters_by_score:
        found = _every_threshold(pairs, variants, name, ious)
    else:
        found = _searched(list(pairs), variants, name, ious)
    best = Optimum(dict(present), 0.0)
    for choice, (threshold, figure) in zip(choices, found, strict=True):
        if figure > best.figure:
            best = Optimum({**present, **choice, name: threshold}, figure)
    return best


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
    if not pairs:
        raise ValueError(NO_IMAGES)
    highest = max(_highest(maps, variants[0]) for maps, _ in pairs)
    found = []
    for variant in variants:
        reached: dict[float, float] = {}

        def loss(threshold: float, variant: Any = variant, reached: Any = reached) -> float:
            chosen = variant.with_thresholds({name: float(threshold)})
            images = []
            for maps, truth in pairs:
                nuclei = chosen.decode(maps, shape=truth.shape)
                images.append(detections(contingency_table(truth, nuclei.instances), ious))
            pooled = aggregate_detections(images, empty="zero")
            reached[float(threshold)] = sum(d.accuracy for d in pooled) / len(ious)
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
