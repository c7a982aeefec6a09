"""Pages by name: from `NAME:arguments` to the function of that page, and to what it makes."""

import ast
import inspect
import re
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxnuc
from jaxnuc.registry import Registry, unknown

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def _configs() -> Path:
    """`configs/`: inside of the package where it is installed, beside it in a clone."""
    package = Path(jaxnuc.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


@dataclass(frozen=True)
class Pages:
    """A folder of files that each define one function, whose argument is a text.

    Attributes:
      kind: what a page makes, for errors.
      member: name of the function.
      flag: how a command line names a page, for errors.
      below: folder below `configs/`.
      groups: folders below that, whose pages are named `FOLDER/NAME`.
    """

    kind: str
    member: str
    flag: str
    below: str = ""
    groups: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the pages of the library are."""
        return _configs() / self.below

    def paths(self) -> dict[str, Path]:
        """The pages of the library by name."""
        found = {path.stem: path for path in sorted(self.folder.glob("*.py"))}
        for group in self.groups:
            pages = sorted((self.folder / group).glob("*.py"))
            found |= {f"{group}/{path.stem}": path for path in pages}
        return found

    def listing(self) -> str:
        """Every page with the first line of its docstring."""
        titles = {
            name: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            for name, path in self.paths().items()
        }
        width = max(map(len, titles))
        return "\n".join(f"{name:<{width}}  {title}" for name, title in titles.items())

    def make(self, text: str, **given: str) -> Any:
        """What the function of a page returns.

        Args:
          text: a page and perhaps its arguments, such as `"quickstart"`, `"configs/a.py:small"` or
            `"my_package.my_page:crop=96"`.
          **given: what functions of pages may take by name besides, such as the `weights` that a
            training starts from.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: an unknown page or argument.
        """
        # The colon of a Windows drive is not that before the arguments.
        match = re.fullmatch(r"(.*?\.py|[^:]*)(?::(.*))?", text)
        if match is None:
            raise ValueError(f"{self.flag}{text!r} is not of the form NAME:key=value,...")
        name, arguments = match.groups()
        function = self._find(name)
        parameters = inspect.signature(function).parameters
        if arguments and not parameters.keys() - given.keys():
            raise ValueError(f"{self.flag}{text}: {name} takes no arguments")
        known = {key: value for key, value in given.items() if key in parameters}
        return function(arguments, **known) if arguments else function(**known)

    def _find(self, name: str) -> Callable[..., Any]:
        """The function of a page."""
        if not name.endswith(".py"):
            if "." in name:
                return Registry(self.kind, member=self.member).find(name)
            if name not in self.paths():
                raise unknown(self.kind, name, self.paths())
        path = Path(name) if name.endswith(".py") else self.paths()[name]
        if not path.is_file():
            known = ", ".join(self.paths())
            raise FileNotFoundError(f"{self.flag}{name}: no such file; by name there are {known}")
        function: Callable[..., Any] | None = runpy.run_path(str(path)).get(self.member)
        if not callable(function):
            raise ValueError(f"{path} has no function {self.member}")
        return function


CONFIGURATIONS = Pages("configuration", "get_config", "--config=", groups=("models",))
STUDIES = Pages("study", "get_study", "", "studies")


def load(text: str, overrides: Mapping[str, str]) -> "ConfigDict":
    """Makes a configuration, and checks it.

    Args:
      text: a page and perhaps its arguments, as `Pages.make` takes them.
      overrides: values as text by key, such as `{"data.root": "downloads"}`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: an unknown page, argument or key, or a value of another type.
    """
    from jaxnuc import config as configs

    weights = overrides.get("weights.file", "")
    config: ConfigDict = CONFIGURATIONS.make(text, weights=weights)
    # The name of a source before its arguments, which it would drop.
    for key in sorted(overrides, key=lambda key: key not in configs.SOURCE_NAMES):
        configs.override(config, key, overrides[key])
    configs.check(config)
    return config
