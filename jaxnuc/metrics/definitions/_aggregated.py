"""Sums over pairs of nuclei, to which what is unpaired adds its area."""

import numpy as np

from jaxnuc.metrics import matching
from jaxnuc.metrics.contingency import ContingencyTable
from jaxnuc.metrics.pair import ImagePair


def best_pairs(image: ImagePair) -> np.ndarray:
    """For each true nucleus the pair of the greatest IoU: see `matching.best_pairs`."""
    return matching.best_pairs(image.table)


def aggregated(
    table: ContingencyTable, pairs: np.ndarray, parts: np.ndarray, wholes: np.ndarray
) -> float:
    """The sum of the parts over that of the wholes, nuclei in no pair being part of the whole.

    References:
      Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
      Pathology, 2017, algorithm 1.
    """
    unpaired_truth = np.delete(table.truth_areas, table.rows[pairs])
    unpaired_prediction = np.delete(table.prediction_areas, table.columns[pairs])
    whole = wholes[pairs].sum() + unpaired_truth.sum() + unpaired_prediction.sum()
    return float(parts[pairs].sum() / whole)
