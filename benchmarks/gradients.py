"""Convolutions and pooling on a CPU: forward, and the gradients that XLA and this library take.

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python -m benchmarks.gradients

Prints two tables in Markdown, medians of milliseconds. The two gradients of kernels, and those of
pooling, are taken in turn, so that other work on the machine slows both.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax import Array, lax

from jaxnuc.models import _gradients

# Side of the map, channels in and out: of U-Nets with 16 and 32 channels at full resolution.
LAYERS = [
    *[(128, 3, 16), (128, 16, 16), (128, 32, 16), (64, 32, 32), (64, 64, 32), (32, 64, 64)],
    *[(32, 128, 64), (16, 128, 128), (128, 32, 32), (128, 64, 32), (64, 64, 64), (64, 128, 64)],
    *[(32, 128, 128), (32, 256, 128), (16, 256, 256)],
]
POOLS = [(128, 16), (128, 32), (64, 32), (32, 64)]


def medians(calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median milliseconds of compiled functions, called in turn."""
    for call in calls:
        jax.block_until_ready(call())
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(call())
            own.append(1e3 * (time.perf_counter() - start))
    return [float(np.median(own)) for own in times]


def xla(x: Array, kernel: Array) -> Array:
    """A 3x3 convolution with XLA's gradients."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_gradients.LAYOUT)


def xla_max_pool(x: Array) -> Array:
    """A 2x2 maximum with XLA's gradient."""
    return nn.max_pool(x, (2, 2), (2, 2), padding="SAME")


def ours(x: Array, dy: Array) -> Array:
    """The gradient of a 3x3 kernel by products of matrices, whatever the sizes."""
    one = (1, 1)
    return _gradients.kernel_gradient(x, dy, (3, 3), (one, one), one)


def convolution(side: int, channels: int, features: int, batch: int, repeats: int) -> list[float]:
    """Milliseconds forward, and of the gradients of the input, of the kernel by XLA and by ours."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (batch, side, side, channels))
    kernel = jax.random.normal(keys[1], (3, 3, channels, features))
    dy = jax.random.normal(keys[2], (batch, side, side, features))
    forward = jax.jit(xla)
    of_input = jax.jit(lambda dy: jax.vjp(lambda x: xla(x, kernel), x)[1](dy)[0])
    of_kernel = jax.jit(lambda x, dy: jax.vjp(lambda k: xla(x, k), kernel)[1](dy)[0])
    by_products = jax.jit(ours)
    return medians(
        [
            lambda: forward(x, kernel),
            lambda: of_input(dy),
            lambda: of_kernel(x, dy),
            lambda: by_products(x, dy),
        ],
        repeats,
    )


def pooling(side: int, channels: int, batch: int, repeats: int) -> list[float]:
    """Milliseconds of the gradient of a 2x2 maximum, by XLA and by ours."""
    keys = jax.random.split(jax.random.key(0), 2)
    x = nn.relu(jax.random.normal(keys[0], (batch, side, side, channels)))
    dy = jax.random.normal(keys[1], (batch, side // 2, side // 2, channels))
    pools = [
        jax.jit(lambda x, dy, pool=pool: jax.vjp(pool, x)[1](dy)[0])
        for pool in (xla_max_pool, _gradients.max_pool_ceil)
    ]
    return medians([partial(pool, x, dy) for pool in pools], repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    print("| side, channels in and out | forward | input | kernel, XLA | kernel, ours |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for layer in LAYERS:
        times = convolution(*layer, options.batch, options.repeats)
        print("|", ", ".join(map(str, layer)), *(f"| {t:.1f}" for t in times), "|", flush=True)
    print("\n| side, channels | gradient of pooling, XLA | ours |")
    print("| --- | ---: | ---: |")
    for pool in POOLS:
        times = pooling(*pool, options.batch, options.repeats)
        print("|", ", ".join(map(str, pool)), *(f"| {t:.1f}" for t in times), "|", flush=True)


if __name__ == "__main__":
    main()
