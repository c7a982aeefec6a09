"""How much memory a slide takes whatever its size, and how long the devices wait for the CPU.

    python -m benchmarks.slides --workdir=runs/a --tissue=slide.svs [--sides=4000,40000 --rows=2]

A slide of each size is made of repeated tissue, a crop of `--tissue` or of generated nuclei, and
the nuclei of its first rows of tiles are found, as `predict.py` does. Each runs in a process of its
own; shown are the peak memory of the network alone on a patch, then with all the rest, and that of
the process that decodes. The devices may work while they are waited for: the shares of waiting are
upper bounds.
"""

import argparse
import math
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import tifffile

CROP = 1024  # pixels of tissue that are repeated
MODEL_MPP = 0.25


def tissue(path: str | None) -> np.ndarray:
    """(CROP, CROP, 3) uint8."""
    from jaxnuc.data.sources import synthetic
    from jaxnuc.io import open_image

    if path is None:
        return synthetic.Source(size=CROP, styles=("he",))[0].image
    with open_image(path) as image:
        height, width = image.shape
        return image.read((height - CROP) // 2, (width - CROP) // 2, CROP, CROP)


def make(path: Path, side: int, crop: np.ndarray) -> None:
    """Writes a tiled TIFF of JPEG tiles, without holding it in memory."""

    def tiles() -> Iterator[np.ndarray]:
        for row in range(math.ceil(side / 256)):
            for col in range(math.ceil(side / 256)):
                top, left = row * 256 % CROP, col * 256 % CROP
                yield crop[top : top + 256, left : left + 256]

    tifffile.imwrite(
        path, tiles(), shape=(side, side, 3), dtype=np.uint8, tile=(256, 256),
        compression="jpeg", photometric="rgb", bigtiff=True,
        resolution=(1e4 / MODEL_MPP,) * 2, resolutionunit="CENTIMETER",
    )  # fmt: skip


def peak(process: int | str = "self") -> int:
    """MiB of memory that a process has held at most."""
    status = Path(f"/proc/{process}/status").read_text()  # resource counts the parent's for a child
    return int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1]) // 2**10


@contextmanager
def children() -> Iterator[list[int]]:
    """The peaks of the processes that this one starts, looked at now and then."""
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for process in multiprocessing.active_children():
                with suppress(FileNotFoundError, StopIteration):  # it has just ended
                    seen.append(peak(process.pid or "self"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def measure(workdir: str, path: str, rows: int) -> None:
    """Finds the nuclei of the first rows of tiles, and prints what it took."""
    import jaxnuc
    from jaxnuc.io import at_mpp, open_image
    from jaxnuc.prediction.batches import BatchRunner
    from jaxnuc.prediction.patches import OVERLAP, PATCH, TILE
    from jaxnuc.prediction.stream import predict_rows
    from jaxnuc.prediction.tiles import Tiling

    predictor = jaxnuc.load(workdir)
    predictor.maps(np.zeros((PATCH, PATCH, 3), np.uint8))
    network = peak()
    runner = BatchRunner(predictor, size=1)
    with open_image(path) as image, children() as peaks:
        view = at_mpp(image, MODEL_MPP)
        tiling = Tiling(view.shape, TILE, OVERLAP)
        rows = min(rows, tiling.grid[0])
        start, nuclei = time.perf_counter(), 0
        for _, found in predict_rows(view, tiling, range(rows), runner, patch=PATCH, workers=1):
            nuclei += len(found)
    seconds = time.perf_counter() - start
    tiles, decoding = runner.seconds["tiles"], runner.seconds["decoding"]
    print(
        f"{view.shape[0]:>6} px a side, {rows} of {tiling.grid[0]} rows of {tiling.grid[1]} tiles: "
        f"{nuclei} nuclei in {seconds:.1f} s; the devices wait at most {tiles:.1f} s for tiles and "
        f"{decoding:.1f} s for decoding, {(tiles + decoding) / seconds:.1%}; peak memory "
        f"{network} MiB, {peak()} MiB, decoding {max(peaks)} MiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True, help="of train.py")
    parser.add_argument("--tissue", help="image or slide to take the tissue from")
    parser.add_argument("--sides", default="4000,40000", help="of the slides, in pixels")
    parser.add_argument("--rows", type=int, default=2, help="of tiles that are predicted")
    parser.add_argument("--slide", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.slide:
        measure(given.workdir, given.slide, given.rows)
        return
    crop = tissue(given.tissue)
    arguments = [f"--workdir={given.workdir}", f"--rows={given.rows}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "slide.tif")
        for side in map(int, given.sides.split(",")):
            make(path, side, crop)
            subprocess.run([sys.executable, __file__, f"--slide={path}", *arguments], check=True)


if __name__ == "__main__":
    main()
