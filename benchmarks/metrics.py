"""How long scores take, beside the least there is to do and beside a loop over nuclei.

    python -m benchmarks.metrics [--sizes=256,1000,2000,4000]

The images hold ellipses at the density of stained tissue, about 900 in 1000 x 1000 pixels, and a
prediction that moves, resizes and misses some. The floor is one pass that counts label pairs, on
maps whose ids are 1..n. The loop makes a mask of each nucleus, as most packages do. Times are the
least of several runs on one core.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.natural import nuclei, perturbed
from benchmarks.timing import seconds
from jaxnuc.metrics import contingency_table, score

LOOP_UP_TO = 1000  # pixels a side; its cost grows with pixels x nuclei


def count_pairs(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    width = int(prediction.max()) + 1
    return np.bincount(truth.ravel().astype(np.int64) * width + prediction.ravel())


def loop_over_nuclei(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, float, float]:
    """Dice, AJI and PQ with a mask of each instance: no AJI+, which needs the same table."""
    truths = {i: truth == i for i in np.unique(truth) if i}
    predictions = {i: prediction == i for i in np.unique(prediction) if i}
    shared, total, iou_sum, tp, taken = 0, 0, 0.0, 0, set()
    for mask in truths.values():
        best, parts = 0.0, (0, int(mask.sum()))
        for other in np.unique(prediction[mask]):
            if other:
                both = int((mask & predictions[other]).sum())
                either = int((mask | predictions[other]).sum())
                if both / either > best:
                    best, parts, chosen = both / either, (both, either), other
        if best:
            taken.add(chosen)
        if best > 0.5:
            iou_sum, tp = iou_sum + best, tp + 1
        shared, total = shared + parts[0], total + parts[1]
    total += sum(int(mask.sum()) for i, mask in predictions.items() if i not in taken)
    foreground, found = truth > 0, prediction > 0
    dice = 2 * (foreground & found).sum() / (foreground.sum() + found.sum())
    return dice, shared / total, 2 * iou_sum / (len(truths) + len(predictions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="256,1000,2000,4000")
    sizes = [int(size) for size in parser.parse_args().sizes.split(",")]
    print(f"{'size':>5} {'nuclei':>6} {'':<34} {'ms':>9} {'ns/pixel':>9} {'x floor':>8}")
    for size in sizes:
        maps = truth, _ = nuclei(size), perturbed(size)
        rows: dict[str, tuple[Callable[[], object], int]] = {
            "floor: one pass that counts pairs": (partial(count_pairs, *maps), 15),
            "contingency table": (partial(contingency_table, *maps), 15),
            "all scores": (partial(score, *maps), 15),
        }
        if size <= LOOP_UP_TO:
            rows["loop over nuclei (Dice, AJI, PQ)"] = (partial(loop_over_nuclei, *maps), 1)
            ours = score(*maps)
            expected = (ours.dice, ours.aji, ours.pq)
            np.testing.assert_allclose(loop_over_nuclei(*maps), expected, rtol=1e-12)
        times = {name: min(seconds(*row)) for name, row in rows.items()}
        floor = next(iter(times.values()))
        for name, t in times.items():
            print(
                f"{size:>5} {truth.max():>6} {name:<34} {1e3 * t:>9.3f} {1e9 * t / size**2:>9.2f} "
                f"{t / floor:>8.2f}"
            )


if __name__ == "__main__":
    main()
