"""Label maps at the density of stained tissue, for the benchmarks."""

import numpy as np

SPACING = 33  # pixels between centers: about 900 nuclei in 1000 x 1000


def nuclei(size: int, seed: int = 0) -> np.ndarray:
    """(size, size) int32: ellipses of 8 to 14 px radius, one for each cell of a jittered grid."""
    return _painted(size, _ellipses(size, np.random.default_rng(seed)))


def perturbed(size: int, seed: int = 0) -> np.ndarray:
    """The same nuclei as a network finds them: moved, resized, a tenth missing."""
    rng = np.random.default_rng(seed)
    ellipses = _ellipses(size, rng)
    ellipses[:, :2] += rng.normal(0, 1.5, ellipses[:, :2].shape)
    ellipses[:, 2:4] *= rng.uniform(0.85, 1.15, ellipses[:, 2:4].shape)
    return _painted(size, ellipses[rng.random(len(ellipses)) > 0.1])


def _ellipses(size: int, rng: np.random.Generator) -> np.ndarray:
    """(N, 5) row, column, two radii, angle."""
    cells = np.mgrid[0 : max(size // SPACING, 1), 0 : max(size // SPACING, 1)].reshape(2, -1).T
    centers = (cells + 0.5) * SPACING + rng.uniform(-8, 8, cells.shape)
    radii = rng.uniform(8, 14, cells.shape)
    return np.column_stack([centers, radii, rng.uniform(0, np.pi, len(cells))])


def _painted(size: int, ellipses: np.ndarray) -> np.ndarray:
    labels = np.zeros((size, size), np.int32)
    for number, (row, column, a, b, angle) in enumerate(ellipses, 1):
        reach = int(max(a, b)) + 2
        top, left = max(int(row) - reach, 0), max(int(column) - reach, 0)
        window = labels[top : int(row) + reach, left : int(column) + reach]
        y = np.arange(window.shape[0])[:, None] + top - row
        x = np.arange(window.shape[1])[None] + left - column
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        window[(u / a) ** 2 + (v / b) ** 2 <= 1] = number
    return labels
