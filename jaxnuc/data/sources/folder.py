"""A folder of images beside a folder of label images: the layout most tools can write."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from jaxnuc.data.annotations import instance_map, lossless
from jaxnuc.data.layouts import Key, Pair, add_file, pair
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.data.splitting import SPLITS
from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES, MOST_PIXELS
from jaxnuc.io.label_images import as_labels, nuclei_of
from jaxnuc.io.microscopy import MICROSCOPY_SUFFIXES
from jaxnuc.io.opening import open_image
from jaxnuc.io.planes import Planes
from jaxnuc.registry import check_known

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy")


@dataclass(eq=False)
class Source(RandomSplit):
    """Images with instance-label images of the same stem, from a folder or a zip.

    In a label image each nucleus has its own integer, 0 is background. Images are read as `predict`
    reads them: gray ones become RGB, and of other numbers than 8 bits the image's own range becomes
    0 to 255. The name of the source is the last part of `root`, without suffix.

    Args:
      images: folder of the images below `root` (png, tif, jpg, bmp, and files of microscopes).
      labels: folder of the label images below `root` (png, tif, npy; one number per pixel). Empty:
        the images are not annotated, for self-training; they have no nuclei, and `ignore` is True
        everywhere.
      label_from: `"ids"`, or `"components"`: the files are masks, of which each 8-connected part is
        a nucleus.
      split: if given, the layout is `root/<split>/<images>` and `root/<split>/<labels>`; where
        there is no folder of any split, the images of `root/<images>` are permuted by `seed` and
        cut by `fractions`.
      planes: of files that hold several planes or images, those that are read, by some of the keys
        `channel` (one by name or number from 0, or three), `z`, `time` (see `Planes`) and `image`
        (a number from 0); not of a zip.

    Example:
      Source("cells", split="train") reads cells/train/images/a.png and cells/train/labels/a.tif.
      Source("cells", planes={"channel": "DAPI", "z": "max"}) reads stacks.
    """

    split: str | None = None  # type: ignore[assignment]
    images: str = "images"
    labels: str = "labels"
    label_from: str = "ids"
    planes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chosen = dict(self.planes)
        for key in chosen:
            check_known("key of planes", key, ("channel", "z", "time", "image"))
        self._image, channel = chosen.pop("image", None), chosen.pop("channel", ())
        channels = (channel,) if isinstance(channel, str | int) else tuple(channel)
        self._planes = Planes(channels, **chosen)
        super().__post_init__()

    def find_pairs(self) -> dict[str, Pair]:
        files = Files(self.root)
        self.name = files.path.resolve().stem
        top, tops = _top(files, {self.images, self.labels, self.split or "", *SPLITS})
        self._by_folder = self.split is None or not tops.isdisjoint({self.split, *SPLITS})
        below = top / ((self.split or "") if self._by_folder else "")
        suffixes = (*IMAGE_SUFFIXES, *MICROSCOPY_SUFFIXES, ".czi")
        images = _by_stem(files, below / self.images, suffixes)
        self.ignores = not self.labels
        if self.ignores:  # as its own label file, which is not read
            return {file.stem: Pair(key, file, file) for key, file in images.items()}
        labels = _by_stem(files, below / self.labels, LABEL_SUFFIXES)
        return pair({"image": images, "label": labels})

    def read_image(self, file: File) -> np.ndarray:
        if file.files.path.is_dir():
            path = file.files.path / file.name
            with open_image(path, series=self._image, planes=self._planes) as image:
                if math.prod(image.shape) > MOST_PIXELS:
                    raise ValueError(
                        f"{path}: {image.shape} pixels, more than the {MOST_PIXELS} that are read "
                        "at once; cut it to pieces"
                    )
                return image.read(0, 0, *image.shape)
        if self.planes:
            raise ValueError(
                f"{file.where}: planes={self.planes}, but in a zip images have one plane; unzip "
                f"{file.files.path.name}, and give the folder"
            )
        return file.rgb(on_white=True)

    def choose(self) -> list[str]:
        return list(self.pairs) if self._by_folder else super().choose()

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        if self.ignores:
            return Annotation(np.zeros(shape, np.int32), ignore=np.ones(shape, bool))
        labels = as_labels(lossless(file), file.where)
        return Annotation(instance_map(nuclei_of(labels, file.where, self.label_from), file.where))


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


def _by_stem(files: Files, folder: PurePosixPath, suffixes: tuple[str, ...]) -> dict[Key, File]:
    found: dict[Key, File] = {}
    for file in files.names:
        path = PurePosixPath(file)
        if path.parent == folder and path.suffix.lower() in suffixes:
            add_file(found, (path.stem,), File(files, file))
    if not found:
        raise FileNotFoundError(
            f"{files.where(str(folder))}: no files here; expected one or more of "
            f"{', '.join('*' + s for s in suffixes)}"
        )
    return found
