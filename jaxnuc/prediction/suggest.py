"""Which images, or regions of images, to annotate next."""

import bisect
import itertools
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import entropy

from jaxnuc.data import sources
from jaxnuc.io import LargeImage, image_name, list_images, thumbnail
from jaxnuc.io.atomic import replace_file
from jaxnuc.io.csv_table import read_csv
from jaxnuc.io.large_image import Box
from jaxnuc.metrics.rows import csv_text
from jaxnuc.outputs.drawing import brighten
from jaxnuc.prediction.image_task import open_input
from jaxnuc.prediction.options import DEFAULT, REPORT, PredictionOptions
from jaxnuc.prediction.patches import reference
from jaxnuc.prediction.predict import predict
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.suggestion_order import color_moments, suggestion_order
from jaxnuc.reports.pictures import fitted, jpeg
from jaxnuc.reports.suggestions import write_suggestions_page

TABLE, PAGE, PREDICTED = "suggestions.csv", "index.html", "predicted"
COLOR = (255, 200, 0)  # of the rectangles in QuPath
THUMBNAIL = 256  # pixels of the longer side
LARGEST = 4096  # pixels: a region is read as a whole


@dataclass(frozen=True)
class Request:
    """What is to be suggested.

    Attributes:
      region: side of the regions in pixels of the file, about: the sides of an image are cut into
        equal parts. An image shorter than one and a half of it is one part; 0: whole images.
      count: how many are suggested.
      annotated: folder of what is annotated, as the source `folder` reads it: suggested is what is
        unlike it. None: nothing is.
    """

    region: int = 512
    count: int = 10
    annotated: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.region <= LARGEST:
            raise ValueError(
                f"region={self.region} must be 0 (whole images) or up to {LARGEST} pixels"
            )
        if self.count < 1:
            raise ValueError(f"count={self.count} must be at least 1")


@dataclass(frozen=True)
class Region:
    """A part of an image, and what speaks for annotating it.

    Attributes:
      image: name of the image, without suffix.
      path: of the image.
      box: in pixels of the file.
      nuclei: how many the network finds.
      disagreement: 1 less the mean agreement of the nuclei, in [0, 1]; None without nuclei.
      class_spread: entropy of the mean class probabilities of the nuclei in bits; None without
        nuclei or classes.
      distance: to what is annotated or suggested before, in gray levels, see `suggestion_order`;
        None where nothing is, or without nuclei.
      rank: from 1; None where it is not suggested.
    """

    image: str
    path: Path
    box: Box
    nuclei: int
    disagreement: float | None = None
    class_spread: float | None = None
    distance: float | None = None
    rank: int | None = None

    def row(self) -> dict[str, Any]:
        """The line of the table."""
        row, col, height, width = self.box
        place = {"x": col, "y": row, "width": width, "height": height}
        figures = {
            name: None if value is None else round(value, 4)
            for name, value in (
                ("disagreement", self.disagreement),
                ("class_spread", self.class_spread),
                ("distance", self.distance),
            )
        }
        return {"rank": self.rank, "image": self.image, **place, "nuclei": self.nuclei, **figures}


@dataclass(frozen=True)
class Suggestions:
    """The outcome of `suggest`.

    Attributes:
      regions: all of them: first those that are suggested, by rank, then the others.
      failed: (path, reason) of each image that could not be read.
    """

    regions: tuple[Region, ...]
    failed: tuple[tuple[str, str], ...]

    @property
    def suggested(self) -> tuple[Region, ...]:
        """The regions to annotate, the most useful first."""
        return tuple(each for each in self.regions if each.rank is not None)


def suggest(
    inputs: Sequence[str | os.PathLike[str]],
    predictor: Predictor,
    output: str | os.PathLike[str],
    request: Request = Request(),
    options: PredictionOptions = DEFAULT,
) -> Suggestions:
    """Suggests which regions of images to annotate next.

    The nuclei are predicted, into the folder `predicted` of the output, and every region gets three
    scores: how far symmetries and networks disagree on its nuclei, how mixed the classes of its
    nuclei are, and how far its colors are from those of what is annotated. `suggestion_order` makes
    one order of them. A region where no nuclei are found is never suggested; one that is annotated,
    more than half of it, is left out.

    Writes `suggestions.csv` of all regions; `NAME.geojson` of each image with suggestions,
    rectangles of QuPath's class `Region*`; and `index.html` with their pictures.

    Args:
      inputs: image files, folders of them, or patterns.
      predictor: from `jaxnuc.load`, with several networks or symmetries.
      output: folder, made where it is missing.
      request: how large the regions are, how many, and what is annotated.
      options: of the prediction; without a report, no page is written here either.

    Raises:
      FileExistsError: the output has suggestions already; nothing is overwritten, since the
        rectangles may have been drawn in.
      ValueError: one network under one symmetry; there are no nuclei or no regions; else as
        `predict`.

    References:
      Wang et al., "Aleatoric uncertainty estimation with test-time augmentation for medical image
      segmentation with convolutional neural networks", Neurocomputing 338, 2019; Sener and
      Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018.
    """
    output = Path(output)
    if (output / TABLE).exists():
        raise FileExistsError(
            f"{output / TABLE} exists; take another output folder, or remove it and the rectangles "
            f"(*.geojson) beside it: what is in {PREDICTED}/ is used again"
        )
    predictor = replace(predictor, agreement=True)
    annotated, done = _annotated(request, options)
    options = options.replace(formats=("csv", "geojson_annotations"))
    results = predict(inputs, predictor, output / PREDICTED, options)
    regions: list[Region] = []
    moments: list[np.ndarray] = []
    paths = {image_name(path): path for path in list_images(inputs)}
    for summary in results.done:
        path = paths[summary["settings"]["image"]]
        with open_input(path, options) as image:
            of_nuclei = output / PREDICTED / summary["files"]["csv"]
            for region in _regions(path, of_nuclei, image.shape, request.region):
                if (region.image, region.box) not in done:
                    regions.append(region)
                    if region.nuclei:
                        moments.append(color_moments(_pixels(image, region.box)))
    if not results.done:
        return Suggestions((), results.failed)
    if not moments:
        why = "the network finds no nuclei in them" if regions else "all of them are annotated"
        raise ValueError(f"no region of the images can be suggested: {why}; give other images")
    ordered = _ordered(regions, np.array(moments), annotated, request.count)
    _write(output, ordered, options)
    return Suggestions(ordered, results.failed)


def boxes(shape: tuple[int, int], region: int) -> list[Box]:
    """The regions of an image (H, W), row by row: equal parts with sides of about `region` pixels.

    >>> boxes((600, 1000), 512)
    [Box(row=0, col=0, height=600, width=500), Box(row=0, col=500, height=600, width=500)]
    """
    rows, cols = (_ends(side, region) for side in shape)
    return [
        Box(top, left, bottom - top, right - left)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(cols)
    ]


def _ends(side: int, region: int) -> list[int]:
    """Where the parts of a side end, 0 included."""
    count = max(1, round(side / region)) if region else 1
    return [side * k // count for k in range(count + 1)]


def _annotated(
    request: Request, options: PredictionOptions
) -> tuple[np.ndarray, set[tuple[str, Box]]]:
    """Color moments of what is annotated, (M, 9), and the regions of which more than half is."""
    if request.annotated is None:
        return np.zeros((0, 9)), set()
    given = options.planes
    planes = {"channel": list(given.channel), "z": given.z, "time": given.time}
    chosen = {key: value for key, value in planes.items() if value not in (None, [])}
    if options.image is not None:
        chosen["image"] = options.image
    source = sources.create("folder", root=request.annotated, planes=chosen)
    moments: list[np.ndarray] = []
    done: set[tuple[str, Box]] = set()
    for number, name in enumerate(source.ids):
        sample = source[number]
        for box in boxes(sample.instances.shape, request.region):
            part = np.s_[box.row : box.row + box.height, box.col : box.col + box.width]
            seen = np.full(box[2:], True) if sample.ignore is None else ~sample.ignore[part]
            if seen.any():
                moments.append(color_moments(sample.image[part][seen]))
            if seen.mean() > 0.5:
                done.add((name, box))
    return np.array(moments).reshape(-1, 9), done


def _regions(image: Path, of_nuclei: Path, shape: tuple[int, int], side: int) -> list[Region]:
    """The regions of an image with what was predicted in them.

    Args:
      image: its file.
      of_nuclei: the table of its nuclei.
      shape: (H, W) of the image.
      side: of the regions.
    """
    rows, cols = (_ends(length, side) for length in shape)
    # Agreement and class probabilities of each nucleus, by region.
    nuclei: list[list[list[float]]] = [[] for _ in boxes(shape, side)]
    for _, line in read_csv(of_nuclei.read_bytes(), str(of_nuclei)):
        row = bisect.bisect(rows, float(line["centroid_row"]) + 0.5, 1, len(rows) - 1)
        col = bisect.bisect(cols, float(line["centroid_col"]) + 0.5, 1, len(cols) - 1)
        classes = [float(value) for key, value in line.items() if key.startswith("probability_")]
        number = (row - 1) * (len(cols) - 1) + col - 1
        nuclei[number].append([float(line["agreement"]), *classes[1:]])
    return [
        Region(image_name(image), image, box, len(of_region), *_scores(of_region))
        for box, of_region in zip(boxes(shape, side), nuclei, strict=True)
    ]


def _scores(nuclei: list[list[float]]) -> tuple[float | None, float | None]:
    """Disagreement and class spread of nuclei: agreement and class probabilities of each."""
    if not nuclei:
        return None, None
    agreement, *classes = np.mean(nuclei, axis=0)
    if not classes:
        return float(1 - agreement), None
    return float(1 - agreement), float(entropy(classes, base=2)) if any(classes) else 0.0


def _pixels(image: LargeImage, box: Box) -> np.ndarray:
    """The pixels of a region; of a whole slide, some that stand for it."""
    return reference(image) if box[2:] == image.shape else image.read(*box)


def _ordered(
    regions: Sequence[Region], moments: np.ndarray, annotated: np.ndarray, count: int
) -> tuple[Region, ...]:
    """The regions with their distances: those with a rank, then the others with nuclei."""
    able = [each for each in regions if each.nuclei]
    scores = [[each.disagreement for each in able]]
    if able[0].class_spread is not None:
        scores.append([each.class_spread for each in able])
    columns = [np.array(values, float) for values in scores]
    chosen, distances = suggestion_order(columns, moments, annotated, count)
    ranks = {number: rank for rank, number in enumerate(chosen, 1)}
    able = [
        replace(each, distance=None if np.isinf(far) else float(far), rank=ranks.get(number))
        for number, (each, far) in enumerate(zip(able, distances, strict=True))
    ]
    others = [each for each in able if each.rank is None]
    return (*(able[k] for k in chosen), *others, *(each for each in regions if not each.nuclei))


def _write(output: Path, regions: Sequence[Region], options: PredictionOptions) -> None:
    """Writes the rectangles, the page, and last the table."""
    suggested = [each for each in regions if each.rank is not None]
    by_image: dict[str, list[Region]] = {}
    for each in suggested:
        by_image.setdefault(each.image, []).append(each)
    for name, of_image in by_image.items():
        path = output / f"{name}.geojson"
        if path.exists():
            raise FileExistsError(
                f"{path} exists and is perhaps annotated; move it away, or take another output "
                "folder"
            )
        features = [_feature(each, len(suggested)) for each in of_image]
        collection = {"type": "FeatureCollection", "features": features}
        replace_file(path, (json.dumps(collection, indent=1) + "\n").encode())
    if options.files.report:
        pictures = [_picture(each, options) for each in suggested]
        links = [f"{PREDICTED}/{each.image}{REPORT}" for each in suggested]
        rows = [each.row() for each in suggested]
        write_suggestions_page(output / PAGE, rows, pictures, links)
    replace_file(output / TABLE, csv_text([each.row() for each in regions]).encode())


def _feature(region: Region, count: int) -> dict[str, Any]:
    """A rectangle that QuPath opens as a locked annotation of the class `Region*`."""
    row, col, height, width = region.box
    corners = [[col, row], [col + width, row], [col + width, row + height], [col, row + height]]
    name = f"Region {region.rank} (of {count})"
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{region.image}#{name}")),
        "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
        "properties": {
            "objectType": "annotation",
            "name": name,
            "classification": {"name": "Region*", "color": COLOR},
            "isLocked": True,
        },
    }


def _picture(region: Region, options: PredictionOptions) -> bytes:
    """A small JPEG of a region."""
    with open_input(region.path, options) as image:
        whole = region.box[2:] == image.shape
        pixels = thumbnail(image, THUMBNAIL)[0] if whole else image.read(*region.box)
    return jpeg(np.asarray(fitted(Image.fromarray(brighten(pixels)), THUMBNAIL)))
