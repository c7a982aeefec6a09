"""HoVer-Net's targets: for each pixel of a nucleus, its distances to the center, scaled.

Source: Graham et al., HoVer-Net, 2019, and the code published with it.
"""

import cc3d
import numpy as np

from jaxnuc.postprocess.regions import regions
from jaxnuc.registry import one_of


def hover_maps(
    instances: np.ndarray,
    shape: tuple[int, int] | None = None,
    min_area: int = 30,
    border: str = "keep",
) -> np.ndarray:
    """Horizontal and vertical distances to the center of each nucleus, scaled to [-1, 1].

    The center is the rounded center of mass, from which coordinates count as in the published
    code: from 1, so that the zero line lies one pixel before it. The negative and the positive
    side are scaled each by its own extreme, of the whole nucleus, in the crop or not.

    Args:
      instances: (H, W) integer label map, 0 is background; ids need not be contiguous.
      shape: (h, w) of the center crop that the network predicts; None: all.
      min_area: nuclei with fewer pixels within the crop get zeros.
      border: `"keep"`: nuclei at the upper and left border are treated as all others;
        `"reference"`: those that begin in the first two rows or columns get zeros, as in the
        published code, where a box grown by 2 begins at a negative index there.

    Returns:
      (h, w, 2) float32, channel 0 horizontal (columns), 1 vertical (rows); 0 in the background.

    Raises:
      ValueError: the map is no label map, the crop is larger than it, or `border` is unknown.
    """
    one_of("border", border, ("keep", "reference"))
    found = regions(instances)
    height, width = instances.shape
    h, w = shape or (height, width)
    if h > height or w > width:
        raise ValueError(f"a crop of {(h, w)} pixels is larger than the map of {(height, width)}")
    top, left = (height - h) // 2, (width - w) // 2
    crop = instances[top : top + h, left : left + w]

    kept = np.zeros(len(found.ids), bool)
    inside = regions(crop)
    kept[np.searchsorted(found.ids, inside.ids)] = inside.areas >= min_area
    if border == "reference":
        kept &= (found.boxes[:, :2] >= 2).all(axis=1)

    place = np.searchsorted(found.ids, crop)
    place[crop == 0] = len(found.ids)  # behind the last: background
    maps = np.zeros((h, w, 2), np.float32)
    for channel, axis, start in ((0, 1, left), (1, 0, top)):
        center = np.floor(found.centroids[:, axis] + 0.5) - 1
        lowest, highest = found.boxes[:, axis] - center, found.boxes[:, axis + 2] - 1 - center
        # A side without pixels is never divided; nuclei that get zeros are scaled to nothing.
        below = np.append(np.where(kept, 1 / np.where(lowest < 0, -lowest, 1), 0), 0)
        above = np.append(np.where(kept, 1 / np.where(highest > 0, highest, 1), 0), 0)
        coordinate = np.expand_dims(np.arange((h, w)[axis]) + start, 1 - axis)
        offset = coordinate - np.append(center, 0)[place]
        maps[..., channel] = offset * np.where(offset < 0, below[place], above[place])
    return maps


def separate_components(instances: np.ndarray) -> np.ndarray:
    """Gives every further component of an id an id of its own, as mirrored padding makes them.

    Of an (H, W) int32 label map. The first 4-connected component of each id in raster order keeps
    it, the others get the next free ones, in the order of ids and then in raster order.
    """
    # Of several labels at once; cc3d's 4-connected parts are in raster order (see components).
    parts = cc3d.connected_components(np.ascontiguousarray(instances), connectivity=4)
    ids = np.zeros(int(parts.max(initial=0)) + 1, np.int64)
    ids[parts] = instances
    order = np.argsort(ids, kind="stable")  # by id, and within an id by first pixel
    repeated = np.append(False, np.diff(ids[order]) == 0)
    ids[order[repeated]] = ids.max() + 1 + np.arange(np.count_nonzero(repeated))
    return ids[parts].astype(np.int32)
