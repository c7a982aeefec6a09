"""Networks on a stream of patches, in batches on all devices."""

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import jax
import numpy as np

from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.symmetries import Maps
from jaxnuc.run.devices import compile_forward

T = TypeVar("T")

WAITING = 4  # batches of patches that may wait for others of their shape


@dataclass
class _Queue(Generic[T]):
    """Patches of one shape on their way.

    Each becomes several images, one for each symmetry, which may be in several batches.

    Attributes:
      images: of the next batch.
      patches: without maps, and their numbers of images.
      maps: of each image, those of every network.
    """

    images: list[np.ndarray] = field(default_factory=list)
    patches: deque[tuple[T, int]] = field(default_factory=deque)
    maps: list[list[Maps]] = field(default_factory=list)


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
        """The maps of every patch; those of one shape in their order.

        Args:
          patches: anything, and the pixels (H, W, 3) uint8 that belong to it, normalized, with as
            many pixels of their surroundings as the network's margin. A batch holds those of one
            shape. One that is not full is filled up with black images, at the end, or where
            `WAITING` batches of patches wait for others of their shape.

        Yields:
          What came with the pixels; their `{map: (h, w, C) float32}`; and the same of each member
          of the average where the predictor measures agreement, else nothing.
        """
        queues: dict[tuple[int, ...], _Queue[T]] = {}  # by the shape of the patches
        running: deque[tuple[_Queue[T], Any, int]] = deque()  # batches on the devices

        def start(queue: _Queue[T]) -> None:
            count = len(queue.images)
            queue.images.extend([np.zeros_like(queue.images[0])] * (self.size - count))
            batch = np.stack(queue.images)
            running.append((queue, [network(batch) for network in self._networks], count))
            queue.images.clear()

        def finish() -> Iterator[tuple[T, Maps, tuple[Maps, ...]]]:
            queue, batch, count = running.popleft()
            with self._waiting("device"):
                batch = jax.device_get(batch)
            batch = [{k: m.reshape(-1, *m.shape[2:]) for k, m in each.items()} for each in batch]
            queue.maps.extend(
                [{name: m[i] for name, m in each.items()} for each in batch] for i in range(count)
            )
            while queue.patches and len(queue.maps) >= queue.patches[0][1]:
                patch, number = queue.patches.popleft()
                by_network = zip(*queue.maps[:number], strict=True)
                members = self._average.restore([m for each in by_network for m in each])
                merged = self._average.average(members)
                del queue.maps[:number]
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
            queue = queues.setdefault(pixels.shape, _Queue())
            queue.patches.append((patch, len(transformed)))
            for image in transformed:
                queue.images.append(image)
                if len(queue.images) == self.size:
                    start(queue)
            if sum(len(each.images) for each in queues.values()) >= WAITING * self.size:
                start(max(queues.values(), key=lambda each: len(each.images)))
            while len(running) > 1:
                yield from finish()
        for queue in queues.values():
            if queue.images:
                start(queue)
            while len(running) > 1:
                yield from finish()
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
