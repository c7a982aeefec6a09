"""The splits of the data set that a configuration names."""

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxnuc import registry
from jaxnuc.data import sources
from jaxnuc.data.sample import Source

ROOT = "JAXNUC_DATA"


def open_split(section: Mapping[str, Any], root: str, split: str) -> Source:
    """Opens a split of a data set.

    Args:
      section: `{"name": ..., **arguments}` of a source.
      root: where its files are; empty: the folder of the source's name below `$JAXNUC_DATA`.
      split: `"train"`, `"val"`, `"test"`, or what else the source knows.

    Raises:
      ValueError: unknown source or argument, or a source with files and no root.
      FileNotFoundError: the root does not hold the source's files.
    """
    values = dict(section)
    name = values.pop("name")
    cls = registry.load("jaxnuc.data.sources", name, "source").Source
    if "root" in inspect.signature(cls).parameters:
        if root:
            values["root"] = Path(root).expanduser()
        elif ROOT in os.environ:
            values["root"] = Path(os.environ[ROOT]).expanduser() / name
        else:
            raise ValueError(
                f"where are the files of {name!r}? Give --config.data.root=FOLDER, or set {ROOT} "
                f"to a folder that holds {name}/"
            )
    return sources.create(name, split=split, **values)
