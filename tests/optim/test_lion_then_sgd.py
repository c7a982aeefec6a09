"""Lion, then SGD: against a literal loop in float64, Optax's own two, and the ways to interrupt."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnuc import optim
from jaxnuc.durations import TrainingLength
from jaxnuc.run.checkpoints import Checkpoints
from jaxnuc.training.state import TrainState

STEPS, BATCH = 90, 16
RNG = np.random.default_rng(3)
IMAGES = RNG.normal(size=(STEPS, BATCH, 4))
TRUTH = 1.0 * (IMAGES @ [1.0, -2.0, 0.5, 0.0] + 0.3 * RNG.normal(size=(STEPS, BATCH)) > 0)
TRUTH[[14, 24]] = 1 - TRUTH[[14, 24]]  # gradients against the momentum: the second is left out
RATE, SGD_RATE = 0.02, 0.3
LENGTH = TrainingLength(STEPS)

DYNAMIC = {
    "name": "dynamic",
    "warmup": "12 steps",
    "kappa": 0.2,
    "window": 9,
    "decay": 0.95,
    "bounds": (1e-4, 10.0),
    "improvement": 0.01,
    "patience": "7 steps",
    "smoothing": "6 steps",
}
PLATEAU = {
    "name": "plateau",
    "sgd_learning_rate": SGD_RATE,
    "improvement": 0.01,
    "patience": "7 steps",
    "smoothing": "6 steps",
}
AT_STEP = {"name": "step", "sgd_learning_rate": SGD_RATE, "at": "23 steps"}


def loss_and_gradient(params, k, np=np):
    """Logistic regression on the k-th batch."""
    x, y = IMAGES[k], TRUTH[k]
    p = 1 / (1 + np.exp(-(x @ params["w"] + params["b"])))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    return loss, {"w": x.T @ (p - y) / BATCH, "b": np.mean(p - y)}


def flat(tree):
    return np.concatenate([np.ravel(tree["b"]), np.ravel(tree["w"])])


def literal(o, ready_from=None, latest=0.6):
    """The whole of it in float64: a dict of what happened at each step."""
    steps = {k: int(v.split()[0]) for k, v in o.items() if str(v).endswith("steps")}
    params = np.zeros(5)
    momentum, trace = np.zeros(5), np.zeros(5)
    gammas, means, average = [], [], 0.0
    switched, sgd_rate = -1, 0.0
    log = []
    for k in range(STEPS):
        value, gradient = loss_and_gradient({"b": params[0], "w": params[1:]}, k)
        g = flat(gradient)
        if switched >= 0:
            rate = sgd_rate * (1 + np.cos(np.pi * (k - switched) / (STEPS - switched))) / 2
            g = g + 1e-4 * params
            trace = g + 0.9 * trace
            params = params - rate * (g + 0.9 * trace)
        else:
            rate = RATE
            p = -rate * (np.sign(0.9 * momentum + 0.1 * g) + 0.01 * params)
            momentum = 0.99 * momentum + 0.01 * g
            params = params + p
            stalled = stable = False
            if "patience" in o:
                decay = np.exp(-1 / steps["smoothing"])
                means.append(decay * means[-1] + (1 - decay) * value if means else value)
                if len(means) > steps["patience"]:
                    before = means[-1 - steps["patience"]]
                    stalled = (before - means[-1]) / before < o["improvement"]
            if o["name"] == "dynamic":
                if -p @ g > 0:
                    gammas.append(p @ p / (-p @ g))
                    average = o["decay"] * average + (1 - o["decay"]) * gammas[-1]
                    corrected = average / (1 - o["decay"] ** len(gammas))
                    stable = abs(corrected - gammas[-1]) < o["kappa"] * np.std(
                        gammas[-o["window"] :]
                    )
                ready = ready_from is not None and k >= ready_from
                due = k + 1 > steps["warmup"] and stable and (stalled or ready)
            else:
                due = stalled if o["name"] == "plateau" else k + 1 == steps["at"]
            if due or k + 1 == round(latest * STEPS):
                switched = k + 1
                sgd_rate = o.get("sgd_learning_rate", 0)
                if o["name"] == "dynamic":
                    sgd_rate = np.clip((1 - 0.9) * corrected, *o["bounds"])
        log.append(
            {
                "params": params,
                "rate": rate,
                "switched_at": switched,
                "sgd_rate": sgd_rate,
                "accepted": len(gammas),
                "gamma": gammas[-1] if gammas else 0.0,
                "average": average,
                "mean": means[-1] if means else 0.0,
            }
        )
    return log


def make(criterion, *, length=LENGTH, plateau=False, **section):
    section = {"learning_rate": RATE, "decay_all": True, "criterion": criterion, **section}
    section["name"] = "lion_then_sgd"
    return optim.make(section, lambda step: RATE, length, plateau=plateau)


def run(criterion, ready_from=None, jit=True, interrupt=None, latest=0.6):
    optimizer = make(criterion, latest=latest)
    update = jax.jit(optimizer.update) if jit else optimizer.update
    params = {"w": jnp.zeros(4), "b": jnp.zeros(())}
    state = optimizer.init(params)
    log = []
    for k in range(STEPS):
        if k == interrupt:
            state = jax.tree.map(np.asarray, state)
        value, gradient = loss_and_gradient(params, k, jnp)
        ready = None if ready_from is None else jnp.bool_(k >= ready_from)
        updates, state = update(gradient, state, params, value=value, ready=ready)
        params = optax.apply_updates(params, updates)
        s = state["lion_then_sgd"]
        losses, rates = s.statistics
        n = 0 if rates is None else int(rates.accepted)
        seen = 0 if losses is None else int(losses.seen)
        log.append(
            {
                "params": flat(params),
                "rate": optim.current_rate(state, lambda step: RATE, k),
                "switched_at": optim.switched_at(state),
                "sgd_rate": s.sgd_rate,
                "accepted": n,
                "gamma": rates.gammas[(n - 1) % len(rates.gammas)] if n else 0.0,
                "average": rates.average if n else 0.0,
                "mean": losses.means[(seen - 1) % len(losses.means)] if seen else 0.0,
            }
        )
    return log


CASES = [
    # criterion, step from which the loss is in its last stage, where it switches, gammas until then
    (DYNAMIC, None, 46, 45),  # the loss is flat
    (DYNAMIC, 0, 16, 16),
    (DYNAMIC, 20, 26, 25),  # after a gradient that gives no gamma
    ({**DYNAMIC, "bounds": (1e-4, 0.01)}, 20, 26, 25),
    ({**DYNAMIC, "warmup": "16 steps"}, 0, 18, 18),
    ({**DYNAMIC, "kappa": 0.1}, None, 54, 53),  # at the latest
    ({**DYNAMIC, "kappa": 100.0, "warmup": "24 steps"}, 0, 26, 25),  # not at the one left out
    ({**DYNAMIC, "decay": 0.999, "window": 40, "warmup": "1 steps"}, 0, 15, 15),
    (PLATEAU, None, 15, 0),
    ({**PLATEAU, "improvement": 0.05}, None, 8, 0),  # as soon as there is something to compare
    ({**PLATEAU, "improvement": -1.0}, None, 54, 0),
    (AT_STEP, None, 23, 0),
]


@pytest.mark.parametrize(("criterion", "ready_from", "switch", "accepted"), CASES)
def test_the_literal_loop(criterion, ready_from, switch, accepted):
    latest = 0.2 if criterion.get("warmup") == "16 steps" else 0.6
    expected = literal(criterion, ready_from, latest)
    assert (expected[-1]["switched_at"], expected[-1]["accepted"]) == (switch, accepted)
    found = run(criterion, ready_from, latest=latest)
    for k, (one, other) in enumerate(zip(expected, found, strict=True)):
        for key, value in one.items():
            np.testing.assert_allclose(other[key], value, 1e-4, 1e-6, err_msg=f"{key} {k}")
    switches = [int(entry["switched_at"]) for entry in found]
    assert switches == [-1] * (switch - 1) + [switch] * (STEPS - switch + 1)


@pytest.mark.parametrize("criterion", [DYNAMIC, PLATEAU, AT_STEP], ids=lambda s: s["name"])
@pytest.mark.parametrize("interrupt", [13, 70])
def test_interrupted_and_without_jit(criterion, interrupt):
    whole = run(criterion, 20)
    assert 13 < whole[-1]["switched_at"] < 70
    for other in (run(criterion, 20, interrupt=interrupt), run(criterion, 20, jit=False)):
        for a, b in zip(whole, other, strict=True):
            assert int(a["switched_at"]) == int(b["switched_at"])
            np.testing.assert_allclose(a["params"], b["params"], rtol=1e-5, atol=1e-7)
    for a, b in zip(whole, run(criterion, 20, interrupt=interrupt), strict=True):
        np.testing.assert_array_equal(a["params"], b["params"])


def test_before_it_is_lion_and_after_it_sgd():
    """Of Optax, but for rounding, given the rate; with a schedule of Lion's own."""
    schedule = optax.linear_schedule(0.0, RATE, 10)
    section = {"name": "lion_then_sgd", "learning_rate": RATE, "criterion": AT_STEP}
    optimizer = optim.make({**section, "decay_all": True}, schedule, LENGTH)
    cosine = optax.cosine_decay_schedule(SGD_RATE, STEPS - 23)
    others = [
        optax.lion(schedule, weight_decay=1e-2),
        optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(1.0, 0.9, nesterov=True)),
    ]
    params = {"w": jnp.zeros(4), "b": jnp.zeros(())}
    state = optimizer.init(params)
    assert optim.current_rate(state, schedule, 0) == 0
    for k in range(STEPS):
        if k in (0, 23):
            other = others[k > 0]
            expected = other.init(params)
        _, gradient = loss_and_gradient(params, k, jnp)
        updates, state = jax.jit(optimizer.update)(gradient, state, params)
        wanted, expected = jax.jit(other.update)(gradient, expected, params)
        rate = optim.current_rate(state, schedule, k)
        np.testing.assert_allclose(rate, schedule(k) if k < 23 else cosine(k - 23), rtol=1e-5)
        if k >= 23:
            wanted = jax.tree.map(lambda u, rate=rate: rate * u, wanted)
        # Compilers may or may not round between a product and a sum.
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6, 1e-8), updates, wanted)
        params = optax.apply_updates(params, updates)


def steady(momentum, nesterov, clip_norm=0.0):
    """Progress along a constant gradient with noise, per step before the switch and after it."""
    direction = np.random.default_rng(0).normal(size=400)
    criterion = {**DYNAMIC, "warmup": "60 steps", "kappa": 100.0, "window": 50, "decay": 0.98}
    sgd = {"momentum": momentum, "nesterov": nesterov, "weight_decay": 0.0}
    section = {"criterion": criterion, "sgd": sgd, "weight_decay": 0.0, "name": "lion_then_sgd"}
    section |= {"learning_rate": 1e-3}
    length = TrainingLength(4000)  # so that the cosine has not fallen where progress is measured
    optimizer = optim.make(section, lambda step: 1e-3, length, clip_norm=clip_norm)
    update = jax.jit(optimizer.update)
    params = {"kernel": jnp.zeros((20, 20))}
    state, noise, progress = optimizer.init(params), np.random.default_rng(1), []
    for _ in range(200):
        gradient = direction + 0.1 * noise.normal(size=400)
        gradient = {"kernel": jnp.asarray(gradient, jnp.float32).reshape(20, 20)}
        updates, state = update(gradient, state, params, value=1.0, ready=True)
        progress.append(-float(np.vdot(updates["kernel"], direction)))
    switch = int(optim.switched_at(state))
    assert 60 < switch < 80
    rate, estimate = optim.sgd_rate(state)
    assert rate == estimate, "no bound rules"
    # SGD's momentum has filled up 50 steps after the switch.
    return np.mean(progress[10:switch]), np.mean(progress[switch + 50 :])


@pytest.mark.parametrize(
    ("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.9, False), (0.9, True)]
)
def test_progress_stays_the_same_across_the_switch(momentum, nesterov):
    """But for 1 / cos^2 of the angle between Lion's step and a Gaussian gradient, pi / 2."""
    before, after = steady(momentum, nesterov)
    assert 1 < after / before < 2
    np.testing.assert_allclose(after / before, np.pi / 2, rtol=0.1)


def test_the_rate_is_estimated_from_gradients_before_clipping():
    """Clipped to a twentieth, gradients would give twenty times the rate."""
    before, after = steady(0.9, True, clip_norm=1.0)
    without, _ = steady(0.9, True)
    np.testing.assert_allclose(before, without, rtol=0.02)  # Lion takes signs
    # Norm 20 clipped to 1: SGD's own steps are clipped after the switch too.
    np.testing.assert_allclose(20 * after / before, np.pi / 2, rtol=0.1)


def test_gradients_of_zero_and_the_end():
    optimizer = make({**DYNAMIC, "warmup": "5 steps"}, length=TrainingLength(20))
    params = {"w": jnp.zeros(4), "b": jnp.ones(())}
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for _ in range(25):  # also beyond the end
        updates, state = update(optax.tree.zeros_like(params), state, params, value=0.0)
        for leaf in jax.tree.leaves((updates, state)):
            assert np.isfinite(leaf).all()
    assert optim.switched_at(state) == 12
    inner = state["lion_then_sgd"]
    np.testing.assert_allclose(inner.sgd_rate, 1e-4)  # no gamma: the smallest
    assert inner.rate == 0
    assert inner.statistics.rates.accepted == 0
    other = optim.make({"name": "sgd", "learning_rate": 1}, lambda s: 1, LENGTH)
    assert optim.switched_at(other.init(params)) is None


def test_several_devices_with_the_same_gradients():
    optimizer = make(AT_STEP)
    params = {"w": jnp.zeros(4), "b": jnp.zeros(())}

    def step(state, share):
        gradient = jax.lax.pmean(jax.tree.map(lambda p: jnp.full(p.shape, share), params), "d")
        return optimizer.update(gradient, state, params, value=jax.lax.pmean(share, "d"))

    n = jax.local_device_count()
    shares = jnp.arange(n, dtype=jnp.float32) + 1
    mapped = jax.pmap(step, "d", in_axes=(None, 0), out_axes=(None, None))
    state = single = optimizer.init(params)
    for _ in range(30):
        updates, state = mapped(state, shares)
        gradient = jax.tree.map(lambda p: jnp.full(p.shape, shares.mean()), params)
        wanted, single = jax.jit(optimizer.update)(gradient, single, params, value=0.0)
        jax.tree.map(np.testing.assert_array_equal, updates, wanted)
    assert optim.switched_at(state) == 23


def test_checkpoints_keep_the_decision(tmp_path):
    optimizer = make(DYNAMIC, frozen="b", frozen_until="2 steps")
    params = {"w": jnp.zeros(4), "b": jnp.zeros(())}
    state = optimizer.init(params)
    for k in range(5):
        value, gradient = loss_and_gradient(params, k, jnp)
        _, state = optimizer.update(gradient, state, params, value=value)
    current = TrainState(jnp.int32(5), params, {}, state)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(current, {}, {}, None)
        checkpoints._manager.wait_until_finished()
        restored, _ = checkpoints.restore(jax.tree.map(jnp.zeros_like, current))
    assert jax.tree.structure(restored) == jax.tree.structure(current)
    jax.tree.map(np.testing.assert_array_equal, restored, current)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make({"name": "dynamik"}), "did you mean 'dynamic'"),
        (lambda: make({**AT_STEP, "kappa": 1.0}), "argument of criterion .* 'step': 'kappa'"),
        (lambda: make({"name": "step", "at": "3 steps"}), "needs the argument 'sgd_learning_rate'"),
        (lambda: make({**PLATEAU, "sgd_learning_rate": 0.0}), "must be greater than 0"),
        (lambda: make({**AT_STEP, "at": "55 steps"}), "at=55 is not from 1 to latest=54"),
        (lambda: make(AT_STEP, latest=60), "latest=60 is a share"),
        (lambda: make(AT_STEP, b3=1), "argument of optimizer 'lion_then_sgd': 'b3'"),
        (lambda: make(AT_STEP, sgd={"nestrov": True}), "did you mean 'nesterov'"),
        (lambda: make({**DYNAMIC, "window": 0}), "window=0"),
        (lambda: make({**DYNAMIC, "warmup": "54 steps"}), "must be less than latest=54"),
        (lambda: make({**DYNAMIC, "bounds": (0.1, 0.01)}), "must be positive and in order"),
        (lambda: make({**DYNAMIC, "patience": "0 steps"}), "patience=0"),
        (lambda: make({**DYNAMIC, "decay": 1.0}), "decay=1.0 must be between 0 and 1"),
        (lambda: make(DYNAMIC, plateau=True), "schedule 'plateau' cannot lower"),
        (
            lambda: make(DYNAMIC).update(jnp.ones(1), make(DYNAMIC).init(jnp.ones(1)), jnp.ones(1)),
            "Dynamic needs the loss",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
