"""Contour maps of label maps, as HARU-Net, AL-Net and DCAN are trained on them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from jaxnuc.postprocess import label_components, regions
from jaxnuc.postprocess.filters import over_cross
from jaxnuc.postprocess.masks import Mask, paint

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
    instances: np.ndarray, max_instances: int | None = None, canny: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """AL-Net's mask, in which nuclei do not touch, and the ring along their outlines.

    The published code draws the annotated polygons; here the instances' pixels take their place.

    Args:
      instances: (H, W) integer label map.
      max_instances: only the largest are kept; None keeps all.
      canny: the ring is that of the mask's Canny edges, as for MoNuSeg and BNS in the published
        code, and not that of the outlines.

    Returns:
      Mask and ring, (H, W) bool.
    """
    nuclei = largest_first(instances, max_instances)
    mask = separated_mask(nuclei, instances.shape)
    line = canny_line(mask) if canny else inner_line(paint(nuclei, mask.shape))
    return mask, over_cross(np.logical_or, line)


def largest_first(instances: np.ndarray, max_instances: int | None = None) -> list[Mask]:
    """The instances (H, W) as masks by descending area, equal ones in the order of their ids."""
    found = regions(instances)
    masks = []
    for k in np.argsort(-found.areas, kind="stable")[:max_instances].tolist():
        row, col, end_row, end_col = found.boxes[k].tolist()
        masks.append(Mask(row, col, instances[row:end_row, col:end_col] == found.ids[k]))
    return masks


def separated_mask(nuclei: Sequence[Mask], shape: tuple[int, ...]) -> np.ndarray:
    """The union of nuclei, each surrounded by a line of background.

    One after the other a nucleus is painted, and then a line, one pixel wide, is taken out along
    the outer contour of the nucleus dilated twice by a cross of 3x3 pixels; it cuts those painted
    before. At the border of the image the line runs along the border and cuts the nucleus itself,
    as the contours of the published code do.

    Args:
      nuclei: the largest first; they may overlap.
      shape: (H, W) of the image.
    """
    mask = np.zeros(shape, bool)
    for row, col, nucleus in nuclei:
        end_row, end_col = row + nucleus.shape[0], col + nucleus.shape[1]
        mask[row:end_row, col:end_col] |= nucleus
        top, left = max(row - _REACH, 0), max(col - _REACH, 0)
        window = mask[top : end_row + _REACH, left : end_col + _REACH]
        grown = np.zeros(window.shape, bool)
        grown[row - top : end_row - top, col - left : end_col - left] = nucleus
        for _ in range(_REACH):
            grown = over_cross(np.logical_or, grown)
        framed = np.ones((window.shape[0] + 2, window.shape[1] + 2), bool)
        np.logical_not(grown, out=framed[1:-1, 1:-1])
        outside = label_components(framed, connectivity=1) == 1  # holes are later components
        window[grown & over_cross(np.logical_or, outside)[1:-1, 1:-1]] = False
    return mask


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
