"""Finding the files of a data set in a folder, in a zip, or in the zips of a folder."""

import functools
import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import natural_key

# The end of a pattern for images; upper and lower case are one.
IMAGE = r"\.(?:png|tiff?|jpe?g|bmp)"

Key = tuple[str, ...]
Found = dict[str, dict[Key, File]]


class Pair(NamedTuple):
    """An image and the file of its annotations.

    Attributes:
      key: what their two paths have in common, in lower case: the groups of the layout's patterns.
      image: the one.
      label: the other.
    """

    key: Key
    image: File
    label: File


def find(
    root: str | Path, archives: str, expected: str, layouts: Sequence[Mapping[str, str]]
) -> Found:
    """Finds the files of a data set.

    Args:
      root: a folder at, above or below the top of the data, or a zip.
      archives: the names of the zips, such as `"consep*.zip"`; read where the folder itself holds
        no file of the data set.
      expected: what should be there and where it is published, for errors.
      layouts: ways in which the set is distributed: by kind of file a pattern for the end of its
        path, of which the groups tell the files of a kind apart. The path begins with the name of
        the root or the zip. Upper and lower case are one.

    Returns:
      The files of the first layout of which there is every kind: by kind and, in natural order,
      by the pattern's groups in lower case.

    Raises:
      FileNotFoundError: there is no root, or no layout is complete.
      ValueError: two files of one kind and groups, or the set lies in two folders.
    """
    path = Path(root)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder or zip file; {expected}")
    searched = [Files(path)]
    found = _first(layouts, searched)
    if isinstance(found, str) and path.is_dir():
        zips = (p for p in path.iterdir() if p.is_file() and fnmatch(p.name.lower(), archives))
        inside = [Files(each) for each in sorted(zips, key=lambda each: natural_key(each.name))]
        if inside:
            searched, found = inside, _first(layouts, inside)
    if isinstance(found, str):
        looked = ", ".join(str(files.path) for files in searched)
        raise FileNotFoundError(f"{looked}: no {found} in it; {expected}")
    return found


def _first(layouts: Sequence[Mapping[str, str]], searched: list[Files]) -> Found | str:
    """The files of the first complete layout, or the kind that most nearly completed one."""
    best, most = next(iter(layouts[0])), 0
    for layout in layouts:
        found = {kind: _matching(pattern, kind, searched) for kind, pattern in layout.items()}
        empty = [kind for kind, files in found.items() if not files]
        if not empty:
            return found
        if len(found) - len(empty) > most:
            best, most = empty[0], len(found) - len(empty)
    return best


def _matching(pattern: str, kind: str, searched: list[Files]) -> dict[Key, File]:
    # The top is as short as possible, so that a group of the pattern can take a folder's name.
    compiled = re.compile(f"(?P<top>(?:.*?/)??){pattern}", re.IGNORECASE)
    found: dict[Key, File] = {}
    for files in searched:
        own = files.path.resolve()
        own_name = own.name if own.is_dir() else own.stem
        tops: dict[str, str] = {}
        for name in files.names:
            match = compiled.fullmatch(f"{own_name}/{name}")
            if not match:
                continue
            tops.setdefault(match["top"], name)
            key = tuple((group or "").lower() for group in match.groups()[1:])
            if key in found:
                of = f" of {'/'.join(key)!r}" if key else ""
                raise ValueError(
                    f"{found[key].where} and {files.where(name)} are both the {kind}{of}; keep "
                    "one, or give the folder of one as root"
                )
            found[key] = File(files, name)
        if len(tops) > 1:
            raise ValueError(
                f"{files.path}: {' and '.join(list(tops.values())[:2])} lie in different folders; "
                "give the folder of one as root"
            )
    return dict(sorted(found.items(), key=lambda item: natural_key("/".join(item[0]))))


def pair(found: Found) -> dict[str, Pair]:
    """Each image that `find` found with its label file, by the groups that both have in common.

    The keys are the stems of the images, or `folder/stem` where stems occur twice; a ValueError
    names a file without partner.
    """
    images, labels = found["image"], found["label"]
    check_partners("label", images, labels)
    check_partners("image", labels, images)
    stems = {key: image.stem for key, image in images.items()}
    if len({stem.lower() for stem in stems.values()}) < len(stems):
        stems = {key: "/".join((*key[:-1], stem)) for key, stem in stems.items()}
    return {stems[key]: Pair(key, images[key], labels[key]) for key in images}


def add_file(found: dict[Any, File], key: str | Key, file: File) -> None:
    """Adds a file by its key; refuses a second one, with a ValueError that names both.

    Names are compared as Unicode's NFC: some programs write `ä` as one sign, some as two.
    """
    composed = functools.partial(unicodedata.normalize, "NFC")
    key = composed(key) if isinstance(key, str) else tuple(map(composed, key))
    if key in found:
        raise ValueError(
            f"{file.files.path}: {found[key].name} and {file.name} have the same stem; keep one"
        )
    found[key] = file


def check_partners(kind: str, files: Mapping[Key, File], others: Container[Key]) -> None:
    """Refuses files that have no partner of this kind, with a ValueError that names the first."""
    alone = [file for key, file in files.items() if key not in others]
    if alone:
        raise ValueError(
            f"{alone[0].where}: no {kind} with this stem ({len(alone)} such files); add it or "
            "remove the file"
        )
