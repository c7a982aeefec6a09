"""Nuclei with the image they were found in, which a notebook shows."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxnuc.metrics.rows import html_table
from jaxnuc.outputs import NucleiTable, Scene, measure
from jaxnuc.outputs.palette import Color
from jaxnuc.postprocess.masks import Mask, masks_of
from jaxnuc.reports import pictures
from jaxnuc.reports.page import Html, element
from jaxnuc.representations import Nuclei

SIDE = 800  # pixels of the picture


class Segmentation(Nuclei):
    """The nuclei of an image; in a notebook, a picture of them and their number by class.

    Attributes:
      image: (H, W, 3) uint8, None where it is not known, as after `_replace`.
      class_names: the background first; None where no classes are predicted.
      colors: of the classes, as `Scene` takes them.
    """

    image: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    colors: tuple[Color | None, ...] | None = None

    @classmethod
    def of(
        cls,
        nuclei: Nuclei,
        image: np.ndarray,
        class_names: tuple[str, ...] | None,
        colors: tuple[Color | None, ...] | None = None,
    ) -> "Segmentation":
        """The same nuclei with their image, and the names and colors of their classes."""
        found = cls(*nuclei)
        found.image, found.class_names, found.colors = image, class_names, colors
        return found

    def measure(self, mpp: float | None = None) -> dict[str, np.ndarray]:
        """Areas, shapes and places of the nuclei, as `jaxnuc.outputs.measure` gives them.

        Args:
          mpp: microns per pixel of the image; where given, in micrometers too.

        Returns:
          Columns by name, such as `area` in pixels, and `area_um2`, of the nuclei in the order of
          their numbers; one that others cover has none.
        """
        return measure(self._masks, mpp=mpp)

    @property
    def _masks(self) -> Sequence[Mask]:
        return masks_of(self.instances)[1] if self.masks is None else self.masks

    def png(self) -> bytes | None:
        """A picture of the image with the outlines of the nuclei; None without the image."""
        if self.image is None:
            return None
        table = NucleiTable(tuple(self._masks), self.scores, self.classes)
        height, width = self.instances.shape
        scene = Scene("", (height, width), class_names=self.class_names, colors=self.colors)
        return pictures.png(pictures.outlined_picture([table], scene, self.image, SIDE))

    def _repr_html_(self) -> str:
        picture = self.png()
        shown = []
        if picture is not None:
            words = f"The image with the outlines of {len(self.scores):,} nuclei"
            shown.append(element("img", src=pictures.address(picture, "PNG"), alt=words))
        counts = Counter([] if self.classes is None else self.classes.tolist())
        names = self.class_names or ()
        rows = [["", "nuclei"], ["all", f"{len(self.scores):,}"]]
        rows += [[name, f"{counts[k]:,}"] for k, name in enumerate(names) if k]
        if counts[0]:
            rows.append(["without a class", f"{counts[0]:,}"])
        return element("div", shown, Html(html_table(rows)))
