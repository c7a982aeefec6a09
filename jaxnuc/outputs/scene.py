"""The image of the nuclei, as their files describe it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jaxnuc.io import LargeImage
from jaxnuc.outputs import palette
from jaxnuc.outputs.palette import Color
from jaxnuc.outputs.table import NucleiTable


@dataclass(frozen=True)
class Scene:
    """An image, as the files of its nuclei describe it.

    Attributes:
      image: its name.
      shape: (H, W) of the grid of the masks: the image at the model's resolution.
      mpp: micrometers per pixel of that grid, None where unknown.
      scale: (row, col), pixels of the image's full resolution per pixel of the grid.
      class_names: the background first; None where no classes are predicted.
      colors: (red, green, blue) of every class in 0..255, None for that of a palette; that of the
        background is for nuclei without a class. None: a palette.
      pixels: the image on the grid of the masks, for formats that show it; None for others.
      file: name of the image's file; empty: the image's name.
      full_shape: (H, W) of the image in full resolution; None: the grid's, scaled and rounded.
    """

    image: str
    shape: tuple[int, int]
    mpp: float | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    class_names: tuple[str, ...] | None = None
    colors: tuple[Color | None, ...] | None = None
    pixels: LargeImage | None = None
    file: str = ""
    full_shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        n_names, n_colors = len(self.class_names or ("",)), len(self.colors or ())
        if self.colors is not None and n_colors != n_names:
            raise ValueError(
                f"{n_colors} colors for {n_names} classes; give one for each, that of nuclei "
                "without a class first"
            )

    @property
    def image_shape(self) -> tuple[int, int]:
        """(H, W) of the image in full resolution."""
        if self.full_shape is not None:
            return self.full_shape
        height, width = (
            round(n * factor) for n, factor in zip(self.shape, self.scale, strict=True)
        )
        return height, width

    def color(self, class_id: int) -> Color:
        """The color of a class; 0 is a nucleus without.

        >>> Scene("a.png", (9, 9)).color(0)
        (240, 228, 66)
        """
        own = self.colors[class_id] if self.colors is not None else None
        if own is not None:
            return own
        classes = palette.CLASSES
        return classes[(class_id - 1) % len(classes)] if class_id else palette.UNCLASSIFIED

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
        # A mask beyond the border would be cropped silently by some formats and not by others.
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
        n, found = len(self.class_names or ("",)), ""
        classes, probabilities = table.classes, table.class_probabilities
        if classes is not None and not 0 <= classes.min() <= classes.max() < n:
            found = f"classes {classes.min()}..{classes.max()}"
        if probabilities is not None and probabilities.shape[1] != n:
            found = f"probabilities of {probabilities.shape[1]} classes"
        if found:
            raise ValueError(
                f"{self.image}: {found}, but the scene names {n} with the background: "
                f"{self.class_names}"
            )
