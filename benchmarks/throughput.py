"""Images per second of training and of inference, and their share of the device's peak.

    python -m benchmarks.throughput --model=harunet --variant=small --size=128 --batch=8

Prints one JSON line: both rates, the floating-point operations of a step as XLA counts them, and
their rate as a share of `--peak` (TFLOP/s) where given. Runs on one device; the batch is made of
noise, so that no input pipeline is timed.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnuc import models, optim, representations
from jaxnuc.durations import TrainingLength
from jaxnuc.prediction.predictor import make_forward
from jaxnuc.training import state
from jaxnuc.training.step import make_train_step


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def operations(compiled: Any) -> float:
    """Floating-point operations of one call, as XLA counts them."""
    cost = compiled.cost_analysis()
    return float((cost[0] if isinstance(cost, list) else cost)["flops"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="harunet")
    parser.add_argument("--variant", default="small")
    parser.add_argument("--representation", default="contour")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", type=float, help="of the device in TFLOP/s")
    given = parser.parse_args()

    bridge = representations.create(given.representation)
    dtype = jnp.dtype(given.dtype)
    model = models.create(given.model, bridge.outputs, variant=given.variant, dtype=dtype)
    optimizer = optim.make(
        {"name": "adamw", "learning_rate": 1e-3}, lambda step: 1e-3, TrainingLength(1)
    )
    current = state.create(model, optimizer, seed=0)
    rng = np.random.default_rng(0)
    shape = (given.batch, given.size, given.size)
    images = jax.device_put(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
    targets = {
        name: jax.device_put(rng.integers(0, 2, (*shape, 1), dtype=np.uint8))
        for name in bridge.outputs
    }
    batch, key = {"image": images, "targets": targets}, jax.random.key(0)
    step = make_train_step(model, bridge, optimizer)
    train = jax.jit(step, donate_argnums=0).lower(current, batch, key).compile()
    variables = jax.tree.map(jnp.copy, current.variables())
    infer = make_forward(model).lower(variables, images).compile()

    def one_step() -> Any:
        nonlocal current
        current, metrics = train(current, batch, key)
        return metrics

    one_step()
    jax.block_until_ready(infer(variables, images))
    result: dict[str, Any] = {**vars(given), "device": jax.devices()[0].device_kind}
    for name, compiled, run in (
        ("training", train, one_step),
        ("inference", infer, lambda: infer(variables, images)),
    ):
        took, flops = seconds(run, given.repeats), operations(compiled)
        result[f"{name}_images_per_second"] = round(given.batch / took, 2)
        result[f"{name}_gflop_per_image"] = round(flops / given.batch / 1e9, 2)
        result[f"{name}_gflop_per_second"] = round(flops / took / 1e9, 1)
        if given.peak:
            result[f"{name}_share_of_peak"] = round(flops / took / 1e12 / given.peak, 4)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
