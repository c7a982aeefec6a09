"""Finding images of one's own, and the files in which they are annotated."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from jaxnuc.data.layouts import Key, Pair, add_file, check_partners
from jaxnuc.io.annotations import ImageAnnotations, read_annotations
from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES, LOSSY_SUFFIXES
from jaxnuc.io.label_images import LABEL_SUFFIXES, bare_name
from jaxnuc.io.listing import image_name
from jaxnuc.io.microscopy import MICROSCOPY_SUFFIXES
from jaxnuc.io.opening import SLIDE_SUFFIXES

_SUFFIXES = (*IMAGE_SUFFIXES, *MICROSCOPY_SUFFIXES)
LABEL_FOLDERS = ("labels", "masks", "annotations")
OUTLINE_SUFFIXES = (".geojson", ".json", ".xml", ".ndpa", ".zip", ".roi")
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy")
# What MATLAB writes beside label maps, such as types, would be left out without a word.
_LABEL_SUFFIXES = tuple(suffix for suffix in LABEL_SUFFIXES if suffix != ".mat")


class OutlineFiles:
    """Reads files of annotations; of one for many images, only when the file changes."""

    def __init__(self, format: str = ""):
        self.format = format
        self._last: tuple[str, tuple[ImageAnnotations, ...]] | None = None
        self._names: dict[str, Counter[str]] = {}

    def of(self, file: File) -> tuple[ImageAnnotations, ...]:
        """The annotations of all images of a file."""
        if self._last is None or self._last[0] != file.where:
            found = read_annotations(file.read(), file.where, self.format)
            names = (each.name for image in found for each in image.objects)
            self._names[file.where] = Counter(name for name in names if name is not None)
            self._last = file.where, found
        return self._last[1]

    def names(self, file: File) -> Counter[str]:
        """The names of classes in a file, with the numbers of their objects."""
        if file.where not in self._names:
            self.of(file)
        return self._names[file.where]

    def of_image(self, file: File, image: File) -> ImageAnnotations:
        """The annotations of an image.

        Raises:
          ValueError: the file is of several images, and not just one of them has its name.
        """
        found = self.of(file)
        if len(found) == 1:
            return found[0]
        own = [each for each in found if _plain(each.image or "") == _plain(_name(image))]
        if len(own) != 1:
            raise ValueError(
                f"{file.where}: {len(own)} of its {len(found)} images are called "
                f"{_name(image)!r}; correct the name, or export each image on its own"
            )
        return own[0]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}


def is_outlines(file: File) -> bool:
    """Whether a file holds annotations, not a label map."""
    return _is_outlined(file.name)


def images_in(files: Files, folder: PurePosixPath, images: str | None) -> dict[Key, File]:
    """The images of a folder by name, as `jaxnuc.io.image_name` has it.

    Args:
      files: all there are.
      folder: below which they are.
      images: name of their folder; None: `images`, or where there is none, `folder` itself.
    """
    inside = folder / "images"
    if images is None and not any(_is_image(name, inside) for name in files.names):
        images = "."
    place = folder / (images or "images")
    found: dict[Key, File] = {}
    for name in files.names:
        if _is_image(name, place):
            add_file(found, (image_name(name),), File(files, name))
    if not found:
        shown = inside if images == "." else place
        paths = map(PurePosixPath, files.names)
        ends = {path.suffix.lower() for path in paths if path.parent in (inside, place)}
        others = ", ".join(f"*{s}" for s in sorted(ends.intersection((*SLIDE_SUFFIXES, ".npy"))))
        raise FileNotFoundError(
            f"{files.where(str(shown))}: no files here; expected one or more of "
            f"{', '.join('*' + s for s in _SUFFIXES)}"
            + (f", not {others}: export what is annotated as TIFF" if others else "")
        )
    return found


def labels_in(
    files: Files, folder: PurePosixPath, images: dict[Key, File], labels: str | None
) -> dict[str, File]:
    """The files, folders of masks and Zarr folders that hold annotations, by their paths.

    Label images that lie beside the images, such as Cellpose's `a_masks.tif` of `a.tif`, are taken
    out of these.

    Args:
      files: all there are.
      folder: below which they are.
      images: those of `images_in`.
      labels: name of the folder of annotations, or of the one file of all; None: one of `labels`,
        `masks` and `annotations`, and where there is none, beside the images.

    Raises:
      FileNotFoundError: there are none.
      ValueError: several folders hold annotations, or one does and files beside the images do.
    """
    own = {file.name for file in images.values()}
    beside = sorted({PurePosixPath(name).parent for name in own})
    if labels is None:
        full = [name for name in LABEL_FOLDERS if any(_entries(files, folder / name, own, images))]
        full += [
            str(place.relative_to(folder))
            for place in beside
            if full and any(_key(name, images) for name in _entries(files, place, own, images))
        ]
        if len(full) > 1:
            raise ValueError(
                f"{files.where(str(folder))}: both {full[0]} and {full[1]} hold annotations; give "
                f"labels={full[0]!r} or another"
            )
        places = [folder / full[0]] if full else beside
        pictures = places if full else [*beside, *(folder / name for name in LABEL_FOLDERS)]
    else:
        places = pictures = [folder / labels]
        if str(places[0]) in files.names:
            return {str(places[0]): File(files, str(places[0]))}
    found = {
        name: File(files, name) for place in places for name in _entries(files, place, own, images)
    }
    # Pictures are none, but the reason where an image has nothing else: see `pairs_of`.
    found |= {name: File(files, name) for place in pictures for name in _jpegs(files, place, own)}
    if not {*places}.isdisjoint(beside):
        # One file of all may lie above the images, with other files.
        above = (name for name in _entries(files, folder, own, images))
        found |= {name: File(files, name) for name in above if _is_outlined(name)}
        for key in [key for key in images if (bare_name(key[0]),) in images.keys() - {key}]:
            file = images.pop(key)
            found[file.name] = file
    if not found:
        raise FileNotFoundError(
            f"{files.where(str(folder / (labels or 'labels')))}: no files here; expected one or "
            f"more of {', '.join('*' + s for s in (*_LABEL_SUFFIXES, *OUTLINE_SUFFIXES))}"
            f"{'' if labels else ', also beside the images'}"
        )
    return found


def pairs_of(
    images: dict[Key, File], labels: dict[str, File], outlines: OutlineFiles
) -> dict[str, Pair]:
    """Each image with the file that holds its annotations, by the image's name.

    A file is of the image of its own name, without what tools append (`a_masks.tif`,
    `a.labels.tif`, `a.png.geojson`). One that has no image's name has to name its images.

    Raises:
      ValueError: an image has no annotations, two files of them or a JPEG, a file no image, or
        its name and its content say different ones.
    """
    found: dict[Key, File] = {}
    alone: dict[Key, File] = {}
    names = {_plain(_name(file)): key for key, file in images.items()}
    for file in sorted(labels.values(), key=lambda file: file.suffix in LOSSY_SUFFIXES):
        key = _key(file.name, images)
        if file.suffix in LOSSY_SUFFIXES:  # a picture, where something else holds the annotations
            if key is not None and key not in found:
                raise ValueError(
                    f"{file.where}: a JPEG, which changes the numbers of labels; export it as PNG "
                    "or TIFF"
                )
            continue
        named = [each.image for each in outlines.of(file)] if is_outlines(file) else [None]
        keys = [None if name is None else names.get(_plain(name)) for name in named]
        if key is not None:
            if len(keys) == 1 and keys[0] not in (None, key):
                raise ValueError(
                    f"{file.where}: by its name it is of {_name(images[key])}, by its content of "
                    f"{named[0]}; rename it, or export it again"
                )
            add_file(found, key, file)
        elif None in named:
            alone[(file.name,)] = file
        else:
            absent = [name for name, k in zip(named, keys, strict=True) if k is None]
            if absent:
                raise ValueError(
                    f"{file.where}: annotates {absent[0]!r} and is not beside it ({len(absent)} of "
                    f"{len(named)} images are not there); add the images, or export without them"
                )
            each, times = Counter(keys).most_common(1)[0]
            if times > 1:
                raise ValueError(
                    f"{file.where}: {times} of its images are called "
                    f"{_name(images[each or ()])!r}; rename them, or export each on its own"
                )
            for each in keys:
                add_file(found, each or (), file)
    check_partners("label", images, found)
    check_partners("image", alone, found)
    return {image_name(file.name): Pair(key, file, found[key]) for key, file in images.items()}


def masks_in(file: File) -> list[File]:
    """The masks, in natural order, where a file is a folder of them; else none.

    Raises:
      ValueError: a JPEG among them, or a file that is no mask.
    """
    start = f"{file.name}/"
    found = [File(file.files, name) for name in file.files.names if name.startswith(start)]
    for each in found:
        if each.suffix not in MASK_SUFFIXES:
            lossy = each.suffix in LOSSY_SUFFIXES
            reason = "a JPEG, which changes masks" if lossy else "no mask of a nucleus"
            raise ValueError(
                f"{each.where}: {reason}; export it as one of {', '.join(MASK_SUFFIXES)}, or "
                "remove it"
            )
    return found


def _entries(
    files: Files, place: PurePosixPath, images: set[str], keys: dict[Key, File]
) -> Iterator[str]:
    """Paths of what holds annotations directly in a folder, each once."""
    known, last = (*_LABEL_SUFFIXES, *OUTLINE_SUFFIXES), None
    beside = any(PurePosixPath(name).is_relative_to(place) for name in images)
    for name in files.names:
        path = PurePosixPath(name)
        if not path.is_relative_to(place) or name in images:
            continue
        first, *below = path.relative_to(place).parts
        folder, suffix = place / first, path.suffix.lower()
        if not below:
            entry = name if suffix in known else None
        elif folder.suffix.lower() == ".zarr":
            entry = str(folder)
        else:  # beside and above images, other folders are of something else
            masks = len(below) == 1 and suffix in MASK_SUFFIXES
            entry = str(folder) if masks and (not beside or (first,) in keys) else None
        if entry is not None and entry != last:
            last = entry
            yield entry


def _jpegs(files: Files, place: PurePosixPath, images: set[str]) -> Iterator[str]:
    """Paths of the JPEGs directly in a folder that are no images."""
    for name in files.names:
        path = PurePosixPath(name)
        if path.parent == place and path.suffix.lower() in LOSSY_SUFFIXES and name not in images:
            yield name


def _key(name: str, images: dict[Key, File]) -> Key | None:
    """The key of the image whose name a file bears; `a.ome.tif.geojson` is of `a.ome.tif`, too."""
    stem = _plain(_stem(name))
    bare = bare_name(stem)
    return next((k for k in ((stem,), (bare,), (bare_name(bare),)) if k in images), None)


def _is_outlined(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in OUTLINE_SUFFIXES


def _is_image(name: str, folder: PurePosixPath) -> bool:
    path = PurePosixPath(name)
    return path.parent == folder and path.suffix.lower() in _SUFFIXES


def _stem(name: str) -> str:
    """The name without a suffix that is known; of a folder of masks, its whole name."""
    path = PurePosixPath(name)
    known = path.suffix.lower() in (
        *_LABEL_SUFFIXES,
        *LOSSY_SUFFIXES,
        *OUTLINE_SUFFIXES,
        ".zarr",
    )
    return path.stem if known else path.name


def _name(file: File) -> str:
    return PurePosixPath(file.name).name


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)
