"""Transforms that move image, instances, classes and the ignored region together."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates
from skimage.measure import label

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform

Size = int | tuple[int, int]


def _moved(sample: Sample, move: Callable[[np.ndarray], np.ndarray]) -> Sample:
    """Moves pixels, without interpolation, the same way in all maps."""
    image, instances = move(sample.image), move(sample.instances)
    classes = None if sample.classes is None else move(sample.classes)
    ignore = None if sample.ignore is None else move(sample.ignore)
    return replace(sample, image=image, instances=instances, classes=classes, ignore=ignore)


def sides(size: Size) -> tuple[int, int]:
    """(height, width) of a size; ValueError where it is none."""
    match size:
        case int() if size > 0:
            return size, size
        case (int(height), int(width)) if min(height, width) > 0:
            return height, width
    raise ValueError(f"size={size!r}: a positive int or (height, width) is expected")


def crop(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """The window of all maps that begins at (top, left), which must lie inside."""
    # Copies, so that a crop does not keep the whole image alive.
    return _moved(sample, lambda a: a[top : top + height, left : left + width].copy())


def resize(sample: Sample, height: int, width: int) -> Sample:
    """Resizes a sample to another number of pixels.

    The image is interpolated linearly, with antialiasing where it shrinks; the maps take the
    nearest pixel. Both use pixel centers, so that they stay registered.

    Args:
      sample: of any size.
      height: of the result, pixels.
      width: of the result, pixels.

    Returns:
      A sample of (height, width); the sample itself where it has this size.
    """
    h, w = sample.instances.shape
    if (height, width) == (h, w):
        return sample
    rows = ((np.arange(height) + 0.5) * h / height).astype(int)
    columns = ((np.arange(width) + 0.5) * w / width).astype(int)
    resized = Image.fromarray(sample.image).resize((width, height), Image.Resampling.BILINEAR)
    moved = _moved(sample, lambda a: a[rows[:, None], columns])
    return replace(moved, image=np.array(resized))


@dataclass(frozen=True)
class Pad(Transform):
    """Pads smaller images at all sides to `size` by reflection; larger sides stay.

    The border pixel is not repeated, so a nucleus at the border grows symmetrically and keeps its
    id. A mirrored piece that is not connected to its original is a nucleus of its own and gets a
    new id: otherwise two nuclei would share one.

    Attributes:
      size: least side or (height, width), pixels.
    """

    size: Size

    def __post_init__(self) -> None:
        sides(self.size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Pads; `rng` is not used."""
        h, w = sample.instances.shape
        height, width = sides(self.size)
        rows, columns = max(0, height - h), max(0, width - w)
        if not rows and not columns:
            return sample
        margins = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))

        def pad(a: np.ndarray) -> np.ndarray:
            return np.pad(a, margins + ((0, 0),) * (a.ndim - 2), mode="reflect")

        padded = _moved(sample, pad)
        inside = slice(rows // 2, rows // 2 + h), slice(columns // 2, columns // 2 + w)
        return replace(padded, instances=_separate_copies(padded.instances, inside))


def _separate_copies(instances: np.ndarray, inside: tuple[slice, slice]) -> np.ndarray:
    """New ids for the pieces that do not reach into the original image `inside`."""
    pieces, count = label(instances, background=0, connectivity=2, return_num=True)
    ids = np.arange(count + 1) + int(instances.max(initial=0))
    ids[0] = 0
    ids[pieces[inside]] = instances[inside]
    return ids[pieces].astype(np.int32)


@dataclass(frozen=True)
class RandomCrop(Transform):
    """Crops a window at a uniformly random place; pads smaller images first, see `Pad`.

    Attributes:
      size: side or (height, width), pixels.
    """

    size: Size

    def __post_init__(self) -> None:
        sides(self.size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the window; ids of nuclei outside of it are missing, the others stay."""
        height, width = sides(self.size)
        sample = Pad(self.size)(sample, rng)
        h, w = sample.instances.shape
        top, left = rng.integers(h - height + 1), rng.integers(w - width + 1)
        return crop(sample, int(top), int(left), height, width)


@dataclass(frozen=True)
class CenterCrop(Transform):
    """Crops the middle; pads smaller images first, see `Pad`.

    Attributes:
      size: side or (height, width), pixels.
    """

    size: Size

    def __post_init__(self) -> None:
        sides(self.size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the window; `rng` is not used."""
        height, width = sides(self.size)
        sample = Pad(self.size)(sample, rng)
        h, w = sample.instances.shape
        return crop(sample, (h - height) // 2, (w - width) // 2, height, width)


@dataclass(frozen=True)
class FlipTurn(Transform):
    """One of the eight symmetries of the square, uniformly.

    Images that are not square swap their sides in half of the cases.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Flips and turns by a multiple of 90 degrees, exactly."""
        flip, turns = divmod(int(rng.integers(8)), 4)

        def move(a: np.ndarray) -> np.ndarray:
            return np.rot90(a[:, ::-1] if flip else a, turns).copy()

        return _moved(sample, move)


@dataclass(frozen=True)
class Scale(Transform):
    """Resizes by one random factor for both axes, uniform in log scale; see `resize`.

    Attributes:
      low: least factor.
      high: greatest factor.
    """

    low: float = 0.8
    high: float = 1.25

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise ValueError(f"low={self.low}, high={self.high}: 0 < low <= high is expected")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns (round(H * factor), round(W * factor)), at least one pixel."""
        factor = np.exp(rng.uniform(np.log(self.low), np.log(self.high)))
        h, w = sample.instances.shape
        return resize(sample, max(1, round(h * factor)), max(1, round(w * factor)))


@dataclass(frozen=True)
class Elastic(Transform):
    """Smooth random displacement: a cubic B-spline on a grid of random vectors.

    With `4 * amount <= grid` the map cannot fold (the spline's slopes are at most
    `2 * amount / grid` along each axis), so that a nucleus stays in one piece; more is refused.
    Pixels beyond the border repeat the border, hence no nucleus appears twice.

    After Simard et al., "Best practices for convolutional neural networks applied to visual
    document analysis", ICDAR 2003, with the spline in place of their Gaussian.

    Attributes:
      amount: bound of the displacement along each axis, pixels.
      grid: spacing of the grid, pixels.
      p: probability.
    """

    amount: float = 6.0
    grid: float = 32.0
    p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < 4 * self.amount <= self.grid:
            raise ValueError(
                f"amount={self.amount}, grid={self.grid}: 0 < amount <= grid / 4 is expected, "
                "beyond which the map may fold"
            )
        if not 0 <= self.p <= 1:
            raise ValueError(f"p={self.p}: a probability is expected")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Interpolates the image linearly; the maps take the nearest pixel."""
        if rng.random() >= self.p:
            return sample
        h, w = sample.instances.shape
        (top, vertical), (left, horizontal) = _spline(h, self.grid), _spline(w, self.grid)
        shape = (2, int(top[-1]) + 4, int(left[-1]) + 4)
        vectors = rng.uniform(-self.amount, self.amount, shape).astype(np.float32)
        # Tap by tap and not by a matrix product, whose threads contend with the input workers'.
        lines = np.sum([vertical[:, k, None] * vectors[:, top + k] for k in range(4)], axis=0)
        rows, columns = np.sum([horizontal[:, k] * lines[..., left + k] for k in range(4)], axis=0)
        rows += np.arange(h, dtype=np.float32)[:, None]
        columns += np.arange(w, dtype=np.float32)
        np.clip(rows, 0, h - 1, out=rows)
        np.clip(columns, 0, w - 1, out=columns)
        nearest = np.rint(rows).astype(int), np.rint(columns).astype(int)
        moved = _moved(sample, lambda a: a[nearest])
        image = np.empty_like(sample.image)
        for channel in range(image.shape[-1]):
            image[..., channel] = map_coordinates(
                sample.image[..., channel], (rows, columns), order=1, mode="nearest"
            )
        return replace(moved, image=image)


@functools.lru_cache(maxsize=32)
def _spline(length: int, grid: float) -> tuple[np.ndarray, np.ndarray]:
    """Uniform cubic B-spline: the first of four knots of each pixel, and their weights (L, 4)."""
    position = np.arange(length) / grid
    first = position.astype(int)
    t = position - first
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1
    )
    return first, (weights / 6).astype(np.float32)
