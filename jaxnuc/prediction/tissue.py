"""Tissue on a slide: the network does not have to see the glass."""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from jaxnuc.postprocess.components import label_components

# Levels of 0 to 255. Glass is bright in all channels and nearly without color.
_GLASS_DARKNESS = 60
_GLASS_COLOR = 25
_FAINTEST_TISSUE = 20
# Share of the variance between two classes; that of a normal distribution cut in half is 0.64.
_BIMODAL = 0.72
_OUTLINE = (0, 170, 0)
# Pixels of the mask by which a box is widened, so that none is missed where the scale is rounded.
_MARGIN = 2


def tissue_mask(thumbnail: np.ndarray, smallest: int = 16) -> np.ndarray:
    """Separates tissue from glass on a stained slide in bright field.

    Otsu's threshold divides the pixels by the darkness of their darkest channel, which is low on
    glass and high on any stain; then it divides the lighter ones again, as long as their histogram
    has two modes, so that ink and dark tissue do not hide pale tissue. All is tissue if no class
    looks like glass: if there is one mode (a crop of tissue), if the lightest mode is dark or
    colored, or in a dark picture such as fluorescence. A picture without any stain (an empty slide)
    is all glass.

    Args:
      thumbnail: (h, w, 3) uint8 RGB, the slide at low resolution.
      smallest: specks of tissue and holes in it with fewer pixels are removed.

    Returns:
      (h, w) bool, true on tissue.

    Raises:
      ValueError: the thumbnail is not (h, w, 3) uint8.

    Example:
      >>> slide = np.full((40, 40, 3), 243, np.uint8)
      >>> slide[10:30, 10:30] = (200, 120, 180)
      >>> int(tissue_mask(slide).sum())
      400

    References:
      Otsu, A threshold selection method from gray-level histograms, 1979.
    """
    _check(thumbnail)
    darkness = 255 - thumbnail.min(axis=2)
    color = np.ptp(thumbnail, axis=2)
    everything = np.ones(darkness.shape, bool)
    light = everything
    while np.ptp(darkness[light]) >= _FAINTEST_TISSUE:
        lighter = light & (darkness <= threshold_otsu(darkness[light]))
        darker = light & ~lighter
        if _share_between(darkness[lighter], darkness[darker]) < _BIMODAL:
            break
        if _looks_like_glass(darkness[darker], color[darker]):
            break
        light = lighter
    uncertain = light is everything and np.ptp(darkness) >= _FAINTEST_TISSUE
    if uncertain or not _looks_like_glass(darkness[light], color[light]):
        return everything
    glass = label_components(light, smallest) > 0
    return label_components(~glass, smallest) > 0


def covered(mask: np.ndarray, box: tuple[int, int, int, int], scale: float) -> bool:
    """Whether a box of the image touches tissue.

    Args:
      mask: (h, w) bool of `tissue_mask`.
      box: half-open (row_min, col_min, row_max, col_max) in pixels of the image, as `Tile.box`.
      scale: pixels of the image in one pixel of the mask, along a side.

    Raises:
      ValueError: `scale` is not above 0.
    """
    if not scale > 0:
        raise ValueError(f"scale is {scale}; it must be above 0")
    top, left, bottom, right = (at / scale for at in box)
    rows = slice(max(0, int(top - _MARGIN)), max(0, int(np.ceil(bottom + _MARGIN))))
    cols = slice(max(0, int(left - _MARGIN)), max(0, int(np.ceil(right + _MARGIN))))
    return bool(mask[rows, cols].any())


def tissue_picture(thumbnail: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A thumbnail, (h, w, 3) uint8, with the tissue outlined in green and the glass darkened.

    Raises:
      ValueError: the thumbnail is not (h, w, 3) uint8, or the mask of another size.
    """
    _check(thumbnail)
    if mask.shape != thumbnail.shape[:2]:
        raise ValueError(f"the mask has {mask.shape}, the thumbnail {thumbnail.shape[:2]} pixels")
    picture = thumbnail.copy()
    picture[~mask] //= 2
    picture[ndimage.binary_dilation(mask) & ~mask] = _OUTLINE
    return picture


def _check(thumbnail: np.ndarray) -> None:
    if thumbnail.ndim != 3 or thumbnail.shape[2] != 3 or thumbnail.dtype != np.uint8:
        raise ValueError(
            f"a thumbnail must be (h, w, 3) uint8, is {thumbnail.shape} {thumbnail.dtype}"
        )


def _looks_like_glass(darkness: np.ndarray, color: np.ndarray) -> bool:
    return bool(np.mean(darkness) < _GLASS_DARKNESS and np.mean(color) < _GLASS_COLOR)


def _share_between(lower: np.ndarray, upper: np.ndarray) -> float:
    """Otsu's criterion: the variance between two classes as a share of the whole, in [0, 1]."""
    share = lower.size / (lower.size + upper.size)
    between = share * (1 - share) * float(upper.mean() - lower.mean()) ** 2
    within = share * float(lower.var()) + (1 - share) * float(upper.var())
    return between / (between + within)
