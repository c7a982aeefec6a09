"""What all files say of the image that the nuclei lie in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jaxnuc.io import LargeImage
from jaxnuc.outputs.table import NucleiTable

Colour = tuple[int, int, int]

# For nuclei without a class; then the classes, in turn. The first are told apart with any colour
# vision (after Okabe and Ito), all on stained tissue: none is pink or purple.
UNCLASSIFIED: Colour = (240, 228, 66)
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),
    (230, 97, 0),
    (0, 158, 115),
    (0, 68, 178),
    (255, 194, 10),
    (0, 0, 0),
    (64, 224, 208),
    (128, 128, 128),
    (170, 255, 50),
    (140, 30, 0),
    (255, 255, 255),
    (0, 80, 0),
)


@dataclass(frozen=True)
class Scene:
    """An image, as the files of its nuclei describe it.

    Attributes:
      image: its name.
      shape: (H, W) of the grid of the masks: the image at the model's resolution.
      mpp: micrometres per pixel of that grid, None where unknown.
      scale: (row, col), how many pixels of the image's full resolution a pixel of the grid is long.
      class_names: the background first; None where no classes are predicted.
      colours: (red, green, blue) of every class in 0..255; that of the background is for nuclei
        without a class. None takes a palette.
      pixels: the image on the grid of the masks, for pictures of it; other files do without.
    """

    image: str
    shape: tuple[int, int]
    mpp: float | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    class_names: tuple[str, ...] | None = None
    colours: tuple[Colour, ...] | None = None
    pixels: LargeImage | None = None

    def __post_init__(self) -> None:
        n_names, n_colours = len(self.class_names or ("",)), len(self.colours or ())
        if self.colours is not None and n_colours != n_names:
            raise ValueError(
                f"{n_colours} colours for {n_names} classes; give one for each, that of nuclei "
                "without a class first"
            )

    def colour(self, class_id: int) -> Colour:
        """The colour of a class; 0 is a nucleus without.

        >>> Scene("a.png", (9, 9)).colour(0)
        (240, 228, 66)
        """
        if self.colours is not None:
            return self.colours[class_id]
        return PALETTE[(class_id - 1) % len(PALETTE)] if class_id else UNCLASSIFIED

    def class_name(self, class_id: int) -> str | None:
        """The name of a class; None for 0 and where there are no classes."""
        return self.class_names[class_id] if self.class_names and class_id else None

    def numbered(self, tables: Iterable[NucleiTable]) -> Iterator[tuple[int, NucleiTable]]:
        """The tables that have rows, each with the id of its first nucleus, from 1.

        Raises:
          ValueError: a mask leaves the image, or the classes are not those of the scene.
        """
        first = 1
        for table in tables:
            self._check(table)
            if len(table):
                yield first, table
                first += len(table)

    def check_size(self, most: int | None, kind: str, instead: str) -> None:
        """Raises ValueError where the grid has more pixels than a kind of file can have."""
        pixels = self.shape[0] * self.shape[1]
        if most is not None and pixels > most:
            raise ValueError(
                f"{self.image} has {self.shape[0]} x {self.shape[1]} pixels, {kind} files at most "
                f"{most}; write {instead} instead"
            )

    def checked_pixels(self) -> LargeImage:
        """The image's pixels.

        Raises:
          ValueError: there are none, or they are not on the grid of the masks.
        """
        if self.pixels is None:
            raise ValueError(
                f"{self.image}: an overlay needs the pixels of the image, the scene has none; give "
                "Scene(..., pixels=image), or leave out the format overlay"
            )
        if self.pixels.shape != self.shape:
            raise ValueError(
                f"{self.image}: the pixels are {self.pixels.shape}, the grid of the masks is "
                f"{self.shape}; give the image at the model's resolution (jaxnuc.io.at_mpp)"
            )
        return self.pixels

    def _check(self, table: NucleiTable) -> None:
        for row, col, mask in table.masks:
            end_row, end_col = row + mask.shape[0], col + mask.shape[1]
            if min(row, col) < 0 or end_row > self.shape[0] or end_col > self.shape[1]:
                raise ValueError(
                    f"{self.image}: a nucleus at rows {row}:{end_row}, columns {col}:{end_col} "
                    f"leaves the image of {self.shape}"
                )
        if not len(table):
            return
        if (table.classes is None) != (self.class_names is None):
            raise ValueError(
                f"{self.image}: the scene names the classes {self.class_names}, but the nuclei "
                f"have {'none' if table.classes is None else 'classes'}"
            )
        n_classes = len(self.class_names or ("",))
        if table.classes is not None and not 0 <= table.classes.min() <= table.classes.max() < (
            n_classes
        ):
            raise ValueError(
                f"{self.image}: classes {table.classes.min()}..{table.classes.max()}, but the "
                f"scene names {n_classes} with the background: {self.class_names}"
            )
        found = table.class_probabilities
        if found is not None and found.shape[1] != n_classes:
            raise ValueError(
                f"{self.image}: probabilities of {found.shape[1]} classes, but the scene names "
                f"{n_classes} with the background: {self.class_names}"
            )
