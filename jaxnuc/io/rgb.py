"""From what image files hold to (H, W, 3) uint8."""

import logging
import math

import numpy as np

logger = logging.getLogger(__name__)

IntensityRange = tuple[float, float]  # the values that become 0 and 255

# Of the pixels at either end, this share may lie outside of an image's range: hot and dead pixels.
TAIL = 1e-4
FEW = 32  # levels; fewer show in a picture as steps


def to_rgb(
    array: np.ndarray,
    where: str,
    intensity_range: IntensityRange | None = None,
    part: bool = False,
) -> np.ndarray:
    """An image, or any part of one, as (H, W, 3) uint8; gray is repeated.

    Bool, uint8 and floats in [0, 1] keep their brightness. Of all other numbers, cameras of 10 to
    16 bits among them, the intensity range becomes 0 to 255. What is transparent becomes white, as
    the glass of a slide; where nothing of a whole image is opaque, the alpha has no meaning and is
    dropped.

    Args:
      array: (H, W), or (H, W, C) with 1 to 4 channels, of which the second of 2 and the fourth of 4
        is alpha; bool, integers or floats.
      where: its address, for errors.
      intensity_range: of the whole image where `array` is a part of it; None: that of `array`.
      part: whether `array` is a part of an image, whose alpha has a meaning.

    Raises:
      ValueError: another shape or type; a float that is not finite.

    Example:
      >>> to_rgb(np.array([[200, 300, 710]], np.uint16), "a.png")[0, :, 0]
      array([  0,  50, 255], dtype=uint8)
    """
    check_type(array.shape, array.dtype, where)
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype == np.uint8:
        colors, alpha = parted(array)
    else:
        low, high = intensity_range or intensity_range_of(array, where)
        colors, alpha = parted(array)
        if colors.dtype.kind == "f" and not np.isfinite(colors).all():
            raise _not_finite(where, colors)
        share = (colors.astype(np.float64) - low) / (high - low)
        colors = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    if alpha is not None:
        opaque = alpha / _most(alpha.dtype)
        if part or opaque.any():
            opaque = np.clip(opaque, 0, 1)[..., None]
            colors = np.rint(opaque * colors + (1 - opaque) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colors, (*colors.shape[:2], 3)))


def intensity_range_of(array: np.ndarray, where: str) -> IntensityRange:
    """The values of an image that become 0 and 255.

    They are the whole range of bool, uint8 and floats in [0, 1]; else the image's own range, the
    same for all channels, so that hues stay. One pixel in ten thousand may lie outside at either
    end. Warns where few levels are left.

    Args:
      array: as of `to_rgb`, the whole image, or pixels from all over it.
      where: its address, for errors.

    Raises:
      ValueError: a float is not finite.

    >>> intensity_range_of(np.array([[7, 9]], np.uint8), "")
    (0.0, 255.0)
    >>> intensity_range_of(np.array([[100, 4195]], np.uint16), "")
    (100.0, 4195.0)
    """
    if array.dtype in (np.bool, np.uint8):
        return 0.0, 1.0 if array.dtype == np.bool else 255.0
    values = parted(array)[0] if array.ndim == 3 else array
    least, most = float(values.min()), float(values.max())
    if not (math.isfinite(least) and math.isfinite(most)):
        raise _not_finite(where, values)
    whole = array.dtype.kind in "iu"
    if not whole and least >= 0 and most <= 1:
        return 0.0, 1.0
    low, high = map(float, np.quantile(values, [TAIL, 1 - TAIL], method="nearest"))
    if low == high:
        low, high = least, most
    if low == high:
        high = low + 1
    if whole and high - low + 1 < FEW:
        text = "%s: no more than %d levels, from %g to %g: a dark or flat image; check the results"
        logger.warning(text, where, high - low + 1, low, high)
    return low, high


def check_type(shape: tuple[int, ...], dtype: np.dtype, where: str) -> None:
    """Refuses what `to_rgb` would, before anything is read.

    Raises:
      ValueError: another shape than (H, W[, 1 to 4]), no pixels, or another type.
    """
    if len(shape) not in (2, 3) or (len(shape) == 3 and not 1 <= shape[2] <= 4):
        raise ValueError(f"{where}: an array of shape {shape}; expected (H, W[, 1 to 4])")
    if 0 in shape:
        raise ValueError(f"{where}: an image of shape {shape} has no pixels")
    if dtype.kind not in "biuf":
        raise ValueError(f"{where}: an image of {dtype}; expected bool, integers or floats")


def _not_finite(where: str, values: np.ndarray) -> ValueError:
    return ValueError(
        f"{where}: an image with values that are no finite numbers (from {values.min()} to "
        f"{values.max()}); replace them"
    )


def parted(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Gray or colors (H, W, 1 or 3), and alpha (H, W) where there is one."""
    if array.shape[-1] in (2, 4):
        return array[..., :-1], array[..., -1]
    return array, None


def _most(dtype: np.dtype) -> float:
    """What full opacity is in numbers of this type."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
