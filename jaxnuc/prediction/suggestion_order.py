"""The order in which regions are suggested for annotation, from their scores and colors."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata


def color_moments(pixels: np.ndarray) -> np.ndarray:
    """The mean, the standard deviation and the skewness of each channel, as a description.

    The skewness is the cube root of the third central moment, so that all nine are gray levels.

    Args:
      pixels: (..., 3) uint8, one or more.

    Returns:
      (9,) float64: three means, three standard deviations, three skewnesses.

    References:
      Stricker and Orengo, "Similarity of color images", SPIE 2420, 1995.

    Example:
      >>> color_moments(np.array([[0, 9, 0], [0, 9, 0], [0, 9, 0], [8, 9, 0]], np.uint8)).round(3)
      array([2.   , 9.   , 0.   , 3.464, 0.   , 0.   , 3.634, 0.   , 0.   ])
    """
    levels = np.arange(256.0)
    found = []
    for channel in pixels.reshape(-1, 3).T:
        share = np.bincount(channel, minlength=256) / len(channel)
        mean = share @ levels
        found.append((mean, np.sqrt(share @ (levels - mean) ** 2), share @ (levels - mean) ** 3))
    mean, deviation, third = np.transpose(found)
    return np.concatenate([mean, deviation, np.cbrt(third)])


def suggestion_order(
    scores: Sequence[np.ndarray], moments: np.ndarray, annotated: np.ndarray, count: int
) -> tuple[list[int], np.ndarray]:
    """Chooses regions one after the other, by the mean of their ranks.

    At each step the regions that are left are ranked by each of the scores and by their distance
    to the nearest region that is annotated or chosen already; the one with the highest mean rank is
    chosen, of equal ones the first. With the distance alone this would be the greedy core-set of
    Sener and Savarese: what is chosen is unlike what is annotated, and unlike one another.

    Args:
      scores: (N,) each; the higher, the sooner.
      moments: (N, 9) of the regions, from `color_moments`.
      annotated: (M, 9) of what is annotated; with none, the first is chosen by the scores alone.
      count: how many are to be chosen.

    Returns:
      The numbers of those that are chosen, in their order; and (N,) distances, root mean squares
      of the differences in gray levels: of one that is chosen, to what was annotated or chosen
      before it; of the others, to all of these; infinite where there was none.

    References:
      Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach",
      ICLR 2018, algorithm 1.

    Example:
      >>> colors = np.array([[0] * 9, [1] * 9, [50] * 9])
      >>> suggestion_order([np.array([0.3, 0.1, 0.2])], colors, np.zeros((0, 9)), 2)
      ([0, 2], array([inf,  1., 50.]))
    """
    nearest = _distances(moments, annotated).min(axis=1, initial=np.inf)
    left = np.ones(len(moments), bool)
    chosen: list[int] = []
    for _ in range(min(count, len(moments))):
        at = np.flatnonzero(left)
        ranks = [rankdata(column[at]) for column in (*scores, nearest)]
        best = int(at[np.argmax(np.mean(ranks, axis=0))])
        chosen.append(best)
        left[best] = False
        nearest[left] = np.minimum(nearest, _distances(moments, moments[[best]])[:, 0])[left]
    return chosen, nearest


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(cdist(one, other)) / np.sqrt(one.shape[1])
