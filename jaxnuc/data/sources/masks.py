"""Images beside binary masks: data sets that mark pixels, not instances."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from jaxnuc.data.annotations import check_size
from jaxnuc.data.layouts import IMAGE
from jaxnuc.data.sources.base import Annotation, PairedSource, RandomSplit
from jaxnuc.io.files import File
from jaxnuc.io.image_files import decode_colors
from jaxnuc.postprocess import label_components

THRESHOLD = 128  # JPEG moves black and white by tens of gray levels, never by half of the range
_COLORFUL = 64  # two channels of a gray JPEG differ by less
# Copies of one set differ in the plural, sometimes between training and test images.
PAIRED = {"image": rf"images?/([^/]+){IMAGE}", "label": rf"masks?/([^/]+){IMAGE}"}


class MaskSource(PairedSource):
    """A data set of images and binary masks of polyps.

    Masks are white where the mark is: values from 128 on, which is right for JPEG masks too, or,
    in a lossless file without any value above 1, ones. Each 8-connected component of a mask is an
    instance; the data set itself does not tell apart those that touch. There are no classes.
    """

    layouts: ClassVar[Sequence[Mapping[str, str]]] = (PAIRED,)

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        return Annotation(label_components(read_mask(file, shape)))

    def about(self, name: str) -> dict[str, Any]:
        return {"tissue": "colon", "modality": "endoscopy"}


class SplitMaskSource(MaskSource, RandomSplit):
    """The same without a published split."""


def read_mask(file: File, shape: tuple[int, int]) -> np.ndarray:
    """A mask in black and white, (H, W) bool of the size of its image, True where it is white.

    Raises:
      ValueError: a damaged file, another size, colors, or no mask.
    """
    mask = decode_colors(file.read(), file.where)
    if mask.ndim == 3 and mask.shape[2] in (2, 4):
        mask = mask[..., :-1]
    if mask.ndim == 3:
        if np.ptp(mask.astype(np.int32), axis=2).max(initial=0) >= _COLORFUL:
            raise ValueError(f"{file.where}: colors, expected a mask in black and white")
        mask = mask[..., 0]
    check_size("a mask", mask, shape, file.where)
    high = mask.max(initial=0)
    lossless = file.suffix not in (".jpg", ".jpeg")
    if lossless and high <= 1:
        return mask > 0
    if lossless and high < THRESHOLD:
        raise ValueError(f"{file.where}: values up to {high}, expected 0 and 255, or 0 and 1")
    return mask >= THRESHOLD
