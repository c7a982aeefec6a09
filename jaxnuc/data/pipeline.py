"""The input stream: a Grain data set of batches, the same for any number of workers.

Each example is fixed by the seed and its position in the global stream, and a batch by its
number; so the stream is the same for any number of workers, processes and restarts.
"""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grain
import numpy as np
from absl import flags

from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.transforms import Transform, apply
from jaxnuc.io.shared_memory import name_after_parent
from jaxnuc.io.workers import affordable, cores, follow_parent

Batch = dict[str, Any]
Encode = Callable[
    [np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None],
    Mapping[str, np.ndarray],
]

THREADS = 4


class Batches(Iterator[Batch]):
    """An endless iterator of batches whose position can be saved and set; made by `batches`."""

    def __init__(self, dataset: grain.MapDataset, workers: int):
        self.dataset = dataset
        self.workers = workers
        self._next = 0
        self._iterator: grain.DatasetIterator | None = None

    def __next__(self) -> Batch:
        if self._iterator is None:
            self._iterator = self._open()
        try:
            batch = next(self._iterator)
        except RuntimeError as error:
            if "process was terminated" not in str(error):  # which no other type says
                raise
            raise ChildProcessError(
                f"one of {self.workers} input workers died, perhaps for want of memory; set "
                "data.workers to fewer, and run again to go on"
            ) from error
        self._next += 1
        return batch

    def get_state(self) -> dict[str, int]:
        """The position, for a checkpoint: `{"next_batch": k}`."""
        return {"next_batch": self._next}

    def set_state(self, state: Mapping[str, int]) -> None:
        """Goes to a position, without reading what lies before it.

        Args:
          state: what `get_state` returned, with any number of workers or processes.

        Raises:
          ValueError: not such a state.
        """
        position = state.get("next_batch")
        if not isinstance(position, int | np.integer) or position < 0:
            raise ValueError(f"state {dict(state)!r}: {{'next_batch': k}} with k >= 0 is expected")
        self.close()
        self._next = int(position)

    def close(self) -> None:
        """Ends threads and worker processes; the next read starts them again."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None

    def _open(self) -> grain.DatasetIterator:
        # The position is a slice of the data set: Grain's own state depends on the workers.
        threads = 1 if self.workers else min(THREADS, cores())
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        stream = self.dataset[self._next :].to_iter_dataset(options)
        if self.workers:
            # Grain reads its own absl flags, which fails where no `app.run` has parsed them.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            workers = affordable(self.workers)
            stream = stream.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2),
                worker_init_fn=_start_worker,
            )
        return iter(stream)


def batches(
    source: Source,
    transforms: Sequence[Transform],
    encode: Encode,
    batch_size: int,
    seed: int,
    *,
    shuffle: bool = True,
    process: tuple[int, int] = (0, 1),
    workers: int = 0,
) -> Batches:
    """Endless stream of training batches.

    Args:
      source: the images; with the attribute `endless = True` its index is itself the randomness
        and it is neither shuffled nor repeated.
      transforms: applied to each sample in order; all results must have one size.
      encode: `(instances (H, W) int32, classes (H, W) int32 or None, ignore (H, W) bool or None,
        covered (H, W, D) int32 or None)` -> maps (H, W, C) by name. `ignore` is given for all
        samples where the source or a transform has the attribute `ignores = True`, so that all
        batches hold the same maps, else for none.
      batch_size: images a batch over all processes.
      seed: of the order and of the transforms.
      shuffle: a new order in every epoch; without it, the order of the source.
      process: number of this process, and of all that read. Each gets its equal part of every
        batch, and together they get the batch that a single one would.
      workers: processes that read ahead; 0 reads in threads. The batches are the same.

    Returns:
      An iterator of `{"image": (b, H, W, 3) uint8, "targets": {name: (b, H, W, C)}}`, with
      `get_state`, `set_state` and `close`. Where the samples' meta says which of several label sets
      they have, this is the target `label_set`, (b,) int32.

    Raises:
      ValueError: an argument out of range, an empty source; on reading, images of several sizes, or
        regions to ignore that neither the source nor a transform has announced.
    """
    if workers < 0:
        raise ValueError(f"workers={workers}: it must be 0 (threads) or more")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed}: an integer in 0 .. 2**32 - 1 is expected")
    dataset = _endless(source, seed, shuffle)
    ignores = source.ignores or any(transform.ignores for transform in transforms)
    dataset = dataset.random_map(_Example(tuple(transforms), encode, ignores))
    return Batches(_batched(dataset, batch_size, process), workers)


def with_unlabeled(
    labeled: Batches,
    source: Source,
    transforms: Sequence[Transform],
    student_transforms: Sequence[Transform],
    batch_size: int,
    seed: int,
    process: tuple[int, int] = (0, 1),
) -> Batches:
    """The same batches, each with one of images whose annotations are not used, for self-training.

    Both streams have one position, so that the state of one is that of both.

    Args:
      labeled: from `batches`.
      source: the images; their nuclei are left out before anything sees them.
      transforms: of the image that the teacher sees, such as a crop.
      student_transforms: what is changed besides in the image that the student sees; colors, noise
        and the like, which leave every pixel where it is.
      batch_size: images a batch over all processes.
      seed: of the order and of the transforms.
      process: as for `batches`.

    Returns:
      `labeled`, with `"unlabeled": {"image": (b, H, W, 3) uint8, "student": the same}` added.

    Raises:
      ValueError: as for `batches`; on reading, a transform of the student's moves pixels.
    """
    pair = _UnlabeledPair(tuple(transforms), tuple(student_transforms))
    dataset = _batched(_endless(source, seed).random_map(pair), batch_size, process)
    length = min(len(labeled.dataset), len(dataset))
    zipped = grain.experimental.ZipMapDataset([labeled.dataset[:length], dataset[:length]])
    return Batches(zipped.map(_joined), labeled.workers)


def _endless(source: Source, seed: int, shuffle: bool = True) -> grain.MapDataset:
    if len(source) == 0:
        raise ValueError(f"source {source.name!r} is empty: nothing to train on")
    dataset = grain.MapDataset.source(source).seed(seed)
    if source.endless:
        return dataset
    return (dataset.shuffle() if shuffle else dataset).repeat()


def _batched(
    examples: grain.MapDataset, batch_size: int, process: tuple[int, int]
) -> grain.MapDataset:
    """The part that a process has of each batch."""
    index, count = process
    if not 0 <= index < count:
        raise ValueError(f"process {index} of {count}: they are numbered 0 to {count - 1}")
    if batch_size < 1 or batch_size % count:
        raise ValueError(f"batch size {batch_size} does not divide over {count} processes")
    part = examples.slice(slice(index, None, count))
    return part.batch(batch_size // count, drop_remainder=True, batch_fn=_stack)


def _joined(both: tuple[Batch, Batch]) -> Batch:
    labeled, unlabeled = both
    return {**labeled, "unlabeled": unlabeled}


def fixed_batches(
    source: Source, transforms: Sequence[Transform], encode: Encode, batch_size: int, seed: int
) -> Iterator[Batch]:
    """Every image once, in the source's order, made by the transforms the same way every time.

    Args:
      source: the images, finitely many.
      transforms: as for `batches`.
      encode: as for `batches`.
      batch_size: images a batch; the last one may have fewer.
      seed: with the number of an image, that of its transforms.
    """
    example = _Example(
        tuple(transforms), encode, source.ignores or any(t.ignores for t in transforms)
    )
    for start in range(0, len(source), batch_size):
        numbers = range(start, min(start + batch_size, len(source)))
        yield _stack([example(source[i], np.random.default_rng((seed, i))) for i in numbers])


def _start_worker(index: int, count: int) -> None:
    """Lets an input worker end when, and only when, the process that it reads for ends or asks."""
    # A scheduler sends SIGTERM to all processes; the training still needs batches to stop well.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    follow_parent()  # Grain asks its workers to stop, which a parent that was killed no longer can
    name_after_parent()  # in which batches travel


@dataclass(frozen=True)
class _Example:
    """Sample -> what the network trains on."""

    transforms: tuple[Transform, ...]
    encode: Encode
    ignores: bool

    def __call__(self, sample: Sample, rng: np.random.Generator) -> dict[str, Any]:
        if self.ignores and sample.ignore is None:
            sample = replace(sample, ignore=np.zeros(sample.instances.shape, bool))
        sample = apply(self.transforms, sample, rng)
        if sample.ignore is not None and not self.ignores:
            raise ValueError(
                f"sample {sample.meta.get('name')!r} has regions to ignore, but neither its source "
                "nor a transform has `ignores = True`; set it, since all batches must hold the "
                "same maps"
            )
        maps = sample.instances, sample.classes, sample.ignore, sample.covered
        targets = dict(self.encode(*maps))
        for name, target in targets.items():
            if target.ndim == 2:
                raise ValueError(
                    f"encode gives the target {name!r} as {target.shape}; (H, W, C) is expected, "
                    "such as target[..., None]"
                )
        if "label_set" in sample.meta:  # whose classes they are, in a mixture of several label sets
            targets["label_set"] = np.array(sample.meta["label_set"], np.int32)
        return {"image": sample.image, "targets": targets}


@dataclass(frozen=True)
class _UnlabeledPair:
    """Sample -> the images that teacher and student see of it."""

    transforms: tuple[Transform, ...]
    student_transforms: tuple[Transform, ...]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> dict[str, Any]:
        shape = sample.image.shape[:2]
        bare = Sample(sample.image, np.zeros(shape, np.int32), meta=sample.meta)
        bare = apply(self.transforms, bare, rng)
        # As many nuclei as pixels, which show whether any of them moves.
        height, width = bare.image.shape[:2]
        numbers = np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width)
        student = apply(self.student_transforms, replace(bare, instances=numbers), rng)
        if not np.array_equal(student.instances, numbers):
            raise ValueError(
                "one of self_training.student_transforms moves pixels, so that the maps of student "
                "and teacher could not be compared; crops, turns and the like belong to "
                "self_training.transforms"
            )
        return {"image": bare.image, "student": student.image}


def _stack(examples: Sequence[dict[str, Any]]) -> Batch:
    sizes = {example["image"].shape[:2] for example in examples}
    if len(sizes) > 1:
        raise ValueError(
            f"images of sizes {sorted(sizes)} in one batch; end data.transforms with "
            '"random_crop(SIZE)"'
        )
    return _stacked(examples)


def _stacked(trees: Sequence[Any]) -> Any:
    first = trees[0]
    if not isinstance(first, dict):
        return np.stack(trees)
    return {name: _stacked([tree[name] for tree in trees]) for name in first}
