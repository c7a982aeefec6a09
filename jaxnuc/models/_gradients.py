"""Convolution and pooling with gradients of their own on a CPU.

XLA takes the gradient of a convolution's kernel as a convolution whose window is a whole image,
and that of a maximum over windows one element at a time; on a CPU both take many times as long as
the forward pass. Values are XLA's in any case, and so are the gradients on accelerators.
"""

from collections.abc import Sequence
from functools import partial
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
# A block's patches should stay in the cache of one core: 2 MB in float32.
BLOCK_NUMBERS = 2**19

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
    """`lax.conv_general_dilated` for Linen, where the gradient of a large map's kernel is ours.

    That one is for reverse-mode differentiation only, as is any `jax.custom_vjp`.
    """
    (kh, kw, channels, features), (_, h, w, _) = kernel.shape, x.shape
    dilation = tuple(rhs_dilation or (1, 1))
    dense = set(window_strides) == {1} and set(lhs_dilation or (1,)) == {1}
    plain = others.get("feature_group_count", 1) == 1 and others.get("precision") is None
    # The sides of an exported network may be symbols; it is not differentiated.
    known = isinstance(h, int) and isinstance(w, int)
    large = known and h * w >= LEAST_PIXELS and max(channels, features) >= LEAST_CHANNELS
    if dense and plain and large and kh * kw > 1:
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, (kh, kw), strict=True)]
        if isinstance(padding, str):
            padding = lax.padtype_to_pads((h, w), reach, (1, 1), padding)
        (top, bottom), (left, right) = padding
        return _convolve(x, kernel, ((top, bottom), (left, right)), dilation)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides,
        padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        **{"dimension_numbers": LAYOUT, **others},
    )


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

    def by_blocks(x: Array, dy: Array) -> Array:
        sides = (kernel.shape[0], kernel.shape[1])
        return kernel_gradient(x, dy, sides, padding, dilation).astype(kernel.dtype)

    return dx, lax.platform_dependent(x, dy, cpu=by_blocks, default=by_xla)


_convolve.defvjp(_convolve_forward, _convolve_backward)


def kernel_gradient(
    x: Array, dy: Array, sides: tuple[int, int], padding: Padding, dilation: tuple[int, int]
) -> Array:
    """The gradient of the kernel of a convolution, `(*sides, C, D)`, float32 or wider.

    Args:
      x: its input, `(B, H, W, C)`.
      dy: the gradient of its output, `(B, H', W', D)`.
      sides: of the kernel.
      padding: of the input.
      dilation: of the kernel.
    """
    # Patches are made of the side with fewer channels, so that as little as can be is copied.
    if x.shape[-1] <= dy.shape[-1]:
        return correlate(x, dy, sides, padding, dilation)
    around = [
        (d * (k - 1) - low, d * (k - 1) - high)
        for k, d, (low, high) in zip(sides, dilation, padding, strict=True)
    ]
    return jnp.flip(correlate(dy, x, sides, around, dilation), (0, 1)).swapaxes(2, 3)


def correlate(
    a: Array,
    b: Array,
    sides: tuple[int, int],
    padding: Sequence[tuple[int, int]],
    dilation: tuple[int, int],
) -> Array:
    """Sum over all positions p of the outer products of `a[p + shift]` and `b[p]`, a block a time.

    Args:
      a: `(B, H, W, C)`, zero outside.
      b: `(B, H', W', D)`, `H' = H + padding - dilation[0] * (sides[0] - 1)`, and so for `W'`.
      sides: numbers of shifts down and right.
      padding: zeros before and behind the rows and columns of `a`; where negative, what is cut off.
      dilation: pixels from one shift to the next.

    Returns:
      `(*sides, C, D)`, float32 or wider.
    """
    (kh, kw), (count, h, w, features), channels = sides, b.shape, a.shape[-1]
    rows = min(max(1, BLOCK_NUMBERS // (w * kh * kw * channels)), h)
    blocks = -(-h // rows)
    # Rows of zeros fill the last block; they add nothing.
    fill = blocks * rows - h
    zero = jnp.zeros((), a.dtype)
    (top, bottom), (left, right) = padding
    a = lax.pad(a, zero, ((0, 0, 0), (top, bottom + fill, 0), (left, right, 0), (0, 0, 0)))
    b = jnp.pad(b, ((0, 0), (0, fill), (0, 0), (0, 0)))
    down, along = dilation
    dtype = jnp.promote_types(a.dtype, jnp.float32)

    def add_block(i: Array, total: Array) -> Array:
        image, first = i // blocks, i % blocks * rows
        height = rows + down * (kh - 1)
        part = lax.dynamic_slice(a, (image, first, 0, 0), (1, height, *a.shape[2:]))[0]
        shifted = [
            part[down * i : down * i + rows, along * j : along * j + w]
            for i in range(kh)
            for j in range(kw)
        ]
        patches = jnp.concatenate(shifted, axis=-1).reshape(rows * w, -1)
        own = lax.dynamic_slice(b, (image, first, 0, 0), (1, rows, w, features))
        return total + jnp.matmul(
            own.reshape(rows * w, features).T, patches, preferred_element_type=dtype
        )

    start = jnp.zeros((features, kh * kw * channels), dtype)
    total = lax.fori_loop(0, count * blocks, add_block, start)
    return total.T.reshape(kh, kw, channels, features)


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
