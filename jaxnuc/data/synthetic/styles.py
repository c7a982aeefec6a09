"""How nuclei look: fluorescence adds light, stains add optical density (Beer-Lambert)."""

import numpy as np
from scipy import ndimage

from jaxnuc.data.synthetic.shapes import Nucleus, Population, outline, polygon, populate
from jaxnuc.data.synthetic.texture import diffuse, fibers, noise

Picture = tuple[np.ndarray, np.ndarray]  # image (H, W, 3) float32, unclipped; instances (H, W)


def fluorescence(rng: np.random.Generator, size: int) -> Picture:
    """Bright nuclei on black: cell culture to crowded tissue, often very dim."""
    signal, instances = _glow(rng, size)
    gain = float(np.clip(np.exp(rng.normal(np.log(42), 0.6)), 12, 200))
    uneven = 1 + rng.uniform(0, 0.15) * noise(rng, size, size / 2)
    light = gain * signal + _loguniform(rng, 2, 16) * uneven
    light = ndimage.gaussian_filter(light, _loguniform(rng, 0.4, 1.6), truncate=2.5)
    shot, read = _loguniform(rng, 0.02, 0.7), _loguniform(rng, 0.2, 2.0)
    grain = rng.standard_normal(light.shape, dtype=np.float32)
    light += np.sqrt(shot**2 * np.maximum(light, 0) + read**2) * grain
    tint = (1.0, 1.0, 1.0) if rng.random() < 0.95 else (0.1, 0.25, 1.0)
    return light[..., None] * np.array(tint, np.float32), instances


def _glow(rng: np.random.Generator, size: int) -> Picture:
    """(size, size) float32 light of stained nuclei, about 1 in a usual one; instances."""
    small = rng.random() < 0.6
    radius = np.exp(rng.normal(np.log(7.3), 0.22) if small else rng.normal(np.log(16), 0.35))
    radius = float(np.clip(radius, 4.2, 28))
    share = _loguniform(rng, 0.015, 0.2) if small else _loguniform(rng, 0.08, 0.45)
    crowded = rng.random() < 0.15
    if crowded:
        share = rng.uniform(0.3, 0.8)
    populations = [
        Population(
            count=int(np.clip(share * (size / (2 * radius)) ** 2, 2, 120)),
            radius=radius,
            spread=rng.uniform(0.08, 0.28),
            aspect=(1.0, rng.uniform(1.3, 2.2)),
            roughness=rng.uniform(0.01, 0.1),
            bend=rng.uniform(0, 0.25),
            cling=rng.uniform(0, 0.6),
            packing=rng.uniform(0.55 if crowded else 0.7, 1.0),
            aligned=rng.random() < 0.25,
        )
    ]
    if rng.random() < 0.15:  # dividing, dying: small pieces
        count = int(rng.integers(1, 10))
        populations.append(Population(count, 0.45 * radius, 0.3, (1, 2.5), 0.1, 0.2, 0.7))
    allowed = None
    if rng.random() < 0.3:  # islands
        allowed = noise(rng, size, size / rng.uniform(2, 5)) > rng.uniform(-0.8, 0.3)
    nuclei, instances = populate(rng, size, populations, allowed)

    atlas = _atlas(rng, size, rng.uniform(1.2, 3.0))
    softness = rng.uniform(1.0, 2.5) * (1 + radius / 20)
    contrast, dome, rim = rng.uniform(0.02, 0.25), rng.uniform(0, 0.6), rng.uniform(-0.1, 0.25)
    variation, solid = rng.uniform(0.1, 0.5), rng.uniform(0, 1)
    holes, foci = rng.random() < 0.3, rng.random() < 0.2
    flashes = rng.uniform(0.05, 0.3) if rng.random() < 0.25 else 0.0
    signal = np.zeros((size, size), np.float32)
    for nucleus in nuclei:
        level = np.exp(variation * rng.standard_normal())
        if rng.random() < flashes:
            level *= rng.uniform(2, 5)
        inner = np.clip(nucleus.depth / nucleus.radius, 0, 1)
        light = 1 - dome + dome * np.sqrt(inner) + rim * _rim(nucleus, 1.5)
        light *= 1 + contrast * _chromatin(rng, nucleus, atlas)
        if holes or foci:
            spots = _spots(rng, nucleus, int(rng.integers(1, 6)), 0.2 * nucleus.radius)
            light *= 1 + (rng.uniform(0.2, 0.8) if foci else -rng.uniform(0.2, 0.5)) * spots
        edge = _edge(nucleus, softness * (1 + rng.exponential(0.4)))
        # Nuclei side by side in one layer flatten each other: less than the sum of both.
        signal[nucleus.window] *= 1 - solid * edge
        signal[nucleus.window] += level * np.maximum(light, 0.1) * edge

    signal += rng.uniform(0, 0.35) * diffuse(signal, size / 32)
    signal += rng.uniform(0, 0.3) * diffuse(signal, size / 8)
    if rng.random() < 0.2:  # processes of the cells, faintly stained
        strands = fibers(rng, size, rng.uniform(1.5, 4), size / 20, 6)
        signal += rng.uniform(0.03, 0.15) * strands
    for blob in _unfocused(rng, size, radius, 0.7):
        signal[blob.window] += rng.uniform(0.03, 0.15) * _edge(blob, blob.radius)
    return signal * (1 + rng.uniform(0, 0.2) * noise(rng, size, size / 2)), instances


def he(rng: np.random.Generator, size: int) -> Picture:
    """Dark purple nuclei in tissue: pink stroma with gaps, or hardly counterstained."""
    bare = rng.random() < 0.5
    radius = _loguniform(rng, 6, 20)
    count = np.clip(_loguniform(rng, 0.15, 1.0) * (size / (2 * radius)) ** 2, 3, 90)
    few, many, round_ = (int(n) for n in count * rng.dirichlet((0.5, 2, 0.6)))
    slender = rng.random() < 0.25
    populations = [
        Population(few, 0.65 * radius, 0.15, (1.8, 3.5), 0.05, 0.3, 0.1, 0.8, True),
        Population(
            count=many + 1,
            radius=radius,
            spread=rng.uniform(0.1, 0.3),
            aspect=(1.3, 3.0) if slender else (1.0, rng.uniform(1.3, 2.0)),
            roughness=rng.uniform(0.03, 0.12),
            bend=rng.uniform(0, 0.3),
            cling=rng.uniform(0, 0.7),
            packing=rng.uniform(0.65, 1.0),
            aligned=slender or rng.random() < 0.4,
        ),
        Population(round_, 0.7 * radius, 0.1, (1, 1.3), 0.05, 0.1, 0.4),
    ]
    tissue, allowed, pink = _stroma(rng, size, radius, bare)
    nuclei, instances = populate(rng, size, populations, allowed)

    relief = 0.5 * noise(rng, size, 6) + rng.uniform(0, 0.8) * noise(rng, size, 2)
    haze = rng.uniform(0, 0.12 if bare else 0.2) * (1 + relief)
    blue = np.maximum(haze, 0) * tissue
    atlas = _atlas(rng, size, rng.uniform(1.0, 2.5))
    density = rng.uniform(0.55, 1.5) if bare else rng.uniform(0.8, 1.7)
    variation = rng.uniform(0.1, 0.45)
    hollow, contrast, rim = rng.uniform(0, 0.5), rng.uniform(0.08, 0.4), rng.uniform(0, 0.3)
    focus = rng.uniform(1.5, 3.0)
    for nucleus in nuclei:
        level = density * np.exp(variation * rng.standard_normal())
        empty = hollow * rng.random() * min(1.0, nucleus.radius / 8)
        ink = 1 - empty + (empty + rim) * _rim(nucleus, 1.5)
        ink += contrast * _chromatin(rng, nucleus, atlas)
        if rng.random() < 0.4:
            spots = _spots(rng, nucleus, int(rng.integers(1, 4)), 0.15 * nucleus.radius)
            ink += (0.2 + empty) * spots
        edge = _edge(nucleus, focus + (rng.exponential(2.5) if rng.random() < 0.25 else 0))
        blue[nucleus.window] += level * np.maximum(ink, 0.15) * edge
        pink[nucleus.window] *= 1 - 0.5 * edge
    blue += rng.uniform(0, 0.2) * diffuse(blue, 0.8 * radius) * tissue  # the cytoplasm's share
    for blob in _unfocused(rng, size, radius, 1.5):
        blue[blob.window] += 0.25 * density * rng.random() * _edge(blob, blob.radius)

    # Optical densities of red, green and blue per unit of stain: unit vectors around those of
    # Ruifrok and Johnston (2001), spread as scanners and laboratories differ.
    if bare:
        hematoxylin = _unit(rng.uniform(0.36, 0.52), 0.88, rng.uniform(0.04, 0.22))
    else:
        hematoxylin = _unit(rng.uniform(0.45, 0.65), 0.72, rng.uniform(0.25, 0.42))
    eosin = _unit(rng.uniform(0.05, 0.35), 0.85, rng.uniform(0.2, 0.55))
    if bare and rng.random() < 0.5:
        lamp = np.array([182, 163, 211]) + rng.normal(0, 4, 3)
    else:
        lamp = rng.uniform(205, 250) + rng.normal(0, 4, 3)
    image = lamp.astype(np.float32) * np.exp(
        -blue[..., None] * hematoxylin - pink[..., None] * eosin
    )
    return _camera(rng, image, _loguniform(rng, 0.4, 1.3), rng.uniform(0.5, 3)), instances


def _stroma(
    rng: np.random.Generator, size: int, radius: float, bare: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tissue in [0, 1] (0 in gaps), where nuclei may lie (bool), eosin's amount; (size, size)."""
    gaps = noise(rng, size, size / rng.uniform(3, 9)) - rng.uniform(0.5, 2.2)
    allowed = gaps < 0.1
    tissue = np.ones_like(gaps) if bare else np.clip(0.5 - 3 * gaps, 0, 1)
    pink = 0.4 + rng.uniform(0.1, 0.8) * fibers(
        rng, size, rng.uniform(2, 7), size / 10, rng.uniform(0.7, 3)
    )
    pink += rng.uniform(0.05, 0.2) * (0.7 * noise(rng, size, 1.5) + noise(rng, size, 5))
    pink += 0.15 * noise(rng, size, size / 6)
    if rng.random() < 0.5:  # vacuoles and clefts, and the membranes around them
        cells = noise(rng, size, rng.uniform(0.8, 1.8) * radius) - rng.uniform(-0.2, 0.8)
        pink += rng.uniform(0.1, 0.6) * np.clip(1 - np.abs(cells + 0.1) / 0.2, 0, 1)
        pink *= 1 - rng.uniform(0.3, 1) * np.clip(4 * cells, 0, 1)
        allowed &= cells < 0.3
    strength = rng.uniform(0.02, 0.15) if bare else rng.uniform(0.35, 1.1)
    pink = strength * tissue * np.maximum(pink, 0.03)
    if rng.random() < 0.2:  # red blood cells
        for _ in range(rng.integers(1, 8)):
            cell = outline(rng, size, _place(rng, size), rng.uniform(5, 9), 1.2, 0, 0.05, 0)
            if cell is not None:
                pink[cell.window] += strength * rng.uniform(0.5, 1.5) * _edge(cell, 2)
    return tissue, allowed, pink


def pap(rng: np.random.Generator, size: int) -> Picture:
    """Dark nuclei on bright glass: cervical cells that overlap, or plain absorbing nuclei."""
    if rng.random() < 0.15:
        signal, instances = _glow(rng, size)
        absorbed = rng.uniform(0.2, 0.7) * signal
    else:
        absorbed, instances = _smear(rng, size)
    glass = rng.uniform(205, 250) * (1 + 0.015 * noise(rng, size, size / 2))
    tint = np.ones(3)
    if rng.random() < 0.3:  # bluish
        tint = np.array([1.15, 1.0, 0.8]) + rng.normal(0, 0.05, 3)
    image = glass[..., None] * np.exp(-absorbed[..., None] * tint.astype(np.float32))
    return _camera(rng, image, _loguniform(rng, 0.4, 1.0), rng.uniform(0.5, 2.5)), instances


def _smear(rng: np.random.Generator, size: int) -> Picture:
    """(size, size) float32 optical density of squamous cells with their nuclei; instances."""
    scale = _loguniform(rng, 0.7, 1.8)
    absorbed, hosts = np.zeros((size, size), np.float32), np.zeros((size, size), bool)
    grain = 0.5 * noise(rng, size, 1.2) + 0.5 * noise(rng, size, 4)
    fray = 1.5 * noise(rng, size, 5)
    folds = fibers(rng, size, _loguniform(rng, 1.5, 9), size / 16, 10)
    cells = int(rng.integers(2, 11))
    for _ in range(cells):
        cell = polygon(rng, size, _place(rng, size), rng.uniform(30, 55) * scale)
        if cell is None:
            continue
        frayed = Nucleus(cell.window, cell.depth + fray[cell.window], cell.x, cell.y, cell.radius)
        body = 1 + 0.25 * grain[cell.window] + rng.uniform(0, 4) * folds[cell.window]
        body += rng.uniform(0, 0.8) * _rim(frayed, 2)
        absorbed[cell.window] += rng.uniform(0.06, 0.3) * np.maximum(body, 0.2) * _edge(frayed, 2)
        hosts[cell.window] |= cell.depth > 0.6 * cell.radius
    populations = [Population(cells + 1, 7 * scale, 0.2, (1, 1.6), 0.07, 0.15, 0.0, 2.0)]
    if rng.random() < 0.3:  # lobes of neutrophils
        populations.append(
            Population(int(rng.integers(2, 12)), 3.5 * scale, 0.15, (1, 1.8), cling=0.85)
        )
    nuclei, instances = populate(rng, size, populations, hosts if hosts.any() else None)
    atlas, density = _atlas(rng, size, 1.5), rng.uniform(0.35, 0.9)
    for nucleus in nuclei:
        ink = np.maximum(1 + 0.15 * _chromatin(rng, nucleus, atlas), 0.2)
        level = density * np.exp(0.25 * rng.standard_normal())
        absorbed[nucleus.window] += level * ink * _edge(nucleus, rng.uniform(1.2, 2.5))
    return absorbed, instances


def _loguniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _unit(*vector: float) -> np.ndarray:
    return np.array(vector, np.float32) / np.float32(np.linalg.norm(vector))


def _place(rng: np.random.Generator, size: int) -> tuple[float, float]:
    row, column = rng.uniform(0, size, 2)
    return float(row), float(column)


def _edge(nucleus: Nucleus, softness: float) -> np.ndarray:
    """1 inside and 0 outside, with a ramp `softness` pixels wide."""
    t = np.clip(nucleus.depth / softness + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _rim(nucleus: Nucleus, width: float) -> np.ndarray:
    """1 on a line `width` pixels within the outline, falling to 0 on both sides."""
    return np.clip(1 - np.abs(nucleus.depth / width - 1), 0, 1)


def _spots(rng: np.random.Generator, nucleus: Nucleus, count: int, radius: float) -> np.ndarray:
    """Nucleoli or chromocenters: soft discs within the nucleus."""
    spots = np.zeros_like(nucleus.depth)
    for turn, share in rng.random((count, 2)):
        row, column = 0.65 * np.sqrt(share) * np.array([np.sin(7 * turn), np.cos(7 * turn)])
        distance = np.hypot(nucleus.x - column, nucleus.y - row) * nucleus.radius
        spots = np.maximum(spots, np.clip(1.5 - distance / max(1.5, radius), 0, 1))
    return spots


def _atlas(rng: np.random.Generator, size: int, fine: float) -> np.ndarray:
    """Chromatin, wide enough for the window of any nucleus: noise at two scales."""
    side = max(size, 160)
    return 0.6 * noise(rng, side, fine) + 0.8 * noise(rng, side, 2.5 * fine)


def _chromatin(rng: np.random.Generator, nucleus: Nucleus, atlas: np.ndarray) -> np.ndarray:
    """A piece of the atlas, from another place for every nucleus."""
    (h, w), side = nucleus.depth.shape, atlas.shape[0]
    row, column = rng.integers(0, (side - h + 1, side - w + 1))
    return atlas[row : row + h, column : column + w]


def _unfocused(
    rng: np.random.Generator, size: int, radius: float, expected: float
) -> list[Nucleus]:
    """Nuclei far out of focus, which are not annotated."""
    blobs = []
    for _ in range(rng.poisson(expected)):
        place, reach, angle = _place(rng, size), radius * rng.uniform(1, 2.5), rng.uniform(0, 7)
        blobs.append(outline(rng, size, place, reach, 1.3, angle, 0.1, 0.0))
    return [blob for blob in blobs if blob is not None]


def _camera(rng: np.random.Generator, image: np.ndarray, blur: float, read: float) -> np.ndarray:
    """The optics' blur and the camera's noise."""
    image = ndimage.gaussian_filter(image, (blur, blur, 0), truncate=2.5)
    return image + np.float32(read) * rng.standard_normal(image.shape, dtype=np.float32)
