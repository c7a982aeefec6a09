"""Nuclei and the files they are written to."""

from jaxnuc.outputs.measure import measure
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.outputs.writing import FORMATS, Format, check_installed, paths, write

__all__ = [
    "FORMATS",
    "Format",
    "NucleiTable",
    "Scene",
    "check_installed",
    "measure",
    "paths",
    "write",
]
