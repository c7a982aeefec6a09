"""Names in a configuration, and what they stand for.

The file name is the registry: `jaxnuc/models/harunet.py` is the network `"harunet"`. A name with a
dot is imported as it is, so that `"my_package.my_net"` works as well as a file of ours.
"""

import ast
import dataclasses
import difflib
import functools
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType, NoneType, UnionType
from typing import Any


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist: lists the known ones and the nearest."""
    known = sorted(known)
    listed = ", ".join(known) or "none"
    return ValueError(f"unknown {kind} {name!r}; known: {listed}{did_you_mean(name, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error that names what is nearest to a name; empty where nothing is near.

    >>> did_you_mean("harunt", ["harunet", "unet"]), did_you_mean("x", ["unet"])
    ("; did you mean 'harunet'?", '')
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def one_of(field: str, value: Any, known: Iterable[Any]) -> None:
    """Refuses a value of a field that is none of the known ones; see `check_known` for names."""
    if value not in (known := tuple(known)):
        raise ValueError(f"{field}={value!r}; known: {', '.join(map(str, known))}")


def expression(field: str, text: Any) -> re.Pattern[str]:
    """The regular expression that a user gives for a field.

    Raises:
      ValueError: it is none.

    >>> expression("keep", "*")
    Traceback (most recent call last):
    ValueError: keep='*' is no regular expression: nothing to repeat at position 0
    """
    try:
        return re.compile(text)
    except (re.error, TypeError) as error:
        raise ValueError(f"{field}={text!r} is no regular expression: {error}") from None


def check_known(kind: str, name: Any, known: Iterable[Any]) -> None:
    """Refuses what is not among the known ones, with the error of `unknown`."""
    known = list(known)
    if name not in known:
        raise unknown(kind, str(name), map(str, known))


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


def call(text: str, kind: str) -> tuple[str, list[Any], dict[str, Any]]:
    """A choice as it is written in a line: its name, and arguments by place and by name.

    Args:
      text: such as `"consep"`, `'cnseg(subset="cluster")'` or `"scale(0.8, high=1.25)"`; values are
        Python literals.
      kind: what is chosen, for errors.

    Raises:
      ValueError: the text is no such call, or an argument is no literal.

    >>> call('cnseg(subset="cluster")', "source")
    ('cnseg', [], {'subset': 'cluster'})
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        node = None
    if isinstance(node, ast.Name | ast.Attribute):
        node = ast.Call(node, [], [])
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
        raise ValueError(f"{kind} {text!r} is not a name, nor a call such as name(key=1)")
    named = {str(each.arg or "**"): _literal(each.value, kind, text) for each in node.keywords}
    return ast.unparse(node.func), [_literal(each, kind, text) for each in node.args], named


def section_of(text: str, kind: str) -> dict[str, Any]:
    """The section of a choice that is written as a name or a call, whose arguments have names.

    Raises:
      ValueError: the text is no such call.

    >>> section_of('cnseg(subset="cluster")', "source")
    {'name': 'cnseg', 'subset': 'cluster'}
    """
    name, values, arguments = call(text, kind)
    if values:
        raise ValueError(f"{text!r}: arguments need names, such as {name}(key=1)")
    return {"name": name, **arguments}


def _literal(node: ast.expr, kind: str, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"{kind} {text!r}: the argument {ast.unparse(node)!r} is not a literal (number, tuple, "
            "string); strings need quotes"
        ) from None


@functools.cache
def _files(package: str) -> tuple[str, ...]:
    """The names of a package's files. A training asks for them a hundred times."""
    path = importlib.import_module(package).__path__
    return tuple(m.name for m in pkgutil.iter_modules(path) if m.name[0] != "_")


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
      base: class from which every choice is derived, if it must be one.
    """

    kind: str
    package: str = ""
    member: str = ""
    table: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    helpers: tuple[str, ...] = ("base",)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    base: type = object

    def names(self) -> list[str]:
        """The choices that the library has, in alphabetical order."""
        files = _files(self.package) if self.package else ()
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

        The name is one of the library, or the dotted name of a module that defines `member`, or of
        such a class or function itself.

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
        if self.base is not object and not (
            isinstance(found, type) and issubclass(found, self.base)
        ):
            raise ValueError(
                f"{self.kind} {name!r} is not derived from {self.base.__module__}."
                f"{self.base.__qualname__}, which says what a {self.kind} must have"
            )
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
        known = {key for key, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
        for key in arguments:
            if key not in known and not takes_all:
                raise unknown(f"argument of {self.kind} {name!r}:", key, known)
        given = {*arguments, *fixed}
        for key, parameter in parameters.items():
            if parameter.default is parameter.empty and key not in given and key in known:
                raise ValueError(f"{self.kind} {name!r} needs the argument {key!r}")

    def build(self, section: Mapping[str, Any], **fixed: Any) -> Any:
        """Makes what a section of a configuration describes.

        Sections within the section, of fields made by `choice`, are built first.

        Args:
          section: `{"name": ..., **arguments}`.
          **fixed: arguments that do not come from the section.

        Raises:
          ValueError: an unknown name or argument, one that is missing or of another type, or a
            value that is refused.
        """
        name, arguments = split(section, self.kind)
        self.check(name, arguments, fixed)
        found = self.find(name)
        if inspect.isabstract(found):
            missing = ", ".join(sorted(vars(found)["__abstractmethods__"]))
            raise ValueError(
                f"{self.kind} {name!r} lacks {missing}; see {self.base.__module__}."
                f"{self.base.__qualname__}, which says what a {self.kind} must have"
            )
        if dataclasses.is_dataclass(found):
            arguments = _built_fields(f"{self.kind} {name!r}", found, arguments)
        return found(**arguments, **fixed)

    def name_of(self, found: Callable[..., Any]) -> str:
        """The name of a choice, dotted where it is not one of the library; inverse of `find`."""
        for name, entry in self.table.items():
            if entry is found:
                return name
        package, _, name = found.__module__.rpartition(".")
        if package == self.package and found.__qualname__ == self.member:
            return name
        return f"{found.__module__}.{found.__qualname__}"

    def section(self, made: Any) -> dict[str, Any]:
        """The section, as plain data, that makes a dataclass again; inverse of `build`."""
        values = {"name": self.name_of(type(made))}
        for each in dataclasses.fields(made):
            value, choices = getattr(made, each.name), each.metadata.get(_CHOICES)
            if choices is not None:
                many = isinstance(value, tuple)
                value = [choices.section(v) for v in value] if many else choices.section(value)
            values[each.name] = value
        return values


_CHOICES = "choices"


def choice(default: Any, choices: Registry) -> Any:
    """A dataclass field that is a choice of its own, with arguments of its own.

    In a configuration it is a section, or a list of sections where the default, a frozen dataclass
    from the choices, is a tuple of them. A section without a name changes arguments of the default.

    Example:
      >>> @dataclass(frozen=True)
      ... class Dice:
      ...     smooth: float = 1.0
      >>> @dataclass(frozen=True)
      ... class Mask:
      ...     loss: Dice = choice(Dice(), Registry("loss", table={"dice": Dice}))
      >>> masks = Registry("representation", table={"mask": Mask})
      >>> masks.build({"name": "mask", "loss": {"smooth": 2}})
      Mask(loss=Dice(smooth=2))
    """
    return field(default=default, metadata={_CHOICES: choices})


def _built_fields(owner: str, kind: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a dataclass with their sections built, and the types of all others checked."""
    built = dict(arguments)
    hints = typing.get_type_hints(kind)
    for each in dataclasses.fields(kind):
        if each.name not in arguments:
            continue
        what = f"{each.name} of {owner}"
        value, choices = arguments[each.name], each.metadata.get(_CHOICES)
        if choices is None:
            _check_type(what, value, hints[each.name])
        elif isinstance(each.default, tuple):
            if not isinstance(value, list | tuple):
                raise ValueError(f"{what} must be a list of sections, got {value!r}")
            made = (choices.build(v) if isinstance(v, Mapping) else v for v in value)
            built[each.name] = tuple(made)
        elif isinstance(value, Mapping):
            default = {"name": choices.name_of(type(each.default))}
            built[each.name] = choices.build({**default, **value})
        elif not dataclasses.is_dataclass(value):
            raise ValueError(f"{what} must be a section with a name, got {value!r}")
    return built


def _check_type(what: str, value: Any, hint: Any) -> None:
    """Refuses a value that is not of its field's type, where this is a plain one or several."""
    kinds = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if not all(isinstance(kind, type) for kind in kinds):
        return  # such as tuple[int, ...]: the field's own check has to do
    if type(value) is int and float in kinds:
        return
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise ValueError(f"{what} must be {names}, got {value!r}")


def _imported(name: str, kind: str) -> Any:
    """The module, class or function of a dotted name."""
    parent, _, attribute = name.rpartition(".")
    try:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:  # the module is there, but not what it imports
                raise
            module = importlib.import_module(parent)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"{kind} {name!r} cannot be imported: {error}; is its package installed, or below the "
            "folder from which this runs?"
        ) from error
    if not hasattr(module, attribute):
        near = did_you_mean(attribute, (each for each in dir(module) if each[0] != "_"))
        raise ValueError(f"{kind} {name!r}: {parent} has no {attribute!r}{near}")
    return getattr(module, attribute)
