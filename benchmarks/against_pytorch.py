"""Training steps and inference against PyTorch: the same networks, in turn, in one process.

    pip install torch --index-url https://download.pytorch.org/whl/cpu
    python -m benchmarks.against_pytorch --networks flexible_unet:small harunet:small

Both have the same input, AdamW and float32, and all cores. Our step is that of `jaxnuc train`, with
the losses of the representation; theirs has the cross entropy of each map, in PyTorch's eager mode.
Prints a table in Markdown: median milliseconds of each, and the ratio theirs / ours (above 1: ours
is faster) with its range over rounds of `--repeats` calls of the one and then the other.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.example_batch import example_batch
from benchmarks.torch_networks import NETWORKS
from jaxnuc import models, optim, representations
from jaxnuc.durations import TrainingLength
from jaxnuc.prediction.predictor import make_forward
from jaxnuc.training import state
from jaxnuc.training.step import make_train_step

REPRESENTATIONS = {"stardist": "stardist", "hovernet": "hover"}  # contour for all others
RATE = 1e-3


def timed(call: Callable[[], Any], repeats: int) -> float:
    """Median milliseconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


class Ours:
    """Our network with a training step and a forward pass."""

    def __init__(self, name: str, variant: str, count: int, side: int) -> None:
        bridge = representations.create(REPRESENTATIONS.get(name, "contour"))
        self.outputs = bridge.outputs
        model = models.create(name, self.outputs, variant=variant)
        section = {"name": "adamw", "learning_rate": RATE}
        optimizer = optim.make(section, lambda step: RATE, TrainingLength(1))
        self._state = state.create(model, optimizer, seed=0)
        self.parameters = sum(x.size for x in jax.tree.leaves(self._state.params))
        batch = example_batch(bridge, count, side)
        self.images = batch["image"]
        self._batch, self._key = jax.device_put(batch), jax.random.key(0)
        step = make_train_step(model, bridge, optimizer)
        self._step = jax.jit(step, donate_argnums=0)
        self._forward = make_forward(model)

    def train(self) -> None:
        self._state, metrics = self._step(self._state, self._batch, self._key)
        jax.block_until_ready(metrics)

    def predict(self) -> None:
        jax.block_until_ready(self._forward(self._state.variables(), self._batch["image"]))


class Theirs:
    """The same network in PyTorch."""

    def __init__(self, name: str, variant: str, outputs: Any, images: np.ndarray) -> None:
        self._network = NETWORKS[name, variant](outputs)
        self.parameters = sum(x.numel() for x in self._network.parameters())
        self._images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 255
        self._optimizer = torch.optim.AdamW(self._network.parameters(), RATE)

    def train(self) -> None:
        self._network.train()
        maps = self._network(self._images)
        losses = [F.binary_cross_entropy_with_logits(x, torch.zeros_like(x)) for x in maps.values()]
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        self._optimizer.step()

    def predict(self) -> None:
        self._network.eval()
        with torch.inference_mode():
            self._network(self._images)


def compare(name: str, variant: str, size: int, batch: int, rounds: int, repeats: int) -> None:
    """Prints the lines of a network."""
    ours = Ours(name, variant, batch, size)  # a step cuts off the margin of the targets
    theirs = Theirs(name, variant, ours.outputs, ours.images)
    if ours.parameters != theirs.parameters:
        raise ValueError(f"{name}:{variant}: {ours.parameters} parameters, and {theirs.parameters}")
    for what in ("train", "predict"):
        pair = getattr(ours, what), getattr(theirs, what)
        for call in pair:
            call()  # compiles, and allocates
        times = np.array([[timed(call, repeats) for call in pair] for _ in range(rounds)])
        ratios = times[:, 1] / times[:, 0]
        mine, other = np.median(times, axis=0)
        print(
            f"| {name} {variant}, {ours.parameters:,} | {batch} x {size} px | {what} | {mine:.0f} "
            f"| {other:.0f} | {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}) |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [":".join(key) for key in NETWORKS]
    parser.add_argument("--networks", nargs="+", default=every, metavar="NAME:VARIANT")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"jax {jax.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("| network, parameters | batch | | ours, ms | PyTorch, ms | ratio |")
    print("| --- | --- | --- | ---: | ---: | --- |")
    for each in options.networks:
        name, _, variant = each.partition(":")
        # The decoders of HoVer-Net have no padding, and 128 pixels leave 36 of them.
        compare(name, variant, options.size, options.batch, options.rounds, options.repeats)


if __name__ == "__main__":
    main()
