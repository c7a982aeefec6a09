"""Data sets in their authors' formats: the file name is the registry."""

import inspect
from typing import Any

from jaxnuc import registry
from jaxnuc.data.sample import Source


def create(name: str, **arguments: Any) -> Source:
    """Opens a data set.

    Args:
      name: the file of this package that reads it, such as `"dsb2018"` or `"folder"`.
      **arguments: those of the file's `Source`.

    Returns:
      A source: `len(source)`, `source[i]` -> `Sample`, `source.name`.

    Raises:
      ValueError: no such source or argument, or one is missing; the message lists the known ones.
    """
    cls = registry.load(__name__, name, "source").Source
    parameters = inspect.signature(cls).parameters
    for key in arguments:
        if key not in parameters:
            raise registry.unknown(f"argument of source {name!r}:", key, parameters)
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise ValueError(f"source {name!r} needs the argument {key!r}")
    return cls(**arguments)
