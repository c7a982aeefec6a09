"""Training steps and inference against PyTorch: the same networks, in turn, in one process.

    pip install torch --index-url https://download.pytorch.org/whl/cpu
    python -m benchmarks.against_pytorch --networks flexible_unet:small harunet:small

Both have the same input, AdamW and float32, and all cores. Our step is that of `jaxnuc train`, with
the losses of the representation; theirs has the cross entropy of each map, in PyTorch's eager mode.
Prints a table in Markdown: median milliseconds of each, and the ratio theirs / ours (above 1: ours
is faster) with its range over rounds of `--repeats` calls of the one and then the other.
"""

import argparse
from typing import Any

import jax
import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.timing import seconds
from benchmarks.torch_networks import NETWORKS
from benchmarks.training_step import RATE, TrainingStep
from jaxnuc import models, representations

REPRESENTATIONS = {"stardist": "stardist", "hovernet": "hover"}  # contour for all others


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
    bridge = representations.create(REPRESENTATIONS.get(name, "contour"))
    model = models.create(name, bridge.outputs, variant=variant)
    ours = TrainingStep(model, bridge, batch, size)  # it cuts off the margin of the targets
    theirs = Theirs(name, variant, bridge.outputs, ours.images)
    if ours.parameters != theirs.parameters:
        raise ValueError(f"{name}:{variant}: {ours.parameters} parameters, and {theirs.parameters}")
    for what in ("train", "predict"):
        pair = getattr(ours, what), getattr(theirs, what)
        for call in pair:
            seconds(call)  # compiles, and allocates
        times = 1e3 * np.array(
            [[np.median(seconds(call, repeats)) for call in pair] for _ in range(rounds)]
        )
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
