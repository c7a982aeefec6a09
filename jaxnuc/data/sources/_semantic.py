"""Images beside binary masks: data sets that mark pixels, not instances."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._archives import open_files
from jaxnuc.data.sources._label_images import check_size, same_stems
from jaxnuc.data.sources._splitting import random_split
from jaxnuc.io.archive import Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES, decode_colours
from jaxnuc.postprocess import label_components

THRESHOLD = 128  # JPEG moves black and white by tens of grey levels, never by half of the range
_COLOURFUL = 64  # two channels of a grey JPEG differ by less


class Layout(NamedTuple):
    """How a copy of a data set is laid out.

    Attributes:
      images: names of the folder of images; empty: any folder, and the stems are numbers.
      masks: names of the folder of masks; the same.
      prefix: what a mask's stem has before that of its image.
    """

    images: tuple[str, ...]
    masks: tuple[str, ...]
    prefix: str = ""


# Copies of one set differ in the plural, sometimes between training and test images.
PAIRED = Layout(("images", "image"), ("masks", "mask"))


class SemanticSource:
    """A data set of images and binary masks; each file of this package that needs one derives it.

    Masks are white where the mark is: values from 128 on, which is right for JPEG masks too, or,
    in a lossless file without any value above 1, ones. Each 8-connected component of a mask is an
    instance; the data set itself does not tell apart those that touch. There are no classes.

    Args:
      root: the folder of the images' and masks' folders, at any depth, or a zip of it.
      split: `"train"`, `"val"`, `"test"` or `"all"`: the images, in natural order, are permuted by
        `seed` and cut by `fractions`.
      seed: of the split.
      fractions: shares of train, val and test.

    Attributes:
      name: of the data set.
      ids: the stems of the images, in natural order.

    Raises:
      FileNotFoundError: there are no images and masks in any layout of the data set.
      ValueError: an image without mask or a mask without image; unknown split; on reading, a
        damaged file, a mask of another size, with colours, or neither black nor white.
    """

    name = ""
    layouts: tuple[Layout, ...] = (PAIRED,)
    published = ""

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        self._files = open_files(root, self._belongs, self._expected())
        self._pairs = pairs(self._files, self.layouts, "", self._expected())
        self.ids = random_split(list(self._pairs), split, seed, fractions)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        image_file, mask_file = self._pairs[name]
        image = self._files.rgb(image_file)
        mask = read_mask(self._files, mask_file, image.shape[:2])
        meta = {
            "name": name,
            "source": self.name,
            "mpp": None,
            "tissue": "colon",
            "modality": "endoscopy",
        }
        return Sample(image, label_components(mask), None, meta)

    def _belongs(self, name: str) -> bool:
        return any(_key(name, layout, "images") is not None for layout in self.layouts)

    def _expected(self) -> str:
        folders = " or ".join(
            f"`{layout.images[0]}` and `{layout.masks[0]}`"
            if layout.images
            else f"`1.bmp` beside `{layout.prefix}1.bmp`"
            for layout in self.layouts
        )
        return f"expected {folders}, as published at {self.published}"


def pairs(
    files: Files, layouts: Sequence[Layout], below: str, expected: str
) -> dict[str, tuple[str, str]]:
    """Images and masks by the images' stems, in the first layout that has both.

    Args:
      files: the folder or the zip.
      layouts: those to try, in order.
      below: only files with a folder of this name above them; empty: all.
      expected: for the error.

    Raises:
      FileNotFoundError: no layout has both images and masks.
      ValueError: one stem twice, or an image or a mask alone.
    """
    names = [n for n in files.names if not below or below in PurePosixPath(n).parts[:-1]]
    for layout in layouts:
        images, masks = (_by_key(files, names, layout, kind) for kind in ("images", "masks"))
        if images and masks:
            folder = layout.masks[0] if layout.masks else f"{layout.prefix}*"
            same_stems(files, images, masks, folder)
            return {key: (file, masks[key]) for key, file in images.items()}
    raise FileNotFoundError(f"{files.where(below) if below else files.path}: {expected}")


def read_mask(files: Files, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads a mask in black and white.

    Args:
      files: the folder or the zip.
      name: of the mask.
      shape: height and width of its image.

    Returns:
      (H, W) bool, True where it is white.

    Raises:
      ValueError: a damaged file, another size, colours, or no mask.
    """
    where = files.where(name)
    mask = decode_colours(files.read(name), where)
    if mask.ndim == 3 and mask.shape[2] in (2, 4):
        mask = mask[..., :-1]
    if mask.ndim == 3:
        if np.ptp(mask.astype(np.int32), axis=2).max(initial=0) >= _COLOURFUL:
            raise ValueError(f"{where}: colours, expected a mask in black and white")
        mask = mask[..., 0]
    check_size("a mask", mask, shape, where)
    high = mask.max(initial=0)
    lossless = PurePosixPath(name).suffix.lower() not in (".jpg", ".jpeg")
    if lossless and high <= 1:
        return mask > 0
    if lossless and high < THRESHOLD:
        raise ValueError(f"{where}: values up to {high}, expected 0 and 255, or 0 and 1")
    return mask >= THRESHOLD


def _by_key(files: Files, names: list[str], layout: Layout, kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        key = _key(name, layout, kind)
        if key is None:
            continue
        if key in found:
            raise ValueError(
                f"{files.path}: {found[key]} and {name} have the same stem; give the folder that "
                "holds one of the two copies"
            )
        found[key] = name
    return found


def _key(name: str, layout: Layout, kind: str) -> str | None:
    """The stem of the image that a file is, or is the mask of; None for other files."""
    path = PurePosixPath(name)
    folders = layout.images if kind == "images" else layout.masks
    prefix = "" if kind == "images" else layout.prefix
    key = path.stem.removeprefix(prefix)
    belongs = path.suffix.lower() in IMAGE_SUFFIXES and path.stem.startswith(prefix)
    if folders:
        return key if belongs and path.parent.name in folders else None
    return key if belongs and key.isdecimal() else None
