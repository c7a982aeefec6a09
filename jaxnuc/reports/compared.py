"""An image, its true and its predicted nuclei, as three pictures of a page."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jaxnuc.metrics import Scores, match
from jaxnuc.metrics.pair import scored_maps
from jaxnuc.outputs.drawing import brighten, enlarge, enlargement, outlines
from jaxnuc.outputs.palette import FALSE, MATCHED, MISSED, TRUTH, Color
from jaxnuc.reports import pictures

COLORS: dict[str, Color] = {
    "truth, matched": TRUTH,
    "truth, missed": MISSED,
    "prediction, matched": MATCHED,
    "prediction, false": FALSE,
}


@dataclass(frozen=True)
class Compared:
    """An image with its true and predicted nuclei, as the page shows it.

    Attributes:
      kind: `"worst"` or `"best"`.
      name: of the image.
      scores: of the image.
      size: (height, width) of the pictures.
      image: address of the image.
      truth: address of the outlines of the true nuclei, transparent elsewhere.
      prediction: address of those of the predicted nuclei.
    """

    kind: str
    name: str
    scores: Scores
    size: tuple[int, int]
    image: str
    truth: str
    prediction: str


def compared(
    kind: str,
    name: str,
    scores: Scores,
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
) -> Compared:
    """Draws an image and the outlines of two label maps, in the colors of the overlays.

    An image with a side of more than 1000 pixels is made smaller by a whole factor.

    Args:
      kind: `"worst"` or `"best"`.
      name: of the image.
      scores: of the image; by their conventions nuclei match.
      image: (H, W, 3) uint8.
      truth: (H, W) integer instances.
      prediction: (H, W) integer instances.
    """
    c = scores.conventions
    found = match(
        *scored_maps(truth, prediction, c), c.threshold, inclusive=c.inclusive, matching=c.matching
    )
    missed, false = np.isin(truth, found.missed), np.isin(prediction, found.false)
    step = math.ceil(max(truth.shape) / pictures.SIDE)
    small_truth, small_prediction = truth[::step, ::step], prediction[::step, ::step]
    height, width = small_truth.shape
    scale = enlargement(small_truth.shape)

    def outlined(instances: np.ndarray, wrong: np.ndarray, right: Color, error: Color) -> str:
        levels = np.zeros((scale * height, scale * width), np.uint8)
        for level, chosen in enumerate((~wrong, wrong), 1):
            part = np.where(chosen[::step, ::step], instances, 0)
            levels[outlines(enlarge(part, scale), 2)] = level
        colors = [(0, 0, 0, 0), (*right, 255), (*error, 255)]
        return pictures.drawing(levels, np.array(colors, np.uint8))

    whole = Image.fromarray(brighten(image))
    small = np.asarray(whole.resize((width, height), Image.Resampling.BOX))
    return Compared(
        kind,
        name,
        scores,
        (scale * height, scale * width),
        pictures.photograph(small),
        outlined(small_truth, missed, TRUTH, MISSED),
        outlined(small_prediction, false, MATCHED, FALSE),
    )
