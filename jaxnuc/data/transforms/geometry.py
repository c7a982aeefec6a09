"""Transforms that move image, instances, classes and the ignored region together.

What lies covered under other nuclei moves like the instances.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates
from skimage.measure import label

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform, check_classes, log_uniform
from jaxnuc.postprocess import class_votes, regions
from jaxnuc.postprocess.masks import masks_of

Size = int | tuple[int, int]
NEAREST, LINEAR = Image.Resampling.NEAREST, Image.Resampling.BILINEAR


def moved(sample: Sample, move: Callable[[np.ndarray], np.ndarray]) -> Sample:
    """Moves pixels, without interpolation, the same way in the image and all maps."""
    maps: dict[str, Any] = {
        name: move(array)
        for name in ("image", "instances", "classes", "ignore", "covered")
        if (array := getattr(sample, name)) is not None
    }
    return replace(sample, **maps)


def sides(size: Any, name: str = "size") -> tuple[int, int]:
    """(height, width) of a size of this name; ValueError where it is none."""
    match size:
        case int() if size > 0:
            return size, size
        case (int(height), int(width)) if min(height, width) > 0:
            return height, width
    raise ValueError(f"{name}={size!r}: a positive int or (height, width) is expected")


def crop(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """The window of all maps that begins at (top, left), which must lie inside."""
    # Copies, so that a crop does not keep the whole image alive.
    return moved(sample, lambda a: a[top : top + height, left : left + width].copy())


def centers(full: int, resized: int) -> np.ndarray:
    """The pixel under the center of each pixel of a resized axis."""
    return ((np.arange(resized) + 0.5) * full / resized).astype(int)


def resize(sample: Sample, height: int, width: int) -> Sample:
    """Resizes a sample; the sample itself where it has this size.

    The image is interpolated linearly, with antialiasing where it shrinks; the maps take the
    nearest pixel. Both use pixel centers, so that they stay registered.
    """
    h, w = sample.instances.shape
    if (height, width) == (h, w):
        return sample
    nearest = np.ix_(centers(h, height), centers(w, width))
    resized = Image.fromarray(sample.image).resize((width, height), LINEAR)
    nearby = moved(sample, lambda a: a[nearest])
    return replace(nearby, image=np.array(resized))


def padded(sample: Sample, size: Size) -> Sample:
    """The sample of `Pad`, which draws nothing."""
    h, w = sample.instances.shape
    height, width = sides(size)
    rows, columns = max(0, height - h), max(0, width - w)
    if not rows and not columns:
        return sample
    margins = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))

    def pad(a: np.ndarray) -> np.ndarray:
        return np.pad(a, margins + ((0, 0),) * (a.ndim - 2), mode="reflect")

    larger = moved(sample, pad)
    inside = slice(rows // 2, rows // 2 + h), slice(columns // 2, columns // 2 + w)
    if larger.covered is None:
        return replace(larger, instances=_separate_copies(larger.instances, inside))
    layers = np.dstack([larger.instances, larger.covered])
    _separate_whole_copies(layers, inside)
    return replace(larger, instances=layers[..., 0].copy(), covered=layers[..., 1:].copy())


def _separate_copies(instances: np.ndarray, inside: tuple[slice, slice]) -> np.ndarray:
    """New ids for the pieces that do not reach into the original image `inside`."""
    pieces, count = label(instances, background=0, connectivity=2, return_num=True)
    ids = np.arange(count + 1) + int(instances.max(initial=0))
    ids[0] = 0
    ids[pieces[inside]] = instances[inside]
    return ids[pieces].astype(np.int32)


def _separate_whole_copies(layers: np.ndarray, inside: tuple[slice, slice]) -> None:
    """The same of nuclei that overlap: all layers (H, W, 1 + D) of a copy get the same new id."""
    unused = int(layers.max(initial=0)) + 1
    original = np.zeros(layers.shape[:2], bool)
    original[inside] = True
    for number, (row, col, mask) in zip(*masks_of(layers[..., 0], layers[..., 1:]), strict=True):
        box = np.s_[row : row + mask.shape[0], col : col + mask.shape[1]]
        pieces = label(mask, connectivity=2)
        kept = np.unique(pieces[original[box] & mask])
        for piece in np.setdiff1d(np.arange(1, pieces.max() + 1), kept):
            layers[box][(pieces == piece)[..., None] & (layers[box] == number)] = unused
            unused += 1


@dataclass(frozen=True)
class Sized(Transform):
    """What needs a size, side or (height, width), pixels."""

    size: Size

    def __post_init__(self) -> None:
        sides(self.size)
        super().__post_init__()


class Pad(Sized):
    """Pads smaller images at all sides to `size` by reflection; larger sides stay.

    The border pixel is not repeated, so a nucleus at the border grows symmetrically and keeps its
    id. A mirrored piece that is not connected to its original is a nucleus of its own and gets a
    new id: otherwise two nuclei would share one.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return padded(sample, self.size)


class RandomCrop(Sized):
    """Crops a window of `size` at a uniformly random place; pads smaller images first, see `Pad`.

    Ids of nuclei outside of the window are missing, the others stay.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample, (height, width) = padded(sample, self.size), sides(self.size)
        h, w = sample.instances.shape
        top, left = rng.integers(h - height + 1), rng.integers(w - width + 1)
        return crop(sample, int(top), int(left), height, width)


class CenterCrop(Sized):
    """Crops a window of `size` in the middle; pads smaller images first, see `Pad`."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample, (height, width) = padded(sample, self.size), sides(self.size)
        h, w = sample.instances.shape
        return crop(sample, (h - height) // 2, (w - width) // 2, height, width)


@dataclass(frozen=True)
class ForegroundCrop(Sized):
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

    p: float = 0.5
    rare: tuple[int, ...] = ()
    jitter: float = 0.25
    limits: ClassVar = {"p": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.jitter < 0.5:
            raise ValueError(f"jitter={self.jitter}: 0 <= jitter < 0.5 is expected")
        check_classes("rare", self.rare)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the window; a ValueError if `rare` is given and the sample has no classes."""
        sample, (height, width) = padded(sample, self.size), sides(self.size)
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


@dataclass(frozen=True)
class FlipTurn(Transform):
    """One of the eight symmetries of the square, uniformly.

    Images that are not square swap their sides in half of the cases.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        flip, turns = divmod(int(rng.integers(8)), 4)

        def move(a: np.ndarray) -> np.ndarray:
            return np.rot90(a[:, ::-1] if flip else a, turns).copy()

        return moved(sample, move)


@dataclass(frozen=True)
class Scale(Transform):
    """Resizes by one random factor for both axes, uniform in log scale; see `resize`.

    Attributes:
      low: least factor.
      high: greatest factor.
    """

    low: float = 0.8
    high: float = 1.25
    factors: ClassVar = ("low", "high")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factor = log_uniform(rng, self.low, self.high)
        h, w = sample.instances.shape
        return resize(sample, max(1, round(h * factor)), max(1, round(w * factor)))


@dataclass(frozen=True)
class Elastic(Transform):
    """Smooth random displacement: a cubic B-spline on a grid of random vectors.

    With `4 * amount <= grid` the map cannot fold (the spline's slopes are at most
    `2 * amount / grid` along each axis), so that a nucleus stays in one piece; more is refused.
    Pixels beyond the border repeat the border, hence no nucleus appears twice. The image is
    interpolated linearly; the maps take the nearest pixel.

    After Simard et al., "Best practices for convolutional neural networks applied to visual
    document analysis", ICDAR 2003, with the spline in place of their Gaussian.

    Attributes:
      amount: bound of the displacement along each axis, pixels.
      grid: spacing of the grid, pixels.
    """

    amount: float = 6.0
    grid: float = 32.0
    p: float = 1.0
    limits: ClassVar = {"p": 1}

    def __post_init__(self) -> None:
        if not 0 < 4 * self.amount <= self.grid:
            raise ValueError(
                f"amount={self.amount}, grid={self.grid}: 0 < amount <= grid / 4 is expected, "
                "beyond which the map may fold"
            )
        super().__post_init__()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
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
        nearby = moved(sample, lambda a: a[nearest])
        image = np.empty_like(sample.image)
        for channel in range(image.shape[-1]):
            image[..., channel] = map_coordinates(
                sample.image[..., channel], (rows, columns), order=1, mode="nearest"
            )
        return replace(nearby, image=image)


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


@dataclass(frozen=True)
class Affine(Transform):
    """A random affine map about the middle; the size stays, and the maps take the nearest pixel.

    What comes from beyond the image is black background, as in the systems whose presets use it, or
    ignored; a larger crop before and a smaller one after it leave none of that.

    Attributes:
      scale: (least, greatest) factor, uniform.
      aspect: width / height is changed by a factor in `1 +- aspect`, the area kept.
      shear: greatest angle, degrees.
      rotation: greatest angle, degrees.
      translation: greatest shift, as a part of the side.
      nearest: take the nearest pixel of the image too, rather than interpolate linearly.
      ignore: mark what comes from beyond the image in the sample's `ignore`. It is then never None,
        so that all samples of a batch hold the same maps.
    """

    scale: tuple[float, float] = (0.8, 1.25)
    aspect: float = 0.0
    shear: float = 0.0
    rotation: float = 180.0
    translation: float = 0.0
    nearest: bool = False
    ignore: bool = False
    p: float = 1.0
    limits: ClassVar = {"aspect": 0.9, "shear": 80, "rotation": 180, "translation": 1, "p": 1}

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale={self.scale}: (low, high) with 0 < low <= high is expected")
        super().__post_init__()

    @property
    def ignores(self) -> bool:
        return self.ignore

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        h, w = sample.instances.shape
        if self.ignore and sample.ignore is None:
            sample = replace(sample, ignore=np.zeros((h, w), bool))
        factor = rng.uniform(*self.scale)
        aspect = np.sqrt(1 + rng.uniform(-self.aspect, self.aspect))
        shear, angle = np.radians(rng.uniform(-1, 1, 2) * (self.shear, self.rotation))
        shift = rng.uniform(-self.translation, self.translation, 2) * (w, h)
        if rng.random() >= self.p:
            return sample
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        slant = np.array([[1, np.tan(shear)], [0, 1]])
        # (x, y) of the result -> (x, y) of the input, as Pillow wants it.
        back = np.linalg.inv(turn @ slant @ np.diag([factor * aspect, factor / aspect]))
        middle = np.array([w, h]) / 2
        offset = middle - back @ (middle + shift)
        numbers = (*back[0].tolist(), float(offset[0]), *back[1].tolist(), float(offset[1]))

        def move(array: np.ndarray, how: Image.Resampling = NEAREST, beyond: int = 0) -> np.ndarray:
            picture, form = Image.fromarray(array), Image.Transform.AFFINE
            return np.array(picture.transform((w, h), form, numbers, how, fillcolor=beyond))

        covered = None
        if sample.covered is not None:
            covered = np.dstack([move(layer) for layer in np.moveaxis(sample.covered, -1, 0)])
        ignore = sample.ignore
        if ignore is not None:
            ignore = move(ignore.astype(np.uint8), beyond=int(self.ignore)) > 0
        return replace(
            sample,
            image=move(sample.image, NEAREST if self.nearest else LINEAR),
            instances=move(sample.instances),
            classes=None if sample.classes is None else move(sample.classes),
            ignore=ignore,
            covered=covered,
        )


@dataclass(frozen=True)
class Rotate(Transform):
    """Turns by a random angle about the middle, uniform in a range; see `Affine`.

    The size stays. What comes from beyond the image, its corners, is black and ignored.

    Attributes:
      degrees: greatest angle, either way.
    """

    degrees: float = 180.0
    p: float = 1.0
    limits: ClassVar = {"degrees": 180, "p": 1}

    @property
    def ignores(self) -> bool:
        return True

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        turn = Affine((1, 1), rotation=self.degrees, ignore=True, p=self.p)
        return turn(sample, rng)
