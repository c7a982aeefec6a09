"""Crops that look for nuclei."""

from dataclasses import dataclass

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform
from jaxnuc.data.transforms.geometry import Pad, Size, crop, sides
from jaxnuc.postprocess import class_votes, regions


@dataclass(frozen=True)
class ForegroundCrop(Transform):
    """Crops a window about a random nucleus, or at a uniformly random place.

    The window never leaves the image, so it is not centered near the border; smaller images are
    padded first, see `Pad`. It holds annotated pixels wherever the image has some: a nucleus is
    chosen among those with annotated pixels, and a place among those windows that have some.

    Attributes:
      size: side or (height, width), pixels.
      p: probability of a nucleus; an image without nuclei gets a random place.
      rare: class groups whose nuclei are preferred: the nucleus is one of them where the image
        has any. Empty: any nucleus, each with the same probability.
      jitter: greatest shift of the nucleus from the center along each axis, as a part of the
        window's side; below 0.5, so that the nucleus stays inside.
    """

    size: Size
    p: float = 0.5
    rare: tuple[int, ...] = ()
    jitter: float = 0.25

    def __post_init__(self) -> None:
        sides(self.size)
        if not 0 <= self.p <= 1:
            raise ValueError(f"p={self.p}: a probability is expected")
        if not 0 <= self.jitter < 0.5:
            raise ValueError(f"jitter={self.jitter}: 0 <= jitter < 0.5 is expected")
        if not isinstance(self.rare, tuple) or not all(
            isinstance(k, int) and k > 0 for k in self.rare
        ):
            raise ValueError(f"rare={self.rare!r}: a tuple of class groups, from 1, is expected")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the window; ids of nuclei outside of it are missing, the others stay.

        Raises:
          ValueError: `rare` is given and the sample has no classes.
        """
        height, width = sides(self.size)
        sample = Pad(self.size)(sample, rng)
        h, w = sample.instances.shape
        nucleus = _random_nucleus(sample, self.rare, rng) if rng.random() < self.p else None
        if nucleus is None:
            top, left = _random_corner(sample, height, width, rng)
        else:
            shift = rng.uniform(-self.jitter, self.jitter, 2)
            top = _start(nucleus[0], height, h, shift[0])
            left = _start(nucleus[1], width, w, shift[1])
        return crop(sample, top, left, height, width)


def _start(center: int, side: int, length: int, shift: float) -> int:
    """Where a window begins that holds the pixel `center` and lies inside."""
    start = round(center - (side - 1) / 2 + shift * side)
    start = min(max(start, center - side + 1), center)
    return int(min(max(start, 0), length - side))


def _random_nucleus(
    sample: Sample, rare: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray | None:
    """(row, column) of the annotated pixel that is nearest to the centroid of a random nucleus."""
    instances = sample.instances
    if sample.ignore is not None:
        instances = np.where(sample.ignore, 0, instances)
    found = regions(instances)
    chosen = np.arange(len(found.ids))
    if rare:
        if sample.classes is None:
            raise ValueError(
                f"rare={rare} of foreground_crop needs classes, and image "
                f"{sample.meta.get('name')!r} has none"
            )
        classes, _ = class_votes(instances, np.maximum(sample.classes, 0))
        preferred = np.flatnonzero(np.isin(classes, rare))
        chosen = preferred if preferred.size else chosen
    if not chosen.size:
        return None
    k = chosen[rng.integers(chosen.size)]
    top, left, bottom, right = found.boxes[k]
    # The centroid of a crescent lies outside of it, hence the nearest of its pixels.
    pixels = np.argwhere(instances[top:bottom, left:right] == found.ids[k])
    pixels += np.array([top, left])
    return pixels[((pixels - found.centroids[k]) ** 2).sum(axis=1).argmin()]


def _random_corner(
    sample: Sample, height: int, width: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Top left corner, uniform among the windows with an annotated pixel, or among all."""
    h, w = sample.instances.shape
    rows, columns = h - height + 1, w - width + 1
    if sample.ignore is None or not sample.ignore.any() or sample.ignore.all():
        return int(rng.integers(rows)), int(rng.integers(columns))
    sums = np.zeros((h + 1, w + 1), np.int64)
    sums[1:, 1:] = (~sample.ignore).cumsum(axis=0).cumsum(axis=1)
    inside = sums[height:, width:] - sums[:rows, width:]
    inside = inside - sums[height:, :columns] + sums[:rows, :columns]
    corners = np.flatnonzero(inside)
    row, column = divmod(int(corners[rng.integers(corners.size)]), columns)
    return row, column
