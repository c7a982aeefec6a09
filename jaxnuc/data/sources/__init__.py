"""Data sets in their authors' formats: the file name is the registry.

A source reads the folder or the zip as its authors distribute it; an error says which files are
expected and where they are published. Each class documents the arguments that are its own. These
mean the same in all:

    root           the folder or zip of the data, or the folder in which its zips lie
    split          "train", "val", "test", or "all"; the same seed always gives the same split
    seed           of the random part of the split
    fractions      shares of train, val and test, where no split is published
    val_fraction   share of the published training images that is val, where there is no val
    convention     how outlines become pixels, see `jaxnuc.io.polygons.rasterize`
    unmatched      "error", or "skip" to leave out images without annotations and the reverse, whose
                   addresses are then in `source.unmatched`
    connectivity   2: pixels of a mask that share a corner are one nucleus; 1: only an edge
    mpp            microns per pixel of all samples, where the data set does not state them
    cache          keep label maps in memory, in each process that reads

A source raises FileNotFoundError where the data are not there, and ValueError for an unknown name,
for files that do not match, and, on reading, for a damaged file; the message names the file.
"""

from typing import Any

from jaxnuc.data.sample import Source
from jaxnuc.registry import Registry

REGISTRY = Registry("source", __name__, "Source", helpers=("base", "masks", "tcga"), base=Source)


def create(name: str, **arguments: Any) -> Source:
    """Opens a data set.

    Args:
      name: the file of this package that reads it, such as `"dsb2018"` or `"folder"`; or the dotted
        name of a class of another package that is derived from `jaxnuc.data.Source`.
      **arguments: those of the class.

    Returns:
      A source: `len(source)`, `source[i]` -> `Sample`, `source.name`.

    Raises:
      ValueError: no such source or argument, or one is missing; the message lists the known ones.

    >>> create("synthetic", split="val", size=64)[7].image.shape
    (64, 64, 3)
    """
    source: Source = REGISTRY.build({"name": name, **arguments})
    return source
