"""A training step on several devices that one processor pretends to be, beside one device.

    python -m benchmarks.forced_devices --networks flexible_unet:small harunet:small --devices 4

The whole batch is the same. What the step takes longer on several is what dividing it costs:
copies of the state, averages over the devices, smaller convolutions. Each count has a process of
its own, and the two measure in turn; prints a table in Markdown with medians of wall time and CPU
time over the rounds, and the ratio of the wall times with its range.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

MEASURE = "--measure"


def measure(name: str, variant: str, batch: int, size: int, repeats: int) -> None:
    """Prints `ready`, and at each line that is read seconds and CPU seconds of a step."""
    import jax

    from benchmarks.training_step import example_batch
    from jaxnuc import models, optim, representations
    from jaxnuc.durations import TrainingLength
    from jaxnuc.run import devices
    from jaxnuc.training import state
    from jaxnuc.training.step import make_train_step

    bridge = representations.create("contour")
    model = models.create(name, bridge.outputs, variant=variant, axis_name=devices.AXIS)
    section = {"name": "adamw", "learning_rate": 1e-3}
    optimizer = optim.make(section, lambda step: 1e-3, TrainingLength(1))
    current = devices.replicate(state.create(model, optimizer, seed=0))
    given = example_batch(bridge, batch, size)
    step = devices.compile_step(make_train_step(model, bridge, optimizer, axis_name=devices.AXIS))
    key = devices.replicate(jax.random.key(0))

    def run() -> None:
        nonlocal current
        current, metrics = step(current, given, key)
        jax.block_until_ready(metrics)

    run()
    print("ready", jax.device_count(), flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            run()
        seconds = time.perf_counter() - start, time.process_time() - cpu
        print(*(x / repeats for x in seconds), flush=True)


def start(count: int, arguments: list[str]) -> subprocess.Popen[str]:
    flag = f"--xla_force_host_platform_device_count={count}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.forced_devices", MEASURE, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XLA_FLAGS": flags},
    )
    assert process.stdout is not None
    if process.stdout.readline() != f"ready {count}\n":
        raise RuntimeError(f"the process with {count} devices ended early")
    return process


def asked(process: subprocess.Popen[str]) -> list[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return [float(x) for x in process.stdout.readline().split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    networks = ["flexible_unet:small", "harunet:small"]
    parser.add_argument("--networks", nargs="+", default=networks, metavar="NAME:VARIANT")
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(MEASURE, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        name, _, variant = given.networks[0].partition(":")
        measure(name, variant, given.batch, given.size, given.repeats)
        return
    print(f"| network | 1 device, s (CPU s) | {given.devices} devices, s (CPU s) | ratio |")
    print("| --- | --- | --- | --- |")
    for network in given.networks:
        sizes = [f"--{k}={getattr(given, k)}" for k in ("batch", "size", "repeats")]
        pair = [start(n, ["--networks", network, *sizes]) for n in (1, given.devices)]
        times = np.array([[asked(process) for process in pair] for _ in range(given.rounds)])
        for process in pair:
            process.communicate("")
        ratios = times[:, 1, 0] / times[:, 0, 0]
        one, several = (f"{wall:.2f} ({cpu:.2f})" for wall, cpu in np.median(times, axis=0))
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        print(f"| {network} | {one} | {several} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
