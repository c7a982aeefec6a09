"""Pictures of a segmentation beside its truth: matched, missed and false nuclei."""

import math

import numpy as np

from jaxnuc import metrics
from jaxnuc.metrics import DEFAULT, Conventions
from jaxnuc.metrics.pair import match_scored
from jaxnuc.outputs.drawing import brighten, enlarge, enlargement, outlines, with_legend
from jaxnuc.outputs.palette import FALSE, MATCHED, MISSED, TRUTH, Color

_DASH = 4  # pixels of the picture


def overlay(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    conventions: Conventions = DEFAULT,
    scale: int | None = None,
    caption: str = "",
) -> np.ndarray:
    """Draws the outlines of true and predicted nuclei, and a legend with counts and scores.

    Outlines are inside the nuclei, one for each of two that touch. Where outlines fall together,
    errors lie on top of matches, and missed and false ones take turns. Dark images are brightened.

    Args:
      image: (H, W, 3) uint8, RGB.
      truth: (H, W) integer instances, 0 is background.
      prediction: (H, W) integer instances.
      conventions: by which nuclei match and are scored.
      scale: whole factor of enlargement; None enlarges small images to about 768 pixels.
      caption: text that opens the legend, such as the image's name.

    Returns:
      (scale * H + legend, scale * W or more, 3) uint8, RGB.

    Raises:
      ValueError: the shapes differ, or `scale` is below 1.
    """
    image = np.asarray(image)
    height, width = image.shape[:2]
    if image.shape != (height, width, 3) or image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 (H, W, 3)")
    for name, instances in (("truth", truth), ("prediction", prediction)):
        if instances.shape != (height, width):
            raise ValueError(f"{name} is {instances.shape}, but the image is {(height, width)}")
    if scale is None:
        scale = enlargement((height, width))
    if scale < 1:
        raise ValueError(f"scale is {scale}; it must be 1 or more")
    picture = enlarge(brighten(image), scale)
    missed = np.zeros(picture.shape[:2], bool)
    for instances, color in by_outcome(truth, prediction, conventions):
        drawn = outlines(enlarge(instances, scale), 1 if scale == 1 else 2)
        if color == MISSED:
            missed = drawn
        elif color == FALSE:  # a missed nucleus is not hidden by a false one
            drawn &= ~(missed & _dashes(drawn.shape))
        picture[drawn] = color
    scores = metrics.score_image(metrics.ImagePair.of(truth, prediction, conventions))
    figures = (("PQ", scores.pq), ("AJI+", scores.aji_plus), ("Dice", scores.dice))
    legend: list[tuple[Color | None, str]] = [(None, caption)] if caption else []
    legend += [(MATCHED, f"matched {scores.tp}"), (TRUTH, "truth of matched")]
    legend += [(MISSED, f"missed {scores.fn}"), (FALSE, f"false {scores.fp}")]
    legend += [(None, f"{name} {value:.3f}") for name, value in figures if not math.isnan(value)]
    return with_legend(picture, legend)


def by_outcome(
    truth: np.ndarray, prediction: np.ndarray, conventions: Conventions
) -> list[tuple[np.ndarray, Color]]:
    """Label maps of matched true and predicted nuclei, of missed and of false ones, with colors."""
    found = match_scored(truth, prediction, conventions)
    false = np.where(np.isin(prediction, found.false), prediction, 0)
    missed = np.where(np.isin(truth, found.missed), truth, 0)
    matched = np.where(missed > 0, 0, truth), np.where(false > 0, 0, prediction)
    return [(matched[0], TRUTH), (matched[1], MATCHED), (missed, MISSED), (false, FALSE)]


def _dashes(shape: tuple[int, int]) -> np.ndarray:
    """Half of the pixels of a picture, in squares as on a chessboard."""
    rows, cols = (np.arange(side) // _DASH % 2 for side in shape)
    return rows[:, np.newaxis] != cols
