"""Pictures of a segmentation beside its truth: matched, missed and false nuclei."""

import math
import os

import numpy as np

from jaxnuc import metrics
from jaxnuc.metrics import DEFAULT, Conventions
from jaxnuc.metrics.pair import scored_maps
from jaxnuc.outputs.drawing import (
    brighten,
    enlarge,
    enlargement,
    outlines,
    save_png,
    with_legend,
)
from jaxnuc.outputs.palette import FALSE, MATCHED, MISSED, TRUTH, Color


def overlay(
    image: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray,
    *,
    conventions: Conventions = DEFAULT,
    scale: int | None = None,
    caption: str = "",
) -> np.ndarray:
    """Draws the outlines of true and predicted nuclei, and a legend with counts and scores.

    Outlines are inside the nuclei, one for each of two that touch. Where outlines fall together,
    errors lie on top of matches. Dark images are brightened.

    Args:
      image: (H, W, 3) uint8, RGB.
      truth: (H, W) integer instances, 0 is background; None where there is none: all predictions
        then have one color.
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
        if instances is not None and instances.shape != (height, width):
            raise ValueError(f"{name} is {instances.shape}, but the image is {(height, width)}")
    if scale is None:
        scale = enlargement((height, width))
    if scale < 1:
        raise ValueError(f"scale is {scale}; it must be 1 or more")
    picture = enlarge(brighten(image), scale)
    layers, legend = _layers(truth, prediction, conventions)
    for instances, color in layers:
        picture[outlines(enlarge(instances, scale), 1 if scale == 1 else 2)] = color
    head: list[tuple[Color | None, str]] = [(None, caption)] if caption else []
    return with_legend(picture, [*head, *legend])


def write_overlay(
    path: str | os.PathLike[str],
    image: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray,
    *,
    conventions: Conventions = DEFAULT,
    scale: int | None = None,
    caption: str = "",
) -> None:
    """Writes an `overlay` as PNG; takes the same arguments. The file is never seen half written."""
    picture = overlay(
        image, truth, prediction, conventions=conventions, scale=scale, caption=caption
    )
    save_png(path, picture)


def _layers(
    truth: np.ndarray | None, prediction: np.ndarray, conventions: Conventions
) -> tuple[list[tuple[np.ndarray, Color]], list[tuple[Color | None, str]]]:
    """The outlines to draw, lowest first, and the legend: (color or None, text)."""
    if truth is None:
        return [(prediction, MATCHED)], [(MATCHED, f"predicted {_count(prediction)}")]
    c = conventions
    found = metrics.match(
        *scored_maps(truth, prediction, c), c.threshold, inclusive=c.inclusive, matching=c.matching
    )
    false = np.where(np.isin(prediction, found.false), prediction, 0)
    missed = np.where(np.isin(truth, found.missed), truth, 0)
    layers = [
        (np.where(missed > 0, 0, truth), TRUTH),
        (np.where(false > 0, 0, prediction), MATCHED),
        (missed, MISSED),
        (false, FALSE),
    ]
    scores = metrics.score_image(metrics.ImagePair.of(truth, prediction, conventions))
    figures = (("PQ", scores.pq), ("AJI+", scores.aji_plus), ("Dice", scores.dice))
    legend: list[tuple[Color | None, str]] = [
        (MATCHED, f"matched {len(found.truth)}"),
        (TRUTH, "truth of matched"),
        (MISSED, f"missed {len(found.missed)}"),
        (FALSE, f"false {len(found.false)}"),
        *((None, f"{name} {value:.3f}") for name, value in figures if not math.isnan(value)),
    ]
    return layers, legend


def _count(instances: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(instances)))
