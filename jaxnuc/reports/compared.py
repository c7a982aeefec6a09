"""An image, its true and its predicted nuclei, as three pictures of a page."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jaxnuc.metrics import Scores
from jaxnuc.outputs.drawing import brighten, enlarge, enlargement, outlines
from jaxnuc.outputs.palette import FALSE, MATCHED, MISSED, TRUTH, Color
from jaxnuc.reports import pictures
from jaxnuc.reports.overlay import by_outcome

COLORS: dict[str, Color] = {
    "truth, matched": TRUTH,
    "truth, missed": MISSED,
    "prediction, matched": MATCHED,
    "prediction, false": FALSE,
}


@dataclass(frozen=True)
class Compared:
    """An image with its true and predicted nuclei, as the page shows it."""

    kind: str  # "worst" or "best"
    name: str
    scores: Scores
    size: tuple[int, int]  # (height, width) of the pictures
    image: str  # its address
    truth: str  # address of the outlines, transparent elsewhere
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

    Nuclei match by the conventions of the scores. An image (H, W, 3) uint8 with a side of more than
    1000 pixels is made smaller by a whole factor.
    """
    true, predicted, missed, false = by_outcome(truth, prediction, scores.conventions)
    step = math.ceil(max(truth.shape) / pictures.SIDE)
    height, width = truth[::step, ::step].shape
    scale = enlargement((height, width))

    def outlined(*layers: tuple[np.ndarray, Color]) -> str:
        levels = np.zeros((scale * height, scale * width), np.uint8)
        for level, (instances, _) in enumerate(layers, 1):
            levels[outlines(enlarge(instances[::step, ::step], scale), 2)] = level
        colors = [(0, 0, 0, 0), *((*color, 255) for _, color in layers)]
        return pictures.drawing(levels, np.array(colors, np.uint8))

    whole = Image.fromarray(brighten(image))
    small = np.asarray(whole.resize((width, height), Image.Resampling.BOX))
    return Compared(
        kind,
        name,
        scores,
        (scale * height, scale * width),
        pictures.photograph(small),
        outlined(true, missed),
        outlined(predicted, false),
    )
