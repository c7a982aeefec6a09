"""Packs a data set, or a mixture of them, into a few large files that are read at random.

Samples are read and checked once, in order, and written to ArrayRecord shards. A shard appears
under its name when it is whole and has been read back; `manifest.json` appears when all have. The
same command run again after an interruption keeps the shards that are there. The files do not
depend on the number of workers. `jaxnuc.data.sources.packed` reads them.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnuc.data import records, sample_checks
from jaxnuc.data import shards as files
from jaxnuc.data.sample import Shared, Source
from jaxnuc.io.atomic import temporary_folder
from jaxnuc.io.lock import locked
from jaxnuc.io.workers import ordered_map

SHARD_SIZE = "64 MiB"

Read = Callable[[Source, int], bytes]

_PROBED = 8  # samples by which the size of all is estimated


def pack(
    source: Source,
    output: str | Path,
    split: str = "train",
    settings: Mapping[str, Any] | None = None,
    *,
    samples: int | None = None,
    shards: int | str = SHARD_SIZE,
    allow: Collection[str] = (),
    workers: int = 0,
) -> dict[str, Any]:
    """Writes samples to shards and a manifest, or completes what an earlier call has started.

    Samples of an endless source get their number before their name, since an image may come again.

    Args:
      source: picklable, if there are workers.
      output: a new or empty folder, or that of an earlier call with the same arguments.
      split: of the data set, for the manifest.
      settings: what else the samples depend on, for the manifest; as JSON has it.
      samples: number of samples to write; needed where the source is endless.
      shards: number of files; or about the size of each, such as `"64 MiB"`, from which the
        number follows: the size of all is estimated from some samples.
      allow: kinds of errors of `jaxnuc.data.sample_checks.check_sample` that are let pass.
      workers: processes that read, check and compress; the files do not depend on it.

    Returns:
      The manifest.

    Raises:
      ValueError: an argument out of range; a folder of something else, or of other arguments; a
        sample that `sample_checks.check_sample` finds an error in, or `records.encode` refuses; a
        name that is not unique; samples that differ from those of an earlier call that has
        finished; another process that packs into the folder.
    """
    if samples is None and source.endless:
        raise ValueError(f"source {source.name!r} is endless; give --samples, how many to pack")
    count = len(source) if samples is None else samples
    if not 1 <= count <= len(source):
        raise ValueError(f"{count} samples of source {source.name!r}, which has {len(source)}")
    read = functools.partial(_record, allow=tuple(allow))
    if isinstance(shards, str):
        shards = _shards_of(read, source, count, shards)
    if not 1 <= shards <= count:
        raise ValueError(f"{shards} shards for {count} samples: 1 to {count} are possible")
    if source.label_sets:
        raise ValueError(
            f"source {source.name!r} has several label sets, but packed files hold one; pack each "
            "of its sources by itself and mix them afterwards"
        )
    label_set = source.label_set
    plan = {
        "format": files.FORMAT,
        "version": files.VERSION,
        "name": source.name,
        "split": split,
        "settings": records.checked_json(dict(settings or {}), "settings"),
        "label_set": None if label_set is None else label_set.to_json(),
        "samples": count,
        "shard_count": shards,
    }
    with locked(Path(output)):
        return _packed(read, source, Path(output), plan, workers)


def _packed(
    read: Read, source: Source, output: Path, plan: dict[str, Any], workers: int
) -> dict[str, Any]:
    """Writes the shards of a plan that are missing, and the manifest."""
    count, shards = plan["samples"], plan["shard_count"]
    earlier = files.claim(output, plan)
    ranges = [range(count * k // shards, count * (k + 1) // shards) for k in range(shards)]
    done = _kept(output, ranges, earlier)
    missing = [k for k in range(shards) if k not in done]
    wanted = [index for k in missing for index in ranges[k]]
    with closing(_encoded(read, source, wanted, workers)) as stream:
        bar = iter(tqdm(stream, total=len(wanted), desc="pack", unit="sample", disable=None))
        for k in missing:
            done[k] = files.write(output / _name(k), islice(bar, len(ranges[k])), earlier.get(k))
            names = Counter(s["meta"]["name"] for shard in done.values() for s in shard.samples)
            (name, times), *_ = names.most_common(1)
            if times > 1:
                raise ValueError(
                    f"{times} samples of {source.name!r} have the name {name!r}; make the names "
                    "unique"
                )
    written = [done[k] for k in range(shards)]
    contents = [sample for shard in written for sample in shard.samples]
    metas = [sample["meta"] for sample in contents]
    manifest = {
        **plan,
        "ignores": source.ignores or any(sample["ignores"] for sample in contents),
        "data_sets": files.terms(meta["source"] for meta in metas if "source" in meta),
        "counts": {"samples": count, "nuclei": sum(sample["nuclei"] for sample in contents)},
        "shards": [shard.entry for shard in written],
        "names": [meta["name"] for meta in metas],
    }
    files.finish(output, manifest)
    return manifest


def _shards_of(read: Read, source: Source, count: int, size: str) -> int:
    """How many files of this size hold `count` samples."""
    try:
        mib = float(size.removesuffix("MiB"))
    except ValueError:
        mib = math.nan
    if not 0 < mib < math.inf:
        raise ValueError(f'shards={size!r}: a number of files, or a size such as "64 MiB"')
    places = np.linspace(0, count - 1, min(count, _PROBED)).astype(int).tolist()
    mean = sum(len(read(source, index)) for index in places) / len(places)
    return max(1, min(count, round(mean * count / (mib * 2**20))))


def _name(number: int) -> str:
    return f"shard-{number:05d}.arrayrecord"


def _kept(
    output: Path, ranges: Sequence[range], earlier: Mapping[int, Any]
) -> dict[int, files.Shard]:
    """The shards that exist and are whole; faults of the others are printed."""
    kept = {}
    present = [k for k in range(len(ranges)) if (output / _name(k)).exists()]
    for k in tqdm(present, desc="verify", unit="shard", disable=None):
        path, fault = output / _name(k), "not as it was packed"
        try:
            shard = files.read(path)
            if (
                len(ranges[k]) == shard.entry["records"]
                and earlier.get(k, shard.entry) == shard.entry
            ):
                kept[k] = shard
                continue
        except ValueError as error:
            fault = str(error)
        tqdm.write(f"{path}: {fault}; is written anew")
    return kept


def _encoded(
    read: Read, source: Source, indices: Iterable[int], workers: int
) -> Generator[bytes, None, None]:
    with temporary_folder() as folder:
        opened = Shared(source, folder) if workers else lambda: source
        yield from ordered_map(_read, ((read, opened, index) for index in indices), workers)


def _read(read: Read, opened: Callable[[], Source], index: int) -> bytes:
    return read(opened(), index)


def _record(source: Source, index: int, allow: Collection[str]) -> bytes:
    """Reads, checks and encodes a sample."""
    sample, label_set = source[index], source.label_set
    name = sample.meta.get("name")
    if not isinstance(name, str):
        raise ValueError(f"sample {index} of {source.name!r} has the name {name!r}, not a string")
    groups = label_set.groups if label_set is not None else ()
    for problem in sample_checks.check_sample(sample, groups):
        if problem.level == "error" and problem.kind not in allow:
            raise ValueError(
                f"sample {name!r} of {source.name!r}: {problem.kind}: {problem.text}; "
                "`jaxnuc inspect` lists all; correct or remove them, or give "
                f'--allow "{problem.kind}"'
            )
    if source.endless:
        sample = replace(sample, meta={**sample.meta, "name": f"{index:08d}/{name}"})
    return records.encode(sample)
