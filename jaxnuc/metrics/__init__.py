"""Scores of label maps: one contingency table per image, every metric on it. NumPy only."""

from jaxnuc.metrics.base import REGISTRY, STANDARD, Metric
from jaxnuc.metrics.calibration import Calibration, Scored
from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.evaluation import Evaluation
from jaxnuc.metrics.matching import Matches, match
from jaxnuc.metrics.pair import Classes, ImagePair, Unavailable
from jaxnuc.metrics.protocols.base import Protocol
from jaxnuc.metrics.scores import Scores, score, score_image, score_table
from jaxnuc.metrics.summary import Summary, figures_csv, side_by_side, summarize

__all__ = [
    "DEFAULT",
    "REGISTRY",
    "STANDARD",
    "Calibration",
    "Classes",
    "ContingencyTable",
    "Conventions",
    "Evaluation",
    "ImagePair",
    "Matches",
    "Metric",
    "Protocol",
    "Scored",
    "Scores",
    "Summary",
    "Unavailable",
    "contingency_table",
    "figures_csv",
    "match",
    "score",
    "score_image",
    "score_table",
    "side_by_side",
    "summarize",
]
