"""Label images whose nuclei have classes: in a file beside them, or in HoVer-Net's MAT itself."""

import re

import numpy as np

from jaxnuc.data.annotations import check_size, instance_map
from jaxnuc.io.annotations import ImageAnnotations, Object
from jaxnuc.io.csv_table import read_csv
from jaxnuc.io.files import File
from jaxnuc.io.label_images import as_labels, decode_labels, nuclei_of
from jaxnuc.io.mat import mat_variables, read_mat
from jaxnuc.io.polygons import Patch
from jaxnuc.postprocess import class_votes, regions

COLUMNS = ("id", "class")


def typed_labels(file: File, types: File | None, label_from: str = "ids") -> ImageAnnotations:
    """The nuclei of a label image with the names of their classes, objects in ascending order.

    Args:
      file: the label image.
      types: a CSV file with the columns `id` and `class`, or a class image (H, W) of numbers, of
        which a nucleus has that of most of its pixels; None: the label image is a MAT file, whose
        `type_map`, where it has one, is such a class image. Class 0 is none.
      label_from: see `jaxnuc.io.label_images.nuclei_of`.

    Raises:
      ValueError: a file is damaged or of another size, a row is of no nucleus, or a nucleus has
        two classes.
    """
    array = decode_labels(file.read(), file.where)
    labels = instance_map(nuclei_of(array, file.where, label_from), file.where)
    found = regions(labels)
    ids = found.ids.tolist()
    if types is not None and types.suffix == ".csv":
        names = _of_table(types, {*ids})
    else:
        image = _of_mat(file) if types is None else decode_labels(types.read(), types.where)
        where = file.where if types is None else types.where
        names = {} if image is None else _of_image(image, labels, ids, where)
    objects = []
    for number, (top, left, bottom, right) in zip(ids, found.boxes.tolist(), strict=True):
        mask = labels[top:bottom, left:right] == number
        objects.append(Object(Patch(top, left, mask), names.get(number)))
    height, width = labels.shape
    return ImageAnnotations(tuple(objects), size=(height, width))


def _of_image(array: np.ndarray, labels: np.ndarray, ids: list[int], where: str) -> dict[int, str]:
    classes = instance_map(as_labels(array, where), where)
    check_size("a class image", classes, labels.shape, where)
    votes = class_votes(labels, classes)[0].tolist()
    return {number: str(vote) for number, vote in zip(ids, votes, strict=True) if vote}


def _of_mat(file: File) -> np.ndarray | None:
    data = file.read()
    names = [*mat_variables(data, file.where)]
    if "type_map" in names:
        return read_mat(data, file.where, ["type_map"])["type_map"]
    if others := [name for name in names if "class" in name or "type" in name]:
        raise ValueError(
            f"{file.where}: classes in {others[0]!r}, and of MAT files type_map is read; write "
            "them as NAME_types.csv or NAME_types.png beside the label image"
        )
    return None


def _of_table(file: File, ids: set[int]) -> dict[int, str]:
    names: dict[int, str] = {}
    for line, row in read_csv(file.read(), file.where, COLUMNS):
        # Where a cell of a column is empty, pandas writes its whole numbers as 1.0.
        text, name = (re.sub(r"^(\d+)\.0$", r"\1", row[c].strip()) for c in COLUMNS)
        number = int(text) if text.isdecimal() else 0
        if number not in ids:
            raise ValueError(
                f"{line}: a class {name!r} of nucleus {text!r}, which is not in the label "
                "image; correct the id, or remove the row"
            )
        if names.setdefault(number, name) != name:
            raise ValueError(
                f"{line}: nucleus {number} has the classes {names[number]!r} and {name!r}; keep one"
            )
    return {number: name for number, name in names.items() if name not in ("", "0")}
