"""Scores of label maps: one contingency table per image, every metric on it. NumPy only."""

from jaxnuc.metrics.calibration import Calibration, Scored
from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.evaluation import Evaluation
from jaxnuc.metrics.matching import Matches, match
from jaxnuc.metrics.scores import COUNTS, METRICS, Scores, score, score_table, score_with
from jaxnuc.metrics.summary import Summary, summarize

__all__ = [
    "COUNTS",
    "DEFAULT",
    "METRICS",
    "Calibration",
    "ContingencyTable",
    "Conventions",
    "Evaluation",
    "Matches",
    "Scored",
    "Scores",
    "Summary",
    "contingency_table",
    "match",
    "score",
    "score_table",
    "score_with",
    "summarize",
]
