"""From maps to nuclei; without JAX, so that processes which decode start fast and stay small."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jaxnuc.inference.tiles import Tile
from jaxnuc.labels import Cut
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask
from jaxnuc.postprocess.regions import regions
from jaxnuc.representations import Nuclei, Representation
from jaxnuc.representations._classes import Classified


@dataclass(frozen=True)
class Decoder:
    """From maps to nuclei, and to their classes at any label set.

    Attributes:
      representation: which decodes.
    """

    representation: Representation

    def __call__(self, maps: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> Nuclei:
        """Decodes the maps of an image of this shape (H, W)."""
        if getattr(self.representation, "grid", 1) > 1:
            return self.representation.decode(maps, shape=shape)  # type: ignore[call-arg]
        return self.representation.decode(maps)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Of the predicted classes, the background first; None where there are none."""
        if not isinstance(self.representation, Classified):
            return None
        return ("background", *self.representation.predicted.groups)

    def table(self, maps: Mapping[str, np.ndarray], tile: Tile) -> NucleiTable:
        """The nuclei of a tile of an image, where they lie in the image.

        Args:
          maps: of the whole tile, what lies outside of the image included.
          tile: whose part inside the image begins on the maps' grid.
        """
        grid = getattr(self.representation, "grid", 1)
        top, left, bottom, right = tile.box
        (above, _), (before, _) = tile.padding
        shape = bottom - top, right - left
        rows, cols = (
            slice(start // grid, -(-(start + size) // grid))
            for start, size in zip((above, before), shape, strict=True)
        )
        nuclei = self({name: m[rows, cols] for name, m in maps.items()}, shape)
        return as_table(nuclei).moved(top, left)

    def classes_at(self, nuclei: Nuclei, cut: Cut) -> np.ndarray | None:
        """(N,) groups of a label set, or None where the network predicts no classes."""
        if nuclei.classes is None:
            return None
        assert isinstance(self.representation, Classified)
        return self.representation.read_at(nuclei, cut)

    def cannot_read(self, cut: Cut) -> str | None:
        """Why the predicted classes cannot be read at a label set; None where they can."""
        if not isinstance(self.representation, Classified):
            return None  # there are none
        try:
            self.representation.predicted.to(cut)
        except ValueError as error:
            return str(error)
        return None


def as_table(nuclei: Nuclei) -> NucleiTable:
    """Nuclei of one image as rows.

    Where a representation says which pixels of nuclei others cover, masks are whole. A nucleus of
    which no pixel is left in the label map, and that has no mask, has no row.
    """
    if nuclei.masks is not None:
        masks, rows = nuclei.masks, np.arange(len(nuclei.masks))
    else:
        found = regions(nuclei.instances)
        rows = found.ids - 1
        masks = tuple(
            Mask(top, left, nuclei.instances[top:bottom, left:right] == number)
            for number, (top, left, bottom, right) in zip(
                found.ids, found.boxes.tolist(), strict=True
            )
        )
    classes, probabilities = nuclei.classes, nuclei.class_probabilities
    return NucleiTable(
        masks,
        nuclei.scores[rows],
        None if classes is None else classes[rows],
        None if probabilities is None else probabilities[rows],
    )
