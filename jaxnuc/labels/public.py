"""The label sets of the public data sets, as groups of the leaves of one tree.

  >>> monusac = label_set("monusac")
  >>> monusac.groups
  ('Epithelial', 'Lymphocyte', 'Macrophage', 'Neutrophil')
  >>> monusac.from_leaves(NUCLEI.numbers("tumoral epithelial", "neutrophil"))
  array([1, 4], dtype=int32)
  >>> to_superclass = label_set("pannuke").to(label_set("superclasses"))
  >>> to_superclass[[1, 2, 3, 4, 5]]
  array([1, 2, 3, 4, 1], dtype=int32)

References:
  Parulekar et al., Combining Datasets with Different Label Sets for Improved Nucleus Segmentation
  and Classification, 2023: the tree, and the label sets of PanNuke, MoNuSAC and CoNSeP.
"""

from collections.abc import Callable
from typing import Any

from jaxnuc.labels.tree import Label, LabelSet, LabelTree
from jaxnuc.registry import unknown

NUCLEI = LabelTree.of(
    {
        "epithelial": {"normal epithelial": {}, "tumoral epithelial": {}},
        "immune": {"lymphocyte": {}, "macrophage": {}, "neutrophil": {}, "other immune": {}},
        "stromal": {"muscle": {}, "fibroblast": {}, "endothelial": {}, "other connective": {}},
        "other": {"necrotic": {}},
    }
)
"""The label tree of the library, in whose leaves all public sets of classes are written."""


def label_set(name: str, **arguments: Any) -> LabelSet:
    """The label set of a data set, by name.

    Args:
      name: `"pannuke"`, `"monusac"`, `"consep"`, `"lizard"` (also CoNIC's), `"nucls"`, or of the
        tree alone `"superclasses"` and `"leaves"`.
      **arguments: of the function of that name; all take `tree`, any tree that has the nodes they
        name, for instance `NUCLEI` with some leaves split further.

    Raises:
      ValueError: there is no such label set.
    """
    if name not in _SETS:
        raise unknown("label set", name, _SETS)
    return _SETS[name](**arguments)


def pannuke(tree: LabelTree = NUCLEI) -> LabelSet:
    """PanNuke: class k is channel k - 1 of its `masks.npy`."""
    return LabelSet.of(
        tree,
        {
            "neoplastic": ["tumoral epithelial"],
            "inflammatory": ["immune"],
            "connective": ["stromal"],
            "dead": ["necrotic"],
            "non-neoplastic epithelial": ["normal epithelial"],
        },
    )


def monusac(tree: LabelTree = NUCLEI) -> LabelSet:
    """MoNuSAC: no stromal, dead or other immune nuclei; `Ambiguous`, test only, is ignored."""
    return LabelSet.of(
        tree,
        {
            "Epithelial": ["epithelial"],
            "Lymphocyte": ["lymphocyte"],
            "Macrophage": ["macrophage"],
            "Neutrophil": ["neutrophil"],
            "Ambiguous": [],
        },
    )


def consep(other: str = "necrotic", merge: bool = False, tree: LabelTree = NUCLEI) -> LabelSet:
    """CoNSeP: 7 classes, or the 4 that are usually reported.

    Args:
      other: meaning of its class 1, `other`, which the data set does not define: `"necrotic"`;
        `"unspecific"`, necrotic, other immune and other connective, of which other immune is then
        no part of `inflammatory`; or `"ignore"`.
      merge: whether both epithelial classes are one, and fibroblasts, muscle and endothelium too.
        Class maps hold the numbers 1 to 7 all the same.
      tree: whose leaves the classes are.

    Raises:
      ValueError: `other` is unknown.

    Example:
      >>> consep(merge=True).groups
      ('other', 'inflammatory', 'epithelial', 'spindle')
      >>> consep(merge=True).from_native([1, 2, 3, 4, 5, 6, 7])
      array([1, 2, 3, 3, 4, 4, 4], dtype=int32)

    References:
      The merged classes: Graham et al., HoVer-Net, 2019, section 4.
    """
    others = {
        "necrotic": ["necrotic"],
        "unspecific": ["other immune", "other connective", "necrotic"],
        "ignore": [],
    }
    if other not in others:
        raise unknown("meaning of CoNSeP's class other", other, others)
    specific = ["lymphocyte", "macrophage", "neutrophil"]
    spindle = ["fibroblast", "muscle", "endothelial"]
    classes = [
        ("other", others[other]),
        ("inflammatory", specific if other == "unspecific" else ["immune"]),
        ("epithelial", ["epithelial"]) if merge else ("healthy", ["normal epithelial"]),
        ("epithelial", ["epithelial"]) if merge else ("malignant", ["tumoral epithelial"]),
        *(("spindle", spindle) if merge else (name, [name]) for name in spindle),
    ]
    return LabelSet(
        tree, tuple(Label(k, n, tuple(nodes)) for k, (n, nodes) in enumerate(classes, 1))
    )


def lizard(separate: bool = False, tree: LabelTree = NUCLEI) -> LabelSet:
    """Lizard and CoNIC: 6 classes.

    Plasma cells and eosinophils are both `other immune`, and `NUCLEI` does not separate them: they
    are one group here, `plasma/eosinophil`, also in the ground truth.

    Raises:
      ValueError: they are to be kept apart (`separate`), and the tree has no nodes `plasma` and
        `eosinophil`.
    """
    return LabelSet.of(
        tree,
        {
            "neutrophil": ["neutrophil"],
            "epithelial": ["epithelial"],
            "lymphocyte": ["lymphocyte"],
            "plasma": ["plasma" if separate else "other immune"],
            "eosinophil": ["eosinophil" if separate else "other immune"],
            "connective": ["stromal"],
        },
    )


def nucls(tree: LabelTree = NUCLEI) -> LabelSet:
    """NuCLS in two classes, tumor and all others, by the `label_map.yaml` of the tiles."""
    tumor = tree.numbers("tumoral epithelial")
    rest = [leaf for number, leaf in enumerate(tree.leaves, 1) if number not in tumor]
    return LabelSet.of(tree, {"Non-Tumor": rest, "Tumor": ["tumoral epithelial"]})


_SETS: dict[str, Callable[..., LabelSet]] = {
    "pannuke": pannuke,
    "monusac": monusac,
    "consep": consep,
    "lizard": lizard,
    "nucls": nucls,
    "superclasses": lambda tree=NUCLEI: tree.level(1),
    "leaves": lambda tree=NUCLEI: tree.level(),
}
