"""Validation while training: real decoding, real metrics, shared by the processes."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnuc.data.sample import Source
from jaxnuc.inference.evaluate import scored
from jaxnuc.inference.predictor import Predictor
from jaxnuc.metrics import COUNTS, DEFAULT, METRICS, Conventions, Scores, Summary, summarize


def validate(
    predictor: Predictor, source: Source, *, conventions: Conventions = DEFAULT, workers: int = 0
) -> Summary:
    """Scores a split; each process segments its share of the images and all get all figures.

    Args:
      predictor: with the parameters to evaluate.
      source: of the split.
      conventions: of the scores.
      workers: processes that decode and score, for each process that trains; 0: this one.

    Returns:
      Data-set figures as `jaxnuc.metrics.summarize` names them.
    """
    processes, count = jax.process_count(), len(source)
    share = np.full((-(-count // processes), len(METRICS + COUNTS)), np.nan)
    mine = (source[index] for index in range(jax.process_index(), count, processes))
    for row, scores in enumerate(scored(predictor, mine, conventions, workers)):
        share[row] = scores.numbers
    gathered = share[None]
    if processes > 1:  # as bytes: JAX would round float64 to float32
        gathered = np.asarray(multihost_utils.process_allgather(share.view(np.uint8)))
    # Row r of process p is image r * processes + p.
    rows = gathered.view(share.dtype).swapaxes(0, 1).reshape(-1, share.shape[1])[:count]
    return summarize([Scores.of(row, conventions) for row in rows.tolist()])
