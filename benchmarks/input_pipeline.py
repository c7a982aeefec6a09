"""How fast training samples are made, on one core, beside the limit: reading alone.

    python -m benchmarks.input_pipeline [--source='dsb2018(cache=False)' --root=FOLDER]

The first table is a chain: read a sample, cut, augment, encode the targets of each representation.
The second is the targets alone, of a patch of 256 x 256 pixels with 100 nuclei.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import natural
from jaxnuc import representations
from jaxnuc.cli.parser import source_section
from jaxnuc.data import transforms
from jaxnuc.data.splits import open_split
from jaxnuc.representations.targets.contours import contour_map
from jaxnuc.representations.targets.hover import hover_maps
from jaxnuc.representations.targets.stars import edt_probability, star_distances


def per_second(make: Callable[[int], Any], seconds: float) -> float:
    """Calls of `make(0)`, `make(1)`, ... in a second."""
    make(0)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += 1
        make(count)
    return count / (time.perf_counter() - start)


def chain(source: Any, size: int, augment: str, seconds: float) -> None:
    crop = transforms.parse([f"random_crop({size})"])
    full = transforms.parse([f"random_crop({size})", augment])
    encoders: dict[str, Callable[[np.ndarray], Any]] = {
        name: representations.create(name).encode for name in representations.REGISTRY.names()
    }

    def sample(index: int, steps: list[Any]) -> Any:
        rng = np.random.default_rng(index)
        return transforms.apply(steps, source[index % len(source)], rng)

    def encoded(encode: Callable[[np.ndarray], Any], index: int) -> Any:
        return encode(sample(index, full).instances)

    rows: dict[str, Callable[[int], Any]] = {
        "read": lambda i: source[i % len(source)],
        "read, cut": lambda i: sample(i, crop),
        "read, cut, augment": lambda i: sample(i, full),
    }
    for name, encode in encoders.items():
        rows[f"read, cut, augment, {name}"] = partial(encoded, encode)
    print(f"{source.name}: {len(source)} images, crops of {size}, augmented by {augment}")
    limit = 0.0
    for name, make in rows.items():
        rate = per_second(make, seconds)
        limit = limit or rate
        print(f"{name:<50} {rate:9.1f} samples/s {rate / limit:6.2f} of reading alone")


def targets() -> None:
    natural.SPACING = 25  # 100 nuclei in 256 x 256 pixels
    instances = natural.nuclei(256)
    rows: dict[str, Callable[[], Any]] = {
        "contour": lambda: contour_map(instances),
        "hv": lambda: hover_maps(instances),
        "EDT": lambda: edt_probability(instances),
        "32 rays": lambda: star_distances(instances, 32),
    }
    print(f"\ntargets of 256 x 256 pixels, {instances.max()} nuclei")
    for name, make in rows.items():
        times = []
        for _ in range(50):
            start = time.perf_counter()
            make()
            times.append(time.perf_counter() - start)
        print(f"{name:<50} {1e3 * min(times):9.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=source_section, default={"name": "synthetic"})
    parser.add_argument("--root", default="")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--augment", default="preset('he_medium')")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    source = open_split(options.source, options.root, "train")
    chain(source, options.size, options.augment, options.seconds)
    targets()


if __name__ == "__main__":
    main()
