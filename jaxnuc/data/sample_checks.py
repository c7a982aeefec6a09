"""What can be wrong with a sample, or odd about it."""

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
from skimage.measure import label

from jaxnuc.data.sample import Sample
from jaxnuc.postprocess import regions, relabel
from jaxnuc.postprocess.masks import masks_of

PIECES = 20  # a class map that is taken for instances has nuclei of many more
TINY = 3  # pixels, without which there is no polygon
LARGE = 20  # times the median area
ENOUGH = 5  # nuclei, without which a median says little
# Difference of the means inside and outside of the nuclei, in standard deviations of a channel: the
# images of public sets have 0.5 and more, nine in ten with the labels of another less than 0.3.
CONTRAST = 0.3
LEFT_OUT = {  # counts in the samples' meta
    "skipped_regions": "of too few vertices",
    "hidden_regions": "without a pixel of their own",
    "outside_regions": "outside of the image",
    "duplicate_regions": "drawn twice",
    "other_regions": "of other labels than nuclei",
}


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


def check_sample(
    sample: Sample, classes: Sequence[str] = (), max_pieces: int = PIECES
) -> list[Problem]:
    """What is wrong or odd with one sample, whose classes 1, 2, ... have these names.

    Errors: arrays that are not what `jaxnuc.data.Sample` says; an image of one color; no
    background; nuclei of no class or several; nuclei of more than `max_pieces` pieces.

    Notes: no nuclei; nuclei in pieces, of less than 3 pixels, or of more than 20 times the median
    area of the image; a mask that is taken for instances; nuclei that overlap, or of no class among
    others that have one; classes outside of nuclei; regions left out; nuclei that do not differ
    from what is around them, as when the labels belong to another image.
    """
    wrong = [Problem("error", kind, text) for kind, text in malformed(sample, len(classes))]
    return wrong or [Problem(*found) for found in _odd(sample, len(classes), max_pieces)]


def malformed(sample: Sample, groups: int) -> Iterator[tuple[str, str]]:
    image, shape = sample.image, sample.image.shape[:2]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        yield "not an RGB image", f"{image.dtype} {image.shape}; expected uint8 (H, W, 3)"
    maps: dict[str, tuple[np.ndarray | None, type, str]] = {
        "instances": (sample.instances, np.int32, "(H, W)"),
        "classes": (sample.classes, np.int32, "(H, W)"),
        "ignore": (sample.ignore, np.bool, "(H, W)"),
        "covered": (sample.covered, np.int32, "(H, W, D)"),
    }
    for name, (array, dtype, axes) in maps.items():
        if array is None and name != "instances":
            continue
        if array is None or array.dtype != dtype or array.ndim != axes.count(",") + 1:
            is_ = "None" if array is None else f"{array.dtype} {array.shape}"
            yield f"{name} of another form", f"{is_}; expected {np.dtype(dtype)} {axes}"
        elif array.shape[:2] != shape:
            yield "sizes differ", f"{name} of {array.shape} pixels for an image of {shape}"
        elif name in ("instances", "covered") and array.min(initial=0) < 0:
            yield "negative ids", f"the lowest is {array.min()}"
        elif name == "classes" and not -1 <= array.min(initial=0) <= array.max(initial=0) <= groups:
            yield "unknown classes", f"{array.min()} to {array.max()}; expected -1 to {groups}"
        elif name == "covered" and sample.instances.shape == shape:
            top = sample.instances[..., None]
            if wrong := np.count_nonzero((array > 0) & ((top == 0) | (top == array))):
                yield "covered by no other nucleus", f"{wrong} pixels of `covered`"
    mpp = sample.meta.get("mpp")
    if mpp is not None and not (isinstance(mpp, Real) and 0 < float(mpp) < math.inf):
        yield "microns per pixel", f"{mpp}; expected a positive number, or None"


def _odd(sample: Sample, groups: int, max_pieces: int) -> Iterator[tuple[str, str, str]]:
    found, inside = regions(sample.instances), sample.instances > 0
    annotated = slice(None) if sample.ignore is None else ~sample.ignore
    if sample.image.min() == sample.image.max():
        yield "error", "image of one color", f"every value is {sample.image.min()}"
    elif np.any(inside) and _contrast(sample.image[annotated], inside[annotated]) < CONTRAST:
        text = "their mean is that of the rest; the labels may belong to another image"
        yield "note", "nuclei do not stand out", text
    if inside.all():
        yield "error", "no background", "nuclei cover every pixel"
    unlabeled = sample.ignore is not None and sample.ignore.all()
    if not len(found.ids):
        yield "note", "no nuclei", "unlabeled" if unlabeled else "the labels are empty"
    elif unlabeled:
        text = "no nucleus counts; do the annotated regions belong to this image?"
        yield "note", "everything is ignored", text
    if sample.classes is not None:
        table = class_pixels(sample.instances, sample.classes, groups)
        if np.any(table[0, 2:]):
            yield "note", "classes outside of nuclei", f"{table[0, 2:].sum()} pixels"
        without, several = table[1:, 1] > 0, np.count_nonzero(table[1:], axis=1) > 1
        if without.any():
            yield "error", "nuclei without class", _named(found.ids[without])
        if (several & ~without).any():
            yield "error", "nuclei of several classes", _named(found.ids[several & ~without])
    if (tiny := found.areas < TINY).any():
        yield "note", f"nuclei of less than {TINY} pixels", _named(found.ids[tiny])
    ids, pieces = _pieces(sample)
    if (many := pieces > max_pieces).any():
        yield "error", f"nuclei in more than {max_pieces} pieces", _named(ids[many])
    if len(ids) == 1 and 1 < pieces[0] <= max_pieces:
        text = f"{ids[0]} in {pieces[0]} pieces; if it is a mask of nuclei, label_from='components'"
        yield "note", "labels of one number", text
    elif (some := (pieces > 1) & ~many).any():
        yield "note", "nuclei in several pieces", _named(ids[some])
    if sample.covered is not None:
        yield "note", "nuclei that overlap", _named(np.unique(sample.covered)[1:])
    if unnamed := sample.meta.get("unnamed_regions"):
        yield "note", "nuclei of no class, which is ignored", str(unnamed)
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


def class_pixels(instances: np.ndarray, classes: np.ndarray, groups: int) -> np.ndarray:
    """(N + 1, groups + 2), pixels by nucleus, the background first, and by class, -1 first."""
    ranks, columns = relabel(instances).astype(np.int64), groups + 2
    places = (ranks * columns + classes + 1).ravel()
    return np.bincount(places, minlength=(ranks.max() + 1) * columns).reshape(-1, columns)


def _pieces(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """(N,) ids of the nuclei, and (N,) into how many pieces each one falls."""
    if sample.covered is not None:  # one that lies across another does not cut it in two
        ids, masks = masks_of(sample.instances, sample.covered)
        return ids, np.array([label(mask.mask, connectivity=2).max() for mask in masks])
    ranks = relabel(sample.instances)
    parts = label(ranks, background=0, connectivity=2)
    owners = np.zeros(parts.max() + 1, np.int64)
    owners[parts] = ranks
    pieces = np.bincount(owners[1:], minlength=ranks.max() + 1)[1:]
    return np.unique(sample.instances[sample.instances > 0]), pieces
