"""Losses against values of the reference implementations and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from jaxnuc import losses, representations


def logit(p):
    return np.log(p) - np.log1p(-p)


def test_haru_one_output(golden):
    arrays, scalars = golden("losses")
    expected = scalars["haru"]["one_output"]["float64"]
    logits, target = arrays["seg__logits7"][0], arrays["seg__target"]
    entropy = losses.binary_cross_entropy(logits, target)
    dice = losses.soft_dice(jax.nn.sigmoid(logits), target)
    np.testing.assert_allclose(entropy, expected["bce_with_logits_mean"], rtol=1e-6)
    np.testing.assert_allclose(dice, expected["soft_dice"], rtol=1e-6)
    images = logits.shape[0]
    summed = losses.binary_cross_entropy(logits, target, "image_sum") * images
    np.testing.assert_allclose(summed, expected["bce_with_logits_sum"], rtol=1e-5)


def test_haru_two_outputs(golden):
    arrays, scalars = golden("losses")
    expected = scalars["haru"]["two_outputs"]["float64"]
    logits = jnp.moveaxis(arrays["seg__logits2_nchw"], 1, -1)
    labels = arrays["seg__target"].reshape(logits.shape[:-1])
    p, t = jax.nn.softmax(logits), jax.nn.one_hot(labels, 2)
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), expected["ce_mean"], rtol=1e-6)
    pooled = losses.soft_dice(p, t)
    np.testing.assert_allclose(pooled, expected["dice_pooled_over_classes"], rtol=1e-5)
    by_class = losses.soft_dice(p, t, per_class=True)
    np.testing.assert_allclose(by_class, expected["dice_mean_of_classes"], rtol=1e-5)


@pytest.mark.parametrize("name", ["bce_iou", "bce_dice"])
def test_binary_representation_equals_keras(golden, name):
    arrays, scalars = golden("losses")
    p, t = arrays["keras__prob"].astype(np.float64), arrays["keras__target"]
    p, t = p.reshape(1, 1, -1, 1), t.reshape(1, 1, -1, 1)
    representation = representations.create("binary", loss={"name": name})
    loss, _ = representation.loss({"mask": jnp.asarray(logit(p))}, {"mask": t})
    expected = scalars["keras"]["float64"][f"{name}_loss"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_region_losses_by_hand():
    p = jnp.array([0.5, 1.0, 0.0, 0.25]).reshape(1, 2, 2, 1)
    t = jnp.array([1.0, 1.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(losses.soft_dice(p, t, smooth=1.0), 1 - (3 + 1) / (3.75 + 1))
    np.testing.assert_allclose(losses.soft_iou(p, t), 1 - 1.5 / (0.5 + 1 + 0.5 + 0.25), rtol=1e-6)
    expected = 1 - (2 * 0.5 / 1.25 + 2 / 2 + 0 + 0)
    np.testing.assert_allclose(losses.squared_ratio_dice(p, t), expected, rtol=1e-6)


def test_empty_batches_have_finite_losses_and_gradients():
    zeros = jnp.zeros((1, 2, 2, 1))
    for loss in (losses.soft_dice, losses.soft_iou):
        assert loss(zeros, zeros) == 0
    for loss in (losses.soft_dice, losses.soft_iou, losses.squared_ratio_dice):
        assert np.isfinite(jax.grad(loss)(zeros, zeros)).all()


def test_ssim_equals_scikit_image():
    rng = np.random.default_rng(0)
    p, t = rng.random((2, 24, 31))
    _, full = structural_similarity(
        p, t, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    expected = 1 - full[5:-5, 5:-5].mean()
    found = jax.jit(losses.ssim)(jnp.asarray(p)[None, ..., None], jnp.asarray(t)[None, ..., None])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    with pytest.raises(ValueError, match="11 px does not fit into maps of 8x8"):
        losses.ssim(jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, 8, 8, 1)))


def test_unknown_reduction():
    with pytest.raises(ValueError, match="known: mean, image_sum"):
        losses.binary_cross_entropy(jnp.zeros(3), jnp.zeros(3), "sum")
