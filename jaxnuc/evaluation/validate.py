"""Validation while training: real decoding, real metrics, shared by the processes."""

import math
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxnuc.data.sample import Source
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.evaluation.scoring import Scoring, plan_scoring, score_images
from jaxnuc.metrics import Metric, Scores, Summary, summarize
from jaxnuc.metrics.base import choose, make
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.segment import at_expected_size

# The training's loss on the split, and the soft IoU of the foreground's probability that comes with
# it; see `jaxnuc.training.validation_loss`.
LOSS, SOFT_IOU = "loss", "soft_iou"


@dataclass(frozen=True)
class Monitor:
    """The figure of the validation that decides what is best, such as `"consep/pq_image_mean"`."""

    figure: str
    higher_is_better: bool

    def merit(self, figures: Mapping[str, float]) -> float | None:
        """The figure with the sign that makes larger better; None where it is not a number."""
        figure = figures[self.figure]
        return self.turned(figure) if math.isfinite(figure) else None

    def turned(self, value: float) -> float:
        """A figure as a merit, or a merit as the figure."""
        return value if self.higher_is_better else -value


def monitors_of(config: ConfigDict) -> tuple[str, ...]:
    """The figures by which the evaluations of a training are compared, in any of its episodes."""
    names = (episode.get("monitor", config.evaluation.monitor) for episode in config.episodes)
    return tuple(dict.fromkeys(names)) or (config.evaluation.monitor,)


def sets_of(source: Source) -> Mapping[str, Source]:
    """The data sets of a mixture by name; any other source, without a name."""
    return source.sets or {"": source}


def joined(figures: Mapping[str, Mapping[str, float]], averaged: Iterable[str]) -> dict[str, float]:
    """The figures of several data sets as one mapping.

    Args:
      figures: by data set, as of `sets_of`.
      averaged: names of figures.

    Returns:
      For each figure to be averaged, its mean over the sets that have it, and all figures as
      `<set>/<figure>`; of a source that is no mixture its figures as they are.

    >>> joined({"a": {"pq": 0.5, "images": 3}, "b": {"pq": 0.7, "images": 5}}, ["pq"])
    {'pq': 0.6, 'a/pq': 0.5, 'a/images': 3, 'b/pq': 0.7, 'b/images': 5}
    """
    if list(figures) == [""]:
        return dict(figures[""])
    found = {}
    for name in averaged:
        values = [own[name] for own in figures.values() if name in own]
        if values:
            found[name] = sum(values) / len(values)
    for each, own in figures.items():
        found |= {f"{each}/{name}": value for name, value in own.items()}
    return found


def plan_validation(
    config: ConfigDict, predictor: Predictor, source: Source, monitors: Sequence[str] = ()
) -> tuple[dict[str, Scoring], dict[str, Monitor]]:
    """What is computed in validations of the split "val", and the figures that decide.

    These are the metrics of the configuration, or else the standard ones, and those of the
    monitors, unless these are `"loss"` or `"soft_iou"`, which are computed elsewhere. Of a mixture,
    each data set is validated on its own, with the classes of its own label set:
    `"consep/pq_pooled"` is a figure of one of them, and `"pq_pooled"` its mean over them.

    Args:
      config: of the training.
      predictor: that is validated.
      source: of the split.
      monitors: figures that decide; none: `evaluation.monitor`.

    Returns:
      The scoring of each data set, by its name in `sets_of`, and the monitors by figure.

    Raises:
      ValueError: a metric or protocol is unknown or needs more than there is, or there is no such
        figure or data set: refused before hours of training.
    """
    options = EvaluationOptions().completed(config)
    sets = sets_of(source)
    scorings = {
        name: plan_scoring(predictor, each, options, "standard") for name, each in sets.items()
    }
    found = {}
    for monitor in monitors or (config.evaluation.monitor,):
        of_set, slash, figure = monitor.rpartition("/")
        if slash and of_set not in sets:
            names = ", ".join(filter(None, sets)) or "no mixture"
            raise ValueError(
                f"evaluation.monitor={monitor!r}: the data sets of the validation are {names}"
            )
        if figure in (LOSS, SOFT_IOU):
            if not config.evaluation.loss:
                raise ValueError(
                    f"evaluation.monitor={monitor!r} needs the loss of the validation: "
                    "evaluation.loss=True"
                )
            if figure == SOFT_IOU and predictor.representation.foreground is None:
                raise ValueError(
                    f"evaluation.monitor={monitor!r} needs a map of the foreground, which the "
                    f"representation {config.representation['name']!r} lacks; take 'loss'"
                )
            found[monitor] = Monitor(monitor, higher_is_better=figure == SOFT_IOU)
            continue
        available: dict[str, Metric] = {}
        for name in [of_set] if slash else sets:
            own = _figures(scorings[name])
            available |= own
            if figure in own:
                metrics = make([*scorings[name].metrics, own[figure]])
                scorings[name] = replace(scorings[name], metrics=metrics)
        if figure not in available:
            known = ", ".join(available)
            raise ValueError(f"evaluation.monitor={monitor!r} is no figure; there are {known}")
        found[monitor] = Monitor(monitor, available[figure].higher_is_better)
    # Protocols are for the evaluation afterwards; that they can be computed is known from here on.
    plain = {name: replace(scoring, protocols=()) for name, scoring in scorings.items()}
    return plain, found


def _figures(scoring: Scoring) -> dict[str, Metric]:
    """The figures of a data set that can be monitored, with their metrics."""
    own = {figure: metric for metric in scoring.metrics for figure in metric.figures()}
    classes = ("classes", "probabilities") if scoring.label_set is not None else ()
    maps = () if scoring.conventions.overlapping else ("maps",)
    more = choose((), ("scores", *maps, *classes), "all")
    return {figure: metric for metric in more for figure in metric.figures()} | own


def validate(
    predictor: Predictor, source: Source, scorings: Mapping[str, Scoring], *, workers: int = 0
) -> dict[str, float]:
    """Scores a split, each data set of a mixture on its own; see `joined`.

    Each process segments its share of the images, and all get all figures.

    Args:
      predictor: with the parameters to evaluate.
      source: of the split.
      scorings: from `plan_validation`.
      workers: processes that decode and score, for each process that trains; 0: this one.
    """
    figures = {
        name: _summary(predictor, each, scorings[name], workers)
        for name, each in sets_of(source).items()
    }
    averaged = (x for s in scorings.values() for metric in s.metrics for x in metric.figures())
    return joined(figures, averaged)


def _summary(predictor: Predictor, source: Source, scoring: Scoring, workers: int) -> Summary:
    processes, count = jax.process_count(), len(source)
    mine = (source[index] for index in range(jax.process_index(), count, processes))
    segment = at_expected_size(predictor)
    scores = [image.scores for image in score_images(segment, mine, scoring, workers)]
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
