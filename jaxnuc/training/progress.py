"""How far a training is, besides its state."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """What a training has to know between two steps; saved with every checkpoint."""

    data: Any  # position in the training data, as the batches give it
    episode: int = 0  # the current one, of those of the training
    began: int = 0  # the steps before it
    best: float | None = None  # merit of its best evaluation so far: larger is better
    waited: int = 0  # evaluations since then
    switches: list[str] = field(default_factory=list)  # reported, of those within a step
    figures: dict[str, float] = field(default_factory=dict)  # of the latest evaluation

    def observe(self, figures: Mapping[str, float], merit: float | None) -> None:
        """Takes note of an evaluation; `merit` is None where the figure is not finite."""
        self.figures = dict(figures)
        if merit is not None and (self.best is None or merit > self.best):
            self.best, self.waited = merit, 0
        else:
            self.waited += 1

    def begin(self, episode: int, step: int) -> None:
        """Begins an episode; what was best in the last one is not compared with what follows."""
        self.episode, self.began = episode, step
        self.best, self.waited = None, 0

    def to_json(self) -> dict[str, Any]:
        """As plain data, figures that are not finite as None."""
        figures = {k: v if math.isfinite(v) else None for k, v in self.figures.items()}
        return dataclasses.asdict(self) | {"figures": figures}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Progress":
        """The inverse of `to_json`."""
        figures = {k: math.nan if v is None else v for k, v in values["figures"].items()}
        return cls(**{**values, "figures": figures})
