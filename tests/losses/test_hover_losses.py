"""HoVer-Net's losses against values of the reference and literal versions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import losses, representations

CLIP = -np.log(1e-7)  # the most that a pixel costs in the reference


@pytest.fixture
def hover(golden):
    arrays, scalars = golden("losses")
    maps = {"np": arrays["hover__np_logits"], "hv": arrays["hover__hv_pred"]}
    targets = {"np": arrays["hover__np_true"][..., None], "hv": arrays["hover__hv_true"]}
    return maps, targets, arrays, scalars["hover"]["float64"]


def entropies(logits, labels):
    """(B, H, W) float64 cross entropies from logits."""
    logits = logits.astype(np.float64)
    everything = np.logaddexp.reduce(logits, axis=-1)
    return everything - np.take_along_axis(logits, labels[..., None].astype(int), -1)[..., 0]


def test_reference_values(hover):
    maps, targets, _, expected = hover
    loss, parts = representations.create("hover").loss(maps, targets)
    np.testing.assert_allclose(parts["np/dice"], expected["np_dice"], rtol=1e-6)
    np.testing.assert_allclose(parts["hv/mse"], expected["hv_mse"], rtol=1e-6)
    np.testing.assert_allclose(parts["hv/msge"], expected["hv_msge_compat"], rtol=1e-6)

    # One pixel is wrong by 120: the reference stops counting at 16.1, the logits do not.
    per_pixel = entropies(maps["np"], targets["np"][..., 0])
    assert (per_pixel > CLIP).sum() == 1
    np.testing.assert_allclose(np.minimum(per_pixel, CLIP).mean(), expected["np_ce"], rtol=1e-8)
    np.testing.assert_allclose(parts["np/ce"], per_pixel.mean(), rtol=1e-6)
    beyond = (120 - CLIP) / per_pixel.size
    np.testing.assert_allclose(parts["np/ce"] - beyond, expected["np_ce"], rtol=1e-6)

    total = expected["total"] - expected["tp_ce"] - expected["tp_dice"]
    np.testing.assert_allclose(loss - beyond, total, rtol=1e-6)
    doubled, parts = representations.create("hover", loss={"mse_weight": 2}).loss(maps, targets)
    total += expected["total_tensorflow_weights_2mse_1msge"] - expected["total"]
    np.testing.assert_allclose(doubled - beyond, total, rtol=1e-6)
    np.testing.assert_allclose(parts["hv/mse"], expected["hv_mse"], rtol=1e-6)  # not weighted

    paper = representations.create("hover", loss={"msge_axis": "paper", "msge_weight": 2})
    found, parts = paper.loss(maps, targets)
    np.testing.assert_allclose(parts["hv/msge"], expected["hv_msge_paper"], rtol=1e-6)
    difference = 2 * expected["hv_msge_paper"] - expected["hv_msge_compat"]
    np.testing.assert_allclose(found - loss, difference, rtol=1e-5)


def test_reference_gradients(hover):
    maps, targets, arrays, _ = hover
    loss = lambda maps: representations.create("hover").loss(maps, targets)[0]
    gradients = jax.jit(jax.grad(loss))(maps)
    np.testing.assert_allclose(gradients["hv"], arrays["hover__grad_hv"], rtol=1e-5, atol=1e-8)

    wrong = entropies(maps["np"], targets["np"][..., 0]) > CLIP
    expected = arrays["hover__grad_np"]
    found = np.asarray(gradients["np"])
    np.testing.assert_allclose(found[~wrong], expected[~wrong], rtol=1e-5, atol=1e-9)
    assert not expected[wrong].any()  # the reference's clip leaves the worst pixel as it is
    np.testing.assert_allclose(found[wrong], [[-1 / wrong.size, 1 / wrong.size]], rtol=1e-6)


def test_a_saturated_pair(golden):
    """One right and one wrong pixel: 8.06 in the reference, half the logits' distance here."""
    expected = golden("losses")[1]["hover"]["saturated_pair"]["float64"]
    np.testing.assert_allclose(CLIP / 2, expected, rtol=1e-6)
    logits = np.array([[[[-50, 50], [-50, 50]]]], np.float32)
    labels = np.array([[[1, 0]]])
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), 50, rtol=1e-6)


def test_without_nuclei_there_are_no_slopes(hover):
    maps, targets, _, expected = hover
    empty = np.zeros(targets["np"].shape, np.float32)
    value, gradient = jax.jit(jax.value_and_grad(losses.mean_squared_gradient_error))(
        maps["hv"], targets["hv"], empty
    )
    assert value == expected["hv_msge_compat_empty_focus"] == 0
    assert not np.asarray(gradient).any()


def literal_msge(predictions, targets, focus, paper):
    kernel = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            if (i, j) != (2, 2):
                kernel[i, j] = (i - 2) / ((i - 2) ** 2 + (j - 2) ** 2)
    b, h, w, _ = targets.shape
    total = 0.0
    for channel in range(2):
        along_rows = (channel == 0) != paper
        weights = kernel if along_rows else kernel.T
        for n in range(b):
            for y in range(h):
                for x in range(w):
                    slopes = [0.0, 0.0]
                    for k, maps in enumerate((targets, predictions)):
                        for i in range(5):
                            for j in range(5):
                                r, c = y + i - 2, x + j - 2
                                if 0 <= r < h and 0 <= c < w:
                                    slopes[k] += weights[i, j] * float(maps[n, r, c, channel])
                    total += focus[n, y, x, 0] * (slopes[0] - slopes[1]) ** 2
    return total / (2 * focus.sum() + 1e-8)


@pytest.mark.parametrize("msge_axis", ["compat", "paper"])
@pytest.mark.parametrize("shape", [(1, 6, 9), (2, 4, 3), (1, 1, 7)])
def test_slopes_equal_the_literal_version(msge_axis, shape):
    rng = np.random.default_rng(0)
    predictions, targets = rng.normal(size=(2, *shape, 2)).astype(np.float32)
    focus = rng.integers(0, 2, (*shape, 1)).astype(np.float32)
    found = losses.mean_squared_gradient_error(predictions, targets, focus, msge_axis=msge_axis)
    expected = literal_msge(predictions, targets, focus, msge_axis == "paper")
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_each_form_looks_along_its_own_axis():
    """An error of the horizontal map that grows with the column is the paper's concern only."""
    ramp = np.tile(np.arange(12, dtype=np.float32) / 10, (12, 1))
    predictions = np.stack([ramp, ramp.T], axis=-1)[None]
    truth = np.zeros_like(predictions)
    focus = np.zeros((1, 12, 12, 1), np.float32)
    focus[:, 3:9, 3:9] = 1  # the image's border is out of the kernel's reach
    compat, paper = (
        losses.mean_squared_gradient_error(predictions, truth, focus, msge_axis=form)
        for form in ("compat", "paper")
    )
    np.testing.assert_allclose(compat, 0, atol=1e-10)
    # The sum of h^2 / (h^2 + v^2) over the kernel is half of its 24 neighbors.
    np.testing.assert_allclose(paper, (0.1 * 12) ** 2, rtol=1e-5)


def test_an_ignored_region_is_a_border(hover):
    """Slopes next to it count with what is on this side, and nothing crosses it."""
    maps, targets, _, _ = hover
    predictions, truth = maps["hv"], targets["hv"]
    focus = targets["np"].astype(np.float32)
    valid = np.ones_like(focus)
    valid[:, :, 15:] = 0

    loss = lambda p, valid: losses.mean_squared_gradient_error(p, truth, focus, valid=valid)
    value, gradient = jax.jit(jax.value_and_grad(loss))(predictions, valid)
    label_set = lambda p: losses.mean_squared_gradient_error(p, truth[:, :, :15], focus[:, :, :15])
    expected, expected_gradient = jax.jit(jax.value_and_grad(label_set))(predictions[:, :, :15])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[:, :, :15], expected_gradient, rtol=1e-5, atol=1e-9)
    assert not np.asarray(gradient[:, :, 15:]).any()
    assert np.abs(gradient[:, :, 13:15]).max() > 0  # the last columns have a gradient


def test_mean_squared_error_by_hand():
    p = jnp.array([1.0, 2.0, 3.0, 5.0]).reshape(1, 2, 1, 2)
    t = jnp.zeros((1, 2, 1, 2))
    np.testing.assert_allclose(losses.mean_squared_error(p, t), (1 + 4 + 9 + 25) / 4)
    valid = jnp.array([1.0, 0.0]).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(losses.mean_squared_error(p, t, weights=valid), (1 + 4) / 2)
    assert losses.mean_squared_error(p, t, weights=0 * valid) == 0


@pytest.mark.parametrize("ignoring", [False, True])
def test_the_number_of_devices_does_not_change_the_loss(hover, ignoring):
    maps, targets, _, _ = hover
    if ignoring:  # a different number of pixels on each device
        valid = np.ones(targets["np"].shape, np.uint8)
        valid[0, 5:], valid[1, :, :4] = 0, 0
        targets = {**targets, "valid": valid}
    representation = representations.create("hover")

    def shared(maps, targets):
        loss, parts = representation.loss(maps, targets, "batch")
        return jax.lax.pmean((loss, parts), "batch")

    split = lambda tree: {k: v[:, None] for k, v in tree.items()}
    on_two = jax.jit(jax.vmap(shared, axis_name="batch"))
    loss, parts = on_two(split(maps), split(targets))
    expected, expected_parts = jax.jit(representation.loss)(maps, targets)
    np.testing.assert_allclose(loss, [expected] * 2, rtol=1e-6)
    for name, value in expected_parts.items():
        np.testing.assert_allclose(parts[name], [value] * 2, rtol=1e-6, err_msg=name)


def test_unknown_axis():
    zeros = jnp.zeros((1, 4, 4, 2))
    with pytest.raises(ValueError, match="msge_axis='rows'; known: compat, paper"):
        losses.mean_squared_gradient_error(zeros, zeros, zeros[..., :1], msge_axis="rows")
