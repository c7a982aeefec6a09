"""What the digests of a checkpoint cost, as a share of the time in which it is saved.

    python -m benchmarks.checkpoints [--parameters=44] [--saves=5]

The state has random parameters and as many momenta, as SGD has them. Digests are computed while the
arrays are compressed and written, so the share is an upper bound of what a training waits longer.
"""

import argparse
import statistics
import tempfile
import time

import numpy as np
from flax import struct

from jaxnuc.run.checkpoints import Checkpoints
from jaxnuc.run.digests import of_arrays

SIZE = 2**20  # of an array


@struct.dataclass
class State:
    """As far as a checkpoint looks at it."""

    step: np.ndarray
    params: dict[str, np.ndarray]
    momenta: dict[str, np.ndarray]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=44, help="millions of them")
    parser.add_argument("--saves", type=int, default=5, help="of which the median is taken")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    number = round(arguments.parameters * 1e6 / SIZE)
    params, momenta = (
        {str(n): rng.standard_normal(SIZE, np.float32) for n in range(number)} for _ in range(2)
    )
    saving, digesting = [], []
    for step in range(arguments.saves):
        state = State(np.array(step, np.int32), params, momenta)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            with Checkpoints(folder) as checkpoints:
                checkpoints.save(state, {}, {}, None)
            saving.append(time.perf_counter() - began)
        began = time.perf_counter()
        of_arrays(state)
        digesting.append(time.perf_counter() - began)
    shares = [100 * one / other for one, other in zip(digesting, saving, strict=True)]
    print(
        f"saved in {statistics.median(saving):.2f} s, digests in {statistics.median(digesting):.3f}"
        f" s: {statistics.median(shares):.1f} % ({min(shares):.1f} to {max(shares):.1f} %)"
    )


if __name__ == "__main__":
    main()
