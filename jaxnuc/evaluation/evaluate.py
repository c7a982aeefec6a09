"""Scores a segmentation over a data set, and writes what shows where it fails."""

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from tqdm import tqdm

from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.scoring import (
    Judgement,
    Segment,
    TwoSteps,
    as_large,
    calibration,
    figures_by_class,
    judged,
)
from jaxnuc.io.atomic import replace_file
from jaxnuc.labels import LabelSet
from jaxnuc.metrics import DEFAULT, Calibration, Conventions, Evaluation, Summary
from jaxnuc.reports import calibration_diagram
from jaxnuc.reports.compared import Compared, compared
from jaxnuc.reports.evaluation import write_evaluation_report
from jaxnuc.reports.overlay import write_overlay
from jaxnuc.reports.sizes import Sizes

GROUPS = ("modality", "style", "tissue")  # what a sample's meta may be grouped by
AXES = {  # of the diagrams
    "calibration": ("score", "matched share of the nuclei (precision)"),
    "class_calibration": ("probability of the class", "share of the right class (accuracy)"),
}
# What not every evaluation writes.
OPTIONAL = ("per_class.csv", *(f"{name}.{kind}" for name in AXES for kind in ("csv", "png")))


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
    training: Iterable[Mapping[str, Any]] = (),
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
    * `calibration.csv` and `calibration.png`, where nuclei have scores in [0, 1]: the share of them
      that is matched, by score, and the reliability diagram. `calibration_error_pooled` and
      `brier_pooled` are among the figures then; else `metrics.json` says why not.
    * `class_calibration.csv` and `class_calibration.png`, where there are figures by class: the
      share of the matched nuclei whose class is right, by its probability. The figures are
      `class_calibration_error_pooled` and `class_brier_pooled`.
    * `per_image.csv`: one line per image, in the source's order; what is not a number is `nan`.
    * `overlays/`: the worst and the best images by PQ, `worst_01_<pq>_<name>.png` and so on.
    * `report.html`: all of it on one page, these images with a slider between truth and prediction.

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
      training: lines of the training's `metrics.jsonl`, for the curves of the report.

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

    label_set: LabelSet | None = getattr(source, "label_set", None)
    torn = None
    if label_set is not None and isinstance(segment, TwoSteps):
        torn = segment.decode.cannot_read(label_set)
    if torn is not None:
        logging.warning("no figures by class: %s", torn)
        label_set = None
    results = judged(segment, samples(), conventions, workers, label_set, boundary)
    judgements = list(tqdm(results, total=len(source), desc="evaluate", disable=not progress))
    scores = [judgement.scores for judgement in judgements]
    names, groups = zip(*about_images, strict=True)
    evaluation = Evaluation(names, scores, groups)
    tissues = {g.get("tissue") for g in evaluation.groups}
    tissue = "tissue" if len(tissues) > 1 and None not in tissues else None
    by_class = figures_by_class(judgements, label_set)
    if by_class is not None and progress:
        tqdm.write(f"{by_class}\n")
    summary = evaluation.summary(tissue, level).with_figures(
        {**(by_class.figures() if by_class else {}), **_boundary_figures(judgements)}
    )
    calibrated = {"": calibration([judgement.scored for judgement in judgements], level)}
    if by_class is not None:
        images = [judgement.class_scored for judgement in judgements]
        calibrated["class_"] = calibration(images, level)
    for prefix, found in calibrated.items():
        if isinstance(found, Calibration):
            intervals = {prefix + name: i for name, i in found.intervals.items()}
            summary = dataclasses.replace(summary, intervals={**summary.intervals, **intervals})
            figures = {prefix + name: value for name, value in found.figures().items()}
            summary = summary.with_figures(figures)
    if output is not None:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        for name in OPTIONAL:
            (folder / name).unlink(missing_ok=True)  # of an earlier evaluation
        split = getattr(source, "split", None)
        said = {"source": source.name, "split": split, **(about or {})}
        if torn is not None:
            said["classes"] = f"not judged: {torn}"
        if by_class is not None:
            said["classes"] = by_class.json()
            replace_file(folder / "per_class.csv", by_class.csv().encode())
        for prefix, found in calibrated.items():
            name = f"{prefix}calibration"
            said[name] = _write_calibration(folder, name, found)
        evaluation.write(folder, summary, said)
        drawn = _draw(segment, source, evaluation, overlays, folder / "overlays")
        sizes = {"truth": Sizes(), "prediction": Sizes()}
        for judgement in judgements:
            for side, areas in zip(sizes.values(), judgement.areas, strict=True):
                side.add(areas)
        write_evaluation_report(
            folder / "report.html",
            evaluation,
            summary,
            said,
            level=level,
            sizes=sizes,
            drawn=drawn,
            training=training,
        )
    return summary


def _write_calibration(folder: Path, name: str, found: Calibration | str) -> dict[str, Any] | str:
    """Writes the bins and their diagram; returns what the report says of it."""
    if isinstance(found, str):
        return f"not judged: {found}"
    replace_file(folder / f"{name}.csv", found.csv().encode())
    calibration_diagram.write(folder / f"{name}.png", found, *AXES[name])
    return found.json()


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


def _draw(
    segment: Segment, source: Source, evaluation: Evaluation, count: int, folder: Path
) -> list[Compared]:
    """Draws the worst and the best images; removes the pictures of an earlier evaluation.

    Returns:
      The same images as the report shows them.
    """
    pq = [scores.pq for scores in evaluation.scores]
    ranked = sorted((i for i, x in enumerate(pq) if not math.isnan(x)), key=pq.__getitem__)
    count = min(count, len(ranked))
    chosen = {"worst": ranked[: count - count // 2], "best": ranked[::-1][: count // 2]}
    conventions = evaluation.scores[0].conventions
    written, drawn = set(), []
    if count:
        folder.mkdir(exist_ok=True)
    for kind, indices in chosen.items():
        for place, index in enumerate(indices, 1):
            name = evaluation.names[index]
            plain = re.sub(r"[^\w.-]+", "_", name)[:50]  # names may be paths
            path = folder / f"{kind}_{place:02d}_{pq[index]:.3f}_{plain}.png"
            sample = source[index]
            found = as_large(segment(sample.image).instances, sample.instances, name)
            maps = (sample.instances, found)
            write_overlay(path, sample.image, *maps, conventions=conventions, caption=name)
            drawn.append(compared(kind, name, evaluation.scores[index], sample.image, *maps))
            written.add(path)
    for pattern in ("worst_*.png", "best_*.png"):
        for path in folder.glob(pattern):
            if path not in written:
                path.unlink()
    return drawn
