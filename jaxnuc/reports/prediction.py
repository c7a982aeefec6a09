"""The report of the nuclei of one image."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from jaxnuc.io.atomic import replace_file
from jaxnuc.outputs import NucleiTable, Scene
from jaxnuc.outputs.drawing import brighten, enlargement
from jaxnuc.outputs.outlined import Outlined, picture_scale
from jaxnuc.reports import page, pictures, regions
from jaxnuc.reports.histogram import Histogram
from jaxnuc.reports.page import Html, element
from jaxnuc.reports.sizes import Sizes, histogram

LEVELS = 128  # of the colors of the density
SCORES = np.linspace(0, 1, 41)
NUCLEI_IN_KERNEL = 10  # that the density is smoothed over, on average
WIDEST = 0.05  # of the longer side: the standard deviation of the kernel at most
SEEN = 0.5  # of the size of the image: in a smaller picture, outlines of nuclei hide them
THUMBNAIL_SIDE = 240  # pixels
MEANS = {"hematoxylin": "Hematoxylin", "eosin": "Eosin", "intensity_mean": "Intensity"}
UNITS = {True: "nuclei per mm²", False: "nuclei per 1000 x 1000 px"}


def write_prediction_report(
    path: str | os.PathLike[str],
    tables: Callable[[], Iterable[NucleiTable]],
    scene: Scene,
    thumbnail: np.ndarray,
    scale: float,
    about: Mapping[str, Any],
) -> None:
    """Writes a page with the outlines, numbers, classes, sizes and places of an image's nuclei.

    The page is one HTML file that needs nothing else, written whole or not at all. The nuclei are
    read once, those of a large image twice; memory does not grow with their number. Of an image
    that is too large for outlines to be seen, regions are shown in the resolution of the scene,
    where the scene has pixels.

    Args:
      path: of the page.
      tables: yields the nuclei, each time it is called.
      scene: the image.
      thumbnail: (h, w, 3) uint8, the whole image made small.
      scale: how many pixels of the scene are one of the thumbnail, along a side.
      about: what is listed, mappings as tables; its `doubts` are why the nuclei are probably wrong,
        and its `corrupt` the regions that could not be read.
    """
    shown = _Whole(scene, thumbnail)
    found = _Found(scene, thumbnail.shape[:2], scale)
    for table in tables():
        found.add(table)
        if shown.outlines is not None:
            shown.outlines.add(table)
    closer = []
    if shown.outlines is None and scene.pixels is not None:
        closer = regions.drawn(found.blocks, tables, scene, scene.checked_pixels())
    replace_file(Path(path), _page(found, shown, closer, about))


class _Whole:
    """The picture of the whole image, and the outlines of its nuclei where they can be seen."""

    def __init__(self, scene: Scene, thumbnail: np.ndarray) -> None:
        small = pictures.fitted(Image.fromarray(brighten(thumbnail)), pictures.SIDE)
        self.picture = np.asarray(small)
        height, width, _ = self.picture.shape
        enlarged = enlargement((height, width))
        self.size = height * enlarged, width * enlarged
        scale = picture_scale(self.size, scene)
        self.outlines = Outlined(scene, scale, self.size) if scale >= SEEN else None


class _Found:
    """Counts of the nuclei."""

    def __init__(self, scene: Scene, shape: tuple[int, ...], scale: float) -> None:
        self.scene, self.scale = scene, scale
        self.sizes = Sizes()
        self.scores = np.zeros(len(SCORES) - 1, np.int64)
        self.classes: dict[int, int] = {}
        self.places = np.zeros(shape, np.float32)  # nuclei in each pixel of the thumbnail
        self.blocks = regions.Blocks(scene.shape)

    def add(self, table: NucleiTable) -> None:
        if not len(table):
            return
        mpp = self.scene.mpp
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
        self.blocks.add(middles)


def density(places: np.ndarray, sigma: float) -> np.ndarray:
    """Nuclei per pixel of an image (h, w), averaged by a Gaussian that ends with the image.

    Of a wide Gaussian one value stands for n x n pixels, n being a third of its standard deviation:
    (h / n, w / n) float32, rounded up.
    """
    n, shape = max(1, int(sigma / 3)), places.shape
    places = np.pad(places.astype(np.float32), [(0, -side % n) for side in shape])
    height, width = (side // n for side in places.shape)
    summed = places.reshape(height, n, width, n).sum(axis=(1, 3))
    smooth = ndimage.gaussian_filter(summed, sigma / n, mode="constant")
    # By the pixels of the image that the Gaussian averages over.
    rows, cols = (
        ndimage.gaussian_filter1d(
            np.minimum(n, np.arange(side, 0, -n, dtype=np.float32)), sigma / n, mode="constant"
        )
        for side in shape
    )
    values = Image.fromarray(smooth / np.outer(rows, cols))
    # The last row and column may reach beyond the image.
    box = (0, 0, shape[1] / n, shape[0] / n)
    return np.asarray(values.resize(values.size, Image.Resampling.BILINEAR, box))


def _page(found: _Found, shown: _Whole, closer: Sequence[Html], about: Mapping[str, Any]) -> bytes:
    scene, total = found.scene, found.sizes.total
    unit = "px" if scene.mpp is None else "µm"
    resolution = "unknown resolution" if scene.mpp is None else f"{scene.mpp:.4g} µm per pixel"
    height, width = scene.shape
    sections = []
    if about.get("doubts"):
        doubts = element("div", page.lines(about["doubts"]), class_="doubt")
        sections.append(page.section("Please check", doubts))
    sections.append(
        page.section("Summary", page.cards(_figures(found, about.get("statistics", {}))))
    )
    corrupt = list(about.get("corrupt", ()))
    if corrupt:
        title = f"Corrupt regions ({len(corrupt)})"
        sections.append(page.section(title, page.lines(map(str, corrupt))))
    sections.append(page.section("Image", _picture(found, shown)))
    if closer:
        figures = element("div", closer, class_="pictures")
        sections.append(page.section("Regions", figures))
    if total:
        if scene.class_names is not None:
            sections.append(page.section("Classes", _classes(found, scene)))
        sizes = histogram({"all": found.sizes}, unit)
        scores = Histogram(SCORES, {"all": found.scores}, "score", "nuclei")
        drawn = [sizes.chart("Areas of the nuclei"), scores.chart("Their scores")]
        sections.append(page.section("Sizes and scores", element("div", drawn, class_="charts")))
    sections.append(page.section("Settings and files", *_about(about)))
    below = f"{height} x {width} pixels, {resolution}"
    return page.page(f"Nuclei in {scene.image}", below, sections)


def _figures(found: _Found, statistics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    scene = found.scene
    height, width = scene.shape
    area = height * width * (1e-6 if scene.mpp is None else (scene.mpp / 1000) ** 2)
    size = f"{area:,.0f}" if area >= 100 else f"{area:.3g}"
    per, unit = ("", "px²") if scene.mpp is None else (f"of the whole image, {size} mm²", "µm²")
    name = UNITS[scene.mpp is not None].capitalize()
    figures = [("Nuclei", f"{found.sizes.total:,}", "")]
    figures.append((name, f"{found.sizes.total / area:,.0f}", per))
    if found.sizes.total:
        median = statistics.get("median_area_px" if scene.mpp is None else "median_area_um2")
        below = "" if median is None else f"median {median:.1f} {unit}"
        figures.append(("Mean area", f"{found.sizes.mean:.1f} {unit}", below))
    if "coverage" in statistics:
        figures.append(("Covered by nuclei", f"{statistics['coverage']:.1%}", ""))
    for name, value in statistics.items():
        if name in MEANS and value is not None:
            figures.append((MEANS[name], f"{value:.4g}", "mean over the nuclei"))
    return figures


def _picture(found: _Found, shown: _Whole) -> Html:
    """The whole image, with the outlines and the density of its nuclei, and a slider between."""
    scene = found.scene
    layers, captions, below = {}, [], []
    if shown.outlines is not None:
        layers["nuclei"] = regions.layer(shown.outlines)
        captions.append("Outlines of the nuclei.")
        below.append(regions.key(shown.outlines))
    if found.sizes.total:
        layers["density"], scale, caption = _density(found)
        captions.append(caption)
        below.append(scale)
    start = ("image", next(iter(layers), "image"))
    microns = None if scene.mpp is None else scene.shape[1] * scene.mpp
    bottom = ("image", pictures.photograph(shown.picture))
    if layers:
        captions.append("Drag over the picture, or use the arrow keys.")
    return element(
        "figure",
        pictures.compare(scene.image, shown.size, bottom, layers, start, microns),
        below,
        element("figcaption", " ".join(captions)),
        class_="compare map",
    )


def _density(found: _Found) -> tuple[str, Html, str]:
    """The address of the picture of the density, its scale of colors, and what it is."""
    import matplotlib  # takes half a second

    scene, sides = found.scene, np.array(found.places.shape)
    # A Gaussian averages over an area of 4 pi sigma^2, which is to hold that many nuclei.
    sigma = math.sqrt(NUCLEI_IN_KERNEL * sides.prod() / (4 * math.pi * found.sizes.total))
    sigma = max(1.5, min(sigma, WIDEST * float(sides.max())))
    metric = scene.mpp is not None
    pixel = found.scale * (scene.mpp / 1000 if scene.mpp is not None else 1e-3)  # mm or 1000 px
    nuclei = density(found.places, sigma) / pixel**2
    high = float(nuclei.max())
    colors = matplotlib.colormaps["inferno"].resampled(LEVELS)(range(LEVELS), bytes=True)
    small = np.asarray(pictures.fitted(Image.fromarray(nuclei), pictures.SIDE // 2))
    levels = np.minimum(small / high * LEVELS, LEVELS - 1).astype(np.uint8)
    smoothed = sigma * found.scale * (scene.mpp or 1)
    caption = (
        f"Density, {UNITS[metric]}, smoothed by a Gaussian with a standard deviation of "
        f"{smoothed:.3g} {'µm' if metric else 'px'}."
    )
    scale = page.color_scale(colors[:: LEVELS // 16, :3].tolist(), high, UNITS[metric])
    return pictures.drawing(levels, colors), scale, caption


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
    own = ("corrupt", "doubts", "statistics")  # which are shown above
    about = {name: value for name, value in about.items() if name not in own}
    single = {name: value for name, value in about.items() if not isinstance(value, Mapping)}
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
    picture = pictures.outlined_picture(tables, scene, thumbnail, THUMBNAIL_SIDE)
    replace_file(Path(path), pictures.jpeg(picture))
