"""The report of the nuclei of one image."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image
from scipy import ndimage

from jaxnuc.io.atomic import replace_file
from jaxnuc.outputs import NucleiTable, Scene
from jaxnuc.outputs.drawing import brighten, enlarge
from jaxnuc.outputs.outlined import outlined
from jaxnuc.reports import page, pictures, plots
from jaxnuc.reports.histogram import Histogram
from jaxnuc.reports.page import Html, element
from jaxnuc.reports.sizes import Sizes, histogram

LEVELS = 128  # of the colors of the density
SCORES = np.linspace(0, 1, 41)
NUCLEI_IN_KERNEL = 10  # that the density is smoothed over, on average
WIDEST = 0.05  # of the longer side: the standard deviation of the kernel at most
THUMBNAIL_SIDE = 240  # pixels
UNITS = {True: "nuclei per mm²", False: "nuclei per 1000 x 1000 px"}


def write_prediction_report(
    path: str | os.PathLike[str],
    tables: Callable[[], Iterable[NucleiTable]],
    scene: Scene,
    thumbnail: np.ndarray,
    scale: float,
    about: Mapping[str, Any],
) -> None:
    """Writes a page with the numbers, classes, sizes and places of the nuclei of an image.

    The page is one HTML file that needs nothing else, written whole or not at all. The nuclei are
    read once; memory does not grow with their number. The thumbnail (h, w, 3) uint8 is the whole
    image made small: `scale` pixels of the scene are one of it, along a side. What is in `about` is
    listed, mappings as tables; its `corrupt` are the regions that could not be read.
    """
    found = _Found(thumbnail.shape[:2], scale)
    for table in tables():
        found.add(table, scene.mpp)
    replace_file(Path(path), _page(found, scene, thumbnail, scale, about))


class _Found:
    """Counts of the nuclei."""

    def __init__(self, shape: tuple[int, ...], scale: float) -> None:
        self.scale = scale
        self.sizes = Sizes()
        self.scores = np.zeros(len(SCORES) - 1, np.int64)
        self.classes: dict[int, int] = {}
        self.places = np.zeros(shape, np.float32)  # nuclei in each pixel of the thumbnail

    def add(self, table: NucleiTable, mpp: float | None) -> None:
        if not len(table):
            return
        areas = np.array([np.count_nonzero(mask.mask) for mask in table.masks], float)
        self.sizes.add(areas if mpp is None else areas * mpp**2)
        self.scores += np.histogram(np.clip(table.scores, 0, 1), SCORES)[0]
        classes = np.zeros(len(table), int) if table.classes is None else table.classes
        for number, count in zip(*np.unique(classes, return_counts=True), strict=True):
            self.classes[int(number)] = self.classes.get(int(number), 0) + int(count)
        corners = np.array([mask[:2] for mask in table.masks], float)
        middles = corners + np.array([mask.mask.shape for mask in table.masks]) / 2
        rows, cols = (middles / self.scale).astype(int).T
        height, width = self.places.shape
        np.add.at(self.places, (rows.clip(0, height - 1), cols.clip(0, width - 1)), 1)


def density(places: np.ndarray, sigma: float) -> np.ndarray:
    """(h, w) float32 nuclei per pixel, averaged by a Gaussian that ends with the image."""
    smooth = ndimage.gaussian_filter(places.astype(np.float32), sigma, mode="constant")
    rows, cols = (
        ndimage.gaussian_filter1d(np.ones(side, np.float32), sigma, mode="constant")
        for side in places.shape
    )
    return smooth / np.outer(rows, cols)  # the share of the Gaussian that lies in the image


def _page(
    found: _Found, scene: Scene, thumbnail: np.ndarray, scale: float, about: Mapping[str, Any]
) -> bytes:
    total = found.sizes.total
    unit = "px" if scene.mpp is None else "µm"
    resolution = "unknown resolution" if scene.mpp is None else f"{scene.mpp:.4g} µm per pixel"
    height, width = scene.shape
    sections = [page.section("Summary", page.cards(_figures(found, scene)))]
    corrupt = list(about.get("corrupt", ()))
    if corrupt:
        listed = element("ul", (element("li", str(line)) for line in corrupt))
        sections.append(page.section(f"Corrupt regions ({len(corrupt)})", listed))
    if total:
        sections.append(_map(found, scene, thumbnail, scale))
        if scene.class_names is not None:
            sections.append(page.section("Classes", _classes(found, scene)))
        sizes = histogram({"all": found.sizes}, unit)
        scores = Histogram(SCORES, {"all": found.scores}, "score", "nuclei")
        drawn = [plots.chart(sizes, "Areas of the nuclei"), plots.chart(scores, "Their scores")]
        sections.append(page.section("Sizes and scores", element("div", drawn, class_="charts")))
    sections.append(page.section("Settings and files", *_about(about)))
    below = f"{height} x {width} pixels, {resolution}"
    return page.page(f"Nuclei in {scene.image}", below, sections)


def _figures(found: _Found, scene: Scene) -> list[tuple[str, str, str]]:
    height, width = scene.shape
    area = height * width * (1e-6 if scene.mpp is None else (scene.mpp / 1000) ** 2)
    size = f"{area:,.0f}" if area >= 100 else f"{area:.3g}"
    per, unit = ("", "px²") if scene.mpp is None else (f"of the whole image, {size} mm²", "µm²")
    name = UNITS[scene.mpp is not None].capitalize()
    figures = [("Nuclei", f"{found.sizes.total:,}", "")]
    figures.append((name, f"{found.sizes.total / area:,.0f}", per))
    if found.sizes.total:
        figures.append(("Mean area", f"{found.sizes.mean:.1f} {unit}", ""))
    return figures


def _map(found: _Found, scene: Scene, thumbnail: np.ndarray, scale: float) -> Html:
    """The thumbnail and the density of the nuclei, with a slider between."""
    sides = np.array(found.places.shape)
    # A Gaussian averages over an area of 4 pi sigma^2, which is to hold that many nuclei.
    sigma = math.sqrt(NUCLEI_IN_KERNEL * sides.prod() / (4 * math.pi * found.sizes.total))
    sigma = max(1.5, min(sigma, WIDEST * float(sides.max())))
    metric = scene.mpp is not None
    pixel = scale * (scene.mpp / 1000 if scene.mpp is not None else 1e-3)  # mm or 1000 px
    nuclei = density(found.places, sigma) / pixel**2
    high = float(nuclei.max())
    colors = matplotlib.colormaps["inferno"].resampled(LEVELS)(range(LEVELS), bytes=True)
    small = np.asarray(_fitted(Image.fromarray(nuclei), pictures.SIDE // 2))
    levels = np.minimum(small / high * LEVELS, LEVELS - 1).astype(np.uint8)
    picture = np.asarray(_fitted(Image.fromarray(thumbnail), pictures.SIDE))
    smoothed = sigma * scale * (scene.mpp or 1)
    caption = (
        f"Density, {UNITS[metric]}, smoothed by a Gaussian with a standard deviation of "
        f"{smoothed:.3g} {'µm' if metric else 'px'}. Drag over the picture, or use the arrow keys."
    )
    bottom = ("image", pictures.photograph(picture))
    layers = {"density": pictures.drawing(levels, colors)}
    size, start = picture.shape[:2], ("image", "density")
    figure = element(
        "figure",
        pictures.compare(scene.image, size, bottom, layers, start),
        page.color_scale(colors[:: LEVELS // 16, :3].tolist(), high, UNITS[metric]),
        element("figcaption", caption),
        class_="compare map",
    )
    return page.section("Density", figure)


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """The picture, made smaller where a side is longer than `side`."""
    shrink = min(1.0, side / max(picture.size))
    width, height = (max(1, round(n * shrink)) for n in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX) if shrink < 1 else picture


def _classes(found: _Found, scene: Scene) -> Html:
    total = found.sizes.total
    rows = []
    for number, name in [*enumerate(scene.class_names or ()), (0, "")][1:]:
        count = found.classes.get(number, 0)
        if number or count:
            head = Html(
                page.swatch(*scene.color(number)) + element("span", name or "without a class")
            )
            rows.append((head, f"{count:,}", f"{100 * count / total:.1f} %"))
    return page.table("Nuclei by predicted class", ("class", "nuclei", "share"), rows)


def _about(about: Mapping[str, Any]) -> list[Html]:
    """Single values first, then each mapping under its name."""
    single = {k: v for k, v in about.items() if not isinstance(v, Mapping) and k != "corrupt"}
    parts = [page.facts(single)] if single else []
    for name, value in about.items():
        if isinstance(value, Mapping):
            parts += [element("h3", name.replace("_", " ").capitalize()), page.facts(value)]
    return parts


def write_thumbnail(
    path: str | os.PathLike[str],
    tables: Iterable[NucleiTable],
    scene: Scene,
    thumbnail: np.ndarray,
) -> None:
    """Writes a small JPEG of the image with the outlines of its nuclei.

    The thumbnail (h, w, 3) uint8 is the image made small, as in `write_prediction_report`.
    """
    whole = max(1, THUMBNAIL_SIDE // max(scene.shape))  # small images are enlarged
    small = np.asarray(_fitted(Image.fromarray(brighten(thumbnail)), THUMBNAIL_SIDE))
    picture = enlarge(small, whole)
    outlined(tables, scene, picture, min(1.0, max(small.shape) / max(scene.shape)) * whole)
    replace_file(Path(path), pictures.jpeg(picture))
