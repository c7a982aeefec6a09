"""What every network promises: named maps at input size, for any size; its blocks' arithmetic."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnuc import models
from jaxnuc.models import _blocks, _gradients, harunet

# Thin networks with the full graphs.
THIN_STAGES = {
    "encoder": harunet.uniform(harunet.ENCODER, 2, 4),
    "decoder": harunet.uniform(harunet.DECODER, 2, 4),
}


def test_side_maps_are_those_of_deep_supervision():
    images = jnp.zeros((1, 33, 32, 3))

    def training_maps(**arguments):
        model = models.create("harunet", {"mask": 1, "contour": 1}, **THIN_STAGES, **arguments)
        run = functools.partial(model.init_with_output, train=True)
        return jax.eval_shape(run, jax.random.key(0), images)[0]

    side = training_maps()["side"]
    assert {k: len(v) for k, v in side.items()} == {"mask": 6, "contour": 6}
    assert all(m.shape == (1, 33, 32, 1) for v in side.values() for m in v)
    assert len(training_maps(fusion="none")["side"]["mask"]) == 5  # the sixth is the output
    assert "side" not in training_maps(deep_supervision=False)
    assert training_maps(fusion="none", deep_supervision=False).keys() == {"mask", "contour"}


def test_an_image_does_not_depend_on_its_batch():
    model = models.create("harunet", {"mask": 1}, "tiny")
    images = np.random.default_rng(1).uniform(size=(2, 64, 64, 3)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.uniform(0.1, 0.5, x.shape).astype(x.dtype), shapes)
    apply = jax.jit(lambda x: model.apply(variables, x, train=False)["mask"])
    found, beside_another = apply(images), apply(np.stack([images[0], 1 - images[1]]))
    np.testing.assert_array_equal(found[0], beside_another[0])
    assert not np.array_equal(found[1], beside_another[1])


def test_bf16_computes_near_float32_and_keeps_float32_parameters():
    images = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    results = []
    for dtype in (jnp.float32, jnp.bfloat16):
        model = models.create("flexible_unet", {"mask": 1}, base_filters=4, layers=3, dtype=dtype)
        variables = jax.jit(model.init)(jax.random.key(0), images)
        assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
        results.append(jax.jit(model.apply)(variables, images)["mask"])
    assert results[1].dtype == jnp.float32
    np.testing.assert_allclose(results[1], results[0], atol=0.05)
    assert not np.array_equal(results[1], results[0])


def test_max_pool_keeps_the_last_row_of_odd_sides():
    x = jnp.arange(15.0).reshape(1, 5, 3, 1) - 20
    expected = [[-16, -15], [-10, -9], [-7, -6]]  # all negative: padding must not win
    np.testing.assert_array_equal(_gradients.max_pool_ceil(x)[0, :, :, 0], expected)


def test_resize_bilinear_uses_half_pixel_centers():
    x = jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1)
    y = _blocks.resize_bilinear(x, jnp.zeros((1, 1, 4, 1)))
    np.testing.assert_allclose(y.ravel(), [0, 1, 3, 4])


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarge_is_a_transposed_convolution(factor):
    layer = _blocks.Enlarge(3, factor)
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 6))
    variables = layer.init(jax.random.key(1), x)
    kernel = variables["params"]["kernel"]
    found = layer.apply(variables, x)
    literal = np.zeros((2, 5 * factor, 4 * factor, 3), np.float32)
    for i in range(5):
        for j in range(4):
            rows, columns = (slice(factor * k, factor * (k + 1)) for k in (i, j))
            literal[:, rows, columns] = np.einsum("bc,ijcf->bijf", x[:, i, j], kernel)
    np.testing.assert_allclose(found, literal, atol=1e-5)


def kernels_and_dilations(variant):
    """(kernel, dilation) of both convolutions of each level on the way down, from its calls."""
    found = {}

    def intercept(call, args, kwargs, context):
        if isinstance(context.module, nn.Conv) and context.module.path[0].startswith("down"):
            (kernel, _), dilation = context.module.kernel_size, context.module.kernel_dilation
            found.setdefault(context.module.path[0], set()).add((kernel, dilation))
        return call(*args, **kwargs)

    model = models.create("flexible_unet", {"mask": 1}, variant=variant)
    with nn.intercept_methods(intercept):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    return [found[f"down{level}"] for level in range(7)]


def test_kernels_and_dilations_by_level():
    assert kernels_and_dilations("neoplastic") == [{(5, 2)}, *[{(3, 1)}] * 6]
    assert kernels_and_dilations("base") == [{(5, 2)}, *[{(3, 2)}] * 6]


def test_channel_gate_equals_its_formula():
    gate = harunet.ChannelGate(reduction=2)
    x = np.asarray(jax.random.normal(jax.random.key(0), (2, 3, 5, 4)))
    variables = gate.init(jax.random.key(1), x)
    w1 = np.asarray(variables["params"]["Dense_0"]["kernel"])
    w2 = np.asarray(variables["params"]["Dense_1"]["kernel"])
    mlp = lambda v: np.maximum(v @ w1, 0) @ w2
    weights = 1 / (1 + np.exp(-(mlp(x.mean((1, 2))) + mlp(x.max((1, 2))))))
    np.testing.assert_allclose(gate.apply(variables, x), x * weights[:, None, None], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.create("harunett", {"mask": 1}), "did you mean 'harunet'"),
        (lambda: models.create("harunet", {"mask": 1}, variant="tin"), "known: full, small, tiny"),
        (
            lambda: models.create("u2net", {"mask": 1}, widht=3),
            "unknown argument of network 'u2net': 'widht'",
        ),
        (lambda: models.create("u2net", {}), "at least one output"),
        (
            lambda: models.create("harunet", {"mask": 1}, attention="se").init(
                jax.random.key(0), jnp.zeros((1, 32, 32, 3))
            ),
            "attention='se'; known: cbam, cbam_everywhere, channel, none",
        ),
        (
            lambda: models.create("flexible_unet", {"mask": 1}, dropout_rate=0.2).init(
                jax.random.key(0), jnp.zeros((1, 32, 32, 3))
            ),
            "dropout_rate=0.2 gives 1.20 at the deepest of 7 levels",
        ),
    ],
)
def test_what_does_not_exist_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
