"""Classes of one's own: the names in annotation files, and `classes.yaml`, which orders them.

  classes:
    tumor: {from: [Tumor, tumour], node: tumoral epithelial, color: [200, 0, 0]}
    lymphocyte: {node: lymphocyte}
  ignore: [unsure]

Every name in the files belongs to a class, or is listed under one of

    ignore   neither a nucleus nor background: not trained on, not scored
    drop     nothing: background
    region   an annotated region: outside of all of these, everything is ignored

`ignore` also holds QuPath's `Ignore*`, whatever follows, and `region` its `Region*`, where no
letter follows. Patterns with `*` are those of a shell; a name that is listed itself goes before.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import yaml

from jaxnuc.io.annotations.base import is_region
from jaxnuc.io.text_files import LARGEST
from jaxnuc.labels import NUCLEI, Label, LabelSet, LabelTree
from jaxnuc.registry import check_known, did_you_mean

FILE = "classes.yaml"
ROLES = ("ignore", "drop", "region")
_KEYS = ("classes", *ROLES, "absent")
_CLASS_KEYS = ("from", "node", "color")


@dataclass(frozen=True)
class OwnClasses:
    """What the names in annotation files stand for.

    Attributes:
      label_set: the classes; None: the objects have none.
      numbers: of the class of each name, from 1.
      roles: `"ignore"`, `"drop"` or `"region"`, of the names that are no class.
    """

    label_set: LabelSet | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)

    def role(self, name: str | None) -> str:
        """The role of an object with this name; `"nucleus"` for all others."""
        return "nucleus" if name is None else self.roles.get(name, "nucleus")


def own_classes(counts: Counter[str], text: bytes | None = None, where: str = FILE) -> OwnClasses:
    """The classes of a set of annotation files.

    Args:
      counts: of objects by their names in the files.
      text: content of `classes.yaml`; None: every name is a class, in alphabetical order.
      where: address of that file, for errors.

    Raises:
      ValueError: the file is damaged or has an unknown key; a name is in no file, or one of a file
        is not in it; a name is listed twice; or a node is none of the library's label tree, or only
        some classes have one.

    Example:
      >>> found = own_classes(Counter({"b": 3, "a": 5, "Region 1": 1}))
      >>> found.label_set.groups, found.role("Region 1")
      (('a', 'b'), 'region')
    """
    given = {} if text is None else _parsed(text, where)
    roles: dict[str, str] = {}
    taken: dict[str, str] = {}
    classes: dict[str, Mapping[str, Any]] = given.get("classes", {})
    for title, about in classes.items():
        for name in about.get("from", [title]):
            _take(taken, name, f"class {title!r}", where)
    for role in ROLES:
        for pattern in given.get(role, []):
            _take(taken, pattern, role, where)
    for name in counts:
        found = taken.get(name) or _role_of_pattern(name, given)
        if found in ROLES:
            roles[name] = found
    left = sorted(counts.keys() - roles.keys())
    if text is None:
        classes = {name: {} for name in left}
    else:
        _check_names(counts, taken, left, given.get("absent", []), where)
    if not classes:
        return OwnClasses(None, {}, roles)
    numbers = {
        name: number
        for number, (title, about) in enumerate(classes.items(), 1)
        for name in about.get("from", [title])
    }
    return OwnClasses(_label_set(classes, where), numbers, roles)


def _role_of_pattern(name: str, given: Mapping[str, Any]) -> str | None:
    """The role of a name that is not listed itself: by a pattern, or by what QuPath calls it."""
    for role in ROLES:
        if any(fnmatchcase(name, pattern) for pattern in given.get(role, [])):
            return role
    if name.casefold().startswith("ignore"):
        return "ignore"
    return "region" if is_region(name) else None


def _label_set(classes: Mapping[str, Mapping[str, Any]], where: str) -> LabelSet:
    without = [title for title, about in classes.items() if "node" not in about]
    tree = LabelTree.of({title: {} for title in classes}) if without else NUCLEI
    if 0 < len(without) < len(classes):
        raise ValueError(
            f"{where}: class {without[0]!r} has no `node` of the label tree, others have one; give "
            "it to all classes or to none"
        )
    labels = []
    for number, (title, about) in enumerate(classes.items(), 1):
        nodes = about.get("node", title)
        color = about.get("color")
        nodes = tuple(map(str, nodes if isinstance(nodes, list) else [nodes]))
        labels.append(Label(number, title, nodes, color and tuple(color)))
    try:
        return LabelSet(tree, tuple(labels))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _parsed(text: bytes, where: str) -> dict[str, Any]:
    """The content of `classes.yaml`, every part of the type that it should be."""
    if len(text) > LARGEST >> 8:
        raise ValueError(f"{where}: {len(text)} bytes, more than the {LARGEST >> 8} that are read")
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        at = " ".join(str(error).split())
        raise ValueError(f"{where}: not readable as YAML ({at:.200})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{where}: holds {found!r:.40}; expected the keys {', '.join(_KEYS)}")
    for key, value in found.items():
        check_known(f"key in {where}:", key, _KEYS)
        if key != "classes":
            found[key] = _names(value, f"{where}: {key!r}")
    classes = found.get("classes", {})
    if isinstance(classes, list):
        classes = dict.fromkeys(_names(classes, f"{where}: 'classes'"))
    if not isinstance(classes, dict):
        raise ValueError(f"{where}: 'classes' is {classes!r:.40}; expected a class on each line")
    found["classes"] = {}
    for title, about in classes.items():
        at = f"{where}: class {title!r}"
        about = about or {}
        if not _is_name(title) or not isinstance(about, dict):
            raise ValueError(f"{at} is {about!r:.40}; expected NAME: {{from: [...]}}")
        for key in about:
            check_known(f"key of {at}:", key, _CLASS_KEYS)
        if "from" in about:
            about["from"] = _names(about["from"], f"{at}: 'from'")
        color = about.get("color", [0, 0, 0])
        if not (
            isinstance(color, list)
            and len(color) == 3
            and all(type(each) is int and 0 <= each <= 255 for each in color)
        ):
            raise ValueError(f"{at}: 'color' is {color!r:.40}; expected [red, green, blue] to 255")
        if str(title) in found["classes"]:
            raise ValueError(f"{at} is there twice, as a number and as text; keep one")
        found["classes"][str(title)] = about
    return found


def _names(value: Any, at: str) -> list[str]:
    """A list of names; numbers, which YAML makes of the classes of HoVer-Net, become text."""
    if not isinstance(value, list) or not all(map(_is_name, value)):
        raise ValueError(
            f"{at} is {value!r:.60}; expected a list of names, such as [unsure], in quotes where "
            'YAML reads them as something else, such as "no" and "null"'
        )
    return [str(each) for each in value]


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _take(taken: dict[str, str], name: str, by: str, where: str) -> None:
    if name in taken:
        raise ValueError(f"{where}: {name!r} is listed under {taken[name]} and {by}; keep one")
    taken[name] = by


def _check_names(
    counts: Counter[str],
    taken: Mapping[str, str],
    left: Iterable[str],
    absent: list[str],
    where: str,
) -> None:
    """Refuses names that are in no file, and names of files that are not listed."""
    found = ", ".join(f"{name} ({n})" for name, n in sorted(counts.items())) or "no name"
    for name, by in taken.items():
        here = name in counts or any(fnmatchcase(each, name) for each in counts)
        if not here and name not in absent:
            takes = "lists" if by in ROLES else "takes its nuclei from"
            raise ValueError(
                f"{where}: {by} {takes} {name!r}, which is in no file; found are {found}"
                f"{did_you_mean(name, counts)}; correct it, or list it under `absent` where only "
                "other images have it"
            )
    for name in left:
        if name not in taken:
            raise ValueError(
                f"{where}: lacks {name!r}, which the annotations have; found are {found}"
                f"{did_you_mean(name, taken)}; add it to a class, to ignore or to drop: "
                "see docs/annotations.md"
            )
