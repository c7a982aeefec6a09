"""Where nuclei lie, what outline they have, and which of them is in front."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jaxnuc.data.synthetic.texture import noise

DRAWS = 4000  # places to choose from
MIN_AREA = 15  # pixels an instance must show
MIN_SHARE = 0.2  # of its area an instance must show


@dataclass(frozen=True)
class Nucleus:
    """One nucleus in its own window of the image.

    Attributes:
      window: the slices of the image that hold it.
      depth: (h, w) float32 distance to the outline in pixels, positive inside.
      x, y: (h, w) float32 coordinates along its axes; the outline is near radius 1.
      radius: of the disc of about the same area, in pixels.
    """

    window: tuple[slice, slice]
    depth: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: float


@dataclass(frozen=True)
class Population:
    """How the nuclei of one image are made and spread.

    Attributes:
      count: how many are tried; fewer are placed where there is no room.
      radius: median radius in pixels.
      spread: standard deviation of the radius' logarithm.
      aspect: range of the ratio of the axes.
      roughness: relative size of the outline's bumps.
      bend: range of the curvature; 0 is straight, 0.5 a bean.
      cling: probability that a nucleus is put next to an earlier one.
      packing: smallest distance of two centers over the sum of their radii.
      aligned: whether they follow a common direction field.
    """

    count: int
    radius: float
    spread: float = 0.2
    aspect: tuple[float, float] = (1.0, 1.6)
    roughness: float = 0.06
    bend: float = 0.15
    cling: float = 0.2
    packing: float = 0.85
    aligned: bool = False


def outline(
    rng: np.random.Generator,
    size: int,
    center: tuple[float, float],
    radius: float,
    aspect: float,
    angle: float,
    roughness: float,
    bend: float,
) -> Nucleus | None:
    """A bent superellipse whose outline is modulated by random harmonics.

    Args:
      rng: source of randomness.
      size: side of the image in pixels.
      center: (row, column) in pixels, also outside of the image: None where no pixel lies in it.
      radius: of the disc of about the same area, in pixels.
      aspect: long over short axis.
      angle: of the long axis from the columns' axis, in radians.
      roughness: relative size of the bumps.
      bend: curvature of the long axis.
    """
    long, short = radius * aspect**0.5, radius / aspect**0.5
    # Beyond the outline there is room for soft edges.
    window = _window(size, center, long * (1 + 2 * roughness + abs(bend)) + 5 + 0.3 * radius)
    if window is None:
        return None
    rows, columns = _offsets(window, center)
    cos, sin = math.cos(angle), math.sin(angle)  # Python's floats leave float32 as it is
    x = (cos * columns + sin * rows) / long
    y = (cos * rows - sin * columns) / short
    y = y + bend * aspect * (x * x - 0.3)
    power = rng.uniform(1.8, 2.3)
    ax, ay = np.abs(x) + 1e-3, np.abs(y) + 1e-3
    level = (ax**power + ay**power) ** (1 / power)
    turn = np.arctan2(y, x)
    bumps = np.ones_like(level)
    heights, phases = rng.normal(0, 1.5 * roughness, 4), rng.uniform(0, 7, 4)
    for k, height, phase in zip(range(2, 6), heights.tolist(), phases.tolist(), strict=True):
        bumps += height / k * np.cos(k * turn + phase)
    level /= np.maximum(bumps, 0.5)
    # First-order distance: the level's excess over its slope.
    slope = np.hypot(ax / long, ay / short) / np.hypot(ax, ay)
    return Nucleus(window, (1 - level) / slope, x, y, radius)


def polygon(
    rng: np.random.Generator, size: int, center: tuple[float, float], radius: float
) -> Nucleus | None:
    """A convex polygon with round corners, as a squamous cell; arguments as of `outline`."""
    window = _window(size, center, 1.3 * radius)
    if window is None:
        return None
    rows, columns = _offsets(window, center)
    depth = np.full((rows.shape[0], columns.shape[1]), np.inf, np.float32)
    sides = rng.integers(5, 9)
    turns = 2 * np.pi / sides * (np.arange(sides) + rng.uniform(-0.35, 0.35, sides))
    for turn in turns.tolist():
        reach = radius * rng.uniform(0.7, 1.15)
        side = reach - math.cos(turn) * columns - math.sin(turn) * rows
        # A soft minimum rounds the corners.
        near = np.maximum(6 - np.abs(depth - side), 0)
        depth = np.minimum(depth, side) - near**2 / 24
    y, x = np.broadcast_arrays(rows / radius, columns / radius)
    return Nucleus(window, depth, x, y, radius)


def _window(size: int, center: tuple[float, float], reach: float) -> tuple[slice, slice] | None:
    row, column = (slice(max(0, int(c - reach)), min(size, int(c + reach) + 2)) for c in center)
    return (row, column) if row.start < row.stop and column.start < column.stop else None


def _offsets(
    window: tuple[slice, slice], center: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = (
        np.arange(s.start, s.stop, dtype=np.float32) - np.float32(c)
        for s, c in zip(window, center, strict=True)
    )
    return rows[:, None], columns[None]


def positions(
    rng: np.random.Generator, size: int, population: Population, allowed: np.ndarray | None
) -> Iterator[tuple[float, float, float]]:
    """Yields (row, column, radius), some clinging to earlier ones, none too close."""
    places = rng.uniform(-0.5, 0.5, (DRAWS, 2)) * (size + population.radius) + size / 2
    if allowed is not None:
        rows, columns = np.clip(places, 0, size - 1).astype(int).T
        places = places[allowed[rows, columns]]
    n = min(3 * population.count, len(places))
    radii = population.radius * np.exp(population.spread * rng.standard_normal(n))
    radii = np.clip(radii, 2.8, 32)
    clings = rng.random(n) < population.cling
    anchors, gaps, turns = rng.random(n), rng.uniform(0.8, 1.1, n), rng.uniform(0, 2 * np.pi, n)
    placed = np.empty((n, 3))
    count = 0
    for k in range(n):
        radius = radii[k]
        place = places[k]
        if clings[k] and count:
            row, column, other = placed[int(anchors[k] * count)]
            reach = gaps[k] * (radius + other)
            place = np.array([row + reach * np.sin(turns[k]), column + reach * np.cos(turns[k])])
        if allowed is not None:
            i, j = np.clip(place, 0, size - 1).astype(int)
            if not allowed[i, j]:
                continue
        distance = np.hypot(*(placed[:count, :2] - place).T)
        if (distance < population.packing * (placed[:count, 2] + radius)).any():
            continue
        placed[count] = *place, radius
        count += 1
        yield float(place[0]), float(place[1]), float(radius)
        if count == population.count:
            return


def populate(
    rng: np.random.Generator,
    size: int,
    populations: list[Population],
    allowed: np.ndarray | None = None,
) -> tuple[list[Nucleus], np.ndarray]:
    """Draws nuclei and the label map in which a later one lies on top.

    A nucleus is dropped as a whole (neither drawn nor labeled) if it shows fewer than
    `MIN_AREA` pixels or less than `MIN_SHARE` of itself, or if others cut it into pieces. So the
    map is made from the top down, where what hides a nucleus is known when its turn comes.
    Centers lie where `allowed` (size, size) is True; of the populations the last lies on top.

    Returns:
      The nuclei from the bottom up and the (size, size) int32 map in which the first is 1.
    """
    field = rng.uniform(0, np.pi) + 0.5 * noise(rng, size, size / 3)
    drawn: list[Nucleus] = []
    for population in populations:
        for row, column, radius in positions(rng, size, population, allowed):
            i, j = (int(np.clip(v, 0, size - 1)) for v in (row, column))
            angle = field[i, j] + rng.normal(0, 0.2) if population.aligned else rng.uniform(0, 7)
            aspect = rng.uniform(*population.aspect)
            rough, bend = population.roughness, rng.uniform(-1, 1) * population.bend
            nucleus = outline(rng, size, (row, column), radius, aspect, angle, rough, bend)
            if nucleus is not None:
                drawn.append(nucleus)
    kept: list[Nucleus] = []
    instances = np.zeros((size, size), np.int32)
    for nucleus in reversed(drawn):
        inside = nucleus.depth > 0
        view = instances[nucleus.window]
        visible = inside & (view == 0)
        area = visible.sum()
        if area < MIN_AREA or area < MIN_SHARE * inside.sum() or ndimage.label(visible)[1] > 1:
            continue
        kept.append(nucleus)
        view[visible] = len(kept)
    instances = np.where(instances > 0, len(kept) + 1 - instances, 0).astype(np.int32)
    return kept[::-1], instances
