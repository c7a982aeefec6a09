"""Sliding windows: a few large images as many small ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.transforms.geometry import Size, crop, padded, sides
from jaxnuc.registry import check_known


class Windows(Source):
    """Every window of every image, image by image, from top left to bottom right.

    The last windows of a row and of a column end with the image, so that every pixel is in a
    window and none is larger than asked. Smaller images are padded, see
    `jaxnuc.data.transforms.geometry.Pad`. A window is a sample of its own: intensity
    normalization and balancing see it and not its image.

    The sizes of the images are found by reading each of them once, with a progress bar; windows
    are cut when they are read.

    Args:
      source: the images.
      size: of a window, side or (height, width), pixels.
      stride: between windows, the same form; None: `size`, windows side by side.
      cache: images kept in memory in each process that reads, those read last. Windows in random
        order read their image anew unless it is among them.

    Raises:
      ValueError: a size or stride below 1, gaps between windows, or an endless source.
    """

    def __init__(self, source: Source, size: Size, stride: Size | None = None, cache: int = 1):
        if source.endless:
            raise ValueError(f"source {source.name!r} is endless: it cannot be cut into windows")
        self._size = sides(size, "size of windows")
        stride = self._size if stride is None else sides(stride, "stride of windows")
        if stride[0] > self._size[0] or stride[1] > self._size[1]:
            raise ValueError(
                f"stride {stride} is larger than the window {self._size}: pixels would be left out"
            )
        if not isinstance(cache, int) or cache < 1:
            raise ValueError(f"windows: cache={cache!r}: 1 image or more is expected")
        self._source, self._stride, self._cache = source, stride, cache
        self.name, self.split, self.ignores = source.name, source.split, source.ignores
        self.label_set, self.label_sets = source.label_set, source.label_sets
        progress = tqdm(range(len(source)), desc=f"sizes of {source.name}", disable=None)
        self._shapes = [source[i].instances.shape for i in progress]
        counts = [len(rows) * len(columns) for rows, columns in map(self._starts, self._shapes)]
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._recent: dict[int, Sample] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)} of source {self.name!r}")
        image = int(np.searchsorted(self._ends, index, side="right"))
        rows, columns = self._starts(self._shapes[image])
        before = int(self._ends[image - 1]) if image else 0
        row, column = divmod(int(index) - before, len(columns))
        sample, (top, left) = self._read(image), (rows[row], columns[column])
        window = crop(sample, top, left, *self._size)
        name = f"{sample.meta.get('name')}/{top}_{left}"
        return replace(window, meta={**sample.meta, "name": name})

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_recent": {}}

    def _starts(self, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
        rows, columns = (
            [*range(0, max(length - side, 0), stride), max(length - side, 0)]
            for length, side, stride in zip(shape, self._size, self._stride, strict=True)
        )
        return rows, columns

    def _read(self, image: int) -> Sample:
        sample = self._recent.get(image)
        if sample is None:
            sample = padded(self._source[image], self._size)
            self._recent[image] = sample
            for old in list(self._recent)[: -self._cache]:
                self._recent.pop(old, None)
        return sample


def windows(source: Source, section: int | Mapping[str, Any]) -> Windows:
    """Windows as a configuration has them: the size, or `{"size": 256, "stride": 128, "cache": 8}`.

    Raises:
      ValueError: see `Windows`; also an unknown or missing argument.
    """
    try:
        arguments = {"size": section} if isinstance(section, int) else dict(section)
    except (TypeError, ValueError):
        raise ValueError(f"windows={section!r}: a size or a mapping is expected") from None
    for key in arguments:
        check_known("argument of windows:", key, ("size", "stride", "cache"))
    if "size" not in arguments:
        raise ValueError('windows need a size: {"size": 256, "stride": 128}')
    return Windows(source, **arguments)
