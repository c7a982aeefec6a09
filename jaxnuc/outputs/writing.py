"""The formats by name, and several of them at once."""

import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxnuc.outputs import coco, geojson, hovernet, label_image, overlay, tables
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.registry import unknown

Writer = Callable[[str | os.PathLike[str], Iterable[NucleiTable], Scene], int]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
      write: `write(path, tables, scene)` returns the number of nuclei written.
      suffix: of its files.
      most_pixels: that an image may have; None for any number.
      needs: a package of the extra `files`, None for none.
      shows_pixels: whether the image itself is in it, which the scene then has to give.
    """

    write: Writer
    suffix: str
    most_pixels: int | None = None
    needs: str | None = None
    shows_pixels: bool = False


FORMATS: dict[str, Format] = {
    "geojson": Format(geojson.write_geojson, ".geojson"),
    "coco": Format(coco.write_coco, ".coco.json", coco.MOST_PIXELS),
    "csv": Format(tables.write_csv, ".csv"),
    "parquet": Format(tables.write_parquet, ".parquet", needs="pyarrow"),
    "geoparquet": Format(tables.write_geoparquet, ".geo.parquet", needs="pyarrow"),
    "tiff": Format(label_image.write_tiff, ".labels.tif"),
    "ome-zarr": Format(label_image.write_ome_zarr, ".labels.ome.zarr", needs="zarr"),
    "hovernet-json": Format(hovernet.write_hovernet_json, ".hovernet.json"),
    "hovernet-mat": Format(hovernet.write_hovernet_mat, ".hovernet.mat", hovernet.MAT_PIXELS),
    "overlay": Format(overlay.write_overlay, ".overlay.png", shows_pixels=True),
}


def paths(folder: str | os.PathLike[str], stem: str, formats: Iterable[str]) -> dict[str, Path]:
    """Where `write` puts each format: `folder/stem` and the format's suffix.

    Raises:
      ValueError: an unknown format.
    """
    for name in (formats := list(formats)):
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    return {name: Path(folder, stem + FORMATS[name].suffix) for name in formats}


def check_installed(formats: Iterable[str]) -> None:
    """Says before the work what would be missing after it.

    Raises:
      ImportError: what a format needs is not installed.
    """
    for name in formats:
        needs = FORMATS[name].needs
        if needs and importlib.util.find_spec(needs) is None:
            raise ImportError(f"the format {name} needs {needs}: pip install jaxnuc[files]")


def write(
    folder: str | os.PathLike[str],
    stem: str,
    formats: Iterable[str],
    tables: Sequence[NucleiTable] | Callable[[], Iterable[NucleiTable]],
    scene: Scene,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Writes the nuclei of one image in several formats.

    A nucleus has the same number in all of them. Each file appears when it is complete.

    Args:
      folder: is made where it is missing.
      stem: of the names of the files.
      formats: names in `FORMATS`.
      tables: the nuclei, or a function that yields their tables anew for every format.
      scene: the image.
      overwrite: whether files that exist are replaced.

    Returns:
      The path of each format.

    Raises:
      FileExistsError: an output exists; nothing has been written then.
      ImportError: what a format needs is not installed.
      ValueError: an unknown format; the image is too large for one; one shows the image, and the
        scene has no pixels of it; the tables do not fit the scene.
    """
    found = paths(folder, stem, formats)
    check_installed(found)
    for name, path in found.items():
        scene.check_size(FORMATS[name].most_pixels, name, "another format")
        if FORMATS[name].shows_pixels:
            scene.checked_pixels()
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists; replace it with --overwrite, or move it away")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, path in found.items():
        FORMATS[name].write(path, tables() if callable(tables) else tables, scene)
    return found
