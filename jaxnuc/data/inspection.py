"""Inspection of a data set before it is trained on: counts, and whatever is wrong or odd."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import iadd
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxnuc.data.class_names import misspelled
from jaxnuc.data.contact_sheet import Picture, thumbnail
from jaxnuc.data.sample import Sample, Shared, Source
from jaxnuc.data.sample_checks import (
    LEFT_OUT,
    PIECES,
    Problem,
    check_sample,
    class_pixels,
    malformed,
)
from jaxnuc.io.atomic import temporary_folder
from jaxnuc.io.workers import ordered_map
from jaxnuc.postprocess import regions

# The correlation of two images' thumbnails from which they are nearly the same. Of 54 images of
# CoNSeP and DSB 2018 and their copies, 1.1 times as bright and in JPEG, it is at least 0.96; of
# different images of CoNSeP at most 0.27, and of DSB 2018 0.52, but for one pair with 0.98.
ALIKE = 0.9
_SIDE = 32  # of such a thumbnail

_ABOUT_MPP = (
    "; needed only where magnifications differ, or for results in microns: then say how large "
    "a pixel is, as by --config.data.source.mpp=0.25 for a training, or --mpp=0.25 for predict"
)


@dataclass
class Inspection:
    """Counts of a data set, and its problems.

    Attributes:
      images: number of images, with those that cannot be read.
      nuclei: number of nuclei.
      nuclei_per_class: by the names of the classes; of several, a nucleus has the most frequent.
      sizes: images by `"H x W"` in pixels.
      mpp: images by microns per pixel, `"unknown"` among them.
      splits: images by split.
      left_out: regions of the annotation files that are no nuclei here, by the reason.
      problems: errors and notes, in the order of the images.
      pictures: of some images, for `jaxnuc.data.contact_sheet`.
    """

    images: int = 0
    nuclei: int = 0
    nuclei_per_class: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    mpp: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def of(self, level: str) -> list[Problem]:
        """The problems of a level, `"error"` or `"note"`."""
        return [problem for problem in self.problems if problem.level == level]

    def to_json(self) -> dict[str, Any]:
        """Everything but the pictures, as dicts, lists, strings and integers."""
        levels = {
            f"{level}s": [
                {"image": p.image, "kind": p.kind, "text": p.text} for p in self.of(level)
            ]
            for level in ("error", "note")
        }
        return {k: v for k, v in vars(self).items() if isinstance(v, int | Counter)} | levels


def inspect(
    splits: Mapping[str, Source],
    *,
    workers: int = 0,
    limit: int | None = None,
    limit_pictures: int = 60,
    max_pieces: int = PIECES,
) -> Inspection:
    """Reads and checks every image of a data set, with a progress bar.

    Beside the problems of single images, see `check_sample`, it finds names that are not unique,
    and images of the same pixels: a note within a split, an error between splits, since a
    network would be tested on images that it was trained on. Nearly the same image in two splits
    is a note: thumbnails, 32 x 32 in gray, that correlate by `ALIKE` or more. So is the name of a
    class that may be a misspelled one of another class, see `class_names.misspelled`.

    Args:
      splits: the parts of the data set, such as `{"train": source, "test": source}`.
      workers: number of processes; the result is the same whatever it is.
      limit: number of images to read of each split; None: all.
      limit_pictures: number of images to picture, evenly spaced, and of further ones with problems.
      max_pieces: see `check_sample`.

    Raises:
      ValueError: a limit or number of workers below 0, or an endless source without a limit.
    """
    for key, number in (("limit", limit), ("limit_pictures", limit_pictures)):
        if number is not None and number < 0:
            raise ValueError(f"{key} is {number}; it must be 0 or more")
    lengths = {}
    for split, source in splits.items():
        if limit is None and source.endless:
            raise ValueError(f"split {split!r} of {source.name!r} is endless; give a limit")
        lengths[split] = len(source) if limit is None else min(limit, len(source))
    images = [(split, index) for split, length in lengths.items() for index in range(length)]
    spaced = np.linspace(0, len(images) - 1, min(limit_pictures, len(images)))
    shown = {images[round(number)] for number in spaced}
    found, extra = Inspection(), limit_pictures
    names: set[str] = set()
    first: dict[bytes, str] = {}
    named: dict[str, str] = {}  # an image by the names of the classes in it
    looks: dict[str, list[tuple[str, bytes, np.ndarray]]] = {split: [] for split in splits}
    with (
        temporary_folder() as folder,
        tqdm(total=len(images), desc="inspect", unit="image", disable=None) as bar,
    ):
        opened = {s: Shared(each, folder) if workers else each for s, each in splits.items()}
        tasks = ((s, k, opened[s], (s, k) in shown, max_pieces) for s, k in images)
        for name, (digest, look), wanted, one in ordered_map(_read, tasks, workers):
            one.problems += _repeated(name, digest, names, first)
            if not (wanted or extra):
                one.pictures = []
            extra -= len(one.pictures) and not wanted
            level = min((problem.level for problem in one.problems), default="")
            one.pictures = [replace(picture, level=level) for picture in one.pictures]
            for group in one.nuclei_per_class:
                named.setdefault(group, name)
            for key, value in vars(one).items():
                setattr(found, key, iadd(getattr(found, key), value))
            if digest:
                looks[name.split("/")[0]].append((name, digest, look))
            bar.update()
    found.problems += _nearly_repeated(list(looks.values()))
    order = dict.fromkeys(group for source in splits.values() for group in _groups(source))
    per_class = found.nuclei_per_class
    found.nuclei_per_class = Counter(dict.fromkeys(order, 0) | dict(per_class))
    found.problems += _misspelled({group: per_class[group] for group in order}, named)
    return found


def report(name: str, found: Inspection, all_notes: bool = False) -> str:
    """An inspection of this data set as text, with all notes or the first 10 of each kind."""
    lines = [
        f"{name}: {found.images} images, {found.nuclei} nuclei",
        f"splits: {_counts(found.splits.items())}",
    ]
    if found.nuclei_per_class:
        lines.append(f"nuclei per class: {_counts(found.nuclei_per_class.items())}")
    lines += [
        f"sizes (H x W): {_counts(found.sizes.most_common())}",
        f"microns per pixel: {_counts(sorted(found.mpp.items()))}"
        f"{_ABOUT_MPP if 'unknown' in found.mpp else ''}",
    ]
    if found.left_out:
        lines.append(f"regions left out: {_counts(found.left_out.items())}")
    for level in ("note", "error"):
        problems = sorted(found.of(level), key=lambda problem: problem.kind)
        for kind, group in groupby(problems, key=lambda problem: problem.kind):
            members = list(group)
            lines.append(f"{level}: {kind} ({len(members)})")
            listed = members if level == "error" or all_notes else members[:10]
            lines += [f"  {problem.image}: {problem.text}" for problem in listed]
            if len(listed) < len(members):
                lines.append(f"  ... and {len(members) - len(listed)} more, see --all-notes")
    errors = len(found.of("error"))
    lines.append(f"{errors or 'no'} error{'' if errors == 1 else 's'}")
    return "\n".join(lines)


def _misspelled(counts: Mapping[str, int], named: Mapping[str, str]) -> Iterator[Problem]:
    """Notes on names of classes that may be others, each with the first image that has it."""
    for name, other in misspelled(counts):
        number = counts[name]
        nuclei = "1 nucleus is" if number == 1 else f"{number} nuclei are"
        text = f"{nuclei} called {name!r}; is it {other!r}, as {counts[other]} are?"
        yield Problem("note", "name of a class that resembles another", text, named[name])


def _counts(items: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{key}: {number}" for key, number in items)


def _read(
    split: str, index: int, opened: Source | Shared, wanted: bool, max_pieces: int
) -> tuple[str, tuple[bytes, np.ndarray], bool, Inspection]:
    """`split/name` of an image, its digest and look, `wanted`, and its inspection."""
    source = opened() if isinstance(opened, Shared) else opened
    groups = _groups(source)
    where = f"{split}/{source.ids[index] if source.ids else index}"
    one, look = Inspection(images=1, splits=Counter([split])), (b"", np.zeros(0))
    try:
        sample = source[index]
    except (ValueError, OSError, ImportError) as error:
        one.problems = [Problem("error", "unreadable", str(error), where)]
        return where, look, wanted, one
    where = f"{split}/{sample.meta.get('name', index)}"
    one.problems = [p._replace(image=where) for p in check_sample(sample, groups, max_pieces)]
    if not any(malformed(sample, len(groups))):
        look = _measure(one, sample, groups)
        if wanted or one.problems:
            one.pictures = [Picture(thumbnail(sample), where)]
    return where, look, wanted, one


def _groups(source: Source) -> Sequence[str]:
    return () if source.label_set is None else source.label_set.groups


def _measure(one: Inspection, sample: Sample, groups: Sequence[str]) -> tuple[bytes, np.ndarray]:
    """Counts what is in a sample; returns a digest of its pixels, none if they are all alike, and
    its thumbnail as a vector of mean 0 and length 1."""
    one.nuclei = len(regions(sample.instances).ids)
    one.left_out.update({why: n for key, why in LEFT_OUT.items() if (n := sample.meta.get(key))})
    one.sizes[" x ".join(map(str, sample.instances.shape))] += 1
    mpp = sample.meta.get("mpp")
    one.mpp["unknown" if mpp is None else f"{mpp:.4g}"] += 1
    if sample.classes is not None:
        table = class_pixels(sample.instances, sample.classes, len(groups))[1:]
        numbers = np.bincount(table.argmax(axis=1), minlength=len(groups) + 2).tolist()
        named = zip(("ignored", "no class", *groups), numbers, strict=True)
        one.nuclei_per_class.update({name: number for name, number in named if number})
    if sample.image.min() == sample.image.max():
        return b"", np.zeros(0)
    shape = str(sample.image.shape).encode()
    small = Image.fromarray(sample.image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    look = np.asarray(small, np.float32).ravel()
    look = look - look.mean()
    look /= max(float(np.linalg.norm(look)), 1e-6)
    return hashlib.blake2b(shape + sample.image.tobytes()).digest()[:16], look


def _nearly_repeated(splits: Sequence[list[tuple[str, bytes, np.ndarray]]]) -> Iterator[Problem]:
    """Notes on the images of later splits of which an earlier one has nearly the same."""
    for place, later in enumerate(splits):
        earlier = [each for split in splits[:place] for each in split]
        if not earlier:
            continue
        known = np.stack([look for _, _, look in earlier])
        for where, digest, look in later:
            likeness = known @ look
            other, its_digest, _ = earlier[int(likeness.argmax())]
            if likeness.max() >= ALIKE and its_digest != digest:
                text = f"nearly the same as {other} (correlation {likeness.max():.2f})"
                yield Problem("note", "nearly the same image in two splits", text, where)


def _repeated(
    where: str, digest: bytes, names: set[str], first: dict[bytes, str]
) -> Iterator[Problem]:
    if where in names:
        yield Problem("error", "name not unique", "another image has it too", where)
    names.add(where)
    other = first.setdefault(digest, where) if digest else where
    if other.split("/")[0] != where.split("/")[0]:
        yield Problem("error", "image in two splits", f"the same pixels as {other}", where)
    elif other != where:
        yield Problem("note", "image twice in a split", f"the same pixels as {other}", where)
