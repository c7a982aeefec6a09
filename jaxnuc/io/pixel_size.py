"""Height and width of a pixel in micrometers, as image files give them."""

import math
import re
from xml.etree import ElementTree

import tifffile

_MICRONS = {
    "Å": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
}
_RESOLUTION_UNITS = {tifffile.RESUNIT.INCH: 25400.0, tifffile.RESUNIT.CENTIMETER: 10000.0}
# Dots per inch that a program put in without knowing lie outside.
_PLAUSIBLE = 0.05, 20.0


def in_microns(height: float, width: float, units: tuple[str, str]) -> tuple[float, float] | None:
    """Sides of a pixel in micrometers, None where a unit is no length or a side not positive.

    >>> in_microns(250, 250, ("nanometer", "nm"))
    (0.25, 0.25)
    >>> in_microns(1, 1, ("pixel", "pixel"))
    """
    if not (0 < height < math.inf and 0 < width < math.inf):
        return None
    if not all(unit in _MICRONS for unit in units):
        return None
    return height * _MICRONS[units[0]], width * _MICRONS[units[1]]


def plausible(sides: tuple[float, float]) -> bool:
    """Whether a microscope's pixels may have these sides, in micrometers."""
    return all(_PLAUSIBLE[0] <= side <= _PLAUSIBLE[1] for side in sides)


def of_tiff(
    tiff: tifffile.TiffFile, series: int, page: tifffile.TiffPage
) -> tuple[tuple[float, float] | None, str]:
    """Sides of the pixels of a series, and which part of its file states them."""
    for where, sides in (
        ("OME-XML", of_ome(tiff.ome_metadata, series) if tiff.ome_metadata else None),
        ("Aperio's description", _of_aperio(page)),
        ("ImageJ's metadata", _of_imagej(tiff, page)),
        ("TIFF's resolution", _of_resolution(page)),
    ):
        if sides is not None:
            return sides, where
    return None, ""


def _of_imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Fiji states pixels per unit as TIFF's resolution, and the unit in its own metadata."""
    unit = (tiff.imagej_metadata or {}).get("unit")
    sides = _per_pixel(page)
    if sides is None or not isinstance(unit, str):
        return None
    unit = unit.strip().replace("\\u00B5", "µ")  # as Java writes it
    return in_microns(*sides, (unit, unit))


def _of_aperio(page: tifffile.TiffPage) -> tuple[float, float] | None:
    aperio = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)", page.description)
    try:
        mpp = float(aperio[1]) if aperio else math.nan
    except ValueError:
        return None
    return in_microns(mpp, mpp, ("um", "um"))


def ome_pixels(xml: str, series: int) -> ElementTree.Element | None:
    """The pixels of an image in OME-XML; None where it is damaged or has no such image."""
    try:
        pixels = ElementTree.fromstring(xml).findall("{*}Image/{*}Pixels")
    except ElementTree.ParseError:
        return None
    return pixels[series] if series < len(pixels) else None


def of_ome(xml: str, series: int) -> tuple[float, float] | None:
    """Sides of the pixels of an image in OME-XML; micrometers where no unit is given."""
    pixels = ome_pixels(xml, series)
    found = {} if pixels is None else pixels.attrib
    try:
        width = float(found.get("PhysicalSizeX", math.nan))
        height = float(found.get("PhysicalSizeY", width))
    except ValueError:
        return None
    units = found.get("PhysicalSizeYUnit", "µm"), found.get("PhysicalSizeXUnit", "µm")
    if "PhysicalSizeY" not in found:
        units = units[1], units[1]
    return in_microns(height, width, units)


def _of_resolution(page: tifffile.TiffPage) -> tuple[float, float] | None:
    unit = _RESOLUTION_UNITS.get(page.tags.valueof("ResolutionUnit"))
    sides = _per_pixel(page)
    if unit is None or sides is None:
        return None
    height, width = sides[0] * unit, sides[1] * unit
    return (height, width) if plausible((height, width)) else None


def _per_pixel(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Units per pixel, (height, width), of TIFF's resolution."""
    tags = page.tags.valueof("YResolution"), page.tags.valueof("XResolution")
    if not all(isinstance(t, tuple) and len(t) == 2 and 0 not in t for t in tags):
        return None
    height, width = (per / pixels for pixels, per in tags)
    return height, width


def check_mpp(mpp: float) -> None:
    """Raises ValueError where `mpp` is not a positive number."""
    if isinstance(mpp, bool) or not isinstance(mpp, int | float) or not 0 < mpp < float("inf"):
        raise ValueError(f"mpp={mpp!r}: microns per pixel are a positive number, such as 0.25")
