"""An image with the outlines of its nuclei, as PNG."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from jaxnuc.io import thumbnail
from jaxnuc.outputs.drawing import brighten, enlarge, enlargement, save_png, with_legend
from jaxnuc.outputs.formats import base
from jaxnuc.outputs.outlined import outlined
from jaxnuc.outputs.palette import Color
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable

LARGEST = 4096  # pixels, the longer side of a picture


class Format(base.Format):
    """A picture of the image with the outlines of all nuclei, and a legend with counts.

    Outlines are inside of the nuclei, in the colors of their classes; where they cross, the later
    nucleus lies on top. The pixels next to an outline are half black, or half white if its color
    is dark, so that it is seen on any image. Dark images are brightened.

    Images that are shorter than 768 pixels are enlarged by a whole factor, those longer than 4096
    reduced to that: a nucleus is then a few dots. What cannot be read is white. Memory holds the
    picture and one table.
    """

    suffix = ".overlay.png"
    shows_pixels = True

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        image = scene.checked_pixels()
        picture = enlarge(brighten(thumbnail(image, LARGEST)[0]), enlargement(scene.shape))
        counts = outlined(tables, scene, picture)
        save_png(path, with_legend(picture, _legend(scene, counts)))
        return counts.total()


def _legend(scene: Scene, counts: Counter[int]) -> list[tuple[Color | None, str]]:
    classes = range(1, len(scene.class_names or ("",)))
    items = [(scene.color(k), f"{scene.class_name(k)} {counts[k]}") for k in classes]
    if scene.class_names is None or counts[0]:
        items.append((scene.color(0), f"{'unclassified' if items else 'nuclei'} {counts[0]}"))
    return [(None, scene.image), *items]
