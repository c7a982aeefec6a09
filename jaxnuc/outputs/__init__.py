"""Nuclei and the files they are written to."""

from jaxnuc.outputs.formats.base import Format
from jaxnuc.outputs.measure import measure
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.outputs.writing import REGISTRY, create, make_formats, suffixes, write

__all__ = [
    "REGISTRY",
    "Format",
    "NucleiTable",
    "Scene",
    "create",
    "make_formats",
    "measure",
    "suffixes",
    "write",
]
