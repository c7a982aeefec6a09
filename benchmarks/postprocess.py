"""How long post-processing takes, beside one pass that labels the connected components.

    python benchmarks/postprocess.py [--sizes=256,1000,2000,4000] [--rows=haru,literal]

The maps are what a perfect network would give for ellipses at the density of stained tissue, about
900 in 1000 x 1000 pixels. Times are the least of several calls, on one core; the two last columns
compare with the floors. `--rows` picks the rows with one of these words in their name. Literal
versions make a mask of each nucleus, as the papers are written and most code is; they run once, and
only up to the size at which they take less than a minute.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cc3d
import numpy as np
from natural import nuclei
from scipy import ndimage

from jaxnuc.postprocess.contour_growth import grow_from_contours
from jaxnuc.postprocess.regions import class_votes, fill_holes, regions

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
    centre = labels[2:-2, 2:-2]
    for row in range(5):
        for column in range(5):
            inside &= labels[row : row + size, column : column + size] == centre
    return centre > 0, (centre > 0) & ~inside


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


FLOORS = {
    "components, scipy": Row(mask, lambda mask: ndimage.label(mask, SQUARE)),
    "components, cc3d": Row(mask, lambda mask: cc3d.connected_components(mask, connectivity=8)),
}
ROWS = {
    "haru: growth": Row(mask_and_contour, lambda m, c: grow_from_contours(m, c, "drop")),
    "haru: growth, literal": Row(mask_and_contour, literal_growth, largest=1000, once=True),
    "regions": Row(instances, regions),
    "class votes": Row(instances_and_classes, class_votes),
    "fill holes": Row(instances, fill_holes),
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
