"""A folder of images beside a folder of label images: the layout most tools can write."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from jaxnuc.data.annotations import instance_map, lossless
from jaxnuc.data.layouts import Key, pair
from jaxnuc.data.sources.base import Annotation, PairedSource
from jaxnuc.data.splitting import SPLITS, random_split
from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy")


class Source(PairedSource):
    """Images with instance-label images of the same stem, from a folder or a zip.

    In a label image each nucleus has its own integer, 0 is background. Gray images become RGB,
    alpha is dropped. The name of the source is the last part of `root`, without suffix.

    Args:
      images: folder of the images below `root` (png, tif, jpg, bmp; 8 bit).
      labels: folder of the label images below `root` (png, tif, npy; one integer per pixel).
      split: if given, the layout is `root/<split>/<images>` and `root/<split>/<labels>`; where
        there is no folder of any split, the images of `root/<images>` are permuted by `seed` and
        cut by `fractions`.

    Example:
      Source("cells", split="train") reads cells/train/images/a.png and cells/train/labels/a.tif.
    """

    in_catalog = False

    def __init__(
        self,
        root: str | Path,
        images: str = "images",
        labels: str = "labels",
        split: str | None = None,
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        files = Files(root)
        self.name = files.path.resolve().stem
        tops = {PurePosixPath(name).parts[0] for name in files.names}
        folders = split is not None and not tops.isdisjoint({split, *SPLITS})
        below = PurePosixPath(split if folders and split else "")
        found = {
            "image": _by_stem(files, below / images, IMAGE_SUFFIXES),
            "label": _by_stem(files, below / labels, LABEL_SUFFIXES),
        }
        pairs = pair(found)
        ids = list(pairs)
        if split is not None and not folders:
            ids = random_split(ids, split, seed, fractions)
        super().__init__(pairs, split, ids)

    def read_annotation(self, name: str, shape: tuple[int, int]) -> Annotation:
        file = self.pairs[name].label
        labels = lossless(file)
        if labels.dtype.kind == "f":
            raise ValueError(f"{file.where}: labels of {labels.dtype}, expected integer ids")
        return Annotation(instance_map(labels, file.where))


def _by_stem(files: Files, folder: PurePosixPath, suffixes: tuple[str, ...]) -> dict[Key, File]:
    found: dict[Key, File] = {}
    for file in files.names:
        path = PurePosixPath(file)
        if path.parent != folder or path.suffix.lower() not in suffixes:
            continue
        if (path.stem,) in found:
            raise ValueError(
                f"{files.path}: {found[path.stem,].name} and {file} have the same stem; keep one"
            )
        found[path.stem,] = File(files, file)
    if not found:
        raise FileNotFoundError(
            f"{files.where(str(folder))}: no files here; expected one or more of "
            f"{', '.join('*' + s for s in suffixes)}"
        )
    return found
