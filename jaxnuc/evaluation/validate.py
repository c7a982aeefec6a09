"""Validation while training: real decoding, real metrics, shared by the processes."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnuc.data.sample import Source
from jaxnuc.evaluation.scoring import judged
from jaxnuc.labels import LabelSet
from jaxnuc.metrics import COUNTS, DEFAULT, METRICS, Conventions, Scores, Summary, summarize
from jaxnuc.metrics.by_class import mean_figures
from jaxnuc.metrics.class_counts import ClassCounts
from jaxnuc.metrics.panoptic import image_mean_pq, pooled_pq
from jaxnuc.prediction.predictor import Predictor

CLASS_FIGURES = ("mpq_image_mean", "mpq_pooled")  # where there are classes


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
      Data-set figures as `jaxnuc.metrics.summarize` names them; where the source has one label set
      and classes are predicted, the means over its classes, `CLASS_FIGURES`, as well.
    """
    processes, count = jax.process_count(), len(source)
    label_set: LabelSet | None = getattr(source, "label_set", None)
    classes = 0 if label_set is None else len(label_set.groups)
    numbers, parts = len(METRICS + COUNTS), len(ClassCounts._fields)
    share = np.full((-(-count // processes), numbers + parts * classes), np.nan)
    mine = (source[index] for index in range(jax.process_index(), count, processes))
    for row, judgement in enumerate(judged(predictor, mine, conventions, workers, label_set)):
        share[row, :numbers] = judgement.scores.numbers
        if judgement.classes is not None:
            share[row, numbers:] = np.concatenate(judgement.classes.counts)
    gathered = share[None]
    if processes > 1:  # as bytes: JAX would round float64 to float32
        gathered = np.asarray(multihost_utils.process_allgather(share.view(np.uint8)))
    # Row r of process p is image r * processes + p.
    rows = gathered.view(share.dtype).swapaxes(0, 1).reshape(-1, share.shape[1])[:count]
    summary = summarize([Scores.of(row, conventions) for row in rows[:, :numbers].tolist()])
    by_class = rows[:, numbers:].reshape(count, parts, classes)
    if not classes or np.isnan(by_class).any():  # nothing predicted, or nothing annotated
        return summary
    counts = [ClassCounts(*image) for image in by_class]
    return summary.with_figures(mean_figures(image_mean_pq(counts), pooled_pq(counts)))
