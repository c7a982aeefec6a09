"""Scores of label maps: one contingency table per image, every metric on it. NumPy only."""

from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.matching import Matches, match
from jaxnuc.metrics.scores import Scores, score, summarize

__all__ = [
    "ContingencyTable",
    "Matches",
    "Scores",
    "contingency_table",
    "match",
    "score",
    "summarize",
]
