"""Losses of boundaries against literal versions, closed forms and masks without a boundary."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxnuc import losses


def discs(seed=0, shape=(2, 17, 19)):
    """Logits that have little to do with the targets, one nucleus in the first image, then two."""
    rng = np.random.default_rng(seed)
    b, h, w = shape
    y, x = np.mgrid[:h, :w]
    targets = np.zeros((*shape, 1), np.uint8)
    for n in range(b):
        for _ in range(n + 1):
            row, column = rng.integers(0, h), rng.integers(0, w)
            targets[n, (y - row) ** 2 + (x - column) ** 2 < rng.integers(4, 20), 0] = 1
    logits = ndimage.gaussian_filter(rng.normal(0, 4, (*shape, 1)), (0, 1, 1, 0))
    return logits.astype(np.float32), targets


def literal_band(logits, targets, width, weights):
    """Weighted mean of the entropies of the band."""
    total, count = 0.0, 0.0
    for n, row, column, _ in np.argwhere(weights > 0):
        square = (
            slice(max(row - width, 0), row + width + 1),
            slice(max(column - width, 0), column + width + 1),
        )
        known = targets[n, ..., 0][square][weights[n, ..., 0][square] > 0]
        if known.min() != known.max():
            z, t = float(logits[n, row, column, 0]), targets[n, row, column, 0]
            weight = weights[n, row, column, 0]
            total += weight * np.logaddexp(0, -z if t else z)
            count += weight
    return total / count


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_band_equals_the_literal_version(width, weighted):
    logits, targets = discs()
    weights = np.ones(logits.shape, np.float32)
    if weighted:
        rng = np.random.default_rng(1)
        weights *= rng.random(weights.shape).astype(np.float32) * (rng.random(weights.shape) > 0.4)
    found = losses.band_cross_entropy(logits, targets, width, weights=weights if weighted else None)
    np.testing.assert_allclose(found, literal_band(logits, targets, width, weights), rtol=1e-5)


def test_band_of_a_straight_edge_has_its_width_on_each_side():
    targets = np.zeros((1, 12, 6, 1), np.uint8)
    targets[:, 6:] = 1
    gradient = jax.grad(losses.band_cross_entropy)(jnp.zeros(targets.shape), targets, 2)
    expected = np.zeros(targets.shape)
    expected[:, 4:6], expected[:, 6:8] = 1, -1
    np.testing.assert_allclose(gradient, expected * 0.5 / 24, rtol=1e-6)


def test_an_ignored_region_has_no_boundary():
    logits, targets = discs()
    valid = np.ones(targets.shape, np.uint8)
    valid[:, :, 11:] = 0
    hidden = np.where(valid, targets, 1 - targets)
    label_set = [a[:, :, :11] for a in (logits, targets)]
    for loss in (losses.band_cross_entropy, losses.gradient_manifold):
        first = jax.nn.sigmoid(logits) if loss is losses.gradient_manifold else logits
        label_set[0] = first[:, :, :11]
        run = jax.jit(jax.value_and_grad(loss))
        value, gradient = run(first, hidden, weights=valid)
        expected, expected_gradient = run(*label_set)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(gradient[:, :, :11], expected_gradient, rtol=1e-4, atol=1e-7)
        assert not np.asarray(gradient[:, :, 11:]).any()


def literal_smooth(targets, sigma):
    """(H, W) Gaussian mean over the pixels of the image."""
    h, w = targets.shape
    reach = int(4 * sigma + 0.5)
    smoothed = np.zeros((h, w))
    for row in range(h):
        for column in range(w):
            total = mass = 0.0
            for y in range(max(row - reach, 0), min(row + reach + 1, h)):
                for x in range(max(column - reach, 0), min(column + reach + 1, w)):
                    tap = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
                    total, mass = total + tap * float(targets[y, x]), mass + tap
            smoothed[row, column] = total / mass
    return smoothed


def literal_slopes(values):
    """Vectors of the inner pixels by Sobel's kernels."""
    kernel = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 8
    h, w = values.shape
    slopes = {}
    for row in range(1, h - 1):
        for column in range(1, w - 1):
            window = values[row - 1 : row + 2, column - 1 : column + 2]
            slopes[row, column] = np.array([(kernel * window).sum(), (kernel.T * window).sum()])
    return slopes


def literal_manifold(probabilities, targets, sigma, band, off_band):
    on, magnitude, off = [], [], []
    for p, y in zip(probabilities.astype(np.float64), targets, strict=True):
        us, vs = literal_slopes(p[..., 0]), literal_slopes(literal_smooth(y[..., 0], sigma))
        largest = max(np.linalg.norm(v) for v in vs.values())
        for place, v in vs.items():
            u = us[place]
            length, truth = np.linalg.norm(u), np.linalg.norm(v)
            if truth > band:
                on.append(truth / largest * (1 - u @ v / (length * truth + 1e-6)))
                magnitude.append(abs(length - truth))
            else:
                off.append(length)
    mean = lambda values: np.mean(values) if values else 0.0
    return mean(on) + mean(magnitude) + off_band * mean(off)


@pytest.mark.parametrize(
    ("sigma", "band", "off_band"), [(1.0, 0.05, 0.1), (1.7, 0.02, 0.0), (0.6, 0.2, 3.0)]
)
def test_manifold_equals_the_literal_version(sigma, band, off_band):
    logits, targets = discs()
    p = np.asarray(jax.nn.sigmoid(logits))
    run = jax.jit(losses.gradient_manifold, static_argnums=2)
    found = run(p, targets, sigma, band, off_band)
    expected = literal_manifold(p, targets, sigma, band, off_band)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_smoothed_truth_is_best():
    """Away from the border the smoothed truth is SciPy's; what is left is the 1e-6 in the ratio."""
    targets = np.zeros((1, 24, 25, 1), np.uint8)
    targets[:, 8:15, 9:17] = 1
    targets[:, 11, 13] = 0
    smoothed = ndimage.gaussian_filter(targets.astype(np.float64), (0, 1, 1, 0))
    smoothed = smoothed.astype(np.float32)
    manifold = jax.jit(losses.gradient_manifold)
    loss = lambda p, **k: float(manifold(p, targets, **k))
    assert 0 <= loss(smoothed, off_band=0) < 1e-4
    assert 0 < loss(smoothed) < 0.1 * 0.05
    for worse in (targets.astype(np.float32), smoothed * 0.5, np.roll(smoothed, 1, 1)):
        assert loss(worse, off_band=0) > 0.02
    # Turned around, every direction is opposite and every slope the same.
    edge = np.zeros((1, 20, 9, 1), np.float32)
    edge[:, 10:] = 1
    reverse = 1 - ndimage.gaussian_filter(edge, (0, 1, 1, 0), mode="nearest")
    turned = manifold(reverse, edge, off_band=0)
    slope = np.abs(reverse[0, 2:, 4, 0] - reverse[0, :-2, 4, 0]) / 2
    slope = slope[slope > 0.05]
    np.testing.assert_allclose(slope.max(), 0.32, atol=0.01)
    np.testing.assert_allclose(turned, 2 * (slope / slope.max()).mean(), rtol=1e-3)


def one_pixel():
    targets = np.zeros((1, 9, 9, 1), np.uint8)
    targets[:, 4, 4] = 1
    return targets


BAND = jax.jit(jax.value_and_grad(losses.band_cross_entropy))
MANIFOLD = jax.jit(
    jax.value_and_grad(lambda z, t, **k: losses.gradient_manifold(jax.nn.sigmoid(z), t, **k))
)


@pytest.mark.parametrize("probability", ["flat", "step", "random"])
@pytest.mark.parametrize(
    "targets",
    [np.zeros((1, 9, 9, 1)), np.ones((1, 9, 9, 1)), one_pixel(), np.ones((1, 1, 2, 1))],
    ids=["empty", "full", "one_pixel", "tiny"],
)
def test_gradients_are_finite(targets, probability):
    logits = np.zeros(targets.shape, np.float32)
    if probability == "step":
        logits[:, :4], logits[:, 4:] = -80, 80
    if probability == "random":
        logits += np.random.default_rng(0).normal(size=logits.shape).astype(np.float32)
    for weights in (None, np.zeros(targets.shape)):
        nothing = weights is not None or targets.min() == targets.max()
        band, gradient = BAND(logits, targets, weights=weights)
        assert np.isfinite(band)
        assert np.isfinite(gradient).all()
        assert (band == 0) == nothing
        value, gradient = MANIFOLD(logits, targets, weights=weights, off_band=0.0)
        assert (value == 0) == nothing
        assert np.isfinite(gradient).all()
        value, gradient = MANIFOLD(logits, targets, weights=weights, off_band=0.1)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        rows = targets.shape[1]
        if nothing:
            # A step of 80 lies within the 3x3 squares of two of the inner rows.
            step = probability == "step" and rows > 2 and weights is None
            if probability != "random" or weights is not None:
                np.testing.assert_allclose(value, 0.1 * 0.5 * 2 / (rows - 2) if step else 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_number_of_devices_does_not_change_the_loss(weighted):
    logits, targets = discs()
    probabilities = jax.nn.sigmoid(logits)
    weights = np.ones(targets.shape, np.float32)
    if weighted:
        weights[0, 5:7], weights[1, :, :4] = 0, 0.5
    for loss, maps in (
        (losses.band_cross_entropy, logits),
        (losses.gradient_manifold, probabilities),
    ):
        run = jax.value_and_grad(
            lambda m, t, w, axis=None, f=loss: f(m, t, weights=w, axis_name=axis)
        )
        value, gradient = jax.jit(run)(maps, targets, weights)
        shared = functools.partial(run, axis="batch")
        split = [a[:, None] for a in (maps, targets, weights)]
        values, gradients = jax.jit(jax.vmap(shared, axis_name="batch"))(*split)
        np.testing.assert_allclose(values, [value] * 2, rtol=1e-6)
        np.testing.assert_allclose(gradients[:, 0] / 2, gradient, rtol=1e-4, atol=1e-7)


def test_a_band_without_width():
    with pytest.raises(ValueError, match="width=0 px leaves no band"):
        losses.band_cross_entropy(jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 4, 4, 1)), 0)
