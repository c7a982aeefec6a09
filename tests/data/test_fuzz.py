"""Data sets of which one file is damaged: a clear error that names it, or nothing lost.

Here image files and arrays; `test_fuzz_text.py` has annotations, tables and archives.
"""

import gzip
import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
import tifffile
from PIL import Image
from small_data_sets import (
    IDS,
    SETS,  # noqa: F401 - what `judge` damages
    TYPES,
    mat,
    nifti,
)

pytestmark = pytest.mark.slow  # many cases

# What is done to a file: bytes -> bytes, and what may come of it (see `judge`).


def flipped(times, seed):
    def flip(data):
        rng = np.random.default_rng([seed, zlib.crc32(data)])
        changed = bytearray(data)
        for place in rng.integers(len(data), size=times):
            changed[place] ^= int(rng.integers(1, 256))
        return bytes(changed)

    return flip


def encoded(change, form, **options):
    """A mutation of what is in an image file: array -> array or Pillow image."""

    def mutate(data):
        image = change(np.asarray(Image.open(io.BytesIO(data))))
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        stream = io.BytesIO()
        image.save(stream, form, **options)
        return stream.getvalue()

    return mutate


def of_npy(change):
    def mutate(data):
        stream = io.BytesIO()
        np.save(stream, change(np.load(io.BytesIO(data))), allow_pickle=True)
        return stream.getvalue()

    return mutate


def npy_header(text, version=b"\x01\x00"):
    header = text.encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + bytes(512)


def put(value, dtype=np.float64):
    """Sets one number of an array."""

    def change(array):
        array = array.astype(dtype)
        array[(0,) * array.ndim] = value
        return array

    return change


def pickled(array):
    """An array of an object that would open a file when it is unpickled."""

    class Opens:
        def __reduce__(self):
            return (open, ("/nowhere/unpickled", "w"))

    objects = np.empty(array.shape, object)
    objects[...] = 0
    objects.flat[0] = Opens()
    return objects


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width, height, bits=8, colors=2):
    start = struct.pack(">IIBBBBB", width, height, bits, colors, 0, 0, 0)
    body = chunk(b"IHDR", start) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


DAMAGE = {
    "empty": (lambda data: b"", "refused"),
    "one byte": (lambda data: data[:1], "refused"),
    "a tenth": (lambda data: data[: len(data) // 10], "refused"),
    "half": (lambda data: data[: len(data) // 2], "refused"),
    "nine tenths": (lambda data: data[: len(data) * 9 // 10], "refused"),
    "zeros": (lambda data: bytes(len(data)), "refused"),
    "web page": (lambda data: b"<!DOCTYPE html><html>404</html>" * 9, "refused"),
}
FLIPS = {f"flip {n} {seed}": (flipped(n, seed), "valid") for n, seed in [(1, 0), (1, 1), (9, 2)]}
SAFE_FLIPS = {name: (mutate, "safe") for name, (mutate, _) in FLIPS.items()}
TAIL = {"all but a byte": (lambda data: data[:-1], "refused")}
END = {"all but a byte": (lambda data: data[:-1], "safe")}  # of a PNG, of the mark of its end
FOREIGN = {
    "animation": (
        encoded(lambda a: a, "PNG", save_all=True, append_images=[Image.new("L", (14, 12))]),
        "refused",
    ),
    "GIF": (encoded(lambda a: a[..., 0] if a.ndim == 3 else a, "GIF"), "refused"),
    "bomb": (lambda data: png_header(2**31 - 1, 2**31 - 1), "refused"),
    "large bomb": (lambda data: png_header(20_000, 20_000), "refused"),
    "no pixels": (lambda data: png_header(0, 0), "refused"),
}
PICTURES = FOREIGN | {
    "RGBA": (encoded(lambda a: Image.fromarray(a[..., :3]).convert("RGBA"), "PNG"), "same"),
    "palette": (encoded(lambda a: Image.fromarray(a[..., :3]).quantize(256), "PNG"), "valid"),
    "TIFF": (encoded(lambda a: a[..., :3], "TIFF"), "same"),
    "BMP": (encoded(lambda a: a[..., :3], "BMP"), "same"),
    "JPEG": (encoded(lambda a: a[..., :3], "JPEG"), "valid"),
    "CMYK JPEG": (
        encoded(lambda a: Image.fromarray(a[..., :3]).convert("CMYK"), "JPEG"),
        "refused",
    ),
    "CMYK TIFF": (
        encoded(lambda a: Image.fromarray(a[..., :3]).convert("CMYK"), "TIFF"),
        "refused",
    ),
    "16 bit": (encoded(lambda a: a[..., 0].astype(np.uint16) * 257, "PNG"), "valid"),
    "16 bit RGB": (lambda data: png_header(14, 12, 16), "refused"),
    "float": (encoded(lambda a: a[..., 0].astype(np.float32), "TIFF"), "valid"),
    "pages": (
        encoded(lambda a: a, "TIFF", save_all=True, append_images=[Image.new("L", (14, 12))]),
        "refused",
    ),
    "wrong size": (encoded(lambda a: a[1:], "PNG"), "refused"),
    "turned": (encoded(lambda a: np.swapaxes(a, 0, 1).copy(), "PNG"), "refused"),
}
# Ids of an image file. A mask of 0 and 255 reads the same from 1 bit, ids do not.
LABEL_IMAGES = FOREIGN | {
    "RGB": (
        encoded(lambda a: np.random.default_rng(0).integers(0, 9, (12, 14, 3), np.uint8), "PNG"),
        "refused",
    ),
    "CMYK TIFF": (
        encoded(lambda a: Image.fromarray(np.uint8(a)).convert("CMYK"), "TIFF"),
        "refused",
    ),
    "JPEG": (encoded(lambda a: np.uint8(a), "JPEG"), "refused"),
    "palette": (
        encoded(lambda a: Image.fromarray(np.uint8(a)).convert("P", palette=1), "PNG"),
        "valid",
    ),
    "16 bit": (encoded(lambda a: np.uint16(a), "PNG"), "same"),
    "TIFF": (encoded(lambda a: np.uint16(a), "TIFF"), "same"),
    "float NaN": (encoded(put(np.nan, np.float32), "TIFF"), "refused"),
    "negative": (encoded(put(-1, np.int32), "TIFF"), "refused"),
    "fraction": (encoded(put(0.5, np.float32), "TIFF"), "refused"),
    "wrong size": (encoded(lambda a: a[1:], "PNG"), "refused"),
    "turned": (encoded(lambda a: np.swapaxes(a, 0, 1).copy(), "PNG"), "refused"),
}
MASKS = FOREIGN | {
    "RGB": (encoded(lambda a: np.dstack([a] * 3), "PNG"), "same"),
    "RGBA": (encoded(lambda a: np.dstack([a] * 3 + [a | 255]), "PNG"), "same"),
    "gray and alpha": (encoded(lambda a: np.dstack([a, a | 255]), "PNG"), "same"),
    "one bit": (encoded(lambda a: Image.fromarray(a).convert("1"), "PNG"), "same"),
    "palette": (encoded(lambda a: Image.fromarray(a).convert("P"), "PNG"), "same"),
    "CMYK TIFF": (encoded(lambda a: Image.fromarray(a).convert("CMYK"), "TIFF"), "refused"),
    "JPEG": (encoded(lambda a: a, "JPEG"), "refused"),
    "white is 0": (lambda data: _tiff(np.asarray(Image.open(io.BytesIO(data))) > 0), "refused"),
    "wrong size": (encoded(lambda a: a[1:], "PNG"), "refused"),
}


def _tiff(array):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array)
    return stream.getvalue()


NPY = {
    "pickle": (of_npy(pickled), "refused"),
    "text": (of_npy(lambda a: a.astype(str)), "refused"),
    "complex": (of_npy(lambda a: a.astype(complex)), "refused"),
    "records": (of_npy(lambda a: np.zeros(a.shape, [("x", "i4"), ("y", "f4")])), "refused"),
    "negative": (of_npy(put(-1, np.int64)), "refused"),
    "beyond 32 bits": (of_npy(put(2**40, np.int64)), "refused"),
    "NaN": (of_npy(put(np.nan)), "refused"),
    "infinite": (of_npy(put(np.inf)), "refused"),
    "fraction": (of_npy(put(0.5)), "refused"),
    "other memory order": (of_npy(np.asfortranarray), "same"),
    "other byte order": (of_npy(lambda a: a.astype(a.dtype.newbyteorder(">"))), "same"),
    "another axis": (of_npy(lambda a: a[..., None]), "safe"),
    "an axis less": (of_npy(lambda a: a[0]), "refused"),
    "no axis": (of_npy(lambda a: a.flat[0]), "refused"),
    "nothing in it": (of_npy(lambda a: a[:0]), "refused"),
    "turned": (of_npy(lambda a: np.moveaxis(a, -1, -2).copy()), "refused"),
    "short": (of_npy(lambda a: a[..., :-1, :]), "refused"),
    "huge": (
        lambda d: npy_header("{'descr':'<i8','fortran_order':False,'shape':(9999999999,99999999)}"),
        "refused",
    ),
    "below 0": (
        lambda d: npy_header("{'descr':'<i8','fortran_order':False,'shape':(-1,-12)}"),
        "refused",
    ),
    "nested": (lambda d: npy_header("(" * 9000 + ")" * 9000), "refused"),
    "minus": (lambda d: npy_header("-" * 9500 + "1"), "refused"),
    "long": (lambda d: npy_header(" " * 60_000), "refused"),
    "code": (lambda d: npy_header("__import__('os').getpid()"), "refused"),
    "version": (lambda d: d[:6] + b"\x09" + d[7:], "refused"),
}


def of_mat(change, **options):
    """A mutation of the variables of a MAT file."""

    def mutate(data):
        values = scipy.io.loadmat(io.BytesIO(data))
        return mat(change({k: v for k, v in values.items() if k[:2] != "__"}), **options)

    return mutate


def of_map(change, key="inst_map"):
    return of_mat(lambda values: values | {key: change(values[key])})


MAT = {
    "another key": (of_mat(lambda v: {f"{key}s": a for key, a in v.items()}), "refused"),
    "no variable": (of_mat(lambda v: {}), "refused"),
    "one more": (of_mat(lambda v: v | {"note": "x", "more": {"a": 1}}), "same"),
    "compressed": (of_mat(lambda v: v, do_compression=True), "same"),
    "version 4": (of_mat(lambda v: {k: a for k, a in v.items()}, format="4"), "refused"),
    "version 7.3": (lambda d: b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "refused"),
    "text": (of_map(lambda a: "cells"), "refused"),
    "structure": (of_map(lambda a: {"x": 1}), "refused"),
    "complex": (of_map(lambda a: a * 1j), "refused"),
    "sparse": (of_map(lambda a: scipy.sparse.csc_matrix(a.astype(float))), "refused"),
    "NaN": (of_map(put(np.nan)), "refused"),
    "infinite": (of_map(put(np.inf)), "refused"),
    "fraction": (of_map(put(0.5)), "refused"),
    "negative": (of_map(put(-1)), "refused"),
    "beyond 32 bits": (of_map(put(2**40)), "refused"),
    "small numbers": (of_map(np.uint8), "same"),
    "single": (of_map(np.float32), "same"),
    "wrong size": (of_map(lambda a: a[1:]), "refused"),
    "turned": (of_map(lambda a: a.T), "refused"),
    "three axes": (of_map(lambda a: np.stack([a, a], -1)), "refused"),
    "nothing in it": (of_map(lambda a: a[:0]), "refused"),
    "a class unknown": (
        of_mat(lambda v: v | {k: np.where(a, 99, 0) for k, a in v.items() if k in CLASS_KEYS}),
        "refused",
    ),
    "no class": (
        of_mat(lambda v: v | {k: a * 0 for k, a in v.items() if k in CLASS_KEYS}),
        "refused",
    ),
}
CLASS_KEYS = ("type_map", "class")
CELLS = {
    name: (of_mat(change), "refused")
    for name, change in {
        "another key": lambda v: {"cells": v["edfsetnuclei"]},
        "no cells": lambda v: {"edfsetnuclei": np.zeros((2, 1))},
        "fewer cells": lambda v: {"edfsetnuclei": v["edfsetnuclei"][:1]},
        "exchanged": lambda v: {"edfsetnuclei": v["edfsetnuclei"][::-1]},
        "text in a cell": lambda v: {"edfsetnuclei": np.array([["a"], ["b"]], object)},
    }.items()
}
NPZ = {
    "another key": (lambda d: npz(ids=IDS, types=TYPES), "refused"),
    "no types": (lambda d: npz(inst_map=IDS), "refused"),
    "one more": (lambda d: npz(inst_map=IDS, type_map=TYPES, more=IDS), "same"),
    "pickle": (lambda d: npz(inst_map=pickled(IDS), type_map=TYPES), "refused"),
    "NaN": (lambda d: npz(inst_map=put(np.nan)(IDS), type_map=TYPES), "refused"),
    "negative": (lambda d: npz(inst_map=put(-1)(IDS), type_map=TYPES), "refused"),
    "wrong size": (lambda d: npz(inst_map=IDS[1:], type_map=TYPES[1:]), "refused"),
    "sizes differ": (lambda d: npz(inst_map=IDS, type_map=TYPES[1:]), "refused"),
    "several classes": (lambda d: npz(inst_map=IDS * 0 + 1, type_map=TYPES | 1), "refused"),
    "class without nucleus": (lambda d: npz(inst_map=IDS, type_map=TYPES | 1), "refused"),
    "unknown class": (lambda d: npz(inst_map=IDS, type_map=TYPES * 50), "refused"),
}
NIFTI = {
    name: (lambda data, body=body: gzip.compress(body), "refused")
    for name, body in {
        "wrong size": nifti(IDS.T[1:]),
        "scaled": nifti(IDS.T, slope=2.0),
        "scaled by NaN": nifti(IDS.T, slope=np.nan),
        "colors": nifti(IDS.T, kind=128),
        "unknown numbers": nifti(IDS.T, kind=999),
        "NaN": nifti(put(np.nan)(IDS.T), kind=64, dtype="<f8"),
        "negative": nifti(put(-1)(IDS.T)),
        "huge": nifti(IDS.T, sides=(32767, 32767, 32767)),
        "sides below 0": nifti(IDS.T, sides=(-14, -12)),
        "truncated": nifti(IDS.T)[:-2],
        "header alone": nifti(IDS.T)[:348],
        "zeros": bytes(1000),
    }.items()
} | {"not compressed": (gzip.decompress, "same")}


def lines(change):
    return lambda data: b"\n".join(change(data.split(b"\n")))


TEXT = {
    "no first line": (lines(lambda t: t[1:]), "refused"),
    "sides exchanged": (lines(lambda t: [b" ".join(t[0].split()[::-1]), *t[1:]]), "refused"),
    "sides huge": (lines(lambda t: [b"999999 999999", *t[1:]]), "refused"),
    "sides longer still": (lines(lambda t: [b"9" * 5000 + b" 1", *t[1:]]), "refused"),
    "sides 0": (lines(lambda t: [b"0 0"]), "refused"),
    "sides below 0": (lines(lambda t: [b"-14 -12", *t[1:]]), "refused"),
    "a line less": (lines(lambda t: t[:-1]), "refused"),
    "a line more": (lines(lambda t: [*t, b"0"]), "refused"),
    "negative": (lines(lambda t: [*t[:-1], b"-1"]), "refused"),
    "fraction": (lines(lambda t: [*t[:-1], b"0.5"]), "refused"),
    "NaN": (lines(lambda t: [*t[:-1], b"nan"]), "refused"),
    "hexadecimal": (lines(lambda t: [*t[:-1], b"0x1"]), "refused"),
    "beyond 32 bits": (lines(lambda t: [*t[:-1], b"9" * 12]), "refused"),
    "beyond 64 bits": (lines(lambda t: [*t[:-1], b"9" * 400]), "refused"),
    "NUL": (lines(lambda t: [*t[:-1], b"\0"]), "refused"),
    "digits of another script": (lines(lambda t: [*t[:-1], "٣".encode()]), "refused"),
    "ends of Windows": (lambda data: data.replace(b"\n", b"\r\n"), "same"),
    "spaces": (lines(lambda t: [t[0], b" ".join(t[1:])]), "same"),
    "an end more": (lambda data: data + b"\n", "same"),
}

PNG = DAMAGE | END | SAFE_FLIPS
TIFF = DAMAGE | TAIL | FLIPS
# By set: the file that is damaged, and in what ways.
TARGETS = [
    ("folder", "images/a.png", PNG | PICTURES),
    ("folder", "labels/a.png", PNG | LABEL_IMAGES),
    ("folder16", "labels/a.png", PNG | LABEL_IMAGES),
    ("folder_npy", "labels/a.npy", DAMAGE | TAIL | FLIPS | NPY),
    ("folder_tif", "images/a.tif", TIFF | PICTURES),
    ("folder_tif", "labels/a.tif", TIFF | LABEL_IMAGES),
    ("dsb2018", "a/images/a.png", PNG | PICTURES),
    ("dsb2018", "a/masks/m1.png", PNG | MASKS),
    ("consep", "CoNSeP/Train/Images/a.png", PNG | PICTURES),
    ("consep", "CoNSeP/Train/Labels/a.mat", DAMAGE | TAIL | FLIPS | MAT),
    ("consep_npy", "CoNSeP/Train/Labels/a.npy", DAMAGE | TAIL | FLIPS | NPY),
    ("lizard", "Lizard_Labels/Labels/x_1.mat", DAMAGE | TAIL | FLIPS | MAT),
    ("nucls", "NuCLS-mini/train/labels/a.npz", DAMAGE | TAIL | SAFE_FLIPS | NPZ),
    ("isbi2014", "EDF/edfsetnuclei.mat", DAMAGE | TAIL | FLIPS | CELLS),
    ("tnbc", "Slide_01/01_1.png", PNG | PICTURES),
    ("tnbc", "GT_01/01_1.png", PNG | MASKS),
    ("bns2017", "GT_01/01_1.nii.gz", DAMAGE | TAIL | SAFE_FLIPS | NIFTI),
    ("kvasir", "images/a.jpg", DAMAGE | FLIPS | PICTURES),
    ("kvasir", "masks/a.jpg", DAMAGE | FLIPS | FOREIGN),
    ("nuinsseg", "human liver/label masks modify/x_1.tif", TIFF | LABEL_IMAGES),
    ("nuinsseg", "human liver/vague areas/mask binary/x_1.png", PNG | MASKS),
    ("cpm15", "image01.png", PNG | PICTURES),
    ("cpm15", "image01_mask.txt", DAMAGE | FLIPS | TEXT),
    ("pannuke", "Fold 1/images/fold1/images.npy", DAMAGE | TAIL | FLIPS | NPY),
    ("pannuke", "Fold 1/masks/fold1/masks.npy", DAMAGE | TAIL | FLIPS | NPY),
    ("pannuke", "Fold 1/images/fold1/types.npy", DAMAGE | TAIL | FLIPS),
    ("conic", "images.npy", DAMAGE | TAIL | FLIPS),
    ("conic", "labels.npy", DAMAGE | TAIL | FLIPS | NPY),
    ("lizard", "Lizard_Labels/info.csv", DAMAGE | FLIPS),
    ("cnseg", "PatchSeg/train-labels/a.png", PNG | LABEL_IMAGES),
]
CASES = {
    f"{name}-{file.rsplit('/', 1)[-1]}-{kind}": (name, file, mutate, outcome)
    for name, file, mutations in TARGETS
    for kind, (mutate, outcome) in mutations.items()
}

# Files that belong together by name: the image, its labels.
PAIRS = {
    "folder": ("images/{}.png", "labels/{}.png"),
    "folder_npy": ("images/{}.png", "labels/{}.npy"),
    "folder_tif": ("images/{}.tif", "labels/{}.tif"),
    "consep": ("CoNSeP/Train/Images/{}.png", "CoNSeP/Train/Labels/{}.mat"),
    "nucls": ("NuCLS-mini/train/images/{}.png", "NuCLS-mini/train/labels/{}.npz"),
    "kvasir": ("images/{}.jpg", "masks/{}.jpg"),
    "cnseg": ("PatchSeg/train-images/{}.png", "PatchSeg/train-labels/{}.png"),
    "lizard": ("Lizard_Images1/x_{}.png", "Lizard_Labels/Labels/x_{}.mat"),
    "nuinsseg": (
        "human liver/tissue images/x_{}.png",
        "human liver/label masks modify/x_{}.tif",
    ),
    "tnbc": ("Slide_0{0}/0{0}_1.png", "GT_0{0}/0{0}_1.png"),
    "bns2017": ("Slide_0{0}/0{0}_1.png", "GT_0{0}/0{0}_1.nii.gz"),
    "cpm15": ("image0{}.png", "image0{}_mask.txt"),
}
NUMBERED = ("lizard", "nuinsseg", "tnbc", "bns2017", "cpm15")


def removed(root, one, _):
    (root / one).unlink()


def moved(root, one, other):
    (root / other).parent.mkdir(exist_ok=True)
    (root / one).rename(root / other)


def exchanged(root, one, other):
    first, second = (root / one).read_bytes(), (root / other).read_bytes()
    (root / one).write_bytes(second)
    (root / other).write_bytes(first)


# The labels of cpm15 are found by their size, so that its images may be, too.
BY_SIZE = {"cpm15 image exchanged": "valid", "cpm15 labels exchanged": "same"}


def mismatches():
    for name, kinds in PAIRS.items():
        first, second = ("1", "2") if name in NUMBERED else ("a", "b")
        for kind, pattern in zip(("image", "labels"), kinds, strict=True):
            files = [each.format(stem) for stem in (first, second, "9") for each in kinds]
            for change, stem in ((removed, "9"), (moved, "9"), (exchanged, second)):
                case = f"{name} {kind} {change.__name__}"
                ends = pattern.format(first), pattern.format(stem)
                yield case, (name, change, ends, files, BY_SIZE.get(case, "refused"))


MISMATCHES = dict(mismatches())
MISSING = [
    ("pannuke", "Fold 1/masks/fold1/masks.npy"),
    ("pannuke", "Fold 1/images/fold1/images.npy"),
    ("pannuke", "Fold 1/images/fold1/types.npy"),
    ("conic", "images.npy"),
    ("conic", "labels.npy"),
    ("conic", "patch_info.csv"),
    ("isbi2014", "EDF/edfsetnuclei.mat"),
    ("dsb2018", "a/images/a.png"),
]


@pytest.mark.parametrize("case", CASES)
def test_damaged_file(case, judge):
    name, file, mutate, outcome = CASES[case]

    def change(root):
        (root / file).write_bytes(mutate((root / file).read_bytes()))

    judge(name, change, [file], outcome)


@pytest.mark.parametrize("case", MISMATCHES)
def test_files_that_do_not_belong_together(case, judge):
    name, change, ends, files, outcome = MISMATCHES[case]
    judge(name, lambda root: change(root, *ends), files, outcome)


@pytest.mark.parametrize(("name", "file"), MISSING)
def test_missing_file(name, file, judge):
    judge(name, lambda root: (root / file).unlink(), [file, "a/masks/m1.png"], "refused")


def test_image_of_which_a_nucleus_is_missing_keeps_the_others(judge):
    """Nobody can tell that a mask of its own is not there."""
    judge("dsb2018", lambda root: (root / "a/masks/m1.png").unlink(), ["a/masks/m1.png"], "valid")


def test_there_are_many_cases():
    assert len(CASES) + len(MISMATCHES) + len(MISSING) > 750
