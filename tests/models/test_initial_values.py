"""Initial parameters against those of Flax's own initializers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnuc import models
from jaxnuc.models import _initial_values as initial
from jaxnuc.models import _random_numbers as random_numbers

FLAX = {
    "he_normal": nn.initializers.he_normal(),
    "lecun_normal": nn.initializers.lecun_normal(),
    "fan_out_normal": nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
    "glorot_uniform": nn.initializers.glorot_uniform(),
}

# XLA's inverse of the error function is less exact than SciPy's where a distribution has its tails.
LARGEST_ERRORS = {"uniform": 0, "truncated_normal": 1e-6, "normal": 1e-5}


@pytest.mark.parametrize("name", FLAX)
@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (1, 1, 300, 40), (17, 3)])
def test_numbers_are_those_of_flax(name, shape):
    for seed in range(3):
        key = jax.random.key(seed)
        found = getattr(initial, name)(key, shape, jnp.float32)
        np.testing.assert_allclose(found, FLAX[name](key, shape, jnp.float32), rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_random_numbers_in_numpy_are_those_of_jax(seed):
    key, own = jax.random.key(seed, impl="threefry2x32"), random_numbers.make_key(seed)
    for number in (0, 3405073449):
        key, own = jax.random.fold_in(key, np.uint32(number)), random_numbers.fold_in(own, number)
    np.testing.assert_array_equal(own, jax.random.key_data(key))
    count = random_numbers.AT_ONCE + 3
    drawn = {name: random_numbers.standard_numbers(own, name, count) for name in LARGEST_ERRORS}
    jax_has = {
        "uniform": jax.random.uniform(key, (count,), minval=-1),
        "truncated_normal": jax.random.truncated_normal(key, -2, 2, (count,)),
        "normal": jax.random.normal(key, (count,)),
    }
    for name, numbers in drawn.items():
        error = LARGEST_ERRORS[name]
        np.testing.assert_allclose(numbers, jax_has[name], atol=error, rtol=error)


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
def test_nothing_is_compiled_for_our_networks(name, compilations):
    model = models.create(name, {"mask": 1}, "tiny")
    side = 64 + model.margin
    initialization = models.Initialization(
        model, jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    )
    compilations.clear()
    variables = initialization.values(0)
    assert not compilations
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(variables))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), variables)
    assert shapes == initialization.shapes


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
