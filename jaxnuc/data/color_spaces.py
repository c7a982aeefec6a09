"""Optical density and CIELAB, in float32 and without matrix products of BLAS."""

import numpy as np
from skimage.color.colorconv import xyz_from_rgb

# Optical density of the 256 levels; one level is added so that black has a finite one.
_DENSITY = -np.log10((np.arange(256) + 1) / 256).astype(np.float32)

# IEC 61966-2-1: linear light of the 256 levels of sRGB.
_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)

# The white point D65 (2 degrees), as in scikit-image, and CIELAB of the curved values.
_WHITE = np.array([0.95047, 1.0, 1.08883])
_LAB = np.array([[0.0, 116, 0], [500, -500, 0], [0, 200, -200]])
_LAB_OFFSET = np.array([-16.0, 0, 0])


def mix(values: np.ndarray, matrix: np.ndarray, offset: np.ndarray | None = None) -> np.ndarray:
    """`matrix (K, 3) @ color + offset (K,)` in each pixel of (H, W, 3): (H, W, K) float32.

    Not by `@`: its threads contend with the input workers', and its last bit depends on them.
    """
    planes = np.moveaxis(values, -1, 0).astype(np.float32, order="C")
    rows = matrix.tolist()
    shifts = [0.0] * len(rows) if offset is None else offset.tolist()
    mixed = np.empty((*values.shape[:-1], len(rows)), np.float32)
    for k, (row, shift) in enumerate(zip(rows, shifts, strict=True)):
        mixed[..., k] = row[0] * planes[0] + row[1] * planes[1] + row[2] * planes[2] + shift
    return mixed


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Rounds values in 0..255 to uint8; what exceeds the range is clipped."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def optical_density(image: np.ndarray) -> np.ndarray:
    """What the tissue absorbs, in decades, float32: 0 (white) to 2.41 (black).

    `-log10((level + 1) / 256)` of uint8 of any shape. Stains add up in it (Beer and Lambert).
    """
    return _DENSITY[image]


def from_density(density: np.ndarray) -> np.ndarray:
    """The image (uint8) of an optical density; what is lighter than white is clipped.

    >>> from_density(optical_density(np.array([0, 7, 255], np.uint8)))
    array([  0,   7, 255], dtype=uint8)
    """
    return to_uint8(256 * np.exp(density * np.float32(-np.log(10))) - 1)


def to_lab(image: np.ndarray) -> np.ndarray:
    """sRGB (H, W, 3) uint8 to CIELAB under D65, float32: L in 0..100, a and b about -100..100."""
    relative = mix(_LINEAR[image], xyz_from_rgb / _WHITE[:, None])
    curved = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return mix(curved, _LAB, _LAB_OFFSET)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """CIELAB to sRGB (H, W, 3) uint8; what sRGB cannot show is clipped."""
    curved = mix(lab - _LAB_OFFSET.astype(np.float32), np.linalg.inv(_LAB))
    cubed = curved * curved * curved
    relative = np.where(curved > 0.2068966, cubed, (curved - 16 / 116) / 7.787)
    linear = np.clip(mix(relative, np.linalg.inv(xyz_from_rgb) * _WHITE), 0, 1)
    low = 12.92 * linear
    # Not by `**`, several times as slow in float32.
    high = 1.055 * np.exp(np.log(np.maximum(linear, 1e-6)) / np.float32(2.4)) - 0.055
    return to_uint8(255 * np.where(linear <= 0.0031308, low, high))
