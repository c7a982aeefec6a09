"""What of an evaluation may be chosen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ml_collections import ConfigDict

from jaxnuc import config as configs
from jaxnuc.metrics import DEFAULT, Conventions, Protocol
from jaxnuc.metrics.base import Entry


@dataclass(frozen=True)
class EvaluationOptions:
    """How a segmentation is scored and reported; None: as in the configuration, or the default.

    Attributes:
      metrics: see `jaxnuc.metrics.base.make`; empty: all that the data and the network allow.
      protocols: published ways to evaluate: see `jaxnuc.metrics.protocols`; empty: none.
      conventions: of the scores.
      workers: processes that decode and score beside the accelerator; the figures are the same
        whatever their number. 0: this process.
      level: of the confidence intervals.
      overlays: number of pictures, half of them of the worst images. Images without a PQ get none.
      progress: show a progress bar.
    """

    metrics: Iterable[Entry] | None = None
    protocols: Iterable[str | Mapping[str, Any] | Protocol] | None = None
    conventions: Conventions | None = None
    workers: int | None = None
    level: float = 0.95
    overlays: int = 16
    progress: bool = True

    def completed(self, config: ConfigDict | None = None) -> "EvaluationOptions":
        """The options with those of a configuration, or the defaults, where there was None."""
        known: dict[str, Any] = {"metrics": (), "protocols": (), "workers": 0}
        if config is not None:
            known = {name: config.evaluation[name] for name in known}
        known["conventions"] = DEFAULT if config is None else configs.conventions(config)
        missing = {name: v for name, v in known.items() if getattr(self, name) is None}
        return replace(self, **missing)
