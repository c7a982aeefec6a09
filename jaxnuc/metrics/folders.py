"""Scores two folders of label images, whatever tool wrote them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from jaxnuc.io.label_images import LabelPair, label_pairs
from jaxnuc.io.workers import ordered_map
from jaxnuc.metrics.base import Entry, Metric, choose
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.evaluation import Evaluation
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Protocol
from jaxnuc.metrics.scores import Scores, score_image

AVAILABLE = ("maps",)  # label images have neither scores nor classes


def score_folders(
    truth: str | Path,
    prediction: str | Path,
    conventions: Conventions = DEFAULT,
    *,
    metrics: Iterable[Entry] = (),
    protocols: Iterable[str | Mapping[str, Any] | Protocol] = (),
    missing: str = "error",
    label_from: str = "ids",
    workers: int = 0,
) -> Evaluation:
    """Scores the label images of one folder against those of the same names in another.

    Args:
      truth: folder; see `label_pairs` for names and `read_label_image` for formats.
      prediction: folder.
      conventions: of the scores.
      metrics: see `jaxnuc.metrics.base.make`; empty: the standard ones.
      protocols: see `jaxnuc.metrics.protocols.base.make`.
      missing: `"error"`, or `"zero"`: a true image without prediction counts as predicted empty.
      label_from: `"ids"`, `"components"` of masks that only say where nuclei are, or `"colors"`.
      workers: processes; the result is the same whatever their number. 0: this one.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: files do not match, are no label images, or differ in size: names them; a metric
        or protocol is unknown, or needs the classes or scores that label images lack.
    """
    chosen, wanted = choose(metrics, AVAILABLE), base.make(protocols)
    base.check(wanted, AVAILABLE, conventions)
    found = label_pairs(truth, prediction, missing=missing)
    pairs = [pair._replace(label_from=label_from) for pair in found]
    tasks = ((pair, conventions, chosen, wanted) for pair in pairs)
    results = ordered_map(_score_pair, tasks, workers)
    images = list(tqdm(results, total=len(pairs), desc="score", disable=None))
    return Evaluation(
        [pair.name for pair in pairs],
        [scores for scores, _ in images],
        [{}] * len(pairs),
        base.results(wanted, [states for _, states in images]),
    )


def _score_pair(
    pair: LabelPair,
    conventions: Conventions,
    metrics: tuple[Metric, ...],
    protocols: tuple[Protocol, ...],
) -> tuple[Scores, tuple[Any, ...]]:
    try:
        image = ImagePair.of(*pair.read(), conventions)
        return score_image(image, metrics), tuple(p.state(image) for p in protocols)
    except ValueError as error:
        raise ValueError(f"{pair.truth} and {pair.prediction}: {error}") from error
