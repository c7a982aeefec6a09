"""A folder of images and their annotations, in any of the formats that tools write."""

import contextlib
import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jaxnuc.data.annotations import check_size, foreground, instance_map
from jaxnuc.data.layouts import Key, Pair
from jaxnuc.data.outlined import Reading, annotation_of
from jaxnuc.data.own_classes import FILE, OwnClasses, own_classes
from jaxnuc.data.own_files import (
    LABEL_FOLDERS,
    OutlineFiles,
    images_in,
    is_outlines,
    labels_in,
    masks_in,
    pairs_of,
    take_types,
)
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.data.splitting import SPLITS
from jaxnuc.io.annotations import ImageAnnotations, Object
from jaxnuc.io.files import File, Files
from jaxnuc.io.label_images import decode_labels, nuclei_of
from jaxnuc.io.large_image import LargeImage
from jaxnuc.io.limits import MOST_PIXELS
from jaxnuc.io.opening import open_image
from jaxnuc.io.planes import Planes, Unchosen
from jaxnuc.io.polygons import Patch
from jaxnuc.io.zarr import read_zarr_labels
from jaxnuc.postprocess import regions
from jaxnuc.registry import check_known


@dataclass(eq=False)
class Source(RandomSplit):
    """Images with their annotations, from a folder or a zip: label images, masks or outlines.

    Images are read as `predict` reads them: gray ones become RGB, and of other numbers than 8 bits
    the image's own range becomes 0 to 255. The name of the source is the last part of `root`,
    without suffix. What is annotated is found by the names of the images: see docs/annotations.md
    for the formats and layouts. Outlined nuclei may overlap (`covered`). Classes have the names in
    the files, or what a file `classes.yaml` above the images makes of them, see
    `jaxnuc.data.own_classes`.

    Args:
      images: folder of the images below `root` (png, tif, jpg, bmp, files of microscopes); None:
        `images`, or the root.
      labels: folder of the annotations below `root`, or the one file of all; None: `labels`,
        `masks` or `annotations`, or beside the images. Empty: the images are not annotated, for
        self-training; they have no nuclei, and `ignore` is True everywhere.
      annotations: arguments of `jaxnuc.data.outlined.Reading`, such as `{"scale": 0.5}` or
        `{"label_from": "components"}`.
      planes: of files that hold several planes or images, those that are read, by some of the keys
        `channel` (one by name or number from 0, or three), `z`, `time` (see `Planes`) and `image`
        (a number from 0); not of a zip.
      split: if given, the layout is `root/<split>/<images>` and `root/<split>/<labels>`; where
        there is no folder of any split, the images of `root/<images>` are permuted by `seed` and
        cut by `fractions`.

    Example:
      Source("cells", split="train") reads cells/train/images/a.png and cells/train/labels/a.tif.
      Source("cells", planes={"channel": "DAPI", "z": "max"}) reads stacks.
    """

    split: str | None = None  # type: ignore[assignment]
    images: str | None = None
    labels: str | None = None
    annotations: Mapping[str, Any] | None = None
    planes: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for key, given in (("annotations", self.annotations), ("planes", self.planes)):
            if not isinstance(given, Mapping | None):
                raise ValueError(f"{key}={given!r}: expected a dictionary of arguments")
        chosen = dict(self.planes or {})
        for key in chosen:
            check_known("argument of planes:", key, ("channel", "z", "time", "image"))
        self._image, channel = chosen.pop("image", None), chosen.pop("channel", ())
        if not isinstance(self._image, int | None):
            raise ValueError(f"image={self._image!r}: it is a number from 0")
        channels = tuple(channel) if isinstance(channel, list | tuple) else (channel,)
        self._planes = Planes(channels, **chosen)
        super().__post_init__()

    def find_pairs(self) -> dict[str, Pair]:
        known = {field.name for field in dataclasses.fields(Reading)}
        for key in self.annotations or ():
            check_known("argument of annotations:", key, known)
        self._reading = Reading(**(self.annotations or {}))
        self._outlines = OutlineFiles(self._reading.format, self._reading.label_from)
        files = Files(self.root)
        self.name = files.path.resolve().stem
        folders = {self.images or "images", self.labels or "", *LABEL_FOLDERS}
        top, tops = _top(files, {*folders, self.split or "", *SPLITS})
        self._by_folder = self.split is None or not tops.isdisjoint({self.split, *SPLITS})
        if self.split == "all" and self._by_folder and "all" not in tops:
            raise FileNotFoundError(
                f"{files.path}: folders of its own splits, {', '.join(sorted({*SPLITS} & tops))}, "
                "and none for 'all'; name one of them, and leave split_by out"
            )
        below = top / ((self.split or "") if self._by_folder else "")
        images = images_in(files, below, self.images, self.labels)
        self.ignores = self.labels == ""
        if self.ignores:  # as its own label file, which is not read
            return {key[0]: Pair(key, file, file) for key, file in images.items()}
        splits = sorted({*SPLITS, self.split} & tops) if self._by_folder and self.split else []
        above = top if splits else None
        others = self._others(files, [top / each for each in splits if each != self.split])
        labels = labels_in(files, below, images, self.labels, above)
        take_types(images, labels, self._outlines)
        elsewhere = [file.name for each in others.values() for file in each.values()]
        pairs = pairs_of(images, labels, self._outlines, elsewhere)
        self._check_used([pair.label for pair in pairs.values()])
        every = {pair.label.name: pair.label for pair in pairs.values()}
        for place, theirs in others.items():  # the classes are those of all splits
            every |= self._annotated(files, place, theirs, top)
        self._classes = self._named(
            files, top, [file for file in every.values() if self._outlines.reads(file)]
        )
        self.label_set = self._classes.label_set
        self.cache = any(self._outlines.reads(pair.label) for pair in pairs.values())
        self.ignores = self.cache  # outlines may be regions, and regions to ignore
        return pairs

    def read_image(self, file: File) -> tuple[np.ndarray, Mapping[str, Any]]:
        if file.files.path.is_dir():
            path = file.files.path / file.name
            with self._opened(path) as image:
                if math.prod(image.shape) > MOST_PIXELS:
                    raise ValueError(
                        f"{path}: {image.shape} pixels, more than the {MOST_PIXELS} that are read "
                        "at once; cut it to pieces"
                    )
                try:
                    mpp = image.mpp
                except ValueError:  # not square: unknown, until the section says what is meant
                    mpp = None
                return image.read(0, 0, *image.shape), {"mpp": mpp}
        if self.planes:
            raise ValueError(
                f"{file.where}: planes={self.planes}, but in a zip images have one plane; unzip "
                f"{file.files.path.name}, and give the folder"
            )
        return file.rgb(on_white=True), {}

    def _opened(self, path: Path) -> LargeImage:
        try:
            return open_image(path, series=self._image, planes=self._planes)
        except Unchosen as several:  # names options of commands, which are keys of planes here
            text = str(several)
            example = dict.fromkeys(re.findall(r"--(\w+)=0", text), 0)
            listed = re.sub(r"--(\w+=)", r"\1", text)
            raise ValueError(
                f"{listed}; give the source folder planes={json.dumps(example)}"
            ) from None

    def group(self, name: str) -> str:
        """The folder of an image that lies below the others', such as its patient's."""
        return name.rpartition("/")[0] or name

    def choose(self) -> list[str]:
        return list(self.pairs) if self._by_folder else super().choose()

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        if self.labels == "":
            return Annotation(np.zeros(shape, np.int32), ignore=np.ones(shape, bool))
        reading = self._reading
        if self._outlines.reads(file):
            found = self._outlines.of_image(file, self.pairs[name].image)
            if found.size and self._outlines.has_types(file):  # not scaled: pixels of this image
                check_size("labels", np.empty(found.size, bool), shape, file.where)
                reading = Reading()
            return annotation_of(found, shape, reading, self._classes, file.where)
        if masks := masks_in(file) if file.suffix != ".zarr" else []:
            if reading.label_from != "ids":
                raise ValueError(
                    f"{file.where}: a folder of masks, and label_from={reading.label_from!r} is "
                    "for label images; leave it out"
                )
            stack = [foreground(mask.array(), mask.where) for mask in masks]
            for mask, one in zip(masks, stack, strict=True):
                check_size("a mask", one, shape, mask.where)
            return self._of_masks(stack, shape, file.where)
        if file.suffix == ".zarr":
            if not file.files.path.is_dir():
                raise ValueError(
                    f"{file.where}: Zarr in a zip; unzip {file.files.path.name}, and give the "
                    "folder"
                )
            array = read_zarr_labels(file.files.path / file.name)
        else:
            array = decode_labels(file.read(), file.where)
        if reading.label_from == "masks":
            if array.ndim != 3 or array.shape[1:] != shape:
                raise ValueError(
                    f"{file.where}: shape {array.shape}, no stack of masks (N, {shape[0]}, "
                    f"{shape[1]}); leave label_from='masks' out"
                )
            return self._of_masks(array > 0, shape, file.where)
        labels = instance_map(nuclei_of(array, file.where, reading.label_from), file.where)
        if self.label_set is None:
            return Annotation(labels)
        unnamed = {"unnamed_regions": len(regions(labels).ids)}
        return Annotation(labels, np.where(labels > 0, -1, 0), meta=unnamed)

    def _of_masks(self, masks: Any, shape: tuple[int, int], where: str) -> Annotation:
        objects = tuple(Object(Patch(0, 0, mask), None) for mask in masks)
        found = ImageAnnotations(objects)
        return annotation_of(found, shape, Reading(), self._classes, where)

    def _check_used(self, labels: list[File]) -> None:
        """Refuses arguments of annotations that none of the files would be read by."""
        outlined = {is_outlines(file) for file in labels}
        for key in self.annotations or ():
            if (key != "label_from") not in outlined:
                kind = "label images" if key == "label_from" else "outlines"
                raise ValueError(
                    f"annotations[{key!r}] is for {kind}, of which {labels[0].where} is none; "
                    "leave it out"
                )

    def _others(
        self, files: Files, places: list[PurePosixPath]
    ) -> dict[PurePosixPath, dict[Key, File]]:
        """The images of other splits, by their folders."""
        found = {}
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                found[place] = images_in(files, place, self.images, self.labels)
        return found

    def _annotated(
        self, files: Files, below: PurePosixPath, images: dict[Key, File], top: PurePosixPath
    ) -> dict[str, File]:
        """The files of annotations of another split; none where it has none."""
        try:
            labels = labels_in(files, below, images, self.labels, top)
        except FileNotFoundError:
            return {}
        take_types(images, labels, self._outlines)
        return {name: each.file for name, each in labels.items()}

    def _named(self, files: Files, top: PurePosixPath, outlines: list[File]) -> OwnClasses:
        """The classes, by all names in the files and what `classes.yaml` says of them."""
        counts: Counter[str] = Counter()
        for file in outlines:
            counts += self._outlines.names(file)
        name = str(top / FILE)
        for path in map(PurePosixPath, files.names):
            if path.name.lower() in (FILE, "classes.yml") and str(path) != name:
                raise ValueError(
                    f"{files.where(str(path))}: classes are read from {files.where(name)} alone; "
                    "move it there, or remove it"
                )
        text = files.read(name) if name in files.names else None
        return own_classes(counts, text, files.where(name))


def _top(files: Files, known: set[str]) -> tuple[PurePosixPath, set[str]]:
    """The folder that holds the known ones, and what is in it: zips often have one folder above."""
    top, paths = PurePosixPath(), [PurePosixPath(name).parts for name in files.names]
    firsts = {PurePosixPath(folder).parts[0] for folder in known if PurePosixPath(folder).parts}
    while True:
        names = {parts[0] for parts in paths}
        if len(names) != 1 or names & firsts or any(len(parts) == 1 for parts in paths):
            return top, names
        top /= names.pop()
        paths = [parts[1:] for parts in paths]
