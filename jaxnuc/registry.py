"""The file name is the registry: `load("jaxnuc.models", "harunet", "model")`."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist: lists the known ones and the nearest."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ValueError(f"unknown {kind} {name!r}; known: {', '.join(known)}{hint}")


def names(package: str) -> list[str]:
    """The modules of a package that can be named in a config."""
    path = importlib.import_module(package).__path__
    return [m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_")]


def load(package: str, name: str, kind: str) -> ModuleType:
    """Imports `package.name`.

    Args:
      package: dotted name of the package that holds the choices.
      name: the file to import, without `.py`.
      kind: what is chosen, for the error.

    Raises:
      ValueError: no such file; the message lists those there are.
    """
    known = names(package)
    if name not in known:
        raise unknown(kind, name, known)
    return importlib.import_module(f"{package}.{name}")
