"""Scores a segmentation over a data set, and writes what shows where it fails."""

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.evaluation.scoring import (
    Segment,
    check_shape,
    groups_of,
    instances_of,
    plan_scoring,
    score_images,
)
from jaxnuc.io.atomic import remove_leftovers, replace_file
from jaxnuc.io.listing import plain_name
from jaxnuc.metrics import Evaluation, Summary
from jaxnuc.metrics.protocols import base as protocols
from jaxnuc.outputs.drawing import save_png
from jaxnuc.reports import plots
from jaxnuc.reports.compared import Compared, compared
from jaxnuc.reports.evaluation import CALIBRATIONS, write_evaluation_report
from jaxnuc.reports.overlay import overlay
from jaxnuc.reports.sizes import Sizes
from jaxnuc.run.log import NOT_TRAINED, TrainingLog

logger = logging.getLogger(__name__)

# What not every evaluation writes.
OPTIONAL = (
    "per_class.csv",
    *(f"{name}.{kind}" for name in CALIBRATIONS for kind in ("csv", "png")),
)
DEFAULT = EvaluationOptions()


def evaluate(
    segment: Segment,
    source: Source,
    options: EvaluationOptions = DEFAULT,
    *,
    output: str | Path | None = None,
    about: Mapping[str, Any] | None = None,
    training: TrainingLog = NOT_TRAINED,
) -> Summary:
    """Segments and scores every image of a source; returns the figures of the data set.

    Only scores are kept while it runs; the images that are drawn are segmented once more at the
    end. Where every sample has a tissue, and there are several, the means over the tissues are
    among the figures. With `output`, this is written (each file whole or not at all):

    * `metrics.json`: the figures with their confidence intervals, those of the protocols and of
      every group of images (modality, style, tissue) where the samples have them, and the
      conventions behind them. What is not a number is null; why a metric could not be computed is
      in `not_computed`, why there are no figures by class in `classes_not_scored`.
    * `per_image.csv` and `counts.csv`: the scores of each image, in the source's order, and the
      counts that pooled figures are computed from; what is not a number is `nan`.
    * `per_class.csv`, where there are classes: panoptic quality and HoVer-Net's F1 of each.
    * `calibration.csv` and `.png`, where nuclei have scores in [0, 1]: the share of them that is
      matched, by score. `class_calibration.csv` and `.png`, where there are classes.
    * `overlays/`: the worst and the best images by PQ, `worst_01_<pq>_<name>.png` and so on. They
      show and score label maps, also where the figures are of whole nuclei that overlap.
    * `report.html`: all of it on one page, these images with a slider between truth and prediction.

    Args:
      segment: image (H, W, 3) uint8 -> an object with `instances` (H, W), integer; picklable
        steps (`TwoSteps`, as a `Predictor` has) where there are workers.
      source: the images with their true instances.
      options: what is computed, and how.
      output: folder for the report; None writes nothing.
      about: what else `metrics.json` holds, such as the checkpoint.
      training: the log of the training, for the curves of the report.

    Raises:
      ValueError: the source is empty; a metric or protocol is unknown or needs classes, scores or
        tissues that there are not; a segmentation has another shape than its image; a number is out
        of range.
    """
    # What is computed.
    options = options.completed()
    if options.overlays < 0:
        raise ValueError(f"overlays is {options.overlays}; it must be 0 or more")
    if not len(source):
        raise ValueError(f"source {source.name!r} has no images to evaluate")
    scoring = plan_scoring(segment, source, options)
    if scoring.why_no_classes:
        logger.warning("no figures by class: %s", scoring.why_no_classes)

    # Every image, one by one.
    names: list[str] = []
    groups: list[dict[str, str]] = []

    def samples() -> Iterator[Sample]:
        for sample in map(source.__getitem__, range(len(source))):
            names.append(str(sample.meta["name"]))
            groups.append(groups_of(sample))
            yield sample

    results = score_images(segment, samples(), scoring, options.workers or 0)
    bar = tqdm(results, total=len(source), desc="evaluate", disable=not options.progress)
    sizes = {"truth": Sizes(), "prediction": Sizes()}
    scores, states = [], []
    for image in bar:
        scores.append(image.scores)
        states.append(image.states)
        for side, areas in zip(sizes.values(), image.areas, strict=True):
            side.add(areas)

    # The figures.
    of_protocols = protocols.results(scoring.protocols, states, scoring.class_names)
    evaluation = Evaluation(names, scores, groups, of_protocols)
    tissues = {g.get("tissue") for g in groups}
    tissue = "tissue" if len(tissues) > 1 and None not in tissues else None
    summary = evaluation.summary(tissue, options.level)
    if output is None:
        return summary

    # The files.
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    for name in OPTIONAL:
        (folder / name).unlink(missing_ok=True)  # of an earlier evaluation
    about = {"source": source.name, "split": source.split, **(about or {})}
    if scoring.why_no_classes:
        about["classes_not_scored"] = scoring.why_no_classes
    evaluation.write(folder, summary, about)
    if summary.classes:
        replace_file(folder / "per_class.csv", summary.classes_csv().encode())
    for name, calibration in evaluation.calibrations().items():
        replace_file(folder / f"{name}.csv", calibration.csv().encode())
        interval = summary.intervals.get(f"{name}_error_pooled")
        ends = None if interval is None else (interval.low, interval.high)
        diagram = plots.reliability(calibration.json(), *CALIBRATIONS[name][1], ends)
        replace_file(folder / f"{name}.png", plots.png(diagram))
    drawn = _draw(segment, source, evaluation, options.overlays, folder / "overlays")
    write_evaluation_report(
        folder / "report.html",
        evaluation,
        summary,
        about,
        level=options.level,
        sizes=sizes,
        drawn=drawn,
        training=training,
    )
    return summary


def _draw(
    segment: Segment, source: Source, evaluation: Evaluation, count: int, folder: Path
) -> list[Compared]:
    """Draws the worst and the best images, in files and for the report; removes older pictures."""
    pq = [scores.values.get("pq", math.nan) for scores in evaluation.scores]
    ranked = sorted((i for i, x in enumerate(pq) if not math.isnan(x)), key=pq.__getitem__)
    count, rules = min(count, len(ranked)), evaluation.conventions
    chosen = {"worst": ranked[: count - count // 2], "best": ranked[::-1][: count // 2]}
    written: set[Path] = set()
    drawn = []
    if count:
        folder.mkdir(exist_ok=True)
    for kind, indices in chosen.items():
        for place, index in enumerate(indices, 1):
            name = evaluation.names[index]
            plain = plain_name(name)[:50]  # names may be paths
            path = folder / f"{kind}_{place:02d}_{pq[index]:.3f}_{plain}.png"
            sample = source[index]
            found = check_shape(instances_of(segment, sample.image), sample.instances, name)
            maps = (sample.instances, found)
            save_png(path, overlay(sample.image, *maps, conventions=rules, caption=name))
            drawn.append(compared(kind, name, evaluation.scores[index], sample.image, *maps))
            written.add(path)
    for path in {*folder.glob("worst_*.png"), *folder.glob("best_*.png")} - written:
        path.unlink()
    return drawn
