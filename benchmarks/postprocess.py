"""How long post-processing takes, beside one pass that labels the connected components.

    python -m benchmarks.postprocess [--sizes=256,1000,2000,4000] [--rows=haru,literal]

The maps are what a perfect network would give for ellipses at the density of stained tissue, about
900 in 1000 x 1000 pixels. Times are the least of several calls, on one core; the two last columns
compare with the floors. `--rows` picks the rows with one of these words in their name. Literal
versions make a mask of each nucleus, as the papers are written and most code is; they run once, and
only up to the size at which they take less than a minute. The row with OpenCV wants
`pip install opencv-python-headless`.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cc3d
import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from benchmarks.natural import nuclei
from jaxnuc import postprocess

SQUARE = np.ones((3, 3), bool)


class Row(NamedTuple):
    """What is timed: `run(*setup(size))`, setup not counted."""

    setup: Callable[[int], tuple[Any, ...]]
    run: Callable[..., Any]
    largest: int | None = None  # pixels a side; it takes more than a minute above
    once: bool = False


def mask(size: int) -> tuple[np.ndarray]:
    return (nuclei(size) > 0,)


def instances(size: int) -> tuple[np.ndarray]:
    return (nuclei(size),)


def instances_and_classes(size: int) -> tuple[np.ndarray, np.ndarray]:
    labels = nuclei(size)
    return labels, np.where(labels > 0, labels % 5 + 1, 0)


def mask_and_contour(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Contours are the pixels of a nucleus at most 2 from its outside."""
    labels = np.pad(nuclei(size), 2)
    inside = np.ones((size, size), bool)
    center = labels[2:-2, 2:-2]
    for row in range(5):
        for column in range(5):
            inside &= labels[row : row + size, column : column + size] == center
    return center > 0, (center > 0) & ~inside


def probabilities(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Soft versions of mask and contour."""
    mask, contour = mask_and_contour(size)
    blurred = [ndimage.gaussian_filter(m.astype(np.float32), 0.7) for m in (mask, contour)]
    return blurred[0].clip(0, 1), blurred[1].clip(0, 1)


def probability_and_hv(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the center of each nucleus, scaled to [-1, 1] on either side."""
    labels = nuclei(size)
    found = postprocess.regions(labels)
    place = np.searchsorted(found.ids, labels)
    hv = np.zeros((size, size, 2), np.float32)
    for channel, axis in ((0, 1), (1, 0)):
        offset = np.indices(labels.shape)[axis] - np.append(found.centroids[:, axis], 0)[place]
        reach = np.append(found.boxes[:, axis + 2] - found.boxes[:, axis], 1)[place] / 2
        hv[..., channel] = np.where(labels > 0, offset / reach, 0).clip(-1, 1)
    hv += np.random.default_rng(0).normal(0, 0.02, hv.shape).astype(np.float32)
    return probabilities(size)[0], hv


def chessboard_distance(size: int) -> tuple[np.ndarray]:
    mask, contour = mask_and_contour(size)
    return (ndimage.distance_transform_cdt(mask & ~contour).astype(np.float32),)


def candidates(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n polygons of 32 rays in descending order of score: about 100 for each nucleus."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(n / 100)))
    own = np.arange(n) % side**2
    centers = np.stack(np.divmod(own, side), axis=1) * 25.0 + 25
    points = np.round((centers + rng.normal(0, 4, (n, 2))) / 2) * 2
    away, angles = points - centers, 2 * np.pi * np.arange(32) / 32
    distances = 12 - away[:, :1] * np.sin(angles) - away[:, 1:] * np.cos(angles)
    distances = np.maximum(distances * rng.normal(1, 0.03, distances.shape), 1)
    scores = np.exp(-(away**2).sum(axis=1) / 50) * rng.uniform(0.9, 1, n)
    order = np.argsort(-scores)
    return points[order], distances[order], scores[order]


def candidates_of_pixels(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As many candidates as StarDist has at this size: 20,000 in 1000 x 1000 pixels on grid 2."""
    return candidates(20_000 * size**2 // 10**6)


def survivors(size: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    points, distances, scores = candidates_of_pixels(size)
    kept = postprocess.non_maximum_suppression(points, distances, scores, nms_thresh=0.4).kept
    return points[kept], distances[kept], (size, size)


def literal_growth(mask: np.ndarray, contour: np.ndarray) -> np.ndarray:
    labels, n = ndimage.label(mask & ~contour, SQUARE)
    changed = True
    while changed:
        changed = False
        for number in range(1, n + 1):
            grown = ndimage.binary_dilation(labels == number, SQUARE) & mask & (labels == 0)
            labels[grown] = number
            changed |= bool(grown.any())
    return labels


def without_small(mask: np.ndarray) -> np.ndarray:
    """The components of at least 10 pixels."""
    return remove_small_objects(label(mask, connectivity=1), max_size=9)


def scaled(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min())


def hover_with_opencv(probability: np.ndarray, hv: np.ndarray) -> np.ndarray:
    """HoVer-Net's steps by the libraries of its authors: OpenCV, SciPy, scikit-image."""
    import cv2

    blob = (without_small(probability >= 0.5) > 0).astype(np.float64)
    slopes = [
        cv2.Sobel(scaled(hv[..., axis]), cv2.CV_64F, 1 - axis, axis, ksize=21) for axis in (0, 1)
    ]
    overall = np.maximum(*(1 - scaled(slope) for slope in slopes))
    overall = np.maximum(overall - (1 - blob), 0)
    relief = -cv2.GaussianBlur((1 - overall) * blob, (3, 3), 0)
    marker = ndimage.binary_fill_holes(np.maximum(blob - (overall >= 0.4), 0)).astype(np.uint8)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    marker = without_small(cv2.morphologyEx(marker, cv2.MORPH_OPEN, ellipse))
    return watershed(relief, marker, mask=blob > 0)


FLOORS = {
    "components, scipy": Row(mask, lambda mask: ndimage.label(mask, SQUARE)),
    "components, cc3d": Row(mask, lambda mask: cc3d.connected_components(mask, connectivity=8)),
}
ROWS = {
    "haru: growth": Row(
        mask_and_contour, lambda m, c: postprocess.grow_from_contours(m, c, "drop")
    ),
    "haru: growth, literal": Row(mask_and_contour, literal_growth, largest=1000, once=True),
    "hover: watershed": Row(probability_and_hv, postprocess.hover_watershed),
    "hover: watershed, with OpenCV": Row(probability_and_hv, hover_with_opencv),
    "stardist: suppression": Row(
        candidates_of_pixels,
        lambda *c: postprocess.non_maximum_suppression(*c, nms_thresh=0.4),
    ),
    "stardist: rendering": Row(survivors, postprocess.render_polygons),
    "necks": Row(lambda size: probabilities(size)[:1], postprocess.split_at_necks),
    "cnseg: overlaps": Row(probabilities, postprocess.separate_overlaps),
    "dist: dynamic watershed": Row(chessboard_distance, postprocess.dynamic_watershed),
    "dcan: inside contours": Row(probabilities, postprocess.label_inside_contours),
    "regions": Row(instances, postprocess.regions),
    "class votes": Row(instances_and_classes, postprocess.class_votes),
    "fill holes": Row(instances, postprocess.fill_holes),
}


def seconds(row: Row, size: int) -> float:
    """Least time of a call: of several in about a second."""
    inputs = row.setup(size)
    # Once as much as this has been freed, the allocator keeps memory between calls, as it does in
    # a process that has held the output of a network.
    np.ones(30 << 20, np.uint8)
    times: list[float] = []
    while not times or (not row.once and len(times) < 50 and sum(times) < 1):
        start = time.perf_counter()
        row.run(*inputs)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="256,1000,2000,4000")
    parser.add_argument("--rows", default="", help="words, separated by commas")
    given = parser.parse_args()
    words = given.rows.split(",")
    rows = {name: row for name, row in ROWS.items() if any(word in name for word in words)}
    if not rows:
        parser.error(f"no row has {given.rows!r} in its name; rows: {', '.join(ROWS)}")

    print(f"{'size':>5} {'':<32} {'ms':>10} {'ns/pixel':>9} {'x scipy':>8} {'x cc3d':>8}")
    for size in map(int, given.sizes.split(",")):
        floors = [seconds(row, size) for row in FLOORS.values()]
        for name, row in (FLOORS | rows).items():
            if row.largest is not None and size > row.largest:
                print(f"{size:5} {name:<32} over a minute: not run above {row.largest}")
                continue
            taken = seconds(row, size)
            ratios = " ".join(f"{taken / floor:8.1f}" for floor in floors)
            print(f"{size:5} {name:<32} {1e3 * taken:10.2f} {1e9 * taken / size**2:9.2f} {ratios}")


if __name__ == "__main__":
    main()
