"""Scores a segmentation over a data set, and writes what shows where it fails."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from absl import logging
from tqdm import tqdm

from jaxnuc.data.sample import Sample, Source
from jaxnuc.files import replace_file
from jaxnuc.inference.overlay import write_overlay
from jaxnuc.labels import Cut
from jaxnuc.metrics import (
    DEFAULT,
    Conventions,
    Evaluation,
    Scores,
    Summary,
    contingency_table,
    score_table,
)
from jaxnuc.metrics.boundary import BoundaryScores, boundary_scores
from jaxnuc.metrics.by_class import ClassFigures, ClassJudgement, judge_classes
from jaxnuc.metrics.scores import judged as judged_maps
from jaxnuc.workers import ordered_map

GROUPS = ("modality", "style", "tissue")  # what a sample's meta may be grouped by


class Segmentation(Protocol):
    """What a segmentation function returns, at least."""

    @property
    def instances(self) -> np.ndarray: ...


Segment = Callable[[np.ndarray], Segmentation]


class Decode(Protocol):
    """From maps to nuclei; picklable."""

    def __call__(self, maps: Any, shape: tuple[int, ...]) -> Segmentation: ...

    def classes_at(self, nuclei: Any, cut: Cut) -> np.ndarray | None: ...

    def cannot_read(self, cut: Cut) -> str | None: ...


@runtime_checkable
class TwoSteps(Protocol):
    """A segmentation whose second step, from maps to nuclei, can run in another process."""

    def maps(self, image: np.ndarray) -> Any: ...

    @property
    def decode(self) -> Decode: ...


class Judgement(NamedTuple):
    """What is said of one image.

    Attributes:
      scores: of its instances.
      classes: what it adds to the figures by class, where classes are true and predicted.
      boundary: distances of the outlines, where they were asked for.
    """

    scores: Scores
    classes: ClassJudgement | None = None
    boundary: BoundaryScores | None = None


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
    boundary: bool = False,
) -> Summary:
    """Segments and scores every image of a source.

    Only scores are kept while it runs; the images that are drawn are segmented once more at the
    end. With `output`, this is written (each file whole or not at all):

    * `metrics.json`: the figures with their confidence intervals, those of every group of images
      (modality, style, tissue) where the samples tell, and the conventions behind them. What is
      not a number is null.
    * `per_class.csv`, where the data set has classes and the network predicts them: panoptic
      quality and HoVer-Net's F1 of each class; means over classes are among the figures. Where
      the predicted classes cannot be read as those of the data set, `metrics.json` says why.
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
      boundary: measure the distances of the outlines of the foregrounds as well:
        `boundary_distance_image_mean` (mean over both outlines, ASSD) and `hd95_image_mean`, in
        pixels, MONAI's convention, over the images with foreground on both sides; how many had not
        is `images_without_boundary`.

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

    cut: Cut | None = getattr(source, "cut", None)
    torn = None
    if cut is not None and isinstance(segment, TwoSteps):
        torn = segment.decode.cannot_read(cut)
    if torn is not None:
        logging.warning("no figures by class: %s", torn)
        cut = None
    results = judged(segment, samples(), conventions, workers, cut, boundary)
    judgements = list(tqdm(results, total=len(source), desc="evaluate", disable=not progress))
    scores = [judgement.scores for judgement in judgements]
    names, groups = zip(*about_images, strict=True)
    evaluation = Evaluation(names, scores, groups)
    tissues = {g.get("tissue") for g in evaluation.groups}
    tissue = "tissue" if len(tissues) > 1 and None not in tissues else None
    by_class = figures_by_class(judgements, cut)
    if by_class is not None and progress:
        tqdm.write(f"{by_class}\n")
    summary = evaluation.summary(tissue, level).with_figures(
        {**(by_class.figures() if by_class else {}), **_boundary_figures(judgements)}
    )
    if output is not None:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        split = getattr(source, "split", None)
        said = {**(about or {}), "source": source.name, "split": split}
        if torn is not None:
            said["classes"] = f"not judged: {torn}"
        if by_class is not None:
            said["classes"] = by_class.json()
            replace_file(folder / "per_class.csv", by_class.csv().encode())
        evaluation.write(folder, summary, said)
        _draw(segment, source, evaluation, overlays, folder / "overlays")
    return summary


def judged(
    segment: Segment,
    samples: Iterable[Sample],
    conventions: Conventions,
    workers: int = 0,
    cut: Cut | None = None,
    boundary: bool = False,
) -> Iterator[Judgement]:
    """What is said of images, in their order: see `evaluate`.

    Args:
      segment: as in `evaluate`; only one in two steps is asked for classes.
      samples: the images.
      conventions: of the scores.
      workers: processes that decode and score.
      cut: the label set of the samples' classes; None: classes are not judged.
      boundary: measure outlines.
    """

    def tasks() -> Iterator[tuple[Any, ...]]:
        for sample in samples:
            if isinstance(segment, TwoSteps):
                decode, found = segment.decode, segment.maps(sample.image)
            else:
                decode, found = None, np.asarray(segment(sample.image).instances)
            # What is scored, and not the image, goes to another process.
            truth = (sample.instances, sample.classes, sample.ignore, sample.meta["name"])
            yield decode, found, *truth, conventions, cut, boundary

    return ordered_map(_judge, tasks(), workers)


def _judge(
    decode: Decode | None,
    found: Any,
    truth: np.ndarray,
    true_classes: np.ndarray | None,
    ignore: np.ndarray | None,
    name: str,
    conventions: Conventions,
    cut: Cut | None,
    boundary: bool,
) -> Judgement:
    nuclei = None if decode is None else decode(found, truth.shape)
    instances = _as_large(found if nuclei is None else nuclei.instances, truth, name)
    sides = judged_maps(conventions, truth, instances, ignore)
    classes = None
    if decode is not None and cut is not None and true_classes is not None:
        predicted = decode.classes_at(nuclei, cut)
        if predicted is not None:
            of_pixels = np.concatenate([[0], predicted])[sides[1]]
            classes = judge_classes(*sides, true_classes, of_pixels, len(cut.groups), conventions)
    outlines = boundary_scores(*sides) if boundary else None
    return Judgement(score_table(contingency_table(*sides), conventions), classes, outlines)


def figures_by_class(judgements: Sequence[Judgement], cut: Cut | None) -> ClassFigures | None:
    """The figures by class of a label set, where all images were judged by it."""
    found = [judgement.classes for judgement in judgements if judgement.classes is not None]
    if cut is None or len(found) < len(judgements):
        return None
    return ClassFigures.of(cut.groups, found)


def _boundary_figures(judgements: Sequence[Judgement]) -> dict[str, float]:
    found = [judgement.boundary for judgement in judgements if judgement.boundary is not None]
    if not found:
        return {}
    both = [b for b in found if math.isfinite(b.hd95) and math.isfinite(b.assd)]
    return {
        "boundary_distance_image_mean": float(np.mean([b.assd for b in both] or [math.nan])),
        "hd95_image_mean": float(np.mean([b.hd95 for b in both] or [math.nan])),
        "images_without_boundary": len(found) - len(both),
    }


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
