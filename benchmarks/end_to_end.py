"""Images per second of whole trainings, as a share of the training step alone.

    python -m benchmarks.end_to_end --networks flexible_unet unet --workers 1 --root=FOLDER

Trains each network for some steps on DSB2018, with crops, flips, turns and elastic deformations
made by workers, and then repeats the last step on the last batch as often, with nothing beside it:
no input pipeline, no log. The two in turn, `--rounds` times; prints a table in Markdown with the
median share and its range. The first `--before` steps are not counted: workers start, and every
image is read for the first time. Workers and the step share the processor where that is the device.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from jaxnuc.config import default
from jaxnuc.run import devices
from jaxnuc.run.log import LOG, read_log
from jaxnuc.training.loop import train_and_evaluate

REPRESENTATIONS = {"stardist": "stardist", "hovernet": "hover"}  # contour for all others


class Kept:
    """A compiled step that keeps what it was last called with."""

    def __init__(self, step: Any) -> None:
        self.step = step
        self.last: tuple[Any, Any, Any]

    def __call__(self, state: Any, batch: Any, rng: Any) -> Any:
        after, metrics = self.step(state, batch, rng)
        self.last = after, batch, rng
        return after, metrics

    def seconds(self, steps: int) -> float:
        """Seconds of a step on the last batch, which are repeated after one another."""
        state, batch, rng = self.last
        start = time.perf_counter()
        for _ in range(steps):
            state, metrics = self.step(state, batch, rng)
        jax.block_until_ready(metrics)
        self.last = state, batch, rng
        return (time.perf_counter() - start) / steps


def configuration(network: str, workers: int, root: str) -> ConfigDict:
    config = default()
    config.model = ConfigDict({"name": network, "variant": "small"})
    config.representation = ConfigDict({"name": REPRESENTATIONS.get(network, "contour")})
    config.data.source = ConfigDict({"name": "dsb2018", "modality": "fluorescence"})
    config.data.root, config.data.workers = root, workers
    side = 256 if network == "hovernet" else 128  # its decoders have no padding
    config.data.transforms = (f"random_crop({side})", "flip_turn()", "elastic(4, p=0.3)")
    config.batch_size = 8
    return config


def train(config: ConfigDict, before: int, steps: int) -> tuple[float, Kept]:
    """Seconds of a step of a training, the first ones and evaluations left out."""
    config.duration = f"{before + steps} steps"
    kept: list[Kept] = []

    def compile_step(step: Any) -> Kept:
        kept.append(Kept(compiled(step)))
        return kept[0]

    compiled = devices.compile_step
    evaluation = "jaxnuc.training.loop._evaluate"
    with (
        tempfile.TemporaryDirectory() as workdir,
        mock.patch.object(devices, "compile_step", compile_step),
        mock.patch(evaluation, lambda parts, current, *rest: (current, None)),
    ):
        train_and_evaluate(config, workdir)
        lines = read_log(Path(workdir, LOG))
    times = {line["step"]: line["time"] for line in lines if "train/loss" in line}
    first, last = min(step for step in times if step >= before), max(times)
    return (times[last] - times[first]) / (last - first), kept[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    networks = ["flexible_unet", "unet", "stardist"]
    parser.add_argument("--networks", nargs="+", default=networks)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--root", default="")
    parser.add_argument("--before", type=int, default=60)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    flags.FLAGS(["end_to_end"])  # Grain's workers want them parsed
    print("| network | training, images/s | step alone, images/s | share |")
    print("| --- | ---: | ---: | --- |")
    for network in given.networks:
        config = configuration(network, given.workers, given.root)
        rounds = []
        for _ in range(given.rounds):
            seconds, kept = train(config, given.before, given.steps)
            rounds.append((seconds, kept.seconds(given.steps)))
        whole, alone = np.transpose(rounds)
        shares = alone / whole
        print(
            f"| {network} `small` | {8 / np.median(whole):.1f} | {8 / np.median(alone):.1f} | "
            f"{np.median(shares):.2f} ({shares.min():.2f} to {shares.max():.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
