"""Scores a segmentation over a data set, and writes what shows where it fails."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from tqdm import tqdm

from jaxnuc.data.sample import Sample, Source
from jaxnuc.inference.overlay import write_overlay
from jaxnuc.metrics import DEFAULT, Conventions, Evaluation, Scores, Summary, score_with
from jaxnuc.workers import ordered_map

GROUPS = ("modality", "style", "tissue")  # what a sample's meta may be grouped by


class Segmentation(Protocol):
    """What a segmentation function returns, at least."""

    @property
    def instances(self) -> np.ndarray: ...


Segment = Callable[[np.ndarray], Segmentation]


@runtime_checkable
class TwoSteps(Protocol):
    """A segmentation whose second step, from maps to nuclei, can run in another process."""

    def maps(self, image: np.ndarray) -> Any: ...

    @property
    def decode(self) -> Callable[[Any], Segmentation]: ...


def evaluate(
    segment: Segment,
    source: Source,
    *,
    conventions: Conventions = DEFAULT,
    workers: int = 0,
    level: float = 0.95,
    output: str | Path | None = None,
    overlays: int = 16,
    progress: bool = True,
    about: Mapping[str, Any] | None = None,
) -> Summary:
    """Segments and scores every image of a source.

    Only scores are kept while it runs; the images that are drawn are segmented once more at the
    end. With `output`, this is written (each file whole or not at all):

    * `metrics.json`: the figures with their confidence intervals, those of every group of images
      (modality, style, tissue) where the samples tell, and the conventions behind them. What is
      not a number is null.
    * `per_image.csv`: one line per image, in the source's order; what is not a number is `nan`.
    * `overlays/`: the worst and the best images by PQ, `worst_01_<pq>_<name>.png` and so on.

    Where every sample tells its tissue, and there are several, the means over the tissues are among
    the figures.

    Args:
      segment: image (H, W, 3) uint8 -> an object with `instances` (H, W), integer; picklable
        steps (`TwoSteps`, as a `Predictor` has) where there are workers.
      source: the images with their true instances.
      conventions: of the scores.
      workers: processes that decode and score beside the accelerator; the figures are the same
        whatever their number. 0: this process.
      level: of the confidence intervals.
      output: folder for the report; None writes nothing.
      overlays: number of pictures, half of them of the worst images. Images without a PQ get none.
      progress: show a progress bar.
      about: what else `metrics.json` is to say, such as the checkpoint.

    Returns:
      The data set's figures, named as by `jaxnuc.metrics.summarize`.

    Raises:
      ValueError: the source is empty, a segmentation has another shape than its image, `overlays`
        or `workers` is negative, or `jaxnuc.metrics.score` refuses the conventions.
    """
    if overlays < 0:
        raise ValueError(f"overlays is {overlays}; it must be 0 or more")
    if not len(source):
        raise ValueError(f"source {source.name!r} has no images to evaluate")
    about_images: list[tuple[str, dict[str, str]]] = []

    def samples() -> Iterator[Sample]:
        for index in range(len(source)):
            sample = source[index]
            groups = {key: str(sample.meta[key]) for key in GROUPS if key in sample.meta}
            about_images.append((str(sample.meta["name"]), groups))
            yield sample

    results = scored(segment, samples(), conventions, workers)
    scores = list(tqdm(results, total=len(source), desc="evaluate", disable=not progress))
    names, groups = zip(*about_images, strict=True)
    evaluation = Evaluation(names, scores, groups)
    tissues = {g.get("tissue") for g in evaluation.groups}
    tissue = "tissue" if len(tissues) > 1 and None not in tissues else None
    summary = evaluation.summary(tissue, level)
    if output is not None:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        split = getattr(source, "split", None)
        evaluation.write(folder, summary, {**(about or {}), "source": source.name, "split": split})
        _draw(segment, source, evaluation, overlays, folder / "overlays")
    return summary


def scored(
    segment: Segment, samples: Iterable[Sample], conventions: Conventions, workers: int = 0
) -> Iterator[Scores]:
    """The scores of images in their order: see `evaluate`."""

    def tasks() -> Iterator[tuple[Any, ...]]:
        for sample in samples:
            if isinstance(segment, TwoSteps):
                decode, found = segment.decode, segment.maps(sample.image)
            else:
                decode, found = None, np.asarray(segment(sample.image).instances)
            yield decode, found, sample.instances, sample.ignore, sample.meta["name"], conventions

    return ordered_map(_score, tasks(), workers)


def _score(
    decode: Callable[[Any], Segmentation] | None,
    found: Any,
    truth: np.ndarray,
    ignore: np.ndarray | None,
    name: str,
    conventions: Conventions,
) -> Scores:
    instances = found if decode is None else decode(found).instances
    return score_with(conventions, truth, _as_large(instances, truth, name), ignore)


def _as_large(instances: np.ndarray, truth: np.ndarray, name: str) -> np.ndarray:
    instances = np.asarray(instances)
    if instances.shape != truth.shape:
        raise ValueError(
            f"image {name!r}: segmented as {instances.shape}, but its truth is {truth.shape}; "
            "a segmentation must have its image's resolution"
        )
    return instances


def _draw(
    segment: Segment, source: Source, evaluation: Evaluation, count: int, folder: Path
) -> None:
    """Draws the worst and the best images; removes the pictures of an earlier evaluation."""
    pq = [scores.pq for scores in evaluation.scores]
    ranked = sorted((i for i, x in enumerate(pq) if not math.isnan(x)), key=pq.__getitem__)
    count = min(count, len(ranked))
    chosen = {"worst": ranked[: count - count // 2], "best": ranked[::-1][: count // 2]}
    conventions = evaluation.scores[0].conventions
    written = set()
    if count:
        folder.mkdir(exist_ok=True)
    for kind, indices in chosen.items():
        for place, index in enumerate(indices, 1):
            name = evaluation.names[index]
            plain = re.sub(r"[^\w.-]+", "_", name)[:80]  # names may be paths
            path = folder / f"{kind}_{place:02d}_{pq[index]:.3f}_{plain}.png"
            sample = source[index]
            found = _as_large(segment(sample.image).instances, sample.instances, name)
            maps = (sample.instances, found)
            write_overlay(path, sample.image, *maps, conventions=conventions, caption=name)
            written.add(path)
    for pattern in ("worst_*.png", "best_*.png"):
        for path in folder.glob(pattern):
            if path not in written:
                path.unlink()
