"""Inspection of a data set before it is trained on: counts, and whatever is wrong or odd."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from numbers import Real
from operator import iadd
from typing import Any, NamedTuple

import numpy as np
from skimage.measure import label
from tqdm import tqdm

from jaxnuc.data.contact_sheet import Picture, thumbnail
from jaxnuc.data.sample import Sample, Source
from jaxnuc.postprocess import regions, relabel
from jaxnuc.workers import ordered_map

PIECES = 20  # a class map that is taken for instances has nuclei of many more
TINY = 3  # pixels, without which there is no polygon
LARGE, ENOUGH = 20, 5  # times the median area of at least so many nuclei
# Means inside and outside of the nuclei, apart by so many standard deviations of a channel: the
# images of public sets have 0.5 and more, nine in ten with the labels of another less than 0.3.
CONTRAST = 0.3
LEFT_OUT = {  # counts in the samples' meta
    "skipped_regions": "of too few vertices",
    "hidden_regions": "without a pixel of their own",
    "other_regions": "of other labels than nuclei",
}
_CHUNK = 8  # images per task of a worker: the source is sent with each task


class Problem(NamedTuple):
    """What is wrong with an image (`level` "error"), or worth a look ("note").

    Attributes:
      level: `"error"` or `"note"`.
      kind: what it is, in the same words for all images that have it.
      text: the particulars.
      image: `split/name`.
    """

    level: str
    kind: str
    text: str
    image: str = ""


@dataclass
class Inspection:
    """What was found in a data set.

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
    and images of the same pixels: a note within a split, an error between splits, as a network
    would be judged by what it was trained on.

    Args:
      splits: the parts of the data set, such as `{"train": source, "test": source}`.
      workers: number of processes; the result is the same whatever it is.
      limit: read only so many images of each split.
      limit_pictures: so many images, evenly spaced, are pictured, and up to as many more of those
        that have problems.
      max_pieces: see `check_sample`.

    Raises:
      ValueError: a limit or number of workers below 0, or an endless source without a limit.
    """
    for key, number in (("limit", limit), ("limit_pictures", limit_pictures)):
        if number is not None and number < 0:
            raise ValueError(f"{key} is {number}; it must be 0 or more")
    lengths = {}
    for split, source in splits.items():
        if limit is None and getattr(source, "endless", False):
            raise ValueError(f"split {split!r} of {source.name!r} is endless; give a limit")
        lengths[split] = len(source) if limit is None else min(limit, len(source))
    images = [(split, index) for split, length in lengths.items() for index in range(length)]
    spaced = np.linspace(0, len(images) - 1, min(limit_pictures, len(images)))
    shown = {images[round(number)] for number in spaced}
    size = _CHUNK if workers else 1
    tasks = (
        (split, source, part, [(split, index) in shown for index in part], max_pieces)
        for split, source in splits.items()
        for part in (range(lengths[split])[k : k + size] for k in range(0, lengths[split], size))
    )
    found, extra = Inspection(), limit_pictures
    names: set[str] = set()
    first: dict[bytes, str] = {}
    with tqdm(total=len(images), desc="inspect", unit="image", disable=None) as bar:
        for name, digest, wanted, one in chain.from_iterable(ordered_map(_read, tasks, workers)):
            one.problems += _repeated(name, digest, names, first)
            if not (wanted or extra):
                one.pictures = []
            extra -= len(one.pictures) and not wanted
            level = min((problem.level for problem in one.problems), default="")
            one.pictures = [replace(picture, level=level) for picture in one.pictures]
            for key, value in vars(one).items():
                setattr(found, key, iadd(getattr(found, key), value))
            bar.update()
    order = dict.fromkeys(group for source in splits.values() for group in _groups(source))
    per_class = found.nuclei_per_class
    found.nuclei_per_class = Counter(dict.fromkeys(order, 0) | dict(per_class))
    return found


def check_sample(
    sample: Sample, classes: Sequence[str] = (), max_pieces: int = PIECES
) -> list[Problem]:
    """What is wrong or odd with one sample.

    Errors: arrays that are not what `jaxnuc.data.Sample` says; an image of one colour; no
    background; nuclei of no class or several; nuclei of more than `max_pieces` pieces.

    Notes: no nuclei; nuclei in pieces, of less than 3 pixels, or of more than 20 times the median
    area of the image; classes outside of nuclei; regions left out; nuclei that do not differ from
    what is around them, as when the labels belong to another image.

    Args:
      sample: the sample.
      classes: the names of class 1, 2, ...
      max_pieces: the most pieces of a nucleus that are no error.
    """
    wrong = [Problem("error", kind, text) for kind, text in _malformed(sample, len(classes))]
    return wrong or [Problem(*found) for found in _odd(sample, len(classes), max_pieces)]


def _malformed(sample: Sample, groups: int) -> Iterator[tuple[str, str]]:
    image, shape = sample.image, sample.image.shape[:2]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        yield "not an RGB image", f"{image.dtype} {image.shape}; expected uint8 (H, W, 3)"
    maps = {"instances": (sample.instances, np.int32), "classes": (sample.classes, np.int32)}
    for name, (array, dtype) in {**maps, "ignore": (sample.ignore, np.bool)}.items():
        if array is None and name != "instances":
            continue
        if array is None or array.dtype != dtype or array.ndim != 2:
            is_ = "None" if array is None else f"{array.dtype} {array.shape}"
            yield f"{name} of another form", f"{is_}; expected {np.dtype(dtype)} (H, W)"
        elif array.shape != shape:
            yield "sizes differ", f"{name} of {array.shape} pixels for an image of {shape}"
        elif name == "instances" and array.min(initial=0) < 0:
            yield "negative ids", f"the lowest is {array.min()}"
        elif name == "classes" and not -1 <= array.min(initial=0) <= array.max(initial=0) <= groups:
            yield "unknown classes", f"{array.min()} to {array.max()}; expected -1 to {groups}"
    mpp = sample.meta.get("mpp")
    if mpp is not None and not (isinstance(mpp, Real) and 0 < float(mpp) < math.inf):
        yield "microns per pixel", f"{mpp}; expected a positive number, or None"


def _odd(sample: Sample, groups: int, max_pieces: int) -> Iterator[tuple[str, str, str]]:
    found, inside = regions(sample.instances), sample.instances > 0
    judged = slice(None) if sample.ignore is None else ~sample.ignore
    if sample.image.min() == sample.image.max():
        yield "error", "image of one colour", f"every value is {sample.image.min()}"
    elif np.any(inside) and _contrast(sample.image[judged], inside[judged]) < CONTRAST:
        text = "their mean is that of the rest; the labels may belong to another image"
        yield "note", "nuclei do not stand out", text
    if inside.all():
        yield "error", "no background", "nuclei cover every pixel"
    if not len(found.ids):
        unlabelled = sample.ignore is not None and sample.ignore.all()
        yield "note", "no nuclei", "unlabelled" if unlabelled else "the labels are empty"
    if sample.classes is not None:
        table = _class_pixels(sample.instances, sample.classes, groups)
        if np.any(table[0, 2:]):
            yield "note", "classes outside of nuclei", f"{table[0, 2:].sum()} pixels"
        without, several = table[1:, 1] > 0, np.count_nonzero(table[1:], axis=1) > 1
        if without.any():
            yield "error", "nuclei without class", _named(found.ids[without])
        if (several & ~without).any():
            yield "error", "nuclei of several classes", _named(found.ids[several & ~without])
    if (tiny := found.areas < TINY).any():
        yield "note", f"nuclei of less than {TINY} pixels", _named(found.ids[tiny])
    pieces = _pieces(sample.instances)
    if (many := pieces > max_pieces).any():
        yield "error", f"nuclei in more than {max_pieces} pieces", _named(found.ids[many])
    if (some := (pieces > 1) & ~many).any():
        yield "note", "nuclei in several pieces", _named(found.ids[some])
    if len(found.ids) >= ENOUGH and (large := found.areas > LARGE * np.median(found.areas)).any():
        yield "note", f"nuclei of more than {LARGE} times the median area", _named(found.ids[large])
    for key, why in LEFT_OUT.items():
        if number := sample.meta.get(key):
            yield "note", f"regions left out, {why}", str(number)


def _named(ids: np.ndarray, most: int = 5) -> str:
    listed = ", ".join(map(str, ids[:most].tolist()))
    return f"{len(ids)}: id {listed}{', ...' if len(ids) > most else ''}"


def _contrast(image: np.ndarray, inside: np.ndarray) -> float:
    """The greatest difference of means over the channels, in standard deviations within."""
    pixels, inside = image.reshape(-1, 3).astype(np.float32), inside.ravel()
    if inside.all() or not inside.any():
        return math.inf  # nothing to compare
    share = inside.mean()
    variance = share * pixels[inside].var(axis=0) + (1 - share) * pixels[~inside].var(axis=0)
    apart = np.abs(pixels[inside].mean(axis=0) - pixels[~inside].mean(axis=0))
    return float((apart / np.sqrt(np.maximum(variance, 1e-6))).max())


def _class_pixels(instances: np.ndarray, classes: np.ndarray, groups: int) -> np.ndarray:
    """(N + 1, groups + 2), pixels by nucleus, the background first, and by class, -1 first."""
    ranks, columns = relabel(instances).astype(np.int64), groups + 2
    places = (ranks * columns + classes + 1).ravel()
    return np.bincount(places, minlength=(ranks.max() + 1) * columns).reshape(-1, columns)


def _pieces(instances: np.ndarray) -> np.ndarray:
    """(N,) into how many pieces each nucleus falls, in the order of the ids."""
    ranks = relabel(instances)
    parts = label(ranks, background=0, connectivity=2)
    owners = np.zeros(parts.max() + 1, np.int64)
    owners[parts] = ranks
    return np.bincount(owners[1:], minlength=ranks.max() + 1)[1:]


def _read(
    split: str, source: Source, indices: range, shown: list[bool], max_pieces: int
) -> list[tuple[str, bytes, bool, Inspection]]:
    """Of each image `split/name`, a digest of the pixels, whether it is shown, what was found."""
    ids: Any = getattr(source, "ids", None)
    groups, read = _groups(source), []
    for index, wanted in zip(indices, shown, strict=True):
        where = f"{split}/{ids[index] if ids is not None else index}"
        one, digest = Inspection(images=1, splits=Counter([split])), b""
        try:
            sample = source[index]
        except (ValueError, OSError) as error:
            one.problems = [Problem("error", "unreadable", str(error), where)]
        else:
            where = f"{split}/{sample.meta.get('name', index)}"
            one.problems = [
                p._replace(image=where) for p in check_sample(sample, groups, max_pieces)
            ]
            if not any(_malformed(sample, len(groups))):
                digest = _measure(one, sample, groups)
                if wanted or one.problems:
                    one.pictures = [Picture(thumbnail(sample), where)]
        read.append((where, digest, wanted, one))
    return read


def _groups(source: Source) -> Sequence[str]:
    cut = getattr(source, "cut", None)
    return () if cut is None else cut.groups


def _measure(one: Inspection, sample: Sample, groups: Sequence[str]) -> bytes:
    """Counts what is in a sample; returns a digest of its pixels, none if they are all alike."""
    one.nuclei = len(regions(sample.instances).ids)
    one.left_out.update({why: n for key, why in LEFT_OUT.items() if (n := sample.meta.get(key))})
    one.sizes[" x ".join(map(str, sample.instances.shape))] += 1
    mpp = sample.meta.get("mpp")
    one.mpp["unknown" if mpp is None else f"{mpp:.4g}"] += 1
    if sample.classes is not None:
        table = _class_pixels(sample.instances, sample.classes, len(groups))[1:]
        numbers = np.bincount(table.argmax(axis=1), minlength=len(groups) + 2).tolist()
        named = zip(("ignored", "no class", *groups), numbers, strict=True)
        one.nuclei_per_class.update({name: number for name, number in named if number})
    if sample.image.min() == sample.image.max():
        return b""
    return hashlib.blake2b(str(sample.image.shape).encode() + sample.image.tobytes()).digest()[:16]


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
