"""The difference of a student's maps from its teacher's, pixel by pixel in Python."""

import jax
import numpy as np
import pytest

from jaxnuc.losses import consistency

KINDS = {"mask": "logits", "class": "logits", "rays": "directions"}
CHANNELS = {"mask": 1, "class": 3, "rays": 4}


def maps(seed, scale=3.0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, scale, (2, 5, 6, c)).astype(np.float32) for name, c in CHANNELS.items()
    }


def probabilities(logits):
    if len(logits) == 1:
        p = 1 / (1 + np.exp(-float(logits[0])))
        return np.array([1 - p, p])
    e = np.exp(logits.astype(float))
    return e / e.sum()


def literally(student, teacher, confidence):
    """With the number of pixels of which the mask is sure."""
    total, confident = 0.0, 0
    for b, r, c in np.ndindex(2, 5, 6):
        for name in ("mask", "class"):
            p, q = (probabilities(m[name][b, r, c]) for m in (teacher, student))
            if p.max() >= confidence:
                total += sum(p * np.log(p / q)) / 60
                confident += name == "mask"
        if probabilities(teacher["mask"][b, r, c])[1] >= confidence:
            total += np.abs(student["rays"][b, r, c] - teacher["rays"][b, r, c]).mean() / 60
    return total, confident / 60


@pytest.mark.parametrize("confidence", [0.0, 0.7, 0.95])
def test_pixel_by_pixel(confidence):
    student, teacher = maps(0), maps(1)
    expected, confident = literally(student, teacher, confidence)
    value, share = consistency(student, teacher, KINDS, confidence)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(share, confident, rtol=1e-6)
    assert (0 < share < 1) == (confidence > 0)


def test_the_gradient_is_that_of_the_cross_entropy():
    """By central differences in float64, at a pixel of each kind; none reaches the teacher."""
    student, teacher = maps(2), maps(3)
    value = lambda s, t: consistency(s, t, KINDS, 0.7)[0]
    gradients, none = jax.jit(jax.grad(value, argnums=(0, 1)))(student, teacher)
    assert not any(g.any() for g in none.values())
    for name, c in CHANNELS.items():
        for index in ((0, 1, 2, c - 1), (1, 4, 5, 0)):
            ends = []
            for step in (1e-4, -1e-4):
                moved = {k: m.astype(np.float64) for k, m in student.items()}
                moved[name][index] += step
                ends.append(literally(moved, teacher, 0.7)[0])
            expected = (ends[0] - ends[1]) / 2e-4
            np.testing.assert_allclose(gradients[name][index], expected, rtol=1e-3, atol=1e-6)


def test_extreme_logits_stay_finite():
    teacher = {"mask": np.full((1, 2, 2, 1), 400, np.float32)}
    value, gradient = jax.value_and_grad(
        lambda s: consistency({"mask": s}, teacher, {"mask": "logits"}, 0.9)[0]
    )(-teacher["mask"])
    assert value == 400
    np.testing.assert_allclose(gradient, -0.25)


def test_without_probabilities_there_is_no_confidence():
    with pytest.raises(ValueError, match="none of the maps distance is logits"):
        consistency({}, {}, {"distance": "values"}, 0.9)
