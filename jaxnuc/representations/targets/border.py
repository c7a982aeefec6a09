"""What U-Net learns: instances that do not touch, and how much the pixels between them weigh."""

from itertools import combinations, count
from math import comb

import numpy as np
from edt import edtsq
from jaxtyping import Float32, Integer

from jaxnuc.postprocess import relabel
from jaxnuc.representations.targets.contours import inner_line


def eroded(instances: Integer[np.ndarray, "h w"]) -> Integer[np.ndarray, "h w"]:
    """Each instance without the pixels that have a 4-neighbor outside of it.

    An erosion by a cross of 3x3 pixels; the border of the image does not erode. The ids are the
    same; those of instances too thin are gone.
    """
    return np.where(inner_line(instances), 0, instances)


def border_weights(
    instances: Integer[np.ndarray, "h w"], w0: float = 10.0, sigma: float = 5.0
) -> Float32[np.ndarray, "h w"]:
    """U-Net's weights: `1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2))` on the background, 1 elsewhere.

    d1 and d2 are the Euclidean distances to the nearest and the second nearest instance. With fewer
    than two instances all weights are 1. The paper's weights that balance the classes are left out,
    as in the reimplementation for HoVer-Net.

    Args:
      instances: (H, W) integer label map.
      w0: height of the border's weight.
      sigma: its width in pixels.

    Example:
      >>> border_weights(np.array([[1, 0, 2, 0, 0]])).round(2)
      array([[ 1.  , 10.23,  1.  ,  8.26,  5.87]], dtype=float32)

    References:
      Ronneberger et al., "U-Net", MICCAI 2015, Eq. 2.
    """
    weights = np.ones(instances.shape, np.float32)
    nearest = two_nearest(instances)
    if nearest is not None:
        background = instances == 0
        apart = (nearest[0] + nearest[1])[background]
        weights[background] += w0 * np.exp(-(apart**2) / (2 * sigma**2))
    return weights


def two_nearest(instances: Integer[np.ndarray, "h w"]) -> tuple[np.ndarray, np.ndarray] | None:
    """The distances from each pixel to the nearest and to the second nearest instance.

    There are few distance transforms, whatever the number of instances: each instance belongs to
    another choice of w of m groups, and a transform is made of each group. In ascending order of
    the m distances of a pixel the first w are those of the groups of the nearest instance. The next
    is that of the second nearest, for it is in a group in which the nearest is not.

    Returns:
      (H, W) float32 each, 0 where a pixel belongs to an instance; None if there are fewer than two.
    """
    labels = relabel(instances)
    n = int(labels.max(initial=0))
    if n < 2:
        return None
    m = next(m for m in count(2) if comb(m, m // 2) >= n)
    w = m // 2
    members = np.zeros((m, n + 1), bool)
    for label, groups in zip(range(1, n + 1), combinations(range(m), w), strict=False):
        members[list(groups), label] = True
    squares = np.stack([edtsq(~group[labels]) for group in members])
    ordered = np.partition(squares, (0, w), axis=0)
    return np.sqrt(ordered[0]), np.sqrt(ordered[w])
