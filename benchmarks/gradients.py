"""Convolutions and pooling on a CPU: forward, and the gradients that XLA and this library take.

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python -m benchmarks.gradients

Prints three tables in Markdown, medians of milliseconds: 3x3 convolutions, those of single pixels,
and pooling. XLA's form and ours are taken in turn, so that other work on the machine slows both.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import jax
from flax import linen as nn
from jax import Array, lax

from benchmarks.timing import Call, medians
from jaxnuc.models import _gradients

# Side of the map, channels in and out: of U-Nets with 16 and 32 channels at full resolution.
LAYERS = [
    *[(128, 3, 16), (128, 16, 16), (128, 32, 16), (64, 32, 32), (64, 64, 32), (32, 64, 64)],
    *[(32, 128, 64), (16, 128, 128), (128, 32, 32), (128, 64, 32), (64, 64, 64), (64, 128, 64)],
    *[(32, 128, 128), (32, 256, 128), (16, 256, 256)],
]
# Of HoVer-Net's residual units, StarDist's rays and the heads of a U-Net.
PIXELS = [
    *[(128, 16, 1), (128, 64, 32), (128, 64, 256), (128, 256, 64), (64, 512, 128), (32, 1024, 256)],
    *[(16, 1024, 2048)],
]
POOLS = [(128, 16), (128, 32), (64, 32), (32, 64)]


def milliseconds(calls: Sequence[Call], repeats: int) -> list[float]:
    """Median milliseconds of compiled functions, called in turn."""
    named = {str(k): call for k, call in enumerate(calls)}
    return [1e3 * each for each in medians(named, repeats).values()]


def xla(x: Array, kernel: Array) -> Array:
    """A convolution with XLA's gradients."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_gradients.LAYOUT)


def xla_max_pool(x: Array) -> Array:
    """A 2x2 maximum with XLA's gradient."""
    return nn.max_pool(x, (2, 2), (2, 2), padding="SAME")


def ours(x: Array, dy: Array) -> Array:
    """The gradient of a 3x3 kernel by products of matrices, whatever the sizes."""
    one = (1, 1)
    return _gradients.kernel_gradient(x, dy, (3, 3), (one, one), one)


def arrays(
    side: int, channels: int, features: int, batch: int, width: int
) -> tuple[Array, Array, Array]:
    """An input, a kernel of `width` pixels, and a gradient of the output."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (batch, side, side, channels))
    kernel = jax.random.normal(keys[1], (width, width, channels, features))
    return x, kernel, jax.random.normal(keys[2], (batch, side, side, features))


def convolution(side: int, channels: int, features: int, batch: int, repeats: int) -> list[float]:
    """Milliseconds forward, and of the gradients of the input, of the kernel by XLA and by ours."""
    x, kernel, dy = arrays(side, channels, features, batch, 3)
    forward = jax.jit(xla)
    of_input = jax.jit(lambda dy: jax.vjp(lambda x: xla(x, kernel), x)[1](dy)[0])
    of_kernel = jax.jit(lambda x, dy: jax.vjp(lambda k: xla(x, k), kernel)[1](dy)[0])
    by_products = jax.jit(ours)
    return milliseconds(
        [
            lambda: forward(x, kernel),
            lambda: of_input(dy),
            lambda: of_kernel(x, dy),
            lambda: by_products(x, dy),
        ],
        repeats,
    )


def pixels(side: int, channels: int, features: int, batch: int, repeats: int) -> list[float]:
    """Milliseconds forward, of the input's gradient, of the kernel's: each by XLA and by ours."""
    x, kernel, dy = arrays(side, channels, features, batch, 1)
    calls: list[Call] = []
    forms = xla, partial(_gradients.convolve, window_strides=(1, 1), padding="SAME")
    for form in forms:
        calls.append(partial(jax.jit(form), x, kernel))
    for form in forms:
        of_input = lambda dy, form=form: jax.vjp(lambda x: form(x, kernel), x)[1](dy)[0]
        calls.append(partial(jax.jit(of_input), dy))
    for form in forms:
        of_kernel = lambda x, dy, form=form: jax.vjp(lambda k: form(x, k), kernel)[1](dy)[0]
        calls.append(partial(jax.jit(of_kernel), x, dy))
    return milliseconds(calls, repeats)


def pooling(side: int, channels: int, batch: int, repeats: int) -> list[float]:
    """Milliseconds of the gradient of a 2x2 maximum, by XLA and by ours."""
    keys = jax.random.split(jax.random.key(0), 2)
    x = nn.relu(jax.random.normal(keys[0], (batch, side, side, channels)))
    dy = jax.random.normal(keys[1], (batch, side // 2, side // 2, channels))
    pools = [
        jax.jit(lambda x, dy, pool=pool: jax.vjp(pool, x)[1](dy)[0])
        for pool in (xla_max_pool, _gradients.max_pool_ceil)
    ]
    return milliseconds([partial(pool, x, dy) for pool in pools], repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()

    def line(measure: Callable[..., list[float]], layer: tuple[int, ...]) -> None:
        times = measure(*layer, options.batch, options.repeats)
        print("|", ", ".join(map(str, layer)), *(f"| {t:.1f}" for t in times), "|", flush=True)

    print("| side, channels in and out | forward | input | kernel, XLA | kernel, ours |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for layer in LAYERS:
        line(convolution, layer)
    print("\n| side, channels in and out | forward, XLA | ours | input, XLA | ours ", end="")
    print("| kernel, XLA | ours |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for layer in PIXELS:
        line(pixels, layer)
    print("\n| side, channels | gradient of pooling, XLA | ours |")
    print("| --- | ---: | ---: |")
    for pool in POOLS:
        line(pooling, pool)


if __name__ == "__main__":
    main()
