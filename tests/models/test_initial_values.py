"""Initial parameters against those of Flax's own initializers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnuc import models
from jaxnuc.models import _initial_values as initial

FLAX = {
    "he_normal": nn.initializers.he_normal(),
    "lecun_normal": nn.initializers.lecun_normal(),
    "fan_out_normal": nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
    "glorot_uniform": nn.initializers.glorot_uniform(),
}


@pytest.mark.parametrize("name", FLAX)
@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (1, 1, 300, 40), (17, 3)])
def test_numbers_are_those_of_flax(name, shape):
    for seed in range(3):
        key = jax.random.key(seed)
        found = getattr(initial, name)(key, shape, jnp.float32)
        np.testing.assert_allclose(found, FLAX[name](key, shape, jnp.float32), rtol=1e-6)


def test_a_kernel_drawn_for_one_pixel():
    flax = nn.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal", in_axis=2, out_axis=3, batch_axis=(0, 1)
    )
    ours = initial.VarianceScaling(1.0, "in", "truncated_normal", space=False)
    key, shape = jax.random.key(1), (4, 4, 6, 3)
    np.testing.assert_allclose(ours(key, shape), flax(key, shape), rtol=1e-6)


@pytest.mark.parametrize("name", ["flexible_unet", "micro_net"])
def test_variables_are_those_of_the_networks_own_initialization(name):
    model = models.create(name, {"mask": 1}, "tiny")
    side = 64 + model.margin
    found = models.initialize(model, 3, jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32))
    literal = jax.jit(model.init)(jax.random.key(3), jnp.zeros((1, side, side, 3)))
    assert jax.tree.structure(found) == jax.tree.structure(literal)
    for own, expected in zip(*map(jax.tree.leaves, (found, literal)), strict=True):
        assert own.dtype == expected.dtype
        np.testing.assert_allclose(own, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", models.REGISTRY.names())
def test_all_kernels_are_drawn_by_the_programs_that_networks_share(name):
    model = models.create(name, {"mask": 1}, "tiny")
    side = 64 + model.margin
    kernels, others = [], []

    def init(key):
        with initial._recorded() as draws:
            variables = model.init(key, jnp.zeros((1, side, side, 3)))
        drawn = {id(draw.values) for draw in draws}
        for path, leaf in jax.tree.leaves_with_path(variables["params"]):
            kernels.extend([path] * ("kernel" in jax.tree_util.keystr(path)))
            others.extend([path] * (id(leaf) not in drawn))

    jax.eval_shape(init, jax.random.key(0))
    assert kernels
    assert not {*kernels} & {*others}


class Foreign(nn.Module):
    """Parameters by initializers of others, within a lifted function, and one of ours."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        x = nn.remat(nn.Dense)(5, kernel_init=initial.he_normal)(x)
        scale = self.param("scale", lambda key: 2 * jax.random.normal(key, (5,)))
        x = nn.Dense(3, kernel_init=initial.glorot_uniform, bias_init=nn.initializers.ones)(x)
        return x * scale.sum() + self.variable("batch_stats", "count", lambda: jnp.int32(7)).value


def test_parameters_of_any_initializer():
    x = jnp.ones((2, 6))
    found, literal = models.initialize(Foreign(), 5, x), Foreign().init(jax.random.key(5), x)
    assert jax.tree.structure(found) == jax.tree.structure(literal)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, literal)
    assert found["batch_stats"]["count"].dtype == np.int32
