"""Some parameters are held at first; then all begin afresh."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnuc import optim
from jaxnuc.durations import TrainingLength

UNTIL, STEPS = 4, 9
RNG = np.random.default_rng(0)
PARAMS = {
    "encoder": {"conv": {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)}},
    "encoder_2": {"kernel": RNG.normal(size=3)},
    "decoder": {"kernel": RNG.normal(size=4)},
}
PARAMS = jax.tree.map(jnp.float32, PARAMS)
GRADIENTS = [
    jax.tree.map(lambda p: jnp.float32(RNG.normal(size=p.shape)), PARAMS) for _ in range(STEPS)
]
LENGTH = TrainingLength(20)
rate = lambda step: 0.1 / (1 + step)
FROZEN = {"frozen": "encoder/.*", "frozen_until": f"{UNTIL} steps"}
SECTIONS = [
    {"name": "sgd", "weight_decay": 0.1},
    {"name": "adam", "weight_decay": 0.1},
    {"name": "adamw", "weight_decay": 0.1},
    {"name": "rmsprop", "momentum": 0.9, "weight_decay": 0.1},
    {"name": "lion", "weight_decay": 0.1},
    {
        "name": "lion_then_sgd",
        "criterion": {"name": "dynamic", "warmup": "0 steps"}
        | {"patience": "2 steps", "smoothing": "1 steps"},
    },
]


def make(section, rate=rate, **arguments):
    section = {"learning_rate": 0.1, **section}
    return optim.make(section, rate, LENGTH, **arguments)


def without_encoder(tree):
    return {k: v for k, v in tree.items() if k != "encoder"}


def run(optimizer, params, gradients, state=None):
    """Parameters after each update, from those given, and the last state."""
    update = jax.jit(optimizer.update)
    state = optimizer.init(params) if state is None else state
    trajectory = [params]
    for gradient in gradients:
        updates, state = update(gradient, state, params, value=1.0)
        params = optax.apply_updates(params, updates)
        trajectory.append(params)
    return trajectory, state


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), one, other)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s["name"])
def test_both_phases(section):
    found, state = run(make({**section, **FROZEN}, clip_norm=1.0), PARAMS, GRADIENTS)
    assert state["frozen"] == STEPS
    assert jax.tree.structure(state) == jax.tree.structure(
        make({**section, **FROZEN}, clip_norm=1.0).init(PARAMS)
    )
    for params in found[: UNTIL + 1]:
        jax.tree.map(np.testing.assert_array_equal, params["encoder"], PARAMS["encoder"])
    for leaf, before in zip(
        jax.tree.leaves(found[UNTIL + 1]), jax.tree.leaves(found[UNTIL]), strict=True
    ):
        assert (np.asarray(leaf) != before).all()

    # At first as if there were no others, in the norm neither.
    others, first = run(
        make(section, clip_norm=1.0),
        without_encoder(PARAMS),
        [without_encoder(g) for g in GRADIENTS[:UNTIL]],
    )
    assert_same([without_encoder(params) for params in found[: UNTIL + 1]], others)
    # Then as a new optimizer, but for the schedule, which goes on.
    later = lambda step: rate(step + UNTIL)
    fresh, last = run(make(section, later, clip_norm=1.0), found[UNTIL], GRADIENTS[UNTIL:])
    assert_same(found[UNTIL:], fresh)
    if section["name"] in ("adam", "adamw"):
        assert state["adam"].count == STEPS - UNTIL
    if section["name"] == "lion_then_sgd":
        first, last, both = (s["lion_then_sgd"] for s in (first, last, state))
        assert both.count == first.count + last.count == STEPS
        assert both.switched_at == -1
        assert_same(both.statistics.rates, last.statistics.rates)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s["name"])
def test_nothing_is_gathered_for_what_is_held(section):
    _, state = run(make({**section, **FROZEN}), PARAMS, GRADIENTS[:UNTIL])
    moments = [
        leaf
        for keys, leaf in jax.tree_util.tree_leaves_with_path(state)
        if "encoder'" in jax.tree_util.keystr(keys)
    ]
    assert moments
    assert not any(np.any(moment) for moment in moments)


def test_a_switch_made_before_stays():
    section = {
        "name": "lion_then_sgd",
        "decay_all": True,  # of kernels with one axis
        "criterion": {"name": "step", "at": "3 steps", "sgd_learning_rate": 0.5},
    }
    found, state = run(make({**section, **FROZEN}), PARAMS, GRADIENTS)
    assert optim.switched_at(state) == 3
    cosine = lambda step: 0.25 * (1 + np.cos(np.pi * step / 17))
    assert optim.current_rate(state, rate, STEPS - 1) == pytest.approx(cosine(STEPS - 4), rel=1e-5)
    params, trace = found[UNTIL], 0
    for k in range(UNTIL, STEPS):
        gradient = GRADIENTS[k]["decoder"]["kernel"] + 1e-4 * params["decoder"]["kernel"]
        trace = gradient + 0.9 * trace
        expected = params["decoder"]["kernel"] - cosine(k - 3) * (gradient + 0.9 * trace)
        params = found[k + 1]
        np.testing.assert_allclose(params["decoder"]["kernel"], expected, rtol=1e-5, atol=1e-6)


def test_a_plateau_stays():
    schedule = optim.SCHEDULES.build({"name": "plateau", "factor": 0.5, "patience": 0})
    optimizer = make({"name": "sgd", "momentum": 0.0, **FROZEN}, lambda step: 0.1, plateau=True)
    state = optimizer.init(PARAMS)
    for value in (0.5, 0.4):
        state = schedule.observe(state, value)
    found, state = run(optimizer, PARAMS, GRADIENTS, state)
    assert optim.current_scale(state) == 0.5
    for k, name in ((0, "decoder"), (UNTIL, "decoder"), (UNTIL, "encoder_2")):
        step = found[k + 1][name]["kernel"] - found[k][name]["kernel"]
        np.testing.assert_allclose(step, -0.05 * GRADIENTS[k][name]["kernel"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s["name"])
def test_what_weights_gave_learns_slower_and_later(section):
    """As if its updates were divided by four, and those before the fifth left out."""
    taken = [True, True, False, True]  # leaves in alphabetical order: all but encoder/conv/kernel
    plain = make(section)
    slow = make({**section, "taken_rate": 0.25})
    state = optim.mark_taken(slow.init(PARAMS), taken)
    expected, _ = plain.update(GRADIENTS[0], plain.init(PARAMS), PARAMS, value=1.0)
    found, _ = slow.update(GRADIENTS[0], state, PARAMS, value=1.0)
    for k, (a, b) in enumerate(zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)):
        np.testing.assert_array_equal(a, b * (0.25 if taken[k] else 1))

    late = make({**section, "taken_rate": 0.25, "taken_frozen_until": f"{UNTIL} steps"})
    found, _ = run(late, PARAMS, GRADIENTS, optim.mark_taken(late.init(PARAMS), taken))
    pattern = "(?!encoder/conv/kernel).*"
    frozen = make({**section, "frozen": pattern, "frozen_until": f"{UNTIL} steps"})
    whole, _ = run(frozen, PARAMS, GRADIENTS)
    assert_same(found[: UNTIL + 1], whole[: UNTIL + 1])
    step, full = (jax.tree.map(lambda a, b: a - b, x[UNTIL + 1], x[UNTIL]) for x in (found, whole))
    for k, (a, b) in enumerate(zip(jax.tree.leaves(step), jax.tree.leaves(full), strict=True)):
        np.testing.assert_allclose(a, b * (0.25 if taken[k] else 1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"frozen": "encoder"}, "need each other"),
        ({"frozen_until": "1 steps"}, "need each other"),
        ({**FROZEN, "taken_frozen_until": "1 steps"}, "leave one of them out"),
        ({"taken_frozen_until": "0 steps"}, "taken_frozen_until is 0 steps; it must be at least"),
        ({"taken_rate": -1.0}, "must be 0 or more"),
        ({"frozen": "(", "frozen_until": "1 steps"}, "no regular expression"),
        ({"frozen": ".*", "frozen_until": "0 steps"}, "must be at least one"),
        (
            {"frozen": "encoder", "frozen_until": "1 steps"},
            "'encoder' matches the whole of no parameter's path; there are 4, such as "
            "decoder/kernel, encoder/conv/bias, encoder/conv/kernel, encoder_2/kernel",
        ),
    ],
)
def test_errors(section, message):
    with pytest.raises(ValueError, match=message):
        jax.jit(make({"name": "adam", **section}).init)(PARAMS)
