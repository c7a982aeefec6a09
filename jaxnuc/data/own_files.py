"""Finding images of one's own, and the files in which they are annotated."""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from jaxnuc.data.layouts import Key, Pair, add_file
from jaxnuc.data.splitting import SPLITS
from jaxnuc.data.typed_labels import typed_labels
from jaxnuc.io.annotations import ImageAnnotations, read_annotations
from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES, LOSSY_SUFFIXES
from jaxnuc.io.label_images import LABEL_SUFFIXES, bare_name
from jaxnuc.io.listing import image_name
from jaxnuc.io.microscopy import MICROSCOPY_SUFFIXES
from jaxnuc.io.opening import SLIDE_SUFFIXES
from jaxnuc.registry import did_you_mean

_SUFFIXES = (*IMAGE_SUFFIXES, *MICROSCOPY_SUFFIXES)
LABEL_FOLDERS = ("labels", "masks", "annotations")
OUTLINE_SUFFIXES = (".geojson", ".json", ".xml", ".ndpa", ".zip", ".roi")
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy")
TYPES = ("_types", "_type_map", "_classes")  # what the names of files of classes end in
_TYPE_SUFFIXES = (".csv", ".png", ".tif", ".tiff", ".bmp", ".npy")


class LabelFile(NamedTuple):
    """A file that holds annotations, and its path without the folder of all of them."""

    file: File
    below: str


class OutlineFiles:
    """Reads files of objects, whose classes have names; of one for many images, only on a change.

    These are files of outlines, and label images with classes: MAT files, and those in `types`,
    the files of their classes by the paths of the label images.
    """

    def __init__(self, format: str = "", label_from: str = "ids"):
        self.format, self.label_from = format, label_from
        self.types: dict[str, File] = {}
        self._last: tuple[str, tuple[ImageAnnotations, ...]] | None = None
        self._names: dict[str, Counter[str]] = {}

    def reads(self, file: File) -> bool:
        """Whether a file is one of these."""
        return is_outlines(file) or self.has_types(file)

    def has_types(self, file: File) -> bool:
        """Whether a file is a label image with classes."""
        return file.suffix == ".mat" or file.name in self.types

    def of(self, file: File) -> tuple[ImageAnnotations, ...]:
        """The annotations of all images of a file."""
        if self._last is None or self._last[0] != file.where:
            found: tuple[ImageAnnotations, ...]
            if self.has_types(file):
                found = (typed_labels(file, self.types.get(file.name), self.label_from),)
            else:
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
        shared = [_shared(each.image or "", image.name) for each in found]
        own = [each for each, n in zip(found, shared, strict=True) if n and n == max(shared)]
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


def images_in(
    files: Files, folder: PurePosixPath, images: str | None, labels: str | None = None
) -> dict[Key, File]:
    """The images of a folder by name, as `jaxnuc.io.image_name` has it.

    Where none lies in the folder itself they are those of the folders below, such as one a patient,
    and their names begin with these: `patient/a`.

    Args:
      files: all there are.
      folder: below which they are.
      images: name of their folder; None: `images`, or where there is none, `folder` itself.
      labels: name of the folder of annotations, which are no images.

    Raises:
      FileNotFoundError: there are none.
      ValueError: two have one name, or the folders below are those of splits.
    """
    inside = folder / "images"
    places = [inside, folder] if images is None else [folder / images]
    found: dict[Key, File] = {}
    for place, depth in ((place, depth) for place in places for depth in ("in it", "below")):
        besides = (*LABEL_FOLDERS, labels) if place == folder and images is None else ()
        for name in files.names:
            path = PurePosixPath(name)
            if path.suffix.lower() not in _SUFFIXES or not path.is_relative_to(place):
                continue
            above = path.relative_to(place).parent
            if (above == PurePosixPath()) == (depth == "in it") and not {*above.parts} & {*besides}:
                if {*above.parts} & {*SPLITS}:
                    raise ValueError(
                        f"{files.where(name)}: folders of splits lie above those of the images: "
                        f"{above.parts[0]}/images, {above.parts[0]}/labels; move them, or name one "
                        f"by images={str(place.relative_to(folder) / above.parts[0])!r}"
                    )
                add_file(found, ((above / image_name(name)).as_posix(),), File(files, name))
        if found:
            # A folder of an image's name holds its masks.
            return {
                k: f for k, f in found.items() if (str(PurePosixPath(k[0]).parent),) not in found
            }
    paths = map(PurePosixPath, files.names)
    ends = {path.suffix.lower() for path in paths if path.parent in (inside, places[-1])}
    others = ", ".join(f"*{s}" for s in sorted(ends.intersection((*SLIDE_SUFFIXES, ".npy"))))
    raise FileNotFoundError(
        f"{files.where(str(places[0]))}: no files here; expected one or more of "
        f"{', '.join('*' + s for s in _SUFFIXES)}"
        + (f", not {others}: export what is annotated as TIFF" if others else "")
    )


def labels_in(
    files: Files,
    folder: PurePosixPath,
    images: dict[Key, File],
    labels: str | None,
    top: PurePosixPath | None = None,
) -> dict[str, LabelFile]:
    """The files, folders of masks and Zarr folders that hold annotations, by their paths.

    Label images that lie beside the images, such as Cellpose's `a_masks.tif` of `a.tif`, are taken
    out of these.

    Args:
      files: all there are.
      folder: below which they are.
      images: those of `images_in`.
      labels: name of the folder of annotations, or of the one file of all; None: one of `labels`,
        `masks` and `annotations`, and where there is none, beside the images.
      top: the folder of the splits' folders, where one file may hold all of them; None: no splits.

    Raises:
      FileNotFoundError: there are none.
      ValueError: several folders hold annotations, or one does and files beside the images do.
    """
    own = {file.name for file in images.values()}
    beside = _place(images)
    above = [
        name for name in files.names if PurePosixPath(name).parent == folder and name not in own
    ]
    if labels is None:
        full = [name for name in LABEL_FOLDERS if any(_entries(files, folder / name, own, images))]
        if full and any(_key(each.below, images) for each in _entries(files, beside, own, images)):
            full.append(str(beside.relative_to(folder)))
        if full and beside != folder:
            others = [name for name in files.names if PurePosixPath(name).parent in (folder, top)]
            full += [
                name
                for name in others
                if _is_outlined(name) and _names_any(File(files, name), images)
            ]
        if len(full) > 1:
            raise ValueError(
                f"{files.where(str(folder))}: both {full[0]} and {full[1]} hold annotations; give "
                f"labels={full[0]!r} or another"
            )
        place = folder / full[0] if full else beside
        pictures = [place] if full else [beside, *(folder / name for name in LABEL_FOLDERS)]
    else:
        place = folder / labels
        pictures = [place]
        for path in (place, *([] if top is None else [top / labels])):
            if str(path) in files.names:
                return {str(path): LabelFile(File(files, str(path)), path.name)}
    found = {each.file.name: each for each in _entries(files, place, own, images)}
    # Pictures are none, but the reason where an image has nothing else: see `pairs_of`.
    found |= {each.file.name: each for at in pictures for each in _jpegs(files, at, own, images)}
    if place == beside:
        # One file of all may lie above the images, with other files.
        found |= {
            name: LabelFile(File(files, name), PurePosixPath(name).name)
            for name in above
            if _is_outlined(name)
        }
        for key in [key for key in images if (_bare(key[0]),) in images.keys() - {key}]:
            file = images.pop(key)
            found[file.name] = LabelFile(file, str(PurePosixPath(file.name).relative_to(beside)))
    if not found and top is not None and labels is None:
        for name in files.names:
            path = PurePosixPath(name)
            if path.parent in (top, *(top / each for each in LABEL_FOLDERS)) and _is_outlined(name):
                found[name] = LabelFile(File(files, name), path.name)
    if not found:
        raise _no_annotations(files, folder, beside, labels)
    return found


def _no_annotations(
    files: Files, folder: PurePosixPath, beside: PurePosixPath, labels: str | None
) -> FileNotFoundError:
    """The error where no file holds annotations: names the folders that were looked in."""
    paths = [PurePosixPath(name) for name in files.names]
    inside = [path.relative_to(folder).parts for path in paths if path.is_relative_to(folder)]
    there = dict.fromkeys(parts[0] for parts in inside if len(parts) > 1)
    others = [each for each in there if each not in LABEL_FOLDERS and folder / each != beside]
    wanted = LABEL_FOLDERS if labels is None else (labels,)
    near = [each for each in others if did_you_mean(each.casefold(), wanted)]
    hint = ""
    if near:
        hint = f"; did you mean {near[0]!r}? rename it, or give labels={near[0]!r}"
    elif others:
        hint = f"; give the folder that holds them by labels=, such as labels={others[0]!r}"
    places = f"the folder {labels}"
    if labels is None:
        places = f"the folders {', '.join(LABEL_FOLDERS[:-1])} and {LABEL_FOLDERS[-1]}"
        places += ", or beside the images"
    return FileNotFoundError(
        f"{files.where(str(folder)) if folder.parts else files.path}: no annotations in {places}; "
        f"expected are {', '.join('*' + s for s in (*LABEL_SUFFIXES, *OUTLINE_SUFFIXES))}{hint}"
    )


def take_types(
    images: dict[Key, File], labels: dict[str, LabelFile], outlines: OutlineFiles
) -> None:
    """Takes files of classes out of those of annotations, and gives them to their label images.

    A file `a_types.csv` or `a_types.png` is of the label image of `a`, unless there is an image
    `a_types`.

    Raises:
      ValueError: a label image has two such files, or a file no label image.
    """
    types: dict[Key, File] = {}
    for name, (file, below) in list(labels.items()):
        path = PurePosixPath(_plain(below))
        known = file.suffix in _TYPE_SUFFIXES and path.stem.endswith(TYPES)
        if known and _key(below, images) is None:
            key = _key(str(path.with_name(f"{_bare(path.stem)}.png")), images)
            if key is not None:
                add_file(types, key, file)
                del labels[name]
    for name, (file, below) in labels.items():
        key = _key(below, images)
        if key in types and not is_outlines(file) and file.suffix != ".mat":
            outlines.types[name] = types.pop(key)
    for file in types.values():
        raise ValueError(
            f"{file.where}: classes of a label image that is not there; add it, or remove the file"
        )


def pairs_of(
    images: dict[Key, File],
    labels: dict[str, LabelFile],
    outlines: OutlineFiles,
    elsewhere: Collection[str] = (),
) -> dict[str, Pair]:
    """Each image with the file that holds its annotations, by the image's name.

    A file is of the image of its own name, without what tools append (`a_masks.tif`,
    `a.labels.tif`, `a.png.geojson`). One that has no image's name has to name its images.

    Args:
      images: those of `images_in`.
      labels: those of `labels_in`.
      outlines: reads them.
      elsewhere: paths of images that are not among these, and that a file may hold too.

    Raises:
      ValueError: an image has no annotations, two files of them or a JPEG, a file no image, or
        its name and its content say different ones.
    """
    found: dict[Key, File] = {}
    alone: dict[Key, File] = {}
    paths: dict[str, Key | None] = dict.fromkeys(elsewhere) | {
        file.name: key for key, file in images.items()
    }
    by_last = _by_last(paths)
    for file, below in sorted(labels.values(), key=lambda each: each.file.suffix in LOSSY_SUFFIXES):
        key = _key(below, images)
        if file.suffix in LOSSY_SUFFIXES:  # a picture, where something else holds the annotations
            if key is not None and key not in found:
                raise ValueError(
                    f"{file.where}: a JPEG, which changes the numbers of labels; export it as PNG "
                    "or TIFF"
                )
            continue
        named = [each.image for each in outlines.of(file)] if is_outlines(file) else [None]
        owners = [[] if name is None else _owners(name, by_last) for name in named]
        if key is not None:
            if len(named) == 1 and owners[0] and key not in [paths[each] for each in owners[0]]:
                raise ValueError(
                    f"{file.where}: by its name it is of {_name(images[key])}, by its content of "
                    f"{named[0]}; rename it, or export it again"
                )
            _give(found, key, file, images)
        elif None in named:
            alone[(file.name,)] = file
        else:
            absent = [name for name, own in zip(named, owners, strict=True) if not own]
            if absent:
                raise ValueError(
                    f"{file.where}: annotates {absent[0]!r} and is not beside it ({len(absent)} of "
                    f"{len(named)} images are not there); add the images, or export without them"
                )
            for name, own in zip(named, owners, strict=True):
                if len(own) > 1:
                    raise ValueError(
                        f"{file.where}: {name!r} may be {own[0]} or {own[1]}; export it with the "
                        "names of their folders, or rename them"
                    )
            each, times = Counter(own[0] for own in owners).most_common(1)[0]
            if times > 1:
                raise ValueError(
                    f"{file.where}: {times} of its images are called "
                    f"{PurePosixPath(each).name!r}; rename them, or export each on its own"
                )
            for own in owners:
                if (owner := paths[own[0]]) is not None:
                    _give(found, owner, file, images)
    _check_annotated(images, found, labels)
    _check_owned(list(alone.values()), images)
    return {_image_name(key, file): Pair(key, file, found[key]) for key, file in images.items()}


def _check_annotated(
    images: Mapping[Key, File], found: Mapping[Key, File], labels: Mapping[str, LabelFile]
) -> None:
    """Refuses images without annotations: names the first, and the files that it may have."""
    alone = [key for key in images if key not in found]
    if not alone:
        return
    first, more = images[alone[0]], len(alone) - 1
    own: dict[str, None] = {}  # suffixes of files that are of one image each
    shared: dict[str, None] = {}  # files of several images
    folder = PurePosixPath(first.name).parent
    for file, below in labels.values():
        if file.suffix in LOSSY_SUFFIXES:
            continue
        if _key(below, dict(images)) is None and file in found.values():
            shared[file.name] = None
            continue
        own[file.suffix] = None
        folder = PurePosixPath(*PurePosixPath(file.name).parts[: -len(PurePosixPath(below).parts)])
    suffixes = list(own) if own or shared else [".json", ".geojson"]
    names = [f"{alone[0][0]}{suffix}" for suffix in suffixes]
    where = first.files.where(str(folder)) if folder.parts else str(first.files.path)
    expected = [f"{' or '.join(names)} in {where}"] if names else []
    expected += [f"its outlines in {first.files.where(name)}" for name in shared]
    others = f", nor {'has 1 other' if more == 1 else f'have {more} others'}" if more else ""
    raise ValueError(
        f"{first.where}: has no annotation{others}; expected is {', or '.join(expected)}, for an "
        "image without nuclei too: a label image of zeros, or outlines of which there are none; "
        "add it, or remove the image"
    )


def _check_owned(alone: Sequence[File], images: Mapping[Key, File]) -> None:
    """Refuses files of annotations of which there is no image."""
    if alone:
        more = len(alone) - 1
        others = f", nor {'is 1 other' if more == 1 else f'are {more} others'}" if more else ""
        raise ValueError(
            f"{alone[0].where}: of no image by its name{others}; the images are called as "
            f"{_name(next(iter(images.values())))}; rename it, add its image, or remove the file"
        )


def _give(found: dict[Key, File], key: Key, file: File, images: dict[Key, File]) -> None:
    """Gives an image its file of annotations; refuses a second one."""
    if key in found:
        raise ValueError(
            f"{file.files.path}: {found[key].name} and {file.name} both annotate "
            f"{images[key].name}; keep one"
        )
    found[key] = file


def _image_name(key: Key, file: File) -> str:
    """The name of an image as its file is called; the key is composed."""
    return (PurePosixPath(key[0]).parent / image_name(file.name)).as_posix()


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


def _place(images: dict[Key, File]) -> PurePosixPath:
    """The folder of all images, from one of them and its name."""
    key, file = next(iter(images.items()))
    depth = len(PurePosixPath(key[0]).parts)
    return PurePosixPath(*PurePosixPath(file.name).parts[:-depth])


def _below(
    files: Files, place: PurePosixPath, own: set[str], images: dict[Key, File]
) -> Iterator[tuple[str, str, list[str]]]:
    """Paths of the files below a folder that are no images.

    Each with the folder, of those that images lie in too, and the rest of its path.
    """
    folders = {key[0].rpartition("/")[0] for key in images}
    for name in files.names:
        path = PurePosixPath(name)
        if name in own or not path.is_relative_to(place):
            continue
        parts = path.relative_to(place).parts
        above = ("/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
        folder = next((each for each in above if each in folders), "")
        yield name, folder, list(parts[len(PurePosixPath(folder).parts) :])


def _entries(
    files: Files, place: PurePosixPath, own: set[str], images: dict[Key, File]
) -> Iterator[LabelFile]:
    """What holds annotations in a folder, and in those below it that images have too, each once."""
    last = None
    beside = any(PurePosixPath(name).is_relative_to(place) for name in own)
    for name, folder, (first, *rest) in _below(files, place, own, images):
        path, inner = PurePosixPath(name), PurePosixPath(folder) / first
        suffix, entry = path.suffix.lower(), None
        if not rest:
            table = suffix == ".csv" and path.stem.endswith(TYPES)
            entry = name if suffix in (*LABEL_SUFFIXES, *OUTLINE_SUFFIXES) or table else None
        elif inner.suffix.lower() == ".zarr":
            entry = str(place / inner)
        elif len(rest) == 1 and suffix in MASK_SUFFIXES:
            # Beside and above images, other folders are of something else.
            entry = str(place / inner) if not beside or (str(inner),) in images else None
        if entry is not None and entry != last:
            last = entry
            yield LabelFile(File(files, entry), str(inner))


def _jpegs(
    files: Files, place: PurePosixPath, own: set[str], images: dict[Key, File]
) -> Iterator[LabelFile]:
    """The JPEGs in a folder, or in folders below it that images have too, that are no images."""
    for name, folder, rest in _below(files, place, own, images):
        if len(rest) == 1 and PurePosixPath(name).suffix.lower() in LOSSY_SUFFIXES:
            yield LabelFile(File(files, name), str(PurePosixPath(folder) / rest[0]))


def _key(below: str, images: dict[Key, File]) -> Key | None:
    """The key of the image whose name a file bears; `a.ome.tif.geojson` is of `a.ome.tif`, too.

    A file that lies above the folders of the images is of the only image of its name.

    Raises:
      ValueError: there are several.
    """
    in_folders = "/" in next(iter(images))[0]  # all are, or none
    stem = PurePosixPath(_plain(_stem(below)))
    bare = stem.with_name(bare_name(stem.name))
    for path in (stem, bare, bare.with_name(bare_name(bare.name))):
        if (str(path),) in images:
            return (str(path),)
        if in_folders and path.parent == PurePosixPath():
            found = [key for key in images if key[0].rpartition("/")[2] == path.name]
            if len(found) > 1:
                raise ValueError(
                    f"{below}: may be of {found[0][0]} or of {found[1][0]}; put it into a folder "
                    "of the same name as the image's"
                )
            if found:
                return found[0]
    return None


def _bare(stem: str) -> str:
    """The name of the image, of that of its label image or of the file of its classes."""
    ending = next((each for each in TYPES if stem.endswith(each)), None)
    return stem.removesuffix(ending) if ending else bare_name(stem)


def _shared(name: str, path: str) -> int:
    """How many parts two paths have in common, from their ends."""
    one, other = (PurePosixPath(_plain(each)).parts[::-1] for each in (name, path))
    same = (a == b for a, b in zip(one, other, strict=False))
    return sum(itertools.takewhile(bool, same))


def _by_last(paths: Iterable[str]) -> dict[str, list[str]]:
    """Paths by their last part."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        found.setdefault(PurePosixPath(_plain(path)).name, []).append(path)
    return found


def _owners(name: str, by_last: Mapping[str, list[str]]) -> list[str]:
    """The paths, of `_by_last`, of the images that a name in a file may stand for."""
    known = by_last.get(PurePosixPath(_plain(name)).name, [])
    shared = [_shared(name, path) for path in known]
    return [path for path, n in zip(known, shared, strict=True) if n == max(shared)]


def _names_any(file: File, images: dict[Key, File]) -> bool:
    """Whether a file holds annotations of any of these images by their names."""
    try:
        found = read_annotations(file.read(), file.where)
    except ValueError:  # it is something else
        return False
    by_last = _by_last(each.name for each in images.values())
    return any(_owners(each.image, by_last) for each in found if each.image is not None)


def _is_outlined(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in OUTLINE_SUFFIXES


def _stem(name: str) -> str:
    """The path without a suffix that is known; of a folder of masks, as it is."""
    path = PurePosixPath(name)
    known = (*LABEL_SUFFIXES, *LOSSY_SUFFIXES, *OUTLINE_SUFFIXES, ".zarr", ".csv")
    return str(path.with_suffix("")) if path.suffix.lower() in known else name


def _name(file: File) -> str:
    return PurePosixPath(file.name).name


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)
