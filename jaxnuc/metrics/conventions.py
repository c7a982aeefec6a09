"""The choices behind a figure, which go with it wherever it goes."""

import math
from dataclasses import dataclass

from jaxnuc.registry import unknown

MATCHINGS = {
    "iou": "greatest total IoU, those below the threshold dropped afterwards",
    "count": "most pairs above the threshold, then greatest total IoU",
}
EMPTY = {"skip": math.nan, "nan": math.nan, "one": 1.0, "zero": 0.0}
_EMPTY_TEXT = {
    "skip": "left out of the means",
    "nan": "not a number, and so are the means with them",
    "one": "score 1",
    "zero": "score 0",
}


@dataclass(frozen=True)
class Conventions:
    """What papers do differently on the same label maps.

    Attributes:
      threshold: IoU at which instances match.
      inclusive: whether an IoU of exactly the threshold is a match.
      matching: the choice among competing pairs, `"iou"` or `"count"`: see `pairs_above`.
      empty: the scores of an image without instances on both sides: `"skip"` NaN, left out of
        means; `"nan"` NaN, which makes means NaN; `"one"` 1; `"zero"` 0.
      border: instances within so many pixels of the image border are left out: see `drop_border`;
        None keeps them.
      tolerance: pixels on either side of true outlines that are not counted: see
        `ignore_outlines`; 0 counts all.
      mpp: microns per pixel; distances are in micrometers then. None: in pixels.
      overlapping: nuclei that overlap are scored whole, each with the pixels that others cover: see
        `ImagePair.of_masks`. Otherwise label maps are, in which they are not.

    Raises:
      ValueError: `matching` or `empty` is unknown, `mpp` is not positive, or `border` or
        `tolerance`, which are of label maps, is set with `overlapping`.
    """

    threshold: float = 0.5
    inclusive: bool = False
    matching: str = "iou"
    empty: str = "skip"
    border: int | None = None
    tolerance: float = 0.0
    mpp: float | None = None
    overlapping: bool = False

    def __post_init__(self) -> None:
        if self.matching not in MATCHINGS:
            raise unknown("matching", self.matching, MATCHINGS)
        if self.empty not in EMPTY:
            raise unknown("rule for empty images", self.empty, EMPTY)
        if self.mpp is not None and not 0 < self.mpp < math.inf:
            raise ValueError(f"mpp is {self.mpp}; microns per pixel must be positive")
        if self.overlapping and (self.border is not None or self.tolerance):
            raise ValueError(
                f"border={self.border} and tolerance={self.tolerance:g} are of label maps; leave "
                "them out, or set overlapping=False"
            )

    def describe(self) -> dict[str, str]:
        """The conventions in words, for reports."""
        sign = ">=" if self.inclusive else ">"
        text = {
            "match": f"one to one, IoU {sign} {self.threshold:g}",
            "competing_pairs": MATCHINGS[self.matching],
            "images_empty_on_both_sides": f"{self.empty}: {_EMPTY_TEXT[self.empty]}",
        }
        if self.border is not None:
            text["image_border"] = f"instances within {self.border} px of it left out"
        if self.tolerance:
            text["outlines"] = f"pixels within {self.tolerance:g} px of true ones not counted"
        if self.overlapping:
            text["nuclei_that_overlap"] = "each scored whole"
        if self.mpp is not None:
            text["distances"] = f"in micrometers, at {self.mpp:g} microns per pixel"
        return text

    def __str__(self) -> str:
        return "\n".join(f"{key.replace('_', ' ')}: {v}" for key, v in self.describe().items())


DEFAULT = Conventions()
