"""A folder of images beside a folder of label images: the layout most tools can write."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._label_images import check_size
from jaxnuc.data.sources._splitting import SPLITS, random_split
from jaxnuc.io.archive import Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy")


class Source:
    """Images with instance-label images of the same stem, from a folder or a zip.

    In a label image each nucleus has its own integer, 0 is background. Grey images become RGB,
    alpha is dropped.

    Args:
      root: the folder or the zip.
      images: folder of the images below `root` (png, tif, jpg, bmp; 8 bit).
      labels: folder of the label images below `root` (png, tif, npy; one integer per pixel).
      split: if given, the layout is `root/<split>/<images>` and `root/<split>/<labels>`; where
        there is no folder of any split, the images of `root/<images>` are permuted by `seed` and
        cut by `fractions`.
      seed: of the random split.
      fractions: shares of train, val and test in the random split.

    Attributes:
      name: the last part of `root`, without suffix.
      ids: the stems, in natural order; `source[i]` is `ids[i]`.

    Raises:
      FileNotFoundError: no such root, or one of the two folders has no files.
      ValueError: stems that do not match; on reading, a damaged file, sizes that differ, labels
        that are not integers, are negative or have channels.

    Example:
      Source("cells", split="train") reads cells/train/images/a.png and cells/train/labels/a.tif.
    """

    def __init__(
        self,
        root: str | Path,
        images: str = "images",
        labels: str = "labels",
        split: str | None = None,
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        self._files = Files(root)
        self.name = self._files.path.resolve().stem
        tops = {PurePosixPath(name).parts[0] for name in self._files.names}
        folders = split is not None and not tops.isdisjoint({split, *SPLITS})
        below = PurePosixPath(split if folders and split else "")
        self._images = _by_stem(self._files, below / images, IMAGE_SUFFIXES)
        self._labels = _by_stem(self._files, below / labels, LABEL_SUFFIXES)
        for kind, have, other in (
            ("label image", self._images, self._labels),
            ("image", self._labels, self._images),
        ):
            alone = [file for stem, file in have.items() if stem not in other]
            if alone:
                raise ValueError(
                    f"{self._files.where(alone[0])}: no {kind} with this stem ({len(alone)} such "
                    "files); add it or remove the file"
                )
        self.ids = list(self._images)
        if split is not None and not folders:
            self.ids = random_split(self.ids, split, seed, fractions)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        image = self._files.rgb(self._images[name])
        instances = self._read_labels(self._labels[name])
        where = self._files.where(self._labels[name])
        check_size("labels", instances, image.shape[:2], where, self._images[name])
        return Sample(image, instances, None, {"name": name, "source": self.name, "mpp": None})

    def _read_labels(self, file: str) -> np.ndarray:
        labels, where = self._files.array(file), self._files.where(file)
        if labels.ndim != 2:
            raise ValueError(
                f"{where}: labels of shape {labels.shape}, expected (H, W): one integer id per "
                "pixel, not colours"
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{where}: labels of {labels.dtype}, expected integer ids")
        low, high = labels.min(initial=0), labels.max(initial=0)
        if low < 0 or high > np.iinfo(np.int32).max:
            raise ValueError(f"{where}: label ids in {low} .. {high}, expected 0 .. 2**31 - 1")
        return labels.astype(np.int32)


def _by_stem(files: Files, folder: PurePosixPath, suffixes: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files.names:
        path = PurePosixPath(file)
        if path.parent != folder or path.suffix.lower() not in suffixes:
            continue
        if path.stem in found:
            raise ValueError(
                f"{files.path}: {found[path.stem]} and {file} have the same stem; keep one"
            )
        found[path.stem] = file
    if not found:
        raise FileNotFoundError(
            f"{files.where(str(folder))}: no files here; expected one or more of "
            f"{', '.join('*' + s for s in suffixes)}"
        )
    return found
