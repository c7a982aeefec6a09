"""Agreement: how far the members of an average predict the same nuclei."""

from collections.abc import Sequence

import numpy as np

from jaxnuc.postprocess.masks import Mask
from jaxnuc.prediction.overlaps import boxes_of, common_pixels, overlapping


def agreement(masks: Sequence[Mask], members: Sequence[Sequence[Mask]]) -> np.ndarray:
    """The mean intersection over union of each nucleus with those of the members of an average.

    Maps are averaged over the symmetries of the square (test-time augmentation), networks (a deep
    ensemble), or both; each of these members is decoded by itself as well. For each member the
    nucleus with the highest intersection over union counts, 0 where none overlaps.

    Args:
      masks: N nuclei of the average.
      members: the nuclei of each member.

    Returns:
      (N,) float32 in [0, 1]: 1 where every member has exactly this nucleus, 0 where none has a
      pixel of it. 1 minus this is an uncertainty.

    Raises:
      ValueError: there are no members.

    References:
      Wang et al., "Aleatoric uncertainty estimation with test-time augmentation for medical image
      segmentation with convolutional neural networks", Neurocomputing 338, 2019; Lakshminarayanan,
      Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation using deep
      ensembles", NeurIPS 2017.

    Example:
      >>> one, half = Mask(0, 0, np.ones((2, 4), bool)), Mask(0, 0, np.ones((1, 4), bool))
      >>> agreement([one], [[one], [half], [], [half, one]])
      array([0.625], dtype=float32)
    """
    if not len(members):
        raise ValueError("no members, so there is no agreement to measure; give one or more")
    boxes = boxes_of(masks)
    areas = _areas(masks)
    total = np.zeros(len(masks))
    for found in members:
        pairs = overlapping(boxes, boxes_of(found))
        common = np.array([common_pixels(masks[a], found[b]) for a, b in pairs.tolist()], np.int64)
        a, b = pairs.T
        best = np.zeros(len(masks))  # stays 0 for a nucleus that overlaps none of this member
        np.maximum.at(best, a, common / (areas[a] + _areas(found)[b] - common))
        total += best
    return (total / len(members)).astype(np.float32)


def _areas(masks: Sequence[Mask]) -> np.ndarray:
    """(N,) pixels of each mask."""
    return np.array([np.count_nonzero(mask.mask) for mask in masks], np.int64)
