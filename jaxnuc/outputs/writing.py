"""Nuclei in several formats at once, which are found by name."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from jaxnuc.outputs.formats.base import Format
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.registry import Registry

REGISTRY = Registry("output format", "jaxnuc.outputs.formats", "Format")


def create(name: str) -> Format:
    """The format of a name: of this package, or the dotted name of a module with a `Format`.

    Raises:
      ValueError: there is no such format.
    """
    format_: Format = REGISTRY.build({"name": name})
    return format_


def suffixes() -> tuple[str, ...]:
    """How the files of the formats of this package end."""
    return tuple(create(name).suffix for name in REGISTRY.names())


def make_formats(names: Iterable[str]) -> dict[str, Format]:
    """The formats of these names, as `create` takes them, ready to be written together.

    Raises:
      ImportError: a package that a format needs is not installed.
      ValueError: there is no such format, or two of them would write the same file.
    """
    formats: dict[str, Format] = {}
    suffixes: dict[str, str] = {}
    for name in names:
        formats[name] = create(name)
        other = suffixes.setdefault(formats[name].suffix, name)
        if other != name:
            raise ValueError(
                f"the formats {other} and {name} both write files that end in "
                f"{formats[name].suffix}; leave one out"
            )
    for format_ in formats.values():
        format_.check_installed()
    return formats


def write(
    folder: str | os.PathLike[str],
    stem: str,
    formats: Iterable[str],
    tables: Sequence[NucleiTable] | Callable[[], Iterable[NucleiTable]],
    scene: Scene,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Writes the nuclei of one image in several formats; returns the path of each.

    A nucleus has the same number in all of them. Each file appears when it is complete.

    Args:
      folder: is made where it is missing.
      stem: of the names of the files; a format appends its suffix.
      formats: names as `create` takes them.
      tables: the nuclei, or a function that yields their tables again for every format.
      scene: the image.
      overwrite: whether files that exist are replaced.

    Raises:
      FileExistsError: an output exists; nothing has been written then.
      ImportError: a package that a format needs is not installed.
      ValueError: an unknown format; the image is too large for one; one shows the image, and the
        scene has no pixels of it; the tables do not fit the scene.
    """
    made = make_formats(formats)
    paths = {name: Path(folder, stem + format_.suffix) for name, format_ in made.items()}
    for format_, path in zip(made.values(), paths.values(), strict=True):
        format_.check(scene)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists; replace it with --overwrite, or move it away")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for format_, path in zip(made.values(), paths.values(), strict=True):
        format_.write(path, tables() if callable(tables) else tables, scene)
    return paths
