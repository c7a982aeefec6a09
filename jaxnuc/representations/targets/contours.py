"""Contour maps of label maps, as HARU-Net, AL-Net and DCAN are trained on them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from jaxnuc.io.polygons import line_pixels
from jaxnuc.postprocess import label_components
from jaxnuc.postprocess.filters import over_cross
from jaxnuc.postprocess.masks import Mask, masks_of
from jaxnuc.representations.targets.dominant_points import dominant_points, outer_contour

_REACH = 2  # pixels from a nucleus to the line around it


def inner_line(instances: Shaped[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The foreground pixels with a 4-neighbor of another id, of which the background is one.

    Of a label map or a mask; outside the image counts as the same id.
    """
    line = np.zeros(instances.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        change = instances[here] != instances[there]
        line[here] |= change
        line[there] |= change
    line &= instances > 0
    return line


def contour_map(instances: Integer[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """HARU-Net's band about the outlines: the inner line, grown one step right and down.

    The published code takes Canny edges of the ids modulo 256, where nuclei with equal remainders
    have no line between them; the growth is that of its 2x2 dilation.
    """
    line = inner_line(instances)
    band = line.copy()
    band[1:] |= line[:-1]
    band[:, 1:] |= line[:, :-1]
    band[1:, 1:] |= line[:-1, :-1]
    return band


def dcan_contour(instances: Integer[np.ndarray, "h w"], radius: int = 3) -> Bool[np.ndarray, "h w"]:
    """DCAN's contours: the dilation of each instance without its erosion, by a diamond.

    These are the pixels with more than one id, of which the background is one, within `radius`
    pixels of city-block distance. The border of the image is no contour.
    """
    lowest = highest = instances
    for _ in range(radius):
        lowest, highest = over_cross(np.minimum, lowest), over_cross(np.maximum, highest)
    return lowest != highest


def alnet_maps(
    instances: Integer[np.ndarray, "h w"],
    covered: Integer[np.ndarray, "h w d"] | None = None,
    max_instances: int | None = None,
    canny: bool = False,
    simplified: bool = True,
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """AL-Net's mask, in which nuclei do not touch, and the ring along their outlines.

    The published code draws the annotated polygons; here the nuclei's pixels take their place.

    Args:
      instances: label map, 0 is background.
      covered: what it hides of nuclei that overlap, see `jaxnuc.data.Sample`.
      max_instances: only the largest are kept; None keeps all.
      canny: the ring is that of the mask's Canny edges, as for MoNuSeg and BNS in the published
        code, and not that of the outlines.
      simplified: see `separated_mask`.

    Returns:
      Mask and ring.
    """
    nuclei = largest_first(instances, covered, max_instances)
    mask = separated_mask(nuclei, instances.shape, simplified)
    line = canny_line(mask) if canny else outlines(nuclei, instances.shape)
    return mask, over_cross(np.logical_or, line)


def largest_first(
    instances: Integer[np.ndarray, "h w"],
    covered: Integer[np.ndarray, "h w d"] | None = None,
    max_instances: int | None = None,
) -> list[Mask]:
    """The nuclei as masks by descending area, equal ones in the order of their ids."""
    _, masks = masks_of(instances, covered)
    return sorted(masks, key=lambda nucleus: -np.count_nonzero(nucleus.mask))[:max_instances]


def outlines(nuclei: Sequence[Mask], shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """The inner lines of nuclei in an image of `shape` (H, W), also where others cover them."""
    line = np.zeros(shape, bool)
    for nucleus in nuclei:
        window, own = _in_window(nucleus, shape, margin=1)
        line[window] |= inner_line(own)
    return line


def separated_mask(
    nuclei: Sequence[Mask], shape: tuple[int, ...], simplified: bool = True
) -> Bool[np.ndarray, "h w"]:
    """The union of nuclei, each surrounded by a line of background.

    One after the other a nucleus is painted, and then a line, one pixel wide, is taken out along
    the outer contour of the nucleus dilated twice by a cross of 3x3 pixels; it cuts those painted
    before. At the border of the image the line runs along the border and cuts the nucleus itself,
    as the contours of the published code do.

    Args:
      nuclei: the largest first; they may overlap.
      shape: (H, W) of the image.
      simplified: the line is the polygon through the contour's dominant points, as in the published
        code, which may cut off sharp tips of the nucleus itself; otherwise the whole contour.
    """
    mask = np.zeros(shape, bool)
    for nucleus in nuclei:
        window, own = _in_window(nucleus, shape, margin=_REACH)
        mask[window] |= own
        grown = own
        for _ in range(_REACH):
            grown = over_cross(np.logical_or, grown)
        parts = label_components(grown)
        for number in range(1, parts.max() + 1):
            contour = outer_contour(parts == number)
            corners = dominant_points(contour) if simplified else contour
            x, y = line_pixels(corners[:, ::-1], *grown.shape)
            mask[window][y, x] = False
    return mask


def _in_window(
    nucleus: Mask, shape: tuple[int, ...], margin: int
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The box of a nucleus and a margin, within the image, and the nucleus' pixels in it."""
    height, width = nucleus.mask.shape
    top, left = max(nucleus.row - margin, 0), max(nucleus.col - margin, 0)
    bottom = min(nucleus.row + height + margin, shape[0])
    right = min(nucleus.col + width + margin, shape[1])
    own = np.zeros((bottom - top, right - left), bool)
    row, col = nucleus.row - top, nucleus.col - left
    own[row : row + height, col : col + width] = nucleus.mask
    return np.s_[top:bottom, left:right], own


def canny_line(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The Canny edges of a mask (H, W) bool, by 3x3 Sobel slopes and the sum of their sizes.

    Along the slope, in the nearest of four directions, an edge pixel is steeper than the neighbor
    to the left or above and not less steep than the other; on diagonals it is steeper than both.
    Thresholds have no effect: of a mask times 255 a slope is 0 or above all that are in use.
    """
    height, width = mask.shape
    values = np.pad(mask, 1, mode="edge").astype(np.int32)
    by_row = values[:-2] + 2 * values[1:-1] + values[2:]
    by_col = values[:, :-2] + 2 * values[:, 1:-1] + values[:, 2:]
    across, down = by_row[:, 2:] - by_row[:, :-2], by_col[2:] - by_col[:-2]
    flat, steep = np.abs(down), np.abs(across)
    slopes = np.pad(flat + steep, 1)

    def steeper(row: int, col: int, strictly: bool) -> np.ndarray:
        before = slopes[1 - row :][:height, 1 - col :][:, :width]
        after = slopes[1 + row :][:height, 1 + col :][:, :width]
        own = slopes[1:-1, 1:-1]
        return (own > before) & ((own > after) if strictly else (own >= after))

    sector = np.tan(np.pi / 8)
    found = np.select(
        [flat < sector * steep, steep < sector * flat, across * down >= 0],
        [steeper(0, 1, False), steeper(1, 0, False), steeper(1, 1, True)],
        steeper(1, -1, True),
    )
    return found & (slopes[1:-1, 1:-1] > 0)
