"""Episodes: parts of a training that follow each other, on the same data sets or on others."""

from dataclasses import dataclass

from ml_collections import ConfigDict

from jaxnuc import durations
from jaxnuc.data.sample import Source
from jaxnuc.data.sources.mixture import only
from jaxnuc.evaluation.validate import sets_of
from jaxnuc.registry import check_known

KEYS = ("duration", "sources", "patience", "monitor")


@dataclass(frozen=True)
class Episode:
    """A part of a training.

    Attributes:
      steps: its length, unless patience ends it earlier.
      patience: evaluations without a better one that end it; 0: off.
      monitor: the figure by which its evaluations are compared.
      sources: the data sets of the mixture that are read, by name; (): all that there are.
    """

    steps: int
    patience: int
    monitor: str
    sources: tuple[str, ...] = ()

    def is_over(self, steps: int, waited: int) -> bool:
        """Whether it ends after so many steps and evaluations without a better one."""
        return steps >= self.steps or 0 < self.patience <= waited


def plan(config: ConfigDict, source: Source, per_epoch: int | None) -> tuple[Episode, ...]:
    """The episodes of a training: those of the configuration, or one of its `duration`.

    The sections of `config.episodes` have

    * `duration`, such as `"250 epochs"` or `"3000 steps"`; an epoch reads as many images as there
      are in the data sets of the episode;
    * `sources`: names of data sets of the mixture; without them, all of it is read;
    * `patience` and `monitor`: without them, those of `config.evaluation`.

    Args:
      config: of the training.
      source: the images to train on.
      per_epoch: steps of an epoch without episodes; None for a source without end.

    Raises:
      ValueError: an unknown key or data set, no length, or a `config.duration` beside the episodes.
    """
    evaluation = config.evaluation
    if not config.episodes:
        steps = durations.steps(config.duration, "duration", per_epoch)
        return (Episode(steps, evaluation.patience, evaluation.monitor),)
    if config.duration:
        raise ValueError(
            f"duration={config.duration!r}, but each of the {len(config.episodes)} episodes has "
            "its own; set duration=''"
        )
    episodes = []
    for number, section in enumerate(config.episodes):
        for key in section:
            check_known(f"key of episodes[{number}]:", key, KEYS)
        names = tuple(section.get("sources", ()))
        chosen = sets_of(only(source, names)).values()
        epoch = max(sum(map(len, chosen)) // config.batch_size, 1)
        endless = any(each.endless for each in chosen)
        duration, key = section.get("duration", ""), f"episodes[{number}].duration"
        steps = durations.steps(duration, key, None if endless else epoch)
        if steps < 1:
            raise ValueError(f"{key}={duration!r} must be at least one step")
        patience = section.get("patience", evaluation.patience)
        monitor = section.get("monitor", evaluation.monitor)
        episodes.append(Episode(steps, patience, monitor, names))
    return tuple(episodes)
