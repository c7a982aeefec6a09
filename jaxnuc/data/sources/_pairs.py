"""Sources whose images each have one label file: finding the two, splitting, reading."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from jaxnuc import registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._label_images import check_size
from jaxnuc.data.sources._splitting import SPLITS, random_split
from jaxnuc.io.archive import Files
from jaxnuc.io.image_files import natural_key
from jaxnuc.labels import LabelSet

Key = tuple[str, ...]


class File(NamedTuple):
    """A file of a folder or of a zip."""

    files: Files
    name: str

    @property
    def where(self) -> str:
        return self.files.where(self.name)

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()

    def read(self) -> bytes:
        return self.files.read(self.name)


Pair = tuple[File, File]
Found = dict[str, dict[Key, File]]


def find(
    root: str | Path, archives: str, expected: str, layouts: Sequence[Mapping[str, str]]
) -> Found:
    """Finds the files of a data set in a folder, a zip, or the zips of a folder.

    Args:
      root: a folder at, above or holding the data, or a zip.
      archives: the names of the zips, such as `"consep*.zip"`; read where the folder itself holds
        no file of the data set.
      expected: what should be there and where it is published, for errors.
      layouts: ways in which the set is distributed: by kind of file a pattern for the end of its
        path, of which the groups tell the files of a kind apart. Upper and lower case are one.

    Returns:
      The files of the first layout of which there is every kind: by kind and, in natural order,
      by the pattern's groups in lower case.

    Raises:
      FileNotFoundError: there is no root, or no layout is there.
      ValueError: two files of one kind and groups, or the set lies in two folders.
    """
    path = Path(root)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder or zip file; {expected}")
    searched = [Files(path)]
    missing = _first(layouts, searched)
    if isinstance(missing, str) and path.is_dir():
        zips = [
            each
            for each in sorted(path.iterdir(), key=lambda each: natural_key(each.name))
            if each.is_file() and fnmatch(each.name.lower(), archives)
        ]
        if zips:
            searched = [Files(each) for each in zips]
            missing = _first(layouts, searched)
    if isinstance(missing, str):
        looked = ", ".join(str(files.path) for files in searched)
        raise FileNotFoundError(f"{looked}: no {missing} in it; {expected}")
    return missing


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
    compiled = re.compile(f"(?P<top>(?:.*?/)??){pattern}", re.IGNORECASE)
    found: dict[Key, File] = {}
    for files in searched:
        tops: dict[str, str] = {}
        for name in files.names:
            match = compiled.fullmatch(name)
            if not match:
                continue
            tops.setdefault(match["top"], name)
            key = tuple(group.lower() for group in match.groups()[1:])
            if key in found:
                raise ValueError(
                    f"{found[key].where} and {files.where(name)} are both the {kind} of "
                    f"{'/'.join(key)!r}; keep one, or give the folder of one as root"
                )
            found[key] = File(files, name)
        if len(tops) > 1:
            raise ValueError(
                f"{files.path}: {' and '.join(list(tops.values())[:2])} lie in different folders; "
                "give the folder of one as root"
            )
    return dict(sorted(found.items(), key=lambda item: natural_key("/".join(item[0]))))


def pair(found: Found, image: str = "image", label: str = "label") -> dict[Key, Pair]:
    """Each image with its label file, by the groups that both have in common.

    Raises:
      ValueError: an image without label file, or the other way round; the message names the
        first and says how many there are.
    """
    images, labels = found[image], found[label]
    for kind, have, other in ((label, images, labels), (image, labels, images)):
        alone = [file for key, file in have.items() if key not in other]
        if alone:
            raise ValueError(
                f"{alone[0].where}: no {kind} with this stem ({len(alone)} such files); add it or "
                "remove the file"
            )
    return {key: (images[key], labels[key]) for key in images}


def named(pairs: Mapping[Key, Pair]) -> dict[str, Pair]:
    """The pairs by the stems of their images, or by `folder/stem` where stems occur twice."""
    stems = {key: PurePosixPath(image.name).stem for key, (image, _) in pairs.items()}
    if len({stem.lower() for stem in stems.values()}) < len(stems):
        stems = {key: "/".join((*key[:-1], stem)) for key, stem in stems.items()}
    return {stems[key]: files for key, files in pairs.items()}


def published_split(
    pairs: Mapping[Key, Pair], split: str, seed: int, val_fraction: float
) -> dict[str, Pair]:
    """The pairs of one split, where train and test are published and val is not.

    Args:
      pairs: by key, of which the first part is `"train"` or `"test"`.
      split: `"train"`, `"val"`, `"test"`, or `"all"`.
      seed: of the permutation by which val is cut from the training images.
      val_fraction: share of the training images that is val, in [0, 1).

    Returns:
      The split's pairs by name, see `named`.

    Raises:
      ValueError: unknown split, a share outside [0, 1), or the split is empty.
    """
    if split not in (*SPLITS, "all"):
        raise registry.unknown("split", split, (*SPLITS, "all"))
    if not 0 <= val_fraction < 1:
        raise ValueError(f"val_fraction={val_fraction}: a share in [0, 1) is expected")
    names = dict(zip(named(pairs), pairs, strict=True))
    chosen = [
        n for n, key in names.items() if split == "all" or (key[0] == "test") == (split == "test")
    ]
    if split in ("train", "val"):
        chosen = random_split(chosen, split, seed, (1 - val_fraction, val_fraction, 0))
    if not chosen:
        raise ValueError(
            f"split {split!r} is empty: these data have none of its images; complete them, or take "
            "another split"
        )
    return {name: pairs[names[name]] for name in chosen}


def patient_split(
    patients: Mapping[str, str], split: str, seed: int, fractions: Sequence[float]
) -> list[str]:
    """The names of one split by `random_split` of the patients; `patients` gives each name's."""
    chosen = set(random_split(list(dict.fromkeys(patients.values())), split, seed, fractions))
    return [name for name, patient in patients.items() if patient in chosen]


class PairedSource:
    """Base of the sources whose images each have one label file.

    A subclass reads a label file in `_labels`, and may add to `_meta`.

    Attributes:
      name: of the data set.
      label_set: of its classes; None where it has none.
      ids: names of the split's images; `source[i]` is `ids[i]`.
    """

    name: str
    label_set: LabelSet | None = None

    def __init__(self, pairs: Mapping[str, Pair]):
        self.ids = list(pairs)
        self._pairs = dict(pairs)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        image_file, label_file = self._pairs[name]
        image = image_file.files.rgb(image_file.name)
        instances, natives = self._labels(label_file)
        check_size("labels", instances, image.shape[:2], label_file.where, image_file.name)
        classes = None
        if self.label_set is not None and natives is not None:
            try:
                classes = self.label_set.from_native(natives)
            except ValueError as error:
                raise ValueError(f"{label_file.where}: {error}") from error
        meta = {"name": name, "source": self.name} | self._meta(name)
        return Sample(image, instances, classes, meta)

    def _labels(self, file: File) -> tuple[np.ndarray, np.ndarray | None]:
        """(H, W) int32 instances and, where the set has classes, (H, W) int32 native numbers."""
        raise NotImplementedError

    def _meta(self, name: str) -> dict[str, Any]:
        raise NotImplementedError
