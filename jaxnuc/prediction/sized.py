"""Images enlarged or shrunk to the size that a network expects, and their nuclei brought back.

Nothing here needs JAX, so that the processes which decode start fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from jaxnuc.io import LargeImage, ResampledImage, at_mpp
from jaxnuc.labels import LabelSet
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import scaled
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.representations import Nuclei

# Times that an image is enlarged or shrunk at most: hardly any nucleus has one pixel across, or a
# thousand.
MOST_ENLARGED, MOST_SHRUNK = 16, 64


def at_diameter(image: LargeImage, diameter: float, trained: float) -> LargeImage:
    """A view of an image in which nuclei of a diameter, in pixels, get that of the training.

    Raises:
      ValueError: it would be enlarged or shrunk too far.
    """
    if not trained / MOST_ENLARGED <= diameter <= trained * MOST_SHRUNK:
        raise ValueError(
            f"{image.path}: a diameter of {diameter:g} pixels; this network takes "
            f"{trained / MOST_ENLARGED:g} to {trained * MOST_SHRUNK:g}, in pixels of the image and "
            "not in microns"
        )
    return at_mpp(image, diameter / trained, given=1.0)


def scale_of(view: LargeImage) -> tuple[float, float]:
    """(row, col), pixels of the image per pixel of a view of it; (1, 1) of the image itself."""
    return view.scale if isinstance(view, ResampledImage) else (1.0, 1.0)


class SizedMaps(NamedTuple):
    """The maps of an image that was enlarged or shrunk.

    Attributes:
      maps: of what the network saw.
      shape: (H, W) of that.
      scale: (row, col), pixels of the image per pixel of that.
    """

    maps: Mapping[str, np.ndarray]
    shape: tuple[int, int]
    scale: tuple[float, float]


@dataclass(frozen=True)
class SizedDecoder:
    """Decodes the maps of an image that was enlarged or shrunk, and undoes that with the nuclei."""

    decoder: Decoder

    def __call__(self, maps: SizedMaps, shape: tuple[int, ...]) -> Nuclei:
        """The nuclei of an image of `shape` (H, W)."""
        return resized(self.decoder(maps.maps, maps.shape), maps.scale, (shape[0], shape[1]))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Those of the decoder."""
        return self.decoder.class_names

    def at(self, label_set: LabelSet) -> "SizedDecoder":
        """As `Decoder.at`."""
        return replace(self, decoder=self.decoder.at(label_set))

    def cannot_read(self, label_set: LabelSet) -> str | None:
        """As `Decoder.cannot_read`."""
        return self.decoder.cannot_read(label_set)


def resized(nuclei: Nuclei, scale: tuple[float, float], to: tuple[int, int]) -> Nuclei:
    """Nuclei in the same image at another size.

    Args:
      nuclei: of the image at one size.
      scale: (row, col), pixels at the other size per pixel.
      to: (H, W) at the other size.

    Returns:
      The same nuclei. A pixel belongs to that in which its center lies, so that a nucleus may lose
      all of its pixels where an image shrinks.
    """
    if scale == (1, 1):
        return nuclei
    masks, points = nuclei.masks, nuclei.points
    return nuclei._replace(
        instances=resized_labels(nuclei.instances, scale, to),
        masks=None if masks is None else tuple(scaled(each, scale, to) for each in masks),
        points=None if points is None else points * np.array(scale, np.float32),
    )


def resized_table(
    table: NucleiTable, scale: tuple[float, float], to: tuple[int, int]
) -> NucleiTable:
    """As `resized`, of a table of nuclei without measurements; each keeps one pixel at least."""
    if scale == (1, 1):
        return table
    return replace(table, masks=tuple(scaled(each, scale, to) for each in table.masks))


def resized_labels(
    labels: np.ndarray, scale: tuple[float, float], to: tuple[int, int]
) -> np.ndarray:
    """A label map (H, W) at another size, see `resized`.

    >>> resized_labels(np.array([[1, 2]]), (2, 2), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    rows, cols = (
        np.minimum(((np.arange(n) + 0.5) / factor).astype(int), size - 1)
        for n, factor, size in zip(to, scale, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, cols)]
