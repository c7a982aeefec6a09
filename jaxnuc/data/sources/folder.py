"""A folder of images beside a folder of label images: the layout most tools can write."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from jaxnuc.data.annotations import instance_map, lossless
from jaxnuc.data.layouts import Key, Pair, add_file, pair
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.data.splitting import SPLITS
from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES
from jaxnuc.io.label_images import as_labels, nuclei_of

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy")


@dataclass(eq=False)
class Source(RandomSplit):
    """Images with instance-label images of the same stem, from a folder or a zip.

    In a label image each nucleus has its own integer, 0 is background. Gray images become RGB; of
    other numbers than 8 bits, the image's own range becomes 0 to 255. The name of the source is the
    last part of `root`, without suffix.

    Args:
      images: folder of the images below `root` (png, tif, jpg, bmp).
      labels: folder of the label images below `root` (png, tif, npy; one number per pixel). Empty:
        the images are not annotated, for self-training; they have no nuclei, and `ignore` is True
        everywhere.
      label_from: `"ids"`, or `"components"`: the files are masks, of which each 8-connected part is
        a nucleus.
      split: if given, the layout is `root/<split>/<images>` and `root/<split>/<labels>`; where
        there is no folder of any split, the images of `root/<images>` are permuted by `seed` and
        cut by `fractions`.

    Example:
      Source("cells", split="train") reads cells/train/images/a.png and cells/train/labels/a.tif.
    """

    split: str | None = None  # type: ignore[assignment]
    images: str = "images"
    labels: str = "labels"
    label_from: str = "ids"

    def find_pairs(self) -> dict[str, Pair]:
        files = Files(self.root)
        self.name = files.path.resolve().stem
        top, tops = _top(files, {self.images, self.labels, self.split or "", *SPLITS})
        self._by_folder = self.split is None or not tops.isdisjoint({self.split, *SPLITS})
        below = top / ((self.split or "") if self._by_folder else "")
        images = _by_stem(files, below / self.images, IMAGE_SUFFIXES)
        self.ignores = not self.labels
        if self.ignores:  # as its own label file, which is not read
            return {file.stem: Pair(key, file, file) for key, file in images.items()}
        labels = _by_stem(files, below / self.labels, LABEL_SUFFIXES)
        return pair({"image": images, "label": labels})

    def read_image(self, file: File) -> np.ndarray:
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
