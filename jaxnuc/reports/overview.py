"""The page of all images of a folder of predictions."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jaxnuc.io.atomic import replace_file
from jaxnuc.reports import page
from jaxnuc.reports.page import Html, element
from jaxnuc.reports.pictures import address

# Figures of the table by their column in summary.csv, with their heads and how they are printed;
# of the first two areas, the page shows that which the images have.
_FIGURES = {
    "median_area_um2": ("median area, µm²", "{:.1f}"),
    "median_area_px": ("median area, px²", "{:.0f}"),
    "density_per_mm2": ("nuclei per mm²", "{:,.0f}"),
    "coverage": ("covered", "{:.1%}"),
    "hematoxylin": ("hematoxylin", "{:.3f}"),
    "eosin": ("eosin", "{:.3f}"),
    "intensity_mean": ("intensity", "{:.4g}"),
    "intensity_background": ("background", "{:.4g}"),
    "red_mean": ("red", "{:.4g}"),
    "green_mean": ("green", "{:.4g}"),
    "blue_mean": ("blue", "{:.4g}"),
    "corrupt_regions": ("corrupt regions", "{:d}"),
    "seconds": ("seconds", "{:.1f}"),
}


@dataclass(frozen=True)
class ImageOfRun:
    """An image of a folder of predictions.

    Attributes:
      first: the columns that every image has: `image`, `file`, `status`, `reason` (why it failed,
        or why its nuclei are in doubt), and `nuclei` where it is done.
      classes: number of nuclei by class; `""` are those without.
      figures: by name, as in `summary.csv`; None where an image has none.
      report: name of the file of its report, empty where there is none.
      thumbnail: a small JPEG, empty where there is none.
    """

    first: Mapping[str, Any]
    classes: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    report: str = ""
    thumbnail: bytes = b""


def write_overview_page(
    path: str | os.PathLike[str], name: str, images: Sequence[ImageOfRun]
) -> None:
    """Writes a page with a row for each image, which is sorted by any of its columns.

    It is one HTML file that needs nothing else but the reports it links to, in the same folder.
    """
    nuclei = sum(image.first.get("nuclei", 0) for image in images)
    reasons: dict[str, list[str]] = {"failed": [], "done": []}
    for image in images:
        if image.first["reason"]:
            line = f"{image.first['file']}: {image.first['reason']}"
            reasons[image.first["status"]].append(line)
    figures = [("Images", f"{len(images):,}", ""), ("Nuclei", f"{nuclei:,}", "")]
    listed = {"Failed images": reasons["failed"], "Images to check": reasons["done"]}
    figures += [(title, f"{len(lines):,}", "") for title, lines in listed.items() if lines]
    sections = [page.section("Summary", page.cards(figures))]
    sections += [page.section(title, page.lines(found)) for title, found in listed.items() if found]
    sections.append(page.section("Images", _table(images)))
    below = f"{_number(len(images), 'image')}; a click on the head of a column sorts by it"
    replace_file(Path(path), page.page(f"Nuclei in {name}", below, sections))


def _number(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def _table(images: Sequence[ImageOfRun]) -> Html:
    classes = list(dict.fromkeys(name for image in images for name in image.classes))
    shown = [
        key
        for key in _FIGURES
        if any(image.figures.get(key) for image in images)
        and not (key == "median_area_px" and all(_has_microns(image) for image in images))
    ]
    heads = ["image", "status", "nuclei", *(name or "without a class" for name in classes)]
    heads += [_FIGURES[key][0] for key in shown]
    rows = []
    for image in images:
        cells = [_cell(image.first.get("nuclei"), "{:,}")]
        cells += [_cell(image.classes.get(name), "{:,}") for name in classes]
        cells += [_cell(image.figures.get(key), _FIGURES[key][1]) for key in shown]
        rows.append(element("tr", _picture(image), _title(image), _status(image), cells))
    return page.sortable("The images and their nuclei", ["", *heads], rows)


def _has_microns(image: ImageOfRun) -> bool:
    return not image.figures or image.figures["mpp"] is not None


def _picture(image: ImageOfRun) -> Html:
    if not image.thumbnail:
        return element("td")
    name = image.first["image"]
    shown = {"loading": "lazy", "alt": f"{name} with the outlines of its nuclei"}
    return element("td", element("img", src=address(image.thumbnail, "JPEG"), **shown))


def _title(image: ImageOfRun) -> Html:
    name = image.first["image"]
    link = element("a", name, href=quote(image.report)) if image.report else name
    return element("th", link, scope="row", data_value=name)


def _status(image: ImageOfRun) -> Html:
    status = image.first["status"]
    if status == "done" and image.first["reason"]:
        status = "to check"
    return element("td", status, class_="text", data_value=status)


def _cell(value: float | None, printed: str) -> Html:
    if value is None:
        return element("td", "–")
    return element("td", printed.format(value), data_value=value)
