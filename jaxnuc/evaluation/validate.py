"""Validation while training: real decoding, real metrics, shared by the processes."""

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxnuc.data.sample import Source
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.evaluation.scoring import Scoring, plan_scoring, score_images
from jaxnuc.metrics import Scores, Summary, summarize
from jaxnuc.metrics.base import choose, make
from jaxnuc.prediction.predictor import Predictor

# The training's loss on the split, and the soft IoU of the foreground's probability that comes with
# it; see `jaxnuc.training.validation_loss`.
LOSS, SOFT_IOU = "loss", "soft_iou"


@dataclass(frozen=True)
class Monitor:
    """The figure of the validation that decides what is best, such as `"pq_image_mean"`."""

    figure: str
    higher_is_better: bool

    def merit(self, figures: Mapping[str, float]) -> float | None:
        """The figure with the sign that makes larger better; None where it is not a number."""
        figure = figures[self.figure]
        return self.turned(figure) if math.isfinite(figure) else None

    def turned(self, value: float) -> float:
        """A figure as a merit, or a merit as the figure."""
        return value if self.higher_is_better else -value


def plan_validation(
    config: ConfigDict, predictor: Predictor, source: Source
) -> tuple[Scoring, Monitor]:
    """What is computed in validations of the split "val", and the figure that decides.

    These are the metrics of the configuration, or else the standard ones, and that of
    `evaluation.monitor`, unless this is `"loss"` or `"soft_iou"`, which are computed elsewhere.

    Raises:
      ValueError: a metric or protocol is unknown or needs more than there is, or there is no such
        figure: refused before hours of training.
    """
    options = EvaluationOptions().completed(config)
    scoring = plan_scoring(predictor, source, options, "standard")
    name = config.evaluation.monitor
    if name in (LOSS, SOFT_IOU):
        if not config.evaluation.loss:
            raise ValueError(
                f"evaluation.monitor={name!r} needs the loss of the validation: "
                "evaluation.loss=True"
            )
        if name == SOFT_IOU and predictor.representation.foreground is None:
            raise ValueError(
                "evaluation.monitor='soft_iou' needs a map of the foreground, which the "
                f"representation {config.representation['name']!r} lacks; take 'loss'"
            )
        return replace(scoring, protocols=()), Monitor(name, higher_is_better=name == SOFT_IOU)
    own = {figure: metric for metric in scoring.metrics for figure in metric.figures()}
    if name not in own:
        classes = ("classes", "probabilities") if scoring.label_set is not None else ()
        maps = () if scoring.conventions.overlapping else ("maps",)
        more = choose((), ("scores", *maps, *classes), "all")
        own |= {figure: metric for metric in more for figure in metric.figures()}
    if name not in own:
        raise ValueError(f"evaluation.monitor={name!r} is no figure; there are {', '.join(own)}")
    metrics = make([*scoring.metrics, own[name]])
    # Protocols are for the evaluation afterwards; that they can be computed is known from here on.
    scoring = replace(scoring, metrics=metrics, protocols=())
    return scoring, Monitor(name, own[name].higher_is_better)


def validate(
    predictor: Predictor, source: Source, scoring: Scoring, *, workers: int = 0
) -> Summary:
    """Scores a split; each process segments its share of the images and all get all figures.

    Args:
      predictor: with the parameters to evaluate.
      source: of the split.
      scoring: from `plan_validation`.
      workers: processes that decode and score, for each process that trains; 0: this one.
    """
    processes, count = jax.process_count(), len(source)
    mine = (source[index] for index in range(jax.process_index(), count, processes))
    scores = [image.scores for image in score_images(predictor, mine, scoring, workers)]
    gathered = _gathered(scores)
    # Image r of process p is image r * processes + p of the source.
    return summarize([gathered[i % processes][i // processes] for i in range(count)])


def _gathered(scores: list[Scores]) -> list[list[Scores]]:
    """The scores of every process, in each of them."""
    if jax.process_count() == 1:
        return [scores]
    own = np.frombuffer(pickle.dumps(scores), np.uint8)
    lengths = multihost_utils.process_allgather(np.array([len(own)])).ravel()
    padded = np.zeros(int(lengths.max()), np.uint8)
    padded[: len(own)] = own
    everything = np.asarray(multihost_utils.process_allgather(padded))
    pairs = zip(everything, lengths.tolist(), strict=True)
    return [pickle.loads(part[:length].tobytes()) for part, length in pairs]
