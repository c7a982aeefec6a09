"""How sure the nuclei of an average are: in how far its members find the same."""

from collections.abc import Sequence

import numpy as np

from jaxnuc.postprocess.masks import Mask
from jaxnuc.prediction.overlaps import boxes_of, common_pixels, overlapping


def agreement(masks: Sequence[Mask], members: Sequence[Sequence[Mask]]) -> np.ndarray:
    """The mean intersection over union of each nucleus with what members of an average find.

    Maps are averaged over the symmetries of the square (test-time augmentation), networks (a deep
    ensemble), or both; each of these members, decoded by itself, finds nuclei of its own. Of each
    member counts the nucleus with the highest intersection over union, 0 where none overlaps.

    Args:
      masks: N nuclei, found in the average.
      members: the nuclei that each member finds.

    Returns:
      (N,) float32 in [0, 1]: 1 where every member outlines the nucleus alike, 0 where none has a
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
        raise ValueError("no members whose agreement could be told; give one at least")
    boxes = boxes_of(masks)
    areas = _areas(masks)
    total = np.zeros(len(masks))
    for found in members:
        pairs = overlapping(boxes, boxes_of(found))
        common = np.array([common_pixels(masks[a], found[b]) for a, b in pairs.tolist()], np.int64)
        a, b = pairs.T
        best = np.zeros(len(masks))
        np.maximum.at(best, a, common / (areas[a] + _areas(found)[b] - common))
        total += best
    return (total / len(members)).astype(np.float32)


def _areas(masks: Sequence[Mask]) -> np.ndarray:
    """(N,) pixels of each mask."""
    return np.array([np.count_nonzero(mask.mask) for mask in masks], np.int64)
