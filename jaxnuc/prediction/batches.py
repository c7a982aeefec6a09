"""Networks on a stream of tiles of one shape, in batches on all devices."""

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
import numpy as np

from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.symmetries import Maps
from jaxnuc.run.devices import compile_forward

T = TypeVar("T")


@dataclass
class Batches:
    """Maps of tiles. The devices work on one batch while the next is read.

    Attributes:
      predictor: whose networks they are; it says over what their maps are averaged.
      size: images in a batch; rounded up to a multiple of the devices.
      seconds: how long this process waited for the `"tiles"`, for the `"device"`, and for whoever
        takes the maps (`"taker"`).
    """

    predictor: Predictor
    size: int = 1
    seconds: dict[str, float] = field(
        default_factory=lambda: {"tiles": 0.0, "device": 0.0, "taker": 0.0}
    )

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"batch_size={self.size} must be at least 1")
        devices = jax.local_device_count()
        self.size = math.ceil(self.size / devices) * devices
        predictor = self.predictor
        self._runs = [compile_forward(n.forward, n.variables) for n in predictor.networks]
        self._average = predictor.average

    def __call__(
        self, tiles: Iterable[tuple[T, np.ndarray]]
    ) -> Iterator[tuple[T, Maps, tuple[Maps, ...]]]:
        """The maps of every tile, in their order.

        Args:
          tiles: anything, and the tile (S, S, 3) uint8 that it stands for, normalised, all of one
            side S, with as many pixels of its surroundings as the network's margin. A short last
            batch is filled up with black tiles.

        Yields:
          What came with the tile; its `{map: (h, w, C) float32}`; and the same of each member, as
          `Predictor.members`, where the predictor is to tell their agreement, else nothing.
        """
        parts: deque[tuple[T, int]] = deque()  # tiles whose maps are not merged yet
        maps: list[list[Maps]] = []  # of each image, those of every network
        waiting: deque[tuple[Any, int]] = deque()  # batches on the devices
        images: list[np.ndarray] = []

        def start() -> None:
            count = len(images)
            images.extend([np.zeros_like(images[0])] * (self.size - count))
            batch = np.stack(images)
            waiting.append(([run(batch) for run in self._runs], count))
            images.clear()

        def finish() -> Iterator[tuple[T, Maps, tuple[Maps, ...]]]:
            batch, count = waiting.popleft()
            with self._waiting("device"):
                batch = jax.device_get(batch)
            maps.extend(
                [{name: m[i] for name, m in each.items()} for each in batch] for i in range(count)
            )
            while parts and len(maps) >= parts[0][1]:
                tile, number = parts.popleft()
                by_network = zip(*maps[:number], strict=True)
                members = self._average.undone([m for each in by_network for m in each])
                merged = self._average.merged(members)
                del maps[:number]
                with self._waiting("taker"):
                    yield tile, merged, members if self.predictor.agreement else ()

        iterator = iter(tiles)
        while True:
            with self._waiting("tiles"):
                following = next(iterator, None)
            if following is None:
                break
            tile, pixels = following
            turned = self._average.images(pixels)
            parts.append((tile, len(turned)))
            for image in turned:
                images.append(image)
                if len(images) == self.size:
                    start()
            while len(waiting) > 1:
                yield from finish()
        if images:
            start()
        while waiting:
            yield from finish()

    @contextmanager
    def _waiting(self, what: str) -> Iterator[None]:
        """Adds the time within to an entry of `seconds`."""
        since = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - since
