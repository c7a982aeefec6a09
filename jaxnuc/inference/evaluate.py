"""Scores a segmentation over a data set, and writes what shows where it fails."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from jaxnuc.data.sample import Sample, Source
from jaxnuc.files import replace_file
from jaxnuc.inference.overlay import write_overlay
from jaxnuc.metrics import Scores, score, summarize

GROUPS = ("modality", "style")  # what a sample's meta may be grouped by
AGGREGATION = {
    "image_mean": "mean of the images' scores",
    "pooled": "computed once from pixel or instance counts summed over all images",
}
EMPTY = {
    "skip": "images empty in truth and prediction are left out of the image means",
    "one": "images empty in truth and prediction score 1",
    "zero": "images empty in truth and prediction score 0",
}


class Segmentation(Protocol):
    """What a segmentation function returns, at least."""

    @property
    def instances(self) -> np.ndarray: ...


class Row(NamedTuple):
    """All that is kept of an image."""

    name: str
    groups: dict[str, str]
    scores: Scores


def evaluate(
    segment: Callable[[np.ndarray], Segmentation],
    source: Source,
    *,
    threshold: float = 0.5,
    empty: str = "skip",
    output: str | Path | None = None,
    overlays: int = 16,
    progress: bool = True,
    about: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Segments and scores every image of a source.

    Only scores are kept while it runs; the images that are drawn are segmented once more at the
    end. With `output`, this is written (each file whole or not at all):

    * `metrics.json`: the figures, those of every group of images (modality, style) where the
      samples tell, and the conventions behind them. What is not a number is null.
    * `per_image.csv`: one line per image, in the source's order; what is not a number is `nan`.
    * `overlays/`: the worst and the best images by PQ, `worst_01_<pq>_<name>.png` and so on.

    Args:
      segment: image (H, W, 3) uint8 -> an object with `instances` (H, W), integer.
      source: the images with their true instances.
      threshold: instances match above this intersection over union.
      empty: score of an image without nuclei in truth and prediction: `skip`, `one` or `zero`.
      output: folder for the report; None writes nothing.
      overlays: number of pictures, half of them of the worst images. Images without a PQ get none.
      progress: show a progress bar.
      about: what else `metrics.json` is to say, such as the checkpoint.

    Returns:
      The data set's figures, named as by `jaxnuc.metrics.summarize`.

    Raises:
      ValueError: the source is empty, a segmentation has another shape than its image, `overlays`
        is negative, or `jaxnuc.metrics.score` refuses `threshold` or `empty`.
    """
    if overlays < 0:
        raise ValueError(f"overlays is {overlays}; it must be 0 or more")
    if not len(source):
        raise ValueError(f"source {source.name!r} has no images to evaluate")
    rows = []
    for sample in tqdm(_samples(source), total=len(source), desc="evaluate", disable=not progress):
        scores = score(sample.instances, _segmented(segment, sample), threshold, empty)
        groups = {key: str(sample.meta[key]) for key in GROUPS if key in sample.meta}
        rows.append(Row(str(sample.meta["name"]), groups, scores))
    figures = summarize([row.scores for row in rows])
    if output is not None:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / "per_image.csv", per_image(rows).encode())
        report = {
            **(about or {}),
            "source": source.name,
            "split": getattr(source, "split", None),
            "images": len(rows),
            "metrics": figures,
            "groups": by_group(rows),
            "conventions": {
                "aggregation": AGGREGATION,
                "empty_images": f"{empty}: {EMPTY[empty]}",
                "iou_threshold": threshold,
                "match": "one to one, intersection over union strictly above the threshold; "
                "below 0.5, among the pairs of the greatest total",
            },
        }
        replace_file(folder / "metrics.json", (_strict_json(report) + "\n").encode())
        _draw(segment, source, rows, threshold, overlays, folder / "overlays")
    return figures


def by_group(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of each group of images: `{"modality": {"stained": {"pq_pooled": ...}}}`."""
    found: dict[str, dict[str, list[Scores]]] = {}
    for row in rows:
        for key, value in row.groups.items():
            found.setdefault(key, {}).setdefault(value, []).append(row.scores)
    return {
        key: {value: summarize(scores) for value, scores in sorted(values.items())}
        for key, values in found.items()
    }


def per_image(rows: Sequence[Row]) -> str:
    """The rows as CSV: name, groups, nuclei in truth and prediction, then every score."""
    keys = [key for key in GROUPS if any(key in row.groups for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *keys, "true_nuclei", "predicted_nuclei", *Scores._fields])
    for name, groups, scores in rows:
        nuclei = (scores.tp + scores.fn, scores.tp + scores.fp)
        writer.writerow([name, *(groups.get(key, "") for key in keys), *nuclei, *scores])
    return text.getvalue()


def table(figures: Mapping[str, float]) -> str:
    """The figures as an aligned text: a line for each metric, a column for each aggregation.

    Args:
      figures: as `evaluate` returns them.

    Returns:
      Lines without a final newline.

    >>> print(table({"dice_image_mean": 0.91234, "aji_image_mean": 0.7, "dice_pooled": 0.9,
    ...              "images": 12, "images_skipped": 1}))
                    image mean  pooled
    dice                0.9123  0.9000
    aji                 0.7000
    images                  12
    images skipped           1
    """
    rows = {"": [name.replace("_", " ") for name in AGGREGATION]}
    for name, value in figures.items():
        metric, column = name, 0  # a count, which is not aggregated, stands in the first column
        for place, aggregation in enumerate(AGGREGATION):
            if name.endswith(f"_{aggregation}"):
                metric, column = name.removesuffix(f"_{aggregation}"), place
        cells = rows.setdefault(metric.replace("_", " "), [""] * len(AGGREGATION))
        cells[column] = str(value) if isinstance(value, int) else f"{value:.4f}"
    first = max(map(len, rows))
    widths = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    return "\n".join(
        "  ".join([label.ljust(first), *map(str.rjust, cells, widths)]).rstrip()
        for label, cells in rows.items()
    )


def _samples(source: Source) -> Iterator[Sample]:
    return (source[index] for index in range(len(source)))


def _segmented(segment: Callable[[np.ndarray], Segmentation], sample: Sample) -> np.ndarray:
    instances = np.asarray(segment(sample.image).instances)
    if instances.shape != sample.instances.shape:
        raise ValueError(
            f"image {sample.meta['name']!r}: segmented as {instances.shape}, but its truth is "
            f"{sample.instances.shape}; a segmentation must have its image's resolution"
        )
    return instances


def _draw(
    segment: Callable[[np.ndarray], Segmentation],
    source: Source,
    rows: Sequence[Row],
    threshold: float,
    count: int,
    folder: Path,
) -> None:
    """Draws the worst and the best images; removes the pictures of an earlier evaluation."""
    ranked = [i for i, row in enumerate(rows) if not math.isnan(row.scores.pq)]
    ranked.sort(key=lambda i: rows[i].scores.pq)
    count = min(count, len(ranked))
    chosen = {"worst": ranked[: count - count // 2], "best": ranked[::-1][: count // 2]}
    written = set()
    if count:
        folder.mkdir(exist_ok=True)
    for kind, indices in chosen.items():
        for place, index in enumerate(indices, 1):
            name, _, scores = rows[index]
            plain = re.sub(r"[^\w.-]+", "_", name)[:80]  # names may be paths
            path = folder / f"{kind}_{place:02d}_{scores.pq:.3f}_{plain}.png"
            sample = source[index]
            maps = (sample.instances, _segmented(segment, sample))
            write_overlay(path, sample.image, *maps, threshold=threshold, caption=name)
            written.add(path)
    for pattern in ("worst_*.png", "best_*.png"):
        for path in folder.glob(pattern):
            if path not in written:
                path.unlink()


def _strict_json(value: Any) -> str:
    def finite(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {key: finite(inner) for key, inner in item.items()}
        return None if isinstance(item, float) and not math.isfinite(item) else item

    return json.dumps(finite(value), indent=2, allow_nan=False)
