"""Names in a configuration, and what they stand for.

The file name is the registry: `jaxnuc/models/harunet.py` is the network `"harunet"`. A name with a
dot is imported as it is, so that `"my_package.my_net"` works as well as a file of ours.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist: lists the known ones and the nearest."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ValueError(f"unknown {kind} {name!r}; known: {', '.join(known)}{hint}")


def split(section: Mapping[str, Any], kind: str = "section") -> tuple[str, dict[str, Any]]:
    """`{"name": n, **arguments}` as `(n, arguments)`.

    Raises:
      ValueError: there is no name; says what it is to name.
    """
    # A ConfigDict becomes plain data, all the way down.
    values = section.to_dict() if hasattr(section, "to_dict") else dict(section)
    if not isinstance(values.get("name"), str):
        raise ValueError(f"a {kind} needs a 'name', got {values!r}")
    return values.pop("name"), values


@dataclass(frozen=True)
class Registry:
    """The choices of one kind: files of a package, entries of a table, anything importable.

    Attributes:
      kind: what is chosen, for errors, such as `"network"`.
      package: dotted name of the package whose files are choices; empty: there are no files.
      member: the class or function that each of these files defines, and modules from outside too.
      table: choices that are not files, by name.
      helpers: files of the package that are no choices, besides those that begin with `_`.
      elsewhere: arguments that a section may not set, and where they come from instead.
    """

    kind: str
    package: str = ""
    member: str = ""
    table: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    helpers: tuple[str, ...] = ("base",)
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """The choices that the library has, in alphabetical order."""
        files: list[str] = []
        if self.package:
            path = importlib.import_module(self.package).__path__
            files = [m.name for m in pkgutil.iter_modules(path) if m.name[0] != "_"]
        return sorted({*files, *self.table} - set(self.helpers))

    def module(self, name: str) -> ModuleType:
        """The module of a choice that is a file, here or in another package.

        Raises:
          ValueError: there is none; the message lists those that the library has.
        """
        if "." in name:
            found = _imported(name, self.kind)
            if isinstance(found, ModuleType):
                return found
            return importlib.import_module(found.__module__)
        if name not in self.names():
            raise unknown(self.kind, name, self.names())
        return importlib.import_module(f"{self.package}.{name}")

    def find(self, name: str) -> Callable[..., Any]:
        """The class or function that makes a choice.

        Args:
          name: a choice of the library, or the dotted name of a module that defines `member`, or
            of such a class or function itself.

        Raises:
          ValueError: there is none; the message lists those that the library has.
        """
        if "." not in name and name in self.table:
            return self.table[name]
        found = _imported(name, self.kind) if "." in name else self.module(name)
        if isinstance(found, ModuleType):
            if not callable(getattr(found, self.member, None)):
                raise ValueError(f"{self.kind} {name!r}: {found.__name__} has no {self.member!r}")
            found = getattr(found, self.member)
        return found

    def parameters(self, name: str) -> dict[str, inspect.Parameter]:
        """The arguments of a choice by name, as a section may give them."""
        found = inspect.signature(self.find(name)).parameters
        return {key: p for key, p in found.items() if key not in self.elsewhere}

    def check(self, name: str, arguments: Iterable[str], fixed: Iterable[str] = ()) -> None:
        """Refuses arguments that a choice does not take, and misses those that it needs.

        Args:
          name: of the choice.
          arguments: that a section gives.
          fixed: that the caller gives.

        Raises:
          ValueError: names the argument, and the way out.
        """
        for key in arguments:
            if key in self.elsewhere:
                raise ValueError(
                    f"{key!r} of {self.kind} {name!r} cannot be set here; {self.elsewhere[key]}"
                )
        parameters = self.parameters(name)
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        known = {key for key, p in parameters.items() if p.kind not in (p.VAR_KEYWORD,)}
        for key in arguments:
            if key not in known and not takes_all:
                raise unknown(f"argument of {self.kind} {name!r}:", key, known)
        given = {*arguments, *fixed}
        for key, parameter in parameters.items():
            if parameter.default is parameter.empty and key not in given and key in known:
                raise ValueError(f"{self.kind} {name!r} needs the argument {key!r}")

    def build(self, section: Mapping[str, Any], **fixed: Any) -> Any:
        """Makes what a section of a configuration describes.

        Args:
          section: `{"name": ..., **arguments}`.
          **fixed: arguments that do not come from the section.

        Raises:
          ValueError: an unknown name or argument, one that is missing, or a value that is refused.
        """
        name, arguments = split(section, self.kind)
        self.check(name, arguments, fixed)
        return self.find(name)(**arguments, **fixed)


def _imported(name: str, kind: str) -> Any:
    """The module, class or function of a dotted name."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{kind} {name!r} cannot be imported: {error}; is its package installed, or below the "
            "folder from which this runs?"
        ) from error


def names(package: str) -> list[str]:
    """The modules of a package that can be named in a config."""
    return Registry("choice", package).names()


def load(package: str, name: str, kind: str) -> ModuleType:
    """Imports `package.name`."""
    return Registry(kind, package).module(name)
