"""Label trees: the label set of every data set, as groups of the leaves of one class hierarchy.

A network predicts the leaves of a tree; a data set annotates sets of leaves. In class arrays 0 is
background, classes count from 1, and -1 is ignored.

  >>> tree = LabelTree.of({"immune": {"lymphocyte": {}, "other immune": {}}, "dead": {}})
  >>> fine = tree.level()
  >>> coarse = LabelSet.of(tree, {"inflammatory": ["immune"]})
  >>> coarse.from_leaves([0, 1, 2, 3])
  array([0, 1, 1, 0], dtype=int32)
  >>> coarse.to(fine)
  Traceback (most recent call last):
  ValueError: classes would be split: 'inflammatory' into 'lymphocyte', 'other immune'

The label sets of the public data sets are in `jaxnuc.labels`.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxnuc.registry import unknown

_NO_CLASS = -2


@dataclass(frozen=True)
class LabelTree:
    """A class hierarchy of any depth, given by the path to each of its leaves.

    Attributes:
      paths: for each leaf the names of the nodes from the outermost down to the leaf itself.
        Leaves are numbered from 1 in this order; 0, background, is no part of the tree.

    Raises:
      ValueError: there is no leaf, or one name stands for two nodes.
    """

    paths: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if not self.paths or not all(self.paths):
            raise ValueError("a label tree needs at least one leaf, and each leaf a name")
        places: dict[str, tuple[str, ...]] = {}
        for path in self.paths:
            for depth, name in enumerate(path, 1):
                if places.setdefault(name, path[:depth]) != path[:depth]:
                    raise ValueError(f"the label tree has two nodes of the name {name!r}")
        for name in self.leaves:
            if len(self.numbers(name)) > 1:
                raise ValueError(f"{name!r} occurs twice in the label tree, once as a leaf")

    @classmethod
    def of(cls, branches: Mapping[str, Any]) -> "LabelTree":
        """The tree of nested mappings; an empty one makes its name a leaf.

        Example:
          >>> LabelTree.of({"immune": {"lymphocyte": {}, "other": {}}, "dead": {}}).leaves
          ('lymphocyte', 'other', 'dead')
        """
        return cls(tuple(_paths(branches)))

    @property
    def leaves(self) -> tuple[str, ...]:
        """The names of leaf 1, 2, ..."""
        return tuple(path[-1] for path in self.paths)

    def numbers(self, *nodes: str) -> tuple[int, ...]:
        """The numbers of all leaves at or below any of the named nodes, ascending.

        Raises:
          ValueError: there is no such node.
        """
        known = {name for path in self.paths for name in path}
        for node in nodes:
            if node not in known:
                raise unknown("node of the label tree", node, known)
        return tuple(k for k, path in enumerate(self.paths, 1) if not set(nodes).isdisjoint(path))

    def level(self, depth: int | None = None) -> "LabelSet":
        """The label set at one depth: 1 the outermost nodes, None the leaves.

        A leaf at a smaller depth stays as it is.

        Raises:
          ValueError: the depth is below 1.
        """
        if depth is not None and depth < 1:
            raise ValueError(f"depth {depth} of a label tree; the outermost nodes have depth 1")
        return LabelSet.of(self, {name: [name] for name in (p[:depth][-1] for p in self.paths)})


def _paths(branches: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, inner in branches.items():
        yield from ((name, *path) for path in _paths(inner)) if inner else [(name,)]


class Label(NamedTuple):
    """One class of a data set: its number and name there, and the nodes of the tree that it covers.

    A class without nodes is ignored. Where it has a color, (red, green, blue) in 0..255, the files
    of predicted nuclei show it.
    """

    native: int
    name: str
    nodes: tuple[str, ...]
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class LabelSet:
    """A data set's label set: which leaves of a tree each of its classes stands for.

    Classes may lie at different depths in different branches and need not cover every leaf.
    Classes of the same leaves form one group. Groups are numbered from 1 in the order of their
    first class; group 0 is background. Nuclei may be labeled at several levels of one branch, some
    as epithelial and some as tumoral epithelial: one group then holds another.

    Attributes:
      tree: the hierarchy whose leaves are grouped.
      labels: the classes.

    Raises:
      ValueError: two classes have one number or a number is below 1, a node is unknown, all
        classes are ignored, or two groups share leaves and neither holds the other.

    Example:
      >>> tree = LabelTree.of({"epithelial": {"normal": {}, "tumor": {}}, "immune": {}})
      >>> levels = LabelSet.of(tree, {x: [x] for x in ("epithelial", "tumor", "immune")})
      >>> levels.finest.groups
      ('tumor', 'immune')
      >>> levels.to(levels.finest)  # an epithelial nucleus may be of either kind: ignored
      array([ 0, -1,  1,  2, -1], dtype=int32)
    """

    tree: LabelTree
    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        natives = [label.native for label in self.labels]
        if len(set(natives)) < len(natives) or min(natives, default=1) < 1:
            raise ValueError(f"class numbers {natives}: each may occur once, from 1 on")
        if not self._names:
            raise ValueError("no class of this label set stands for a leaf of the tree")
        named = zip(self.groups, map(set, self.leaves), strict=True)
        for (name, leaves), (other, others) in itertools.combinations(named, 2):
            shared = leaves & others
            if shared and shared not in (leaves, others):
                raise ValueError(
                    f"{name!r} and {other!r} share {self.tree.leaves[min(shared) - 1]!r}, and "
                    "neither holds the other; split that leaf in the tree, or merge the classes"
                )

    @classmethod
    def of(cls, tree: LabelTree, nodes: Mapping[str, list[str]]) -> "LabelSet":
        """The label set of named classes, numbered from 1 in this order, and the nodes of each."""
        return cls(tree, tuple(Label(k, n, tuple(nodes[n])) for k, n in enumerate(nodes, 1)))

    @cached_property
    def _names(self) -> dict[tuple[int, ...], list[str]]:
        """The leaves of each group and the names of its classes."""
        names: dict[tuple[int, ...], list[str]] = {}
        for label in self.labels:
            if label.nodes:
                names.setdefault(self.tree.numbers(*label.nodes), []).append(label.name)
        return names

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of group 1, 2, ...; those of merged classes are joined by a slash."""
        return tuple("/".join(dict.fromkeys(names)) for names in self._names.values())

    @property
    def colors(self) -> tuple[tuple[int, int, int] | None, ...]:
        """The color of group 1, 2, ..., that of its first class which has one."""
        found: dict[tuple[int, ...], tuple[int, int, int]] = {}
        for label in self.labels:
            if label.color is not None:
                found.setdefault(self.tree.numbers(*label.nodes), label.color)
        return tuple(found.get(leaves) for leaves in self.leaves)

    @property
    def leaves(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of the leaves of group 1, 2, ..."""
        return tuple(self._names)

    @cached_property
    def finest(self) -> "LabelSet":
        """Without the groups that hold another: the label set at which nuclei are scored."""
        coarse = {leaves for leaves in self.leaves if self._holds_another(leaves)}
        kept = (x for x in self.labels if not x.nodes or self.tree.numbers(*x.nodes) not in coarse)
        return LabelSet(self.tree, tuple(kept)) if coarse else self

    def _holds_another(self, leaves: tuple[int, ...]) -> bool:
        return any(set(other) < set(leaves) for other in self.leaves)

    @cached_property
    def matrix(self) -> np.ndarray:
        """(groups + 1, leaves + 1) uint8, 1 where a group holds a leaf; [0, 0] is background."""
        matrix = np.zeros((len(self.leaves) + 1, len(self.tree.leaves) + 1), np.uint8)
        matrix[0, 0] = 1
        for group, leaves in enumerate(self.leaves, 1):
            matrix[group, leaves] = 1
        matrix.flags.writeable = False
        return matrix

    def from_native(self, classes: ArrayLike) -> np.ndarray:
        """Reads the data set's own class numbers, of any shape, as int32 groups.

        0 is background and -1 ignored; classes that are ignored become -1.

        Raises:
          ValueError: the data set has no class of some number, or the array holds no integers.
        """
        lookup = np.full(max(label.native for label in self.labels) + 1, _NO_CLASS, np.int32)
        lookup[0] = 0
        for label in self.labels:
            nodes = self.tree.numbers(*label.nodes)
            lookup[label.native] = self.leaves.index(nodes) + 1 if nodes else -1
        return _looked_up(lookup, classes, "class of the data set")

    def from_leaves(self, classes: ArrayLike, outside: int = 0) -> np.ndarray:
        """Reads leaf numbers, of any shape, as int32 groups; 0 is background, -1 ignored.

        A leaf of no group becomes `outside`: 0, none of these classes, or -1, ignored. Of several
        groups that hold a leaf it gets the smallest.

        Raises:
          ValueError: the tree has no leaf of some number, or the array holds no integers.
        """
        sizes = np.where(
            self.matrix,
            self.matrix.sum(axis=1, keepdims=True, dtype=int),
            len(self.tree.leaves) + 1,
        )
        lookup = np.where(self.matrix.any(axis=0), sizes.argmin(axis=0), outside)
        return _looked_up(lookup, classes, "leaf of the tree")

    def from_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Sums probabilities of leaves, (..., leaves + 1), to those of groups, (..., groups + 1).

        Both have the background first; groups sum to less than 1 where leaves belong to none, and
        may sum to more where one holds another.

        Raises:
          ValueError: the last axis does not hold the background and the tree's leaves.
        """
        probabilities = np.asarray(probabilities)
        if probabilities.shape[-1:] != self.matrix.shape[1:]:
            raise ValueError(
                f"probabilities of shape {probabilities.shape} do not end in background and the "
                f"{len(self.tree.leaves)} leaves of the tree"
            )
        return probabilities @ self.matrix.T.astype(probabilities.dtype)

    def to(self, coarser: "LabelSet", outside: int = 0) -> np.ndarray:
        """Lookup table from these groups to those of a coarser label set: `a.to(b)[groups]`.

        Args:
          coarser: a label set of the same tree in which each of these groups is inside a group, of
            which it gets the smallest, or outside of all. One that would be split is ignored, -1,
            if it holds another of these groups: its nuclei are labeled at a coarser level.
          outside: value of a group outside of all, 0 or -1.

        Returns:
          (groups + 2,) int32, the coarser group of 0, 1, ..., and at index -1 a -1.

        Raises:
          ValueError: the trees differ, or other groups would be split; the message names them.
        """
        if self.tree != coarser.tree:
            raise ValueError(
                "label sets of two different label trees cannot be read as one another"
            )
        lookup, split = [0], []
        for name, leaves in zip(self.groups, self.leaves, strict=True):
            around = [k for k, own in enumerate(coarser.leaves, 1) if set(own) >= set(leaves)]
            found = dict.fromkeys(coarser.from_leaves(leaves).tolist())
            if around:
                lookup.append(min(around, key=lambda k: len(coarser.leaves[k - 1])))
            elif not any(found):
                lookup.append(outside)
            else:
                lookup.append(-1)
                if not self._holds_another(leaves):
                    parts = [repr(coarser.groups[k - 1]) if k else "no class" for k in found]
                    split.append(f"{name!r} into {', '.join(parts)}")
        if split:
            raise ValueError(f"classes would be split: {'; '.join(split)}")
        return np.array([*lookup, -1], np.int32)

    def to_json(self) -> dict[str, Any]:
        """The label set and its tree as lists, strings and integers, for `LabelSet.from_json`."""
        labels = [
            [each.native, each.name, list(each.nodes), *([list(each.color)] if each.color else [])]
            for each in self.labels
        ]
        return {"tree": [list(path) for path in self.tree.paths], "labels": labels}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LabelSet":
        """The label set of a `to_json`."""
        labels = (
            Label(native, name, tuple(nodes), *map(tuple, color))
            for native, name, nodes, *color in data["labels"]
        )
        return cls(LabelTree(tuple(map(tuple, data["tree"]))), tuple(labels))


def _looked_up(lookup: np.ndarray, classes: ArrayLike, kind: str) -> np.ndarray:
    """`lookup[classes]` for known classes; -1 stays -1."""
    classes = np.asarray(classes)
    if not classes.size:
        return np.zeros(classes.shape, np.int32)
    if not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"classes must be integers, got {classes.dtype}")
    lookup = np.append(lookup, -1).astype(np.int32)  # index -1, ignored, stays -1
    # Valid arrays take one look-up; the unknown class is searched for the error message only.
    if classes.min() < -1 or classes.max() > len(lookup) - 2:
        strange = (classes < -1) | (classes > len(lookup) - 2)
    else:
        mapped = lookup[classes.astype(np.int64, copy=False)]
        strange = mapped == _NO_CLASS
        if not strange.any():
            return mapped
    known = np.flatnonzero(lookup[:-1] != _NO_CLASS).tolist()
    raise ValueError(f"{classes[strange][0]} is no {kind}; known: {known}, and -1 for ignored")
