"""What the images of a source belong to, and what is in them, for splits that do not leak."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from jaxnuc.data.sample import Source
from jaxnuc.data.sample_checks import class_pixels
from jaxnuc.io.csv_table import read_csv
from jaxnuc.io.files import Files
from jaxnuc.postprocess import regions
from jaxnuc.registry import check_known, expression, unknown

COLUMNS = ["image", "group"]
SIZES = 4  # classes of size are the quartiles of the nuclei's areas

# By source: the files of a data set are taken to stay as they are while a process runs.
_amounts: dict[tuple[str, ...], np.ndarray] = {}


def find_groups(
    groups: str | Mapping[str, str], root: str | Path, images: Mapping[str, str]
) -> dict[str, str]:
    """The group of each image.

    Args:
      groups: see `jaxnuc.data.splitting.SplitBy`.
      root: folder or zip of the data, that holds the file of groups.
      images: path of each image by its name; the file may write the name, or that of the file.

    Raises:
      FileNotFoundError: there is no such file of groups.
      ValueError: an image without a group or with two, a group of an image that is not there, a
        file without these columns, or no expression with one pair of parentheses.
    """
    if isinstance(groups, str):
        return _of_file(groups, root, images)
    for key in groups:
        check_known("argument of split_by.groups:", key, ("pattern",))
    text = groups.get("pattern", "")
    pattern = expression("split_by.groups.pattern", text)
    if pattern.groups != 1:
        raise ValueError(
            f"pattern {text!r} of the groups has {pattern.groups} pairs of parentheses; put one "
            "around what is the group, such as '(patient\\d+)_'"
        )
    found = {name: pattern.search(name) for name in images}
    for name, match in found.items():
        if match is None or not match[1]:
            raise ValueError(
                f"image {name!r} has no group by the pattern {text!r}; widen the pattern, or name "
                "a CSV file of groups"
            )
    return {name: match[1] for name, match in found.items() if match}


def _of_file(name: str, root: str | Path, images: Mapping[str, str]) -> dict[str, str]:
    files = Files(root)
    paths = [path for path in files.names if f"/{path}".endswith(f"/{name}")]
    if len(paths) != 1:
        raise FileNotFoundError(
            f"{files.path}: {len(paths) or 'no'} files {name} below it; one with the columns "
            f"{' and '.join(COLUMNS)} is expected"
        )
    where = files.where(paths[0])
    last = {name: PurePosixPath(path).name for name, path in images.items()}
    times = Counter(last.values())
    names = {last[name]: name for name in images if times[last[name]] == 1}
    names |= {name: name for name in images}
    found: dict[str, str] = {}
    for line, row in read_csv(files.read(paths[0]), where, COLUMNS):
        image, group = (row[column] for column in COLUMNS)
        if image not in names:
            raise unknown(f"{line}: image", image, names)
        if not group:
            raise ValueError(f"{line}: image {image!r} has no group; write one")
        if found.setdefault(names[image], group) != group:
            raise ValueError(
                f"{line}: image {image!r} has two groups, {found[names[image]]!r} and {group!r}; "
                "keep one"
            )
    for image in images:
        if image not in found:
            raise ValueError(f"{where}: image {image!r} has no group; add a line for it")
    return found


def count_nuclei(source: Source) -> np.ndarray:
    """What is in each image, for stratified splits; every image is read, once in a process.

    Returns:
      (N, 1 + K + 4) float64: 1, the number of nuclei of each of the K classes (those whose class
      is ignored, and those of none, are classes too), and of each quartile of their area in
      pixels, over the whole source.
    """
    key = (type(source).__module__, repr(source), *source.ids)
    if key not in _amounts:
        groups = 0 if source.label_set is None else len(source.label_set.groups)
        classes, areas = np.zeros((len(source), groups + 2)), []
        for index in tqdm(range(len(source)), desc=f"stratify {source.name}", disable=None):
            sample = source[index]
            areas.append(regions(sample.instances).areas)
            if sample.classes is not None:
                pixels = class_pixels(sample.instances, sample.classes, groups)[1:]
                classes[index] = np.bincount(pixels.argmax(axis=1), minlength=groups + 2)
        every = np.concatenate(areas)
        ends = np.quantile(every, np.arange(1, SIZES) / SIZES) if len(every) else np.zeros(3)
        sizes = [np.bincount(np.searchsorted(ends, each), minlength=SIZES) for each in areas]
        _amounts[key] = np.hstack([np.ones((len(source), 1)), classes, sizes])
    return _amounts[key]
