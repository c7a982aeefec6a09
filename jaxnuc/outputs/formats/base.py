"""The contract of an output format."""

import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from jaxnuc.io.atomic import replacing
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable


class Format(ABC):
    """A kind of file that nuclei are written to.

    A format is a class `Format` in a file of this package, or in a package of the user's, which
    defines `suffix` and `_write`.

    Attributes:
      suffix: of its files, such as `".csv"`; no two formats may share one.
      most_pixels: that an image may have; None for any number.
      in_full_resolution: whether its pixels are those of the image's file, not the model's.
      needs: a Python package that it needs, from the extra `files`; None for none.
      shows_pixels: whether it shows the image itself, which the scene then has to give.
    """

    suffix: ClassVar[str]
    most_pixels: ClassVar[int | None] = None
    in_full_resolution: ClassVar[bool] = False
    needs: ClassVar[str | None] = None
    shows_pixels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Name of the format, for messages: that of its file."""
        return type(self).__module__.rpartition(".")[2]

    def check_installed(self) -> None:
        """Finds out before the work what would be missing after it.

        Raises:
          ImportError: the package that the format needs is not installed.
        """
        if self.needs and importlib.util.find_spec(self.needs) is None:
            raise ImportError(
                f"the format {self.name} needs {self.needs}: pip install jaxnuc[files]"
            )

    def check(self, scene: Scene) -> None:
        """Refuses an image that cannot be written in this format.

        Raises:
          ValueError: it has too many pixels, or the format shows pixels that the scene lacks.
        """
        height, width = scene.image_shape if self.in_full_resolution else scene.shape
        if self.most_pixels is not None and height * width > self.most_pixels:
            raise ValueError(
                f"{scene.image} has {height} x {width} pixels, {self.name} files at most "
                f"{self.most_pixels}; write geojson instead"
            )
        if self.shows_pixels:
            scene.checked_pixels()

    def write(
        self, path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene
    ) -> int:
        """Writes the nuclei of one image; the file appears when it is complete.

        The same nuclei always make the same bytes. Their numbers are 1, 2, ... in the order of the
        tables, which all have the same columns, and are taken one at a time.

        Returns:
          How many nuclei were written.

        Raises:
          ImportError: a package is missing.
          ValueError: the tables do not fit the scene or each other, or the format cannot hold the
            image: see `check`.
        """
        self.check_installed()
        self.check(scene)
        with replacing(path) as temporary:
            return self._write(temporary, tables, scene)

    @abstractmethod
    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        """Writes to a temporary path, which `write` renames; returns the number of nuclei.

        `scene.numbered(tables)` checks the tables and numbers their nuclei.
        """
