"""StarDist's losses against values of the reference implementation and a literal sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import losses, representations


def logit(p):
    return np.log(p) - np.log1p(-p)


@pytest.fixture
def example(golden):
    """Maps, targets, the pixels to ignore and the expected values."""
    arrays, scalars = golden("losses")
    a = {k.removeprefix("stardist__"): v for k, v in arrays.items() if k.startswith("stardist__")}
    probability = a["prob_pred"].astype(np.float64)[..., None]
    maps = {"prob": logit(probability).astype(np.float32), "dist": a["dist_pred"]}
    targets = {"prob": a["prob_true"][..., None], "dist": a["dist_true"]}
    return maps, targets, a["ignore"].astype(bool), scalars["stardist"]["float64"]


@pytest.mark.parametrize(
    ("error", "background", "name"),
    [
        ("mae", 1e-4, "dist_mae_reg_1e_4"),
        ("mae", 0.0, "dist_mae_reg_0"),
        ("mae", 0.01, "dist_mae_reg_0_01"),
        ("mse", 1e-4, "dist_mse_reg_1e_4"),
    ],
)
def test_distances_of_the_reference(example, error, background, name):
    maps, targets, _, expected = example
    found = losses.ray_distance(
        maps["dist"], targets["dist"], targets["prob"], error=error, background=background
    )
    np.testing.assert_allclose(found, expected[name], rtol=1e-6)
    loss = {"name": error, "background": background}
    _, parts = representations.create("stardist", loss=loss).loss(maps, targets)
    np.testing.assert_allclose(parts[f"dist/{error}"], expected[name], rtol=1e-6)


def test_the_representation_adds_up_to_the_reference(example):
    maps, targets, ignore, expected = example
    loss, parts = representations.create("stardist").loss(maps, targets)
    assert parts.keys() == {"prob/bce", "dist/mae"}
    np.testing.assert_allclose(parts["prob/bce"], expected["prob_bce"], rtol=1e-6)
    np.testing.assert_allclose(loss, expected["total_default"], rtol=1e-6)
    # Ignored pixels may hold any target.
    broken = targets | {"prob": np.where(ignore[..., None], -1, targets["prob"])}
    broken["valid"] = (~ignore).astype(np.uint8)[..., None]
    _, parts = representations.create("stardist").loss(maps, broken)
    np.testing.assert_allclose(parts["prob/bce"], expected["prob_bce_with_ignore"], rtol=1e-6)


def small_case():
    rng = np.random.default_rng(0)
    distances, targets = rng.normal(2, 3, (2, 4, 4, 5, 6)).astype(np.float32)
    mask = rng.random((4, 4, 5, 1), np.float32) * (rng.random((4, 4, 5, 1)) > 0.5)
    weights = (rng.random((4, 4, 5, 1)) > 0.3).astype(np.float32)
    return distances, targets, mask.astype(np.float32), weights


@pytest.mark.parametrize("error", ["mae", "mse"])
def test_weights_leave_out_pixels(error):
    distances, targets, mask, weights = small_case()
    wrong, pull, masks = [], [], []
    for b, y, x in np.argwhere(weights[..., 0]):
        d, t, m = distances[b, y, x], targets[b, y, x], float(mask[b, y, x, 0])
        difference = np.abs(d - t) if error == "mae" else (d - t) ** 2
        wrong.append(m * difference.mean())
        pull.append((1 - m) * np.abs(d).mean())
        masks.append(m)
    expected = np.mean(wrong) / (np.mean(masks) + 1e-7) + 0.3 * np.mean(pull)
    arguments = {"error": error, "background": 0.3}
    found = losses.ray_distance(distances, targets, mask, weights=weights, **arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("weighted", [True, False])
def test_devices_that_share_a_batch_find_the_same(weighted):
    arrays = small_case()[: 4 if weighted else 3]

    def loss(distances, targets, mask, weights=None, axis_name=None):
        return losses.ray_distance(distances, targets, mask, weights=weights, axis_name=axis_name)

    value, gradient = jax.jit(jax.value_and_grad(loss))(*arrays)
    shared = [a.reshape(2, 2, *a.shape[1:]) for a in arrays]
    run = jax.value_and_grad(lambda *a: loss(*a, axis_name="batch"))
    values, gradients = jax.jit(jax.vmap(run, axis_name="batch"))(*shared)
    np.testing.assert_allclose(values, [value] * 2, rtol=1e-6)
    # Each device adds up the gradients of both values; the mean over devices is taken afterwards.
    np.testing.assert_allclose(gradients.reshape(gradient.shape) / 2, gradient, rtol=1e-5)


def test_nothing_to_learn_has_finite_losses_and_gradients():
    distances, targets = jnp.zeros((1, 2, 2, 4)), jnp.zeros((1, 2, 2, 4))
    empty = jnp.zeros((1, 2, 2, 1))
    for weights in (None, empty):
        for error in ("mae", "mse"):
            value, gradient = jax.value_and_grad(losses.ray_distance)(
                distances, targets, empty, error=error, weights=weights
            )
            assert value == 0
            assert np.isfinite(gradient).all()
    pulled = losses.ray_distance(distances - 3, targets, empty, background=0.5)
    np.testing.assert_allclose(pulled, 1.5)


def test_unknown_error():
    with pytest.raises(ValueError, match="error='l1'; known: mae, mse"):
        losses.ray_distance(*[jnp.zeros((1, 2, 2, 4))] * 2, jnp.zeros((1, 2, 2, 1)), error="l1")
