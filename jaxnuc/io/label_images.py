"""Label images as the tools of the field write them, and pairs of true and predicted ones."""

import logging
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jaxnuc.io.files import Files
from jaxnuc.io.image_files import decode, natural_key
from jaxnuc.io.mat import mat_variables, read_mat
from jaxnuc.io.npy import decode_npz, npz_names
from jaxnuc.registry import check_known, unknown

logger = logging.getLogger(__name__)

_warned: set[str] = set()  # folders, once each
LABEL_FROM = ("ids", "components", "colors")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy", ".npz", ".mat")

# Names under which files of several arrays hold the instances.
_KEYS = ("inst_map", "instance_map", "instances", "labels", "masks")

# Pictures that `jaxnuc predict` writes beside label images.
_PICTURES = (".overlay.png", ".tissue.png")

# What tools append to the name of the image.
_ENDINGS = re.compile(
    r"(_cp_masks|_masks?|[_.]labels?|_seg|_inst(ances|_map)?|_gt|_pred|[_.]rois?|[_.]coco"
    r"|[_.]annotations?|\.hovernet|\.(png|tiff?|jpe?g|bmp|svs|ndpi))?(\.ome)?$",
    re.IGNORECASE,
)


def read_label_image(path: str | Path, label_from: str = "ids") -> np.ndarray:
    """Reads a label image without changing its ids.

    PNG and BMP (gray or palette), TIFF (8 to 32 bit, integer or float, compressed), NPY, NPZ and
    MATLAB's MAT before 7.3. NPZ and MAT may hold several arrays if one of them is named
    `inst_map` (as HoVer-Net does), `instance_map`, `instances`, `labels` or `masks`.

    Args:
      path: of the file; its suffix is that of the format.
      label_from: see `nuclei_of`.

    Returns:
      (H, W) integer ids, 0 is background, in the file's dtype; bool becomes uint8, float, as some
      tools write, int32 or int64.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, of another format, or holds no label image: several
        channels or pages, negative ids or numbers that are not whole. Files that hold pickled
        objects, such as Cellpose's `_seg.npy`, are refused, as reading them would run their code.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in LABEL_SUFFIXES:
        raise ValueError(
            f"{path}: no label image, which are {', '.join(LABEL_SUFFIXES)} "
            "(JPEG changes ids); export it as PNG or TIFF"
        )
    return nuclei_of(decode_labels(path.read_bytes(), str(path)), str(path), label_from)


def decode_labels(data: bytes, where: str) -> np.ndarray:
    """The numbers in the bytes of a label image, as they are: see `read_label_image`."""
    suffix = PurePosixPath(where).suffix.lower()
    if suffix == ".npz":
        key = _chosen(npz_names(data, where), where)
        return decode_npz(data, where, [key])[key]
    if suffix == ".mat":
        key = _chosen([n for n, each in mat_variables(data, where).items() if each.numeric], where)
        return read_mat(data, where, [key])[key]
    return decode(data, where)


def nuclei_of(array: np.ndarray, where: str, label_from: str = "ids") -> np.ndarray:
    """The nuclei of a label image or mask.

    Args:
      array: (H, W) whole numbers, 0 is background; of colors (H, W, 3 or 4) uint8.
      where: address of the file; the first mask in a folder that is given for ids is warned of.
      label_from: `"ids"`, each number is a nucleus; `"components"`, of a mask that only says where
        nuclei are, each 8-connected part is one; `"colors"`, each color is one, black is
        background.

    Returns:
      (H, W) ids; of a color, they are red, green and blue as the digits of a number to base 256.

    Raises:
      ValueError: `label_from` is unknown, or the array is not of its form: see `as_labels`.
    """
    check_known("label_from", label_from, LABEL_FROM)
    if label_from == "colors":
        if array.ndim != 3 or array.shape[-1] not in (3, 4) or array.dtype != np.uint8:
            raise ValueError(
                f"{where}: {array.dtype} of shape {array.shape}, no image of 8-bit colors; leave "
                "label_from='colors' out"
            )
        return array[..., :3].astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    labels = as_labels(array, where)
    if label_from == "components":
        parts: np.ndarray = ndimage.label(labels, np.ones((3, 3)))[0]
        return parts
    folder = os.path.dirname(where)
    number = labels.max(initial=0)
    if folder not in _warned and number and not ((labels > 0) & (labels < number)).any():
        count = ndimage.label(labels, np.ones((3, 3)))[1]
        if count > 1:
            _warned.add(folder)
            logger.warning(
                "%s: the %d parts have one number, %d, and are one nucleus then; if it is a mask "
                "of nuclei, make each part one (--label-from=components, or "
                "data.source.annotations.label_from='components')",
                *(where, count, number),
            )
    return labels


class LabelPair(NamedTuple):
    """The label images of one image.

    Attributes:
      name: relative path, without suffix and without what the tools append.
      truth, prediction: the files; no prediction if it is missing and counts as empty.
      label_from: how the files hold their nuclei: see `nuclei_of`.
    """

    name: str
    truth: Path
    prediction: Path | None
    label_from: str = "ids"

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The two (H, W) label images; all background for a missing prediction."""
        truth = read_label_image(self.truth, self.label_from)
        if self.prediction is None:
            return truth, np.zeros_like(truth)
        return truth, read_label_image(self.prediction, self.label_from)


def label_pairs(
    truth: str | Path, prediction: str | Path, missing: str = "error"
) -> list[LabelPair]:
    """Finds the predicted label image of each true one by its name.

    Folders below are searched too. A file belongs to the one of the same relative path, whatever
    its suffix. Where there is none, endings such as `_mask`, `_labels`, `.labels`, `_cp_masks`,
    `_seg`, `_inst_map`, `_gt` or `_pred` are removed from both names. The pictures that `jaxnuc
    predict` writes beside label images are left out.

    Args:
      truth: folder of the true label images.
      prediction: folder of the predicted ones.
      missing: a true image without prediction is an `"error"`, or `"zero"`: counts as one in
        which nothing was found, as in the MoNuSAC challenge.

    Returns:
      The pairs, in natural order of their names.

    Raises:
      FileNotFoundError: a folder does not exist.
      ValueError: files are without counterpart or with several, there are no label images, the
        folders are the same, or `missing` is unknown.

    References:
      Verma et al., MoNuSAC2020: A Multi-organ Nuclei Segmentation and Classification Challenge,
      2021.
    """
    if missing not in ("error", "zero"):
        raise unknown("rule for missing predictions", missing, ["error", "zero"])
    folders = Path(truth), Path(prediction)
    if folders[0].resolve() == folders[1].resolve():
        raise ValueError(f"{truth} is the folder of truth and of predictions; give two folders")
    true, predicted = (_label_files(folder) for folder in folders)
    same = true.keys() & predicted.keys()
    pairs = [LabelPair(name, true[name], predicted[name]) for name in same]
    true_rest, predicted_rest = (
        _by_bare_name(files, same, folder)
        for files, folder in zip((true, predicted), folders, strict=True)
    )
    for name in true_rest.keys() & predicted_rest.keys():
        pairs.append(LabelPair(name, true_rest.pop(name), predicted_rest.pop(name)))
    if missing == "zero":
        pairs += [LabelPair(name, true_rest[name], None) for name in true_rest]
        true_rest = {}
    if true_rest or predicted_rest:
        raise ValueError(
            f"{_listed(true_rest.values(), folders[0])} without prediction, "
            f"{_listed(predicted_rest.values(), folders[1])} without truth; give both the same "
            "relative path, keep nothing but label images there, or count missing predictions as "
            "empty (missing='zero')"
        )
    return sorted(pairs, key=lambda pair: natural_key(pair.name))


def bare_name(stem: str) -> str:
    """The name of the image, of that of its label image or annotation file without suffix.

    >>> bare_name("a_masks"), bare_name("b.labels.ome"), bare_name("c.png"), bare_name("_mask")
    ('a', 'b', 'c', '_mask')
    """
    return _ENDINGS.sub("", stem) or stem


def _label_files(folder: Path) -> dict[str, Path]:
    """The label images below a folder by their relative path without suffix."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for name in Files(folder).names:
        path = folder / name
        if path.suffix.lower() in LABEL_SUFFIXES and not name.endswith(_PICTURES):
            # Some programs write a sign such as an umlaut as one character, some as two.
            key = unicodedata.normalize("NFC", PurePosixPath(name).with_suffix("").as_posix())
            if key in found:
                raise _twice(found[key], path, folder)
            found[key] = path
    if not found:
        raise ValueError(
            f"{folder}: holds no label images ({', '.join(LABEL_SUFFIXES)}); jaxnuc "
            "predict writes them with --format=tiff"
        )
    return found


def _by_bare_name(files: dict[str, Path], paired: set[str], folder: Path) -> dict[str, Path]:
    """The files that are not paired yet, by their names without endings."""
    found: dict[str, Path] = {}
    for key in sorted(files.keys() - paired):
        bare = PurePosixPath(key)
        name = bare.with_name(bare_name(bare.name)).as_posix()
        if name in found or name in paired:
            raise _twice(files[name] if name in paired else found[name], files[key], folder)
        found[name] = files[key]
    return found


def _twice(first: Path, second: Path, folder: Path) -> ValueError:
    names = f"{first.relative_to(folder)} and {second.relative_to(folder)}"
    return ValueError(f"{folder}: {names} would belong to one image; keep one of them")


def _listed(paths: Iterable[Path], folder: Path) -> str:
    names = sorted((path.relative_to(folder).as_posix() for path in paths), key=natural_key)
    text = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
    return f"{len(names)} files of {folder} ({text})" if names else f"0 files of {folder}"


def as_labels(array: np.ndarray, path: str | Path) -> np.ndarray:
    """Ids (H, W), integers from 0, of what a file holds; see `read_label_image`."""
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[-1] in (2, 3, 4):
        raise ValueError(
            f"{path}: shape {array.shape}, a color image of {array.shape[-1]} channels and no "
            "label image; export the ids themselves, as 16-bit PNG or TIFF, or, where each nucleus "
            "has a color of its own, give label_from='colors'"
        )
    if array.ndim != 2:
        raise ValueError(
            f"{path}: shape {array.shape}, no label image (H, W); save each image on its own"
        )
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        array = _whole(array, path)
    if array.dtype.kind not in "ui":
        raise ValueError(f"{path}: values of {array.dtype}, which are no ids")
    if array.size and array.min() < 0:
        raise ValueError(
            f"{path}: holds the negative id {array.min()}; set ignored pixels to 0 in both maps"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _whole(array: np.ndarray, path: str | Path) -> np.ndarray:
    """Float ids as integers, where that loses nothing."""
    fraction = ~np.isfinite(array)
    np.not_equal(array, np.rint(array), out=fraction, where=~fraction)
    if fraction.any():
        raise ValueError(
            f"{path}: {array.dtype} with values such as {array[fraction][0]:g}, which are no ids; "
            "a map of probabilities or distances has to be segmented first"
        )
    largest = np.abs(array).max(initial=0)
    exact = 2 ** (np.finfo(array.dtype).nmant + 1)
    if largest >= exact:
        raise ValueError(
            f"{path}: ids up to {largest:.0f} in {array.dtype}, which is exact only below {exact}; "
            "export integers"
        )
    return array.astype(np.int32 if largest < 2**31 else np.int64)


def _chosen(names: list[str], path: str) -> str:
    """The array that holds the instances."""
    known = [name for name in names if name in _KEYS]
    if len(names) == 1:
        return names[0]
    if len(known) == 1:
        return known[0]
    raise ValueError(
        f"{path}: holds the arrays {', '.join(names) or 'none'}, of which {len(known)} are known "
        f"to be instances ({', '.join(_KEYS)}); save it with one of them"
    )
