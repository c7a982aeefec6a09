"""Validation while training: real decoding, real metrics, shared by the processes."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnuc import metrics
from jaxnuc.data.sample import Source
from jaxnuc.inference.predictor import Predictor


def validate(
    predictor: Predictor, source: Source, *, threshold: float = 0.5, empty: str = "skip"
) -> dict[str, float]:
    """Scores a split; each process segments its share of the images and all get all figures.

    Args:
      predictor: with the parameters to evaluate.
      source: of the split.
      threshold: IoU above which nuclei match.
      empty: rule for images without nuclei on both sides.

    Returns:
      Data-set figures as `jaxnuc.metrics.summarize` names them.
    """
    processes, count = jax.process_count(), len(source)
    share = np.full((-(-count // processes), len(metrics.Scores._fields)), np.nan)
    for row, index in enumerate(range(jax.process_index(), count, processes)):
        sample = source[index]
        found = predictor(sample.image).instances
        share[row] = metrics.score(sample.instances, found, threshold, empty)
    gathered = share[None]
    if processes > 1:  # as bytes: JAX would round float64 to float32
        gathered = np.asarray(multihost_utils.process_allgather(share.view(np.uint8)))
    # Row r of process p is image r * processes + p.
    rows = gathered.view(share.dtype).swapaxes(0, 1).reshape(-1, share.shape[1])[:count]
    return metrics.summarize([metrics.Scores(*row) for row in rows.tolist()])
