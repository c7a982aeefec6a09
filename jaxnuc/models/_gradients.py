"""Convolution and pooling that are faster on a CPU; accelerators compute what XLA makes of them.

XLA takes the gradient of a convolution's kernel as a convolution whose window is a whole image,
and that of a maximum over windows one element at a time; on a CPU both take many times as long as
the forward pass. A convolution of single pixels is a product of matrices, and so are its gradients.
"""

from collections.abc import Sequence
from functools import partial, reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array

from jaxnuc.models.base import AnyArray, FeatureMap

LAYOUT = ("NHWC", "HWIO", "NHWC")
# XLA's form is as fast on smaller maps and with fewer channels (docs/performance.md).
LEAST_PIXELS = 32 * 32
LEAST_CHANNELS = 17
# What a product of matrices reads should stay in the cache, 4 MB in float32; more products than
# these would take long to compile.
PART_NUMBERS = 2**20
MOST_PARTS = 8

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolve(
    x: AnyArray,
    kernel: AnyArray,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    **others: Any,
) -> Array:
    """`lax.conv_general_dilated` for Linen, by products of matrices where those are faster.

    Differentiable in reverse mode only, as is any `jax.custom_vjp`.
    """
    (kh, kw, channels, features), (_, h, w, _) = kernel.shape, x.shape
    dilation = tuple(rhs_dilation or (1, 1))
    plain = others.get("feature_group_count", 1) == 1 and others.get("precision") is None
    plain &= set(lhs_dilation or (1,)) == {1}
    unpadded = isinstance(padding, str) or {n for pair in padding for n in pair} == {0}
    if plain and kh * kw == 1 and unpadded:
        return _convolve_pixels(x, kernel, tuple(window_strides))
    dense = set(window_strides) == {1}
    # The sides of an exported network may be symbols; it is not differentiated.
    known = isinstance(h, int) and isinstance(w, int)
    large = known and h * w >= LEAST_PIXELS and max(channels, features) >= LEAST_CHANNELS
    if dense and plain and large:
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, (kh, kw), strict=True)]
        if isinstance(padding, str):
            padding = lax.padtype_to_pads((h, w), reach, (1, 1), padding)
        rows, columns = ((int(before), int(after)) for before, after in padding)
        return _convolve(x, kernel, (rows, columns), dilation)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides,
        padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        **{"dimension_numbers": LAYOUT, **others},
    )


def _pixels_by_xla(x: AnyArray, kernel: AnyArray, strides: tuple[int, int]) -> Array:
    return lax.conv_general_dilated(x, kernel, strides, "VALID", dimension_numbers=LAYOUT)


def _pixels_by_product(x: AnyArray, kernel: AnyArray, strides: tuple[int, int]) -> Array:
    x = x[:, :: strides[0], :: strides[1]]
    # XLA computes products in two dimensions itself, those in more by a library that copies.
    pixels = x.reshape(-1, x.shape[-1])
    return lax.dot(pixels, kernel[0, 0]).reshape(*x.shape[:-1], -1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_pixels(x: AnyArray, kernel: AnyArray, strides: tuple[int, int]) -> Array:
    """Convolution with a kernel of one pixel."""
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(_pixels_by_product, strides=strides),
        default=partial(_pixels_by_xla, strides=strides),
    )


def _convolve_pixels_forward(
    x: AnyArray, kernel: AnyArray, strides: tuple[int, int]
) -> tuple[Array, tuple[AnyArray, AnyArray]]:
    return _convolve_pixels(x, kernel, strides), (x, kernel)


def _convolve_pixels_backward(
    strides: tuple[int, int], saved: tuple[AnyArray, AnyArray], dy: Array
) -> tuple[Array, Array]:
    by_product = partial(_pixels_by_product, strides=strides)
    by_xla = partial(_pixels_by_xla, strides=strides)
    return lax.platform_dependent(
        *saved,
        dy,
        cpu=lambda x, kernel, dy: jax.vjp(by_product, x, kernel)[1](dy),
        default=lambda x, kernel, dy: jax.vjp(by_xla, x, kernel)[1](dy),
    )


_convolve_pixels.defvjp(_convolve_pixels_forward, _convolve_pixels_backward)


def _xla(x: AnyArray, kernel: AnyArray, padding: Padding, dilation: tuple[int, int]) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, rhs_dilation=dilation, dimension_numbers=LAYOUT
    )


_convolve = partial(jax.custom_vjp, nondiff_argnums=(2, 3))(_xla)


def _convolve_forward(
    x: AnyArray, kernel: AnyArray, padding: Padding, dilation: tuple[int, int]
) -> tuple[Array, tuple[AnyArray, AnyArray]]:
    return _xla(x, kernel, padding, dilation), (x, kernel)


def _convolve_backward(
    padding: Padding, dilation: tuple[int, int], saved: tuple[AnyArray, AnyArray], dy: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    dx = jax.vjp(lambda x: _xla(x, kernel, padding, dilation), x)[1](dy)[0]

    def by_xla(x: Array, dy: Array) -> Array:
        return jax.vjp(lambda k: _xla(x, k, padding, dilation), kernel)[1](dy)[0]

    def by_products(x: Array, dy: Array) -> Array:
        sides = (kernel.shape[0], kernel.shape[1])
        return kernel_gradient(x, dy, sides, padding, dilation).astype(kernel.dtype)

    return dx, lax.platform_dependent(x, dy, cpu=by_products, default=by_xla)


_convolve.defvjp(_convolve_forward, _convolve_backward)


def kernel_gradient(
    x: Array, dy: Array, sides: tuple[int, int], padding: Padding, dilation: tuple[int, int]
) -> Array:
    """The gradient of the kernel of a convolution, `(*sides, C, D)`, float32 or wider.

    It is a product of matrices: the input, each pixel beside its neighbors along the row, with the
    gradients, each beside those of other rows. The pairs of the two are all shifts of the kernel,
    and `kw` copies of the one and `kh` of the other are made, not `kh * kw`.

    Args:
      x: its input, `(B, H, W, C)`.
      dy: the gradient of its output, `(B, H', W', D)`.
      sides: of the kernel, `(kh, kw)`.
      padding: of the input.
      dilation: of the kernel.
    """
    (kh, kw), (count, _, _, features), channels = sides, dy.shape, x.shape[-1]
    numbers = (x.size * kw + dy.size * kh) // count  # of an image
    each = max(1, PART_NUMBERS // numbers, -(-count // MOST_PARTS))
    parts = [
        _product(x[i : i + each], dy[i : i + each], sides, padding, dilation)
        for i in range(0, count, each)
    ]
    return reduce(add, parts).reshape(kw, channels, kh, features).transpose(2, 0, 1, 3)


@partial(jax.jit, static_argnums=(2, 3, 4))  # traced once for all parts
def _product(
    x: Array, dy: Array, sides: tuple[int, int], padding: Padding, dilation: tuple[int, int]
) -> Array:
    """The gradient of a kernel as `(kw * C, kh * D)`."""
    down, along = (d * (k - 1) for d, k in zip(dilation, sides, strict=True))
    (top, bottom), (left, right) = padding
    columns = [dilation[1] * j for j in range(sides[1])]
    rows = [dilation[0] * i for i in range(sides[0])]
    inputs = _beside(x, [((top, bottom), (left - j, right - along + j)) for j in columns])
    slopes = _beside(dy, [((i, down - i), (0, 0)) for i in rows])
    return lax.dot_general(
        inputs.reshape(-1, inputs.shape[-1]),
        slopes.reshape(-1, slopes.shape[-1]),
        (((0,), (0,)), ((), ())),
        preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )


def _beside(maps: Array, pads: Sequence[Padding]) -> Array:
    """Maps `(B, H, W, C)`, padded in several ways (cut off where negative), one beside the other.

    A sum of padded maps, which XLA computes at once; a concatenation takes longer.
    """
    channels, zero = maps.shape[-1], jnp.zeros((), maps.dtype)
    places = [(k * channels, (len(pads) - 1 - k) * channels) for k in range(len(pads))]
    return reduce(
        add,
        (
            lax.pad(maps, zero, [(0, 0, 0), (*rows, 0), (*columns, 0), (*place, 0)])
            for (rows, columns), place in zip(pads, places, strict=True)
        ),
    )


def _xla_max_pool(x: AnyArray) -> Array:
    return nn.max_pool(x, (2, 2), (2, 2), padding="SAME")


@jax.custom_vjp
def max_pool_ceil(x: FeatureMap) -> Array:
    """2x2 maximum, stride 2; an odd side keeps its last row or column: `(B, ceil(H/2), ...)`.

    Of equal numbers the first gets the gradient, as XLA has it. Reverse-mode differentiation only.
    """
    return _xla_max_pool(x)


def _max_pool_forward(x: AnyArray) -> tuple[Array, tuple[AnyArray, AnyArray]]:
    y = _xla_max_pool(x)
    return y, (x, y)


def _max_pool_backward(saved: tuple[AnyArray, AnyArray], dy: Array) -> tuple[Array]:
    def by_xla(x: Array, y: Array, dy: Array) -> Array:
        return jax.vjp(_xla_max_pool, x)[1](dy)[0]

    def by_comparison(x: Array, y: Array, dy: Array) -> Array:
        b, h, w, c = x.shape
        odd = ((0, 0), (0, h % 2), (0, w % 2), (0, 0))
        windows = jnp.pad(x, odd, constant_values=-jnp.inf)
        windows = windows.reshape(b, (h + 1) // 2, 2, (w + 1) // 2, 2, c)
        free = jnp.ones(y.shape, bool)
        rows = []
        for i in range(2):
            row = []
            for j in range(2):
                hit = free & (windows[:, :, i, :, j] == y)
                free &= ~hit
                row.append(jnp.where(hit, dy, 0))
            rows.append(jnp.stack(row, axis=3))
        dx = jnp.stack(rows, axis=2).reshape(b, h + h % 2, w + w % 2, c)
        return dx[:, :h, :w]

    return (lax.platform_dependent(*saved, dy, cpu=by_comparison, default=by_xla),)


max_pool_ceil.defvjp(_max_pool_forward, _max_pool_backward)
