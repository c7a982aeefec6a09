"""Networks on a stream of patches of one shape, in batches on all devices."""

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
class BatchRunner:
    """Computes the maps of patches. The devices work on one batch while the next is read.

    Attributes:
      predictor: its networks, and how their maps are averaged.
      size: images in a batch; rounded up to a multiple of the devices.
      seconds: how long this process waited for the `"tiles"` to be read, for the `"device"`, and
        for the `"decoding"` of the maps.
    """

    predictor: Predictor
    size: int = 1
    seconds: dict[str, float] = field(
        default_factory=lambda: {"tiles": 0.0, "device": 0.0, "decoding": 0.0}
    )

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"batch_size={self.size} must be at least 1")
        devices = jax.local_device_count()
        self.size = math.ceil(self.size / devices) * devices
        networks = self.predictor.networks
        self._networks = [compile_forward(n.forward, n.variables) for n in networks]
        self._average = self.predictor.average

    def __call__(
        self, patches: Iterable[tuple[T, np.ndarray]]
    ) -> Iterator[tuple[T, Maps, tuple[Maps, ...]]]:
        """The maps of every patch, in their order.

        Args:
          patches: anything, and the pixels (S, S, 3) uint8 that belong to it, normalized, all of
            one side S, with as many pixels of their surroundings as the network's margin. A short
            last batch is filled up with black images.

        Yields:
          What came with the pixels; their `{map: (h, w, C) float32}`; and the same of each member
          of the average where the predictor measures agreement, else nothing.
        """
        # A patch becomes several images, one for each symmetry, which may be in several batches.
        pending: deque[tuple[T, int]] = deque()  # patches without maps, and their number of images
        maps: list[list[Maps]] = []  # of each image, those of every network
        running: deque[tuple[Any, int]] = deque()  # batches on the devices
        images: list[np.ndarray] = []  # of the next batch

        def start() -> None:
            count = len(images)
            images.extend([np.zeros_like(images[0])] * (self.size - count))
            batch = np.stack(images)
            running.append(([network(batch) for network in self._networks], count))
            images.clear()

        def finish() -> Iterator[tuple[T, Maps, tuple[Maps, ...]]]:
            batch, count = running.popleft()
            with self._waiting("device"):
                batch = jax.device_get(batch)
            maps.extend(
                [{name: m[i] for name, m in each.items()} for each in batch] for i in range(count)
            )
            while pending and len(maps) >= pending[0][1]:
                patch, number = pending.popleft()
                by_network = zip(*maps[:number], strict=True)
                members = self._average.restore([m for each in by_network for m in each])
                merged = self._average.average(members)
                del maps[:number]
                with self._waiting("decoding"):
                    yield patch, merged, members if self.predictor.agreement else ()

        iterator = iter(patches)
        while True:
            with self._waiting("tiles"):
                following = next(iterator, None)
            if following is None:
                break
            patch, pixels = following
            transformed = self._average.images(pixels)
            pending.append((patch, len(transformed)))
            for image in transformed:
                images.append(image)
                if len(images) == self.size:
                    start()
            while len(running) > 1:
                yield from finish()
        if images:
            start()
        while running:
            yield from finish()

    @contextmanager
    def _waiting(self, what: str) -> Iterator[None]:
        """Adds the time within to an entry of `seconds`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - start
