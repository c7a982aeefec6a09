"""The images of a folder of predictions in one table: as CSV, and as a page with their pictures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnuc.io import image_name
from jaxnuc.io.atomic import replace_file
from jaxnuc.io.image_files import natural_key
from jaxnuc.metrics.rows import csv_text
from jaxnuc.outputs import suffixes
from jaxnuc.prediction.options import REPORT, SUMMARY, THUMBNAIL
from jaxnuc.reports.overview import ImageOfRun, write_overview_page

TABLE, PAGE = "summary.csv", "index.html"
# How the files begin, or the part of their beginning by which they are known.
_MARKS = {TABLE: b"image,file,status,", PAGE: b"<title>Nuclei in "}


def check_overview(folder: Path) -> None:
    """Refuses a folder in which a file of this name is from elsewhere.

    Raises:
      FileExistsError: names the file.
    """
    for name, mark in _MARKS.items():
        path = folder / name
        if path.exists() and mark not in path.read_bytes()[:2048]:
            raise FileExistsError(
                f"{path} exists and is not from a prediction; move it away, or take another folder"
            )


def check_names(files: Mapping[str, Path]) -> None:
    """Refuses files of an image that would bear the name of the table or the page.

    Raises:
      ValueError: names the file, and the format that would write it.
    """
    for format_, path in files.items():
        if path.name in _MARKS:
            raise ValueError(
                f"{path.name} would be both the file of the format {format_} and that of all "
                "images; rename the image, or leave out the format"
            )


def write_overview(folder: Path, failed: Iterable[tuple[str, str]], page: bool) -> None:
    """Writes `summary.csv`, and perhaps `index.html`, of all images that a folder holds.

    The images are those with a `NAME.json`, of earlier runs and of other processes too, and those
    that have just failed. Nothing is written where there are none.

    Args:
      folder: of the predictions.
      failed: (path, reason) of each image that could not be done.
      page: whether `index.html` is written as well.
    """
    # Files of nuclei in JSON are large, and need not be read to find that they are no summaries.
    nuclei = suffixes()
    paths = (path for path in folder.glob(f"*{SUMMARY}") if not path.name.endswith(nuclei))
    found = {path.name.removesuffix(SUMMARY): path for path in paths}
    images = {name: _done(name, path) for name, path in found.items()}
    for path, reason in failed:
        name = image_name(path)
        why = reason.removeprefix(f"{path}: ")
        first = {"image": name, "file": Path(path).name, "status": "failed", "reason": why}
        images[name] = ImageOfRun(first)
    rows = [row for _, row in sorted(images.items(), key=lambda item: natural_key(item[0])) if row]
    if not rows:
        return
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / TABLE, csv_text(_table(rows)).encode())
    if page:
        write_overview_page(folder / PAGE, folder.resolve().name, rows)


def _table(images: Sequence[ImageOfRun]) -> list[dict[str, Any]]:
    """A row for each image, all with the same columns: a figure that an image lacks is None."""
    parts = [(image.first, _class_columns(image), image.figures) for image in images]
    columns = dict.fromkeys(name for k in range(3) for part in parts for name in part[k])
    return [{**columns, **first, **classes, **figures} for first, classes, figures in parts]


def _class_columns(image: ImageOfRun) -> dict[str, int]:
    return {f"nuclei_{name or 'without_class'}": n for name, n in image.classes.items()}


def _done(name: str, path: Path) -> ImageOfRun | None:
    """What a `NAME.json` says of its image; None where it is another program's."""
    try:
        summary = json.loads(path.read_text())
        statistics, settings = dict(summary["statistics"]), summary["settings"]
        classes = statistics.pop("classes")
        if settings["image"] != name:
            return None
        first = {
            "image": name,
            "file": Path(summary["path"]).name,
            "status": "done",
            "reason": "; ".join(summary["doubts"]),
            "nuclei": statistics.pop("nuclei"),
        }
        height, width = settings["shape"]
        figures = {
            "height": height,
            "width": width,
            "mpp": settings["mpp"],
            "seconds": round(_seconds(summary["seconds"]), 2),
            "corrupt_regions": len(summary["corrupt"]),
            **statistics,
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
    report, thumbnail = path.with_name(f"{name}{REPORT}"), path.with_name(f"{name}{THUMBNAIL}")
    return ImageOfRun(
        first,
        classes,
        figures,
        report.name if report.is_file() else "",
        thumbnail.read_bytes() if thumbnail.is_file() else b"",
    )


def _seconds(taken: Mapping[str, float]) -> float:
    """The sum of all times; those in which one waited for another are within them."""
    return sum(value for name, value in taken.items() if not name.startswith("waiting"))
