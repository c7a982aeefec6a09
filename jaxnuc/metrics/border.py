"""Leaves out what is not scored: nuclei cut by the border, outlines, ignored regions."""

import math

import fastremap
import numpy as np

from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.matching import best_pairs


def drop_border(
    truth: np.ndarray, prediction: np.ndarray, margin: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Leaves out the nuclei that the image border cuts: neither missed nor false.

    Annotators differ in whether they draw what is left of a cut nucleus. Left out are

    * true instances with a pixel within `margin` pixels of the border;
    * predictions whose true instance of the greatest IoU is one of those (at equal IoUs, one that
      stays is preferred);
    * predictions that reach that margin themselves, unless they are the best match (the prediction
      of the greatest IoU) of a true instance that stays.

    A prediction that reaches the border but is the attempt at an inner nucleus is thus still
    scored. Matches with an IoU above 1/2 between remaining instances all survive, and no other
    instance becomes missed or false by it.

    Args:
      truth: (H, W) integer or bool label map, 0 is background.
      prediction: (H, W) of the same shape.
      margin: pixels; 0 takes the instances with a pixel in the first or last row or column.

    Returns:
      Copies of both maps (bool maps as uint8) in which those instances are 0.

    Raises:
      ValueError: the maps are no label maps of one shape, or the margin is negative.

    Example:
      >>> truth = np.array([[1, 0, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]])
      >>> prediction = np.array([[5, 5, 0, 0], [0, 0, 6, 0], [0, 7, 0, 8]])
      >>> drop_border(truth, prediction)[1].tolist()
      [[0, 0, 0, 0], [0, 0, 6, 0], [0, 0, 0, 0]]
    """
    if margin < 0:
        raise ValueError(f"margin is {margin} pixels; give 0 for the outermost pixels, or more")
    truth, prediction = _integers(truth), _integers(prediction)
    table = contingency_table(truth, prediction)
    cut_truth = np.isin(table.truth_ids, _ids_at_border(truth, margin))
    cut_prediction = np.isin(table.prediction_ids, _ids_at_border(prediction, margin))

    # The best true instance of each prediction, ...
    order = np.lexsort((cut_truth[table.rows], -table.iou, table.columns))
    columns, first = np.unique(table.columns[order], return_index=True)
    dropped = np.zeros(len(table.prediction_ids), bool)
    dropped[columns] = cut_truth[table.rows[order[first]]]
    # ... and the best prediction of each true instance that stays.
    best = best_pairs(table)
    wanted = np.zeros(len(table.prediction_ids), bool)
    wanted[table.columns[best[~cut_truth[table.rows[best]]]]] = True
    dropped |= cut_prediction & ~wanted
    return (
        fastremap.mask(truth, table.truth_ids[cut_truth].tolist()),
        fastremap.mask(prediction, table.prediction_ids[dropped].tolist()),
    )


def leave_out(
    truth: np.ndarray, prediction: np.ndarray, ignore: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Leaves out the pixels in which nothing is annotated, and the predictions that lie there.

    A prediction that loses more than half of its pixels vanishes, unless what remains is the best
    match of a true instance: the rule for void pixels of panoptic quality's authors.

    Args:
      truth: (H, W) integer or bool label map, 0 is background.
      prediction: (H, W) of the same shape.
      ignore: (H, W) bool, where nothing is annotated.

    Returns:
      Copies of both maps (bool maps as uint8) in which what is left out is 0.

    Raises:
      ValueError: the maps are no label maps of one shape, or `ignore` has another.

    Example:
      >>> truth, ignore = np.array([[1, 1, 0, 0, 0]]), np.array([[0, 0, 0, 1, 1]], bool)
      >>> leave_out(truth, np.array([[5, 5, 0, 6, 6]]), ignore)[1].tolist()
      [[5, 5, 0, 0, 0]]

    References:
      Kirillov et al., Panoptic Segmentation, 2019, section 4.2.
    """
    truth, prediction = _integers(truth), _integers(prediction)
    ignore = np.asarray(ignore, bool)
    if ignore.shape != truth.shape:
        raise ValueError(f"ignore has shape {ignore.shape}, truth {truth.shape}; they must agree")
    before = contingency_table(truth, prediction)
    truth = np.where(ignore, truth.dtype.type(0), truth)
    prediction = np.where(ignore, prediction.dtype.type(0), prediction)
    after = contingency_table(truth, prediction)
    areas = np.zeros(len(before.prediction_ids), np.int64)
    place = np.searchsorted(before.prediction_ids, after.prediction_ids)
    areas[place] = after.prediction_areas
    lost = before.prediction_ids[2 * areas < before.prediction_areas]
    wanted = after.prediction_ids[after.columns[best_pairs(after)]]
    return truth, fastremap.mask(prediction, np.setdiff1d(lost, wanted).tolist())


def ignore_outlines(
    truth: np.ndarray, prediction: np.ndarray, tolerance: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Leaves out the pixels about the true outlines, where annotators differ anyway.

    Two annotators of one nucleus differ by a pixel or two along its outline. For a nucleus of 10
    pixels across, that alone brings the IoU down to about 1/2.

    A pixel is left out if a pixel of another true label (another nucleus, or background on the one
    side and nucleus on the other) lies within `tolerance`; so the band is as wide inside an outline
    as outside, and the image border is no outline. True instances that would vanish wholly keep
    all their pixels. A predicted instance that lies wholly within the band vanishes. A prediction
    that differs from the truth within the band only scores 1.

    Args:
      truth: (H, W) integer or bool label map, 0 is background.
      prediction: (H, W) of the same shape.
      tolerance: pixels, between pixel centers: 1 leaves out the outermost pixels of each nucleus
        and their neighbors outside; below 1 nothing.

    Returns:
      Copies of both maps (bool maps as uint8) in which the pixels of the band are 0.

    Raises:
      ValueError: the maps are no label maps of one shape, or the tolerance is negative or no
        finite number.

    Example:
      >>> truth, prediction = np.array([[1, 1, 1, 1, 0, 0]]), np.array([[5, 5, 5, 0, 0, 0]])
      >>> ignore_outlines(truth, prediction)
      (array([[1, 1, 1, 0, 0, 0]]), array([[5, 5, 5, 0, 0, 0]]))

    References:
      Foucart, Debeir & Decaestecker, Panoptic quality should be avoided as a metric for assessing
      cell nuclei segmentation and classification in digital pathology, Scientific Reports 2023.
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance is {tolerance} pixels; give 0 or more")
    truth, prediction = _integers(truth), _integers(prediction)
    if truth.shape != prediction.shape or truth.ndim != 2:
        raise ValueError(
            f"truth has shape {truth.shape}, prediction {prediction.shape}; both must be label "
            "maps (H, W) at the same resolution"
        )
    if not truth.size or not tolerance:
        return truth.copy(), prediction.copy()
    band = _band(truth, tolerance)
    remaining = fastremap.unique(truth[~band])
    vanishing = np.setdiff1d(fastremap.unique(truth), np.append(remaining, 0))
    if vanishing.size:
        band &= fastremap.mask_except(truth, vanishing.tolist()) == 0
    return truth * ~band, prediction * ~band


def _band(labels: np.ndarray, tolerance: float) -> np.ndarray:
    """(H, W) bool: a pixel of another label lies within the tolerance.

    Compares the map with itself at each offset: up to some ten pixels faster than a transform.
    """
    height, width = labels.shape
    band = np.zeros(labels.shape, bool)
    reach = int(min(tolerance, max(labels.shape)))
    for down in range(min(reach, height - 1) + 1):
        for right in range(-min(reach, width - 1), min(reach, width - 1) + 1):
            # The opposite offset would compare the same pixels.
            if (down, right) <= (0, 0) or down**2 + right**2 > tolerance**2:
                continue
            here = np.s_[: height - down, max(-right, 0) : width - max(right, 0)]
            there = np.s_[down:, max(right, 0) : width - max(-right, 0)]
            differs = labels[here] != labels[there]
            band[here] |= differs
            band[there] |= differs
    return band


def _ids_at_border(labels: np.ndarray, margin: int) -> np.ndarray:
    width = margin + 1
    frame = (labels[:width], labels[-width:], labels[:, :width], labels[:, -width:])
    return np.unique(np.concatenate([part.ravel() for part in frame]))


def _integers(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"a label map must hold integer ids, got {labels.dtype}; label it first")
    return labels.astype(labels.dtype.newbyteorder("="), copy=False)  # fastremap's only order
