"""Gradients of our own on a CPU, against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.test_util import check_grads

from jaxnuc.models import _gradients
from jaxnuc.models._gradients import LAYOUT, convolve, kernel_gradient, max_pool_ceil
from jaxnuc.models._normalization import BatchNorm

CASES = {  # shape of the images, of the kernel, padding, dilation
    "wide input": ((2, 33, 37, 20), (3, 3, 20, 8), "SAME", 1),
    "wide output": ((2, 40, 41, 8), (5, 3, 8, 20), "SAME", 1),
    "valid, wide input": ((2, 40, 41, 20), (5, 3, 20, 8), "VALID", 2),
    "valid, wide output": ((2, 40, 41, 8), (5, 3, 8, 20), "VALID", 2),
    "dilated": ((1, 64, 64, 20), (3, 3, 20, 24), ((2, 2), (2, 2)), 2),
    "even": ((2, 40, 40, 18), (4, 4, 18, 3), "SAME", 1),
    "padded by more than the window": ((2, 40, 40, 18), (4, 4, 18, 3), ((0, 5), (3, 0)), 1),
    "large": ((1, 200, 150, 18), (3, 3, 18, 20), "SAME", 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_gradients_of_a_convolution_are_those_of_xla(case):
    shape, kernel_shape, padding, dilation = case
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=kernel_shape))
    dilation = (dilation, dilation)

    def ours(x, kernel):
        return convolve(x, kernel, (1, 1), padding, rhs_dilation=dilation)

    def xla(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (1, 1), padding, rhs_dilation=dilation, dimension_numbers=LAYOUT
        )

    y, ours_back = jax.vjp(ours, x, kernel)
    expected, xla_back = jax.vjp(xla, x, kernel)
    np.testing.assert_array_equal(y, expected)
    dy = jnp.asarray(rng.normal(size=y.shape))
    (dx, dk), (dx_xla, dk_xla) = ours_back(dy), xla_back(dy)
    np.testing.assert_array_equal(dx, dx_xla)
    np.testing.assert_allclose(dk, dk_xla, rtol=0, atol=1e-5 * np.abs(dk_xla).max())


PIXELS = {  # shape of the images, of the kernel, strides, padding
    "one": ((2, 5, 7, 3), (1, 1, 3, 4), (1, 1), "SAME"),
    "strides": ((2, 5, 8, 3), (1, 1, 3, 4), (2, 2), "SAME"),
    "strides that differ": ((1, 7, 9, 3), (1, 1, 3, 2), (3, 2), "VALID"),
    "no padding": ((1, 4, 4, 3), (1, 1, 3, 1), (1, 1), ((0, 0), (0, 0))),
}


@pytest.mark.parametrize("case", PIXELS.values(), ids=PIXELS.keys())
def test_a_convolution_of_single_pixels_is_that_of_xla(case):
    shape, kernel_shape, strides, padding = case
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=kernel_shape))

    def xla(x, kernel):
        return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=LAYOUT)

    y, back = jax.vjp(lambda x, kernel: convolve(x, kernel, strides, padding), x, kernel)
    expected, xla_back = jax.vjp(xla, x, kernel)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    dy = jnp.asarray(rng.normal(size=y.shape))
    for ours, theirs in zip(back(dy), xla_back(dy), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_single_pixels_that_are_padded_stay_a_convolution():
    x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((1, 1, 2, 3))
    y = convolve(x, kernel, (1, 1), ((1, 0), (0, 2)))
    assert y.shape == (1, 5, 6, 3)
    assert float(y.sum()) == 4 * 4 * 2 * 3


@pytest.mark.parametrize(("platform", "word"), [("cpu", "dot_general"), ("tpu", "convolution")])
def test_accelerators_compute_a_convolution_of_single_pixels_as_one(platform, word):
    x, kernel = jnp.ones((1, 8, 8, 4)), jnp.ones((1, 1, 4, 3))

    def all_three(x, kernel):
        return jax.value_and_grad(
            lambda *args: (convolve(*args, (1, 1), "SAME") ** 2).sum(), argnums=(0, 1)
        )(x, kernel)

    text = jax.jit(all_three).trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
    other = {"dot_general", "convolution"} - {word}
    assert text.count(f"stablehlo.{word}") == 3
    assert f"stablehlo.{other.pop()}" not in text


def test_the_compiled_gradient_has_no_convolution_as_large_as_the_image():
    # What the tests above compare would be XLA's with itself if no case were large enough.
    x, kernel = jnp.ones((1, 32, 32, 4)), jnp.ones((3, 3, 4, 20))

    def gradient(kernel):
        return jax.grad(lambda k: convolve(x, k, (1, 1), "SAME").sum())(kernel)

    assert "f32[12,60]" in jax.jit(gradient).lower(kernel).compile().as_text()


def test_the_gradient_of_a_kernel_against_one_written_out():
    rng = np.random.default_rng(1)
    x, dy = rng.normal(size=(9, 7, 8, 3)), rng.normal(size=(9, 5, 5, 2))
    given = ((2, 2), ((1, 0), (0, -1)), (3, 2))
    found = kernel_gradient(jnp.asarray(x), jnp.asarray(dy), *given)
    padded = np.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :, :-1]
    expected = np.zeros((2, 2, 3, 2))
    for i, j in np.ndindex(2, 2):
        for n, row, column in np.ndindex(dy.shape[:3]):
            pixel = padded[n, row + 3 * i, column + 2 * j]
            expected[i, j] += np.outer(pixel, dy[n, row, column])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [3, 9])
def test_parts_of_a_batch_add_up(monkeypatch, count):
    """One image a product, or two where there would be too many products."""
    rng = np.random.default_rng(2)
    x, dy = (jnp.asarray(rng.normal(size=(count, 6, 6, n))) for n in (3, 2))
    given = ((3, 3), ((1, 1), (1, 1)), (1, 1))
    whole = kernel_gradient(x, dy, *given)
    monkeypatch.setattr(_gradients, "PART_NUMBERS", 1)
    np.testing.assert_allclose(kernel_gradient(x, dy, *given), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", [1, 3])
def test_bfloat16_gradients_are_summed_in_float32(side):
    rng = np.random.default_rng(2)
    x, kernel = rng.normal(size=(1, 64, 64, 4)), rng.normal(size=(side, side, 4, 32))

    def gradient(dtype):
        images, weights = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
        return jax.grad(lambda k: convolve(images, k, (1, 1), "SAME").sum())(weights)

    exact, rounded = gradient(jnp.float32), gradient(jnp.bfloat16)
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded.astype("f"), exact, atol=0.01 * np.abs(exact).max())


@pytest.mark.parametrize("sides", [(8, 8), (7, 8), (7, 9), (1, 1)])
def test_gradient_of_the_maximum_goes_to_the_first_of_equal_numbers(sides):
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.integers(0, 3, (2, *sides, 3)), jnp.float32)
    y, back = jax.vjp(max_pool_ceil, x)
    expected, xla_back = jax.vjp(lambda x: nn.max_pool(x, (2, 2), (2, 2), padding="SAME"), x)
    np.testing.assert_array_equal(y, expected)
    dy = jnp.asarray(rng.normal(size=y.shape))
    np.testing.assert_array_equal(back(dy)[0], xla_back(dy)[0])


@pytest.mark.usefixtures("double_precision")
def test_gradients_against_finite_differences():
    rng = np.random.default_rng(4)
    x, kernel = rng.normal(size=(1, 32, 32, 2)), rng.normal(size=(3, 3, 2, 17))

    def network(x, kernel):
        return (max_pool_ceil(convolve(x, kernel, (1, 1), "SAME")) ** 2).mean()

    check_grads(network, (jnp.asarray(x), jnp.asarray(kernel)), order=1, modes=["rev"])


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("shape", [(3, 5, 6, 4), (4, 1, 1, 2)], ids=["maps", "single pixels"])
@pytest.mark.parametrize("train", [True, False])
def test_batch_normalization_is_that_of_flax(shape, train):
    rng = np.random.default_rng(0)
    x, weights = (rng.normal(1, 2, shape) for _ in range(2))
    numbers = {name: rng.normal(1, 0.2, shape[-1:]) for name in ("scale", "bias", "mean", "var")}
    variables = {
        "params": {name: numbers[name] for name in ("scale", "bias")},
        "batch_stats": {name: numbers[name] for name in ("mean", "var")},
    }

    def figures(layer):
        def weighted(params, x):
            given = {"params": params, "batch_stats": variables["batch_stats"]}
            y, updated = layer.apply(given, x, mutable=["batch_stats"])
            return (y * weights).sum(), (y, updated)

        (_, values), slopes = jax.value_and_grad(weighted, (0, 1), has_aux=True)(
            variables["params"], x
        )
        return jax.tree.leaves_with_path((values, slopes))

    x = jnp.asarray(x)
    ours = figures(BatchNorm(train, 0.9, 1e-5, None, jnp.float64))
    flax = figures(nn.BatchNorm(not train, momentum=0.9, dtype=jnp.float64))
    assert [path for path, _ in ours] == [path for path, _ in flax]
    for (path, own), (_, other) in zip(ours, flax, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-9, err_msg=str(path))
