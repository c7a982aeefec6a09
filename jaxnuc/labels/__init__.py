"""Label trees, and the label sets of the public data sets as groups of their leaves."""

from jaxnuc.labels.public import NUCLEI, consep, label_set, lizard, monusac, nucls, pannuke
from jaxnuc.labels.tree import Label, LabelSet, LabelTree

__all__ = [
    "NUCLEI",
    "Label",
    "LabelSet",
    "LabelTree",
    "consep",
    "label_set",
    "lizard",
    "monusac",
    "nucls",
    "pannuke",
]
