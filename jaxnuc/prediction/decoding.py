"""From maps to nuclei; without JAX, so that worker processes start fast and stay small."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxnuc.labels import LabelSet
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask, masks_of
from jaxnuc.prediction.agreement import agreement
from jaxnuc.prediction.tiles import Tile
from jaxnuc.representations import Nuclei, Representation


@dataclass(frozen=True)
class Decoder:
    """From maps to nuclei, with their classes at any label set.

    Attributes:
      representation: decodes the maps.
      label_set: the label set at which classes are read, see `ClassMap.read_at`; None: that of
        the class map. Classes are its finest groups. It has no effect where no classes are
        predicted.

    Raises:
      ValueError: the predicted classes cannot be read at the label set.
    """

    representation: Representation
    label_set: LabelSet | None = None

    def __post_init__(self) -> None:
        why = None if self.label_set is None else self.cannot_read(self.label_set)
        if why is not None:
            raise ValueError(why)

    @property
    def grid(self) -> int:
        """Pixels of the image per value of the maps, along each axis."""
        return self.representation.grid

    def __call__(
        self,
        maps: Mapping[str, np.ndarray],
        shape: tuple[int, ...],
        members: Sequence[Mapping[str, np.ndarray]] = (),
    ) -> Nuclei:
        """Decodes the maps of an image of `shape` (H, W).

        The maps of each of the `members` of an average are decoded too, for the agreement of the
        nuclei.
        """
        nuclei = self.representation.decode(maps, shape)
        if self.label_set is not None:
            nuclei = self.representation.read_at(nuclei, self.label_set)
        if not members:
            return nuclei
        return _with_agreement(nuclei, [self(each, shape) for each in members])

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, the background first; None where no classes are predicted."""
        predicted = self.representation.label_set
        if predicted is None:
            return None
        return ("background", *(self.label_set or predicted).finest.groups)

    @property
    def colors(self) -> tuple[tuple[int, int, int] | None, ...] | None:
        """Colors of the classes, as `class_names`; None for those without one of their own."""
        predicted = self.representation.label_set
        return None if predicted is None else (None, *(self.label_set or predicted).finest.colors)

    def table(
        self,
        maps: Mapping[str, np.ndarray],
        tile: Tile,
        members: Sequence[Mapping[str, np.ndarray]] = (),
    ) -> NucleiTable:
        """The nuclei of a tile, which starts on the grid of its maps, in pixels of the image."""
        top, left, bottom, right = tile.box
        nuclei = self(maps, (bottom - top, right - left), members)
        return as_table(nuclei).moved(top, left)

    def at(self, label_set: LabelSet) -> "Decoder":
        """The decoder that reads classes at another label set."""
        return replace(self, label_set=label_set)

    def cannot_read(self, label_set: LabelSet) -> str | None:
        """Why the predicted classes cannot be read at a label set; None where they can."""
        predicted = self.representation.label_set
        if predicted is None:
            return None
        try:
            for each in (label_set.finest, label_set):
                predicted.to(each)
        except ValueError as error:
            return str(error)
        return None


def decode_tile(
    decoder: Decoder,
    tile: Tile,
    maps: Mapping[str, np.ndarray],
    members: Sequence[Mapping[str, np.ndarray]],
) -> tuple[Tile, NucleiTable]:
    """`Decoder.table` with its tile, as a function for worker processes."""
    return tile, decoder.table(maps, tile, members)


def as_table(nuclei: Nuclei) -> NucleiTable:
    """Nuclei of one image as rows.

    Where a representation gives masks, nuclei may overlap. Without masks, a nucleus without a pixel
    left in the label map has no row.
    """
    masks, rows = _masks(nuclei)
    classes, probabilities = nuclei.classes, nuclei.class_probabilities
    return NucleiTable(
        masks,
        nuclei.scores[rows],
        None if classes is None else classes[rows],
        None if probabilities is None else probabilities[rows],
        agreement=None if nuclei.agreement is None else nuclei.agreement[rows],
    )


def _masks(nuclei: Nuclei) -> tuple[tuple[Mask, ...], np.ndarray]:
    """The masks of the nuclei that have pixels, and their numbers, from 0."""
    if nuclei.masks is not None:
        return nuclei.masks, np.arange(len(nuclei.masks))
    ids, masks = masks_of(nuclei.instances)
    return masks, ids - 1


def _with_agreement(nuclei: Nuclei, members: Sequence[Nuclei]) -> Nuclei:
    """Nuclei with their agreement, which is 0 where the label map has no pixel left."""
    masks, rows = _masks(nuclei)
    values = np.zeros(len(nuclei.scores), np.float32)
    values[rows] = agreement(masks, [_masks(each)[0] for each in members])
    return nuclei._replace(agreement=values)
