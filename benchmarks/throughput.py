"""Images per second of training and of inference, and their share of the device's peak.

    python -m benchmarks.throughput --model=harunet --variant=small --size=128 --batch=8

Prints one JSON line: both rates, the floating-point operations of a step as XLA counts them, their
rate as a share of `--peak` (TFLOP/s) where given, CPU seconds of tracing with lowering and of
compilation, and into how many fusions XLA compiles each. Runs on one device; the batch is made of
noise, so that no input pipeline is timed.
"""

import argparse
import json
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.timing import medians
from benchmarks.training_step import TrainingStep
from jaxnuc import models, representations


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
    network = TrainingStep(model, bridge, given.batch, given.size)
    result: dict[str, Any] = {**vars(given), "device": jax.devices()[0].device_kind}

    begun = time.process_time()
    lowered = network.lowered()
    result["trace_cpu_seconds"] = round(time.process_time() - begun, 1)
    begun = time.process_time()
    compiled = [each.compile() for each in lowered]
    result["compilation_cpu_seconds"] = round(time.process_time() - begun, 1)

    network.take(*compiled)
    calls = {"training": network.train, "inference": network.predict}
    times = medians(calls, given.repeats)
    for (name, took), program in zip(times.items(), compiled, strict=True):
        flops = operations(program)
        result[f"{name}_fusions"] = str(program.as_text()).count(" fusion(")
        result[f"{name}_images_per_second"] = round(given.batch / took, 2)
        result[f"{name}_gflop_per_image"] = round(flops / given.batch / 1e9, 2)
        result[f"{name}_gflop_per_second"] = round(flops / took / 1e9, 1)
        if given.peak:
            result[f"{name}_share_of_peak"] = round(flops / took / 1e12 / given.peak, 4)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
