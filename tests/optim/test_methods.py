"""Optimizers against their published update rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import optim
from jaxnuc.durations import TrainingLength

GRADIENTS = np.random.default_rng(0).normal(size=(5, 3))


def run(section, **arguments):
    """Parameters after the gradients of `GRADIENTS`, from ones, at a learning rate of 0.1."""
    section = {"learning_rate": 0.1, **section}
    optimizer = optim.make(section, lambda step: 0.1, TrainingLength(9), **arguments)
    params = jnp.ones((1, 3))  # two axes, as a kernel: weight decay applies
    state = optimizer.init(params)
    for gradient in GRADIENTS:
        updates, state = optimizer.update(jnp.asarray(gradient)[None], state, params)
        params = params + updates
    return np.asarray(params[0])


def literal(update):
    params = np.ones(3)
    memory: dict = {}
    for k, gradient in enumerate(GRADIENTS, 1):
        params = params - 0.1 * update(k, gradient, params, memory)
    return params


def sgd(k, g, p, m):
    g = g + 0.01 * p
    m["v"] = 0.9 * m.get("v", 0) + g
    return m["v"]


def nesterov(k, g, p, m):
    m["v"] = 0.9 * m.get("v", 0) + g
    return g + 0.9 * m["v"]


def adam(k, g, p, m, coupled=0.0, decoupled=0.0):
    g = g + coupled * p
    m["m"] = 0.9 * m.get("m", 0) + 0.1 * g
    m["v"] = 0.999 * m.get("v", 0) + 0.001 * g * g
    return m["m"] / (1 - 0.9**k) / (np.sqrt(m["v"] / (1 - 0.999**k)) + 1e-8) + decoupled * p


def rmsprop(k, g, p, m):  # PyTorch's
    g = g + 0.01 * p
    m["v"] = 0.99 * m.get("v", 0) + 0.01 * g * g
    m["b"] = 0.5 * m.get("b", 0) + g / (np.sqrt(m["v"]) + 1e-8)
    return m["b"]


def lion(k, g, p, m):
    old = m.get("m", 0)
    m["m"] = 0.99 * old + 0.01 * g
    return np.sign(0.9 * old + 0.1 * g) + 0.01 * p


@pytest.mark.parametrize(
    ("section", "update"),
    [
        ({"name": "sgd", "weight_decay": 0.01}, sgd),
        ({"name": "sgd", "nesterov": True}, nesterov),
        ({"name": "adam", "weight_decay": 0.01}, lambda *a: adam(*a, coupled=0.01)),
        ({"name": "adamw", "weight_decay": 0.01}, lambda *a: adam(*a, decoupled=0.01)),
        ({"name": "rmsprop", "momentum": 0.5, "weight_decay": 0.01}, rmsprop),
        ({"name": "lion"}, lion),
    ],
    ids=lambda v: v["name"] if isinstance(v, dict) else "",
)
def test_methods_follow_their_rules(section, update):
    np.testing.assert_allclose(run(section), literal(update), rtol=2e-5)


@pytest.mark.parametrize("name", optim.OPTIMIZERS.names())
def test_weight_decay_leaves_out_biases_and_normalizations(name):
    params = {"kernel": jnp.ones((3, 3, 2, 2)), "bias": jnp.ones(2), "scale": jnp.ones(2)}

    def updates(**arguments):
        section = {"name": name, "learning_rate": 0.1, "weight_decay": 0.5, **arguments}
        if name == "lion_then_sgd":
            at = {"name": "step", "sgd_learning_rate": 0.1, "at": "2 steps"}
            section |= {"criterion": at, "sgd": {"weight_decay": 0.5}}
        optimizer = optim.make(section, lambda step: 0.1, TrainingLength(9))
        state, zero = optimizer.init(params), jax.tree.map(jnp.zeros_like, params)
        steps = []
        for _ in range(4):  # two of Lion's and two of SGD's, where it is both
            step, state = optimizer.update(zero, state, params, value=1.0)
            steps.append(step)
        return steps

    for step in updates():
        assert np.all(np.asarray(step["kernel"]) < 0)
        assert not np.any(step["bias"])
        assert not np.any(step["scale"])
    for step in updates(decay_all=True):
        assert all(np.all(np.asarray(x) < 0) for x in step.values())


def test_clipping():
    plain = {"name": "sgd", "momentum": 0.0}
    by_value = literal(lambda k, g, p, m: np.clip(g, -0.2, 0.2))
    np.testing.assert_allclose(run(plain, clip_value=0.2), by_value, rtol=1e-5)
    norm = lambda g: min(1, 0.5 / np.linalg.norm(g)) * g
    by_norm = literal(lambda k, g, p, m: norm(g))
    np.testing.assert_allclose(run(plain, clip_norm=0.5), by_norm, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run({"name": "adan"}), "did you mean 'adam'"),
        (lambda: run({"name": "adam", "beta": 1}), "unknown argument of optimizer 'adam': 'beta'"),
        (
            lambda: optim.make({"name": "sgd"}, lambda s: 1, TrainingLength(9)),
            "optimizer 'sgd' needs the argument 'learning_rate'",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


OUTSIDE = """
from dataclasses import dataclass

import optax

from jaxnuc.optim import Optimizer

@dataclass(frozen=True, kw_only=True)
class SignDescent(Optimizer):
    scale: float = 1.0

    def chain(self, rate, length):
        sign = optax.stateless(lambda u, p: jax.tree.map(jnp.sign, u))
        return {"sign": sign, "learning_rate": optax.scale_by_learning_rate(rate)}
"""


def test_an_optimizer_of_another_package(tmp_path, monkeypatch):
    code = "import jax\nimport jax.numpy as jnp\n" + OUTSIDE
    (tmp_path / "their_optimizers.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    expected = literal(lambda k, g, p, m: np.sign(g))
    np.testing.assert_allclose(run({"name": "their_optimizers.SignDescent"}), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"unknown argument of .*SignDescent': 'scal'"):
        run({"name": "their_optimizers.SignDescent", "scal": 2.0})
