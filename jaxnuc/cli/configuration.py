"""`--config=PAGE:arguments` and `--config.KEY=VALUE`: from a command line to a configuration."""

import ast
import inspect
import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxnuc
from jaxnuc.registry import Registry, unknown

if TYPE_CHECKING:
    from ml_collections import ConfigDict

OUTSIDE = Registry("configuration", member="get_config")


def folder() -> Path:
    """`configs/`: inside of the package where it is installed, beside it in a clone."""
    package = Path(jaxnuc.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def pages() -> dict[str, Path]:
    """The configurations of the library by name."""
    return {path.stem: path for path in sorted(folder().glob("*.py"))}


def listing() -> str:
    """Every configuration with the first line of its docstring."""
    titles = {
        name: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for name, path in pages().items()
    }
    width = max(map(len, titles))
    return "\n".join(f"{name:<{width}}  {title}" for name, title in titles.items())


def load(text: str, overrides: Mapping[str, str]) -> "ConfigDict":
    """Makes a configuration, and checks it.

    Args:
      text: a page and perhaps its arguments, such as `"quickstart"`, `"configs/a.py:small"` or
        `"my_package.my_config:crop=96"`.
      overrides: values as text by key, such as `{"data.root": "downloads"}`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: an unknown page, argument or key, or a value of another type.
    """
    from jaxnuc import config as configs

    # The colon of a Windows drive is not that before the arguments.
    match = re.fullmatch(r"(.*?\.py|[^:]*)(?::(.*))?", text)
    if match is None:
        raise ValueError(f"--config={text!r} is not of the form NAME:key=value,...")
    name, arguments = match.groups()
    get_config = _find(name)
    if arguments and not inspect.signature(get_config).parameters:
        raise ValueError(f"--config={text}: {name} takes no arguments")
    config: ConfigDict = get_config(arguments) if arguments else get_config()
    for key, value in overrides.items():
        configs.override(config, key, value)
    configs.check(config)
    return config


def _find(name: str) -> Callable[..., Any]:
    """The function `get_config` of a page."""
    if not name.endswith(".py"):
        if "." in name:
            return OUTSIDE.find(name)
        if name not in pages():
            raise unknown("configuration", name, pages())
    path = Path(name) if name.endswith(".py") else pages()[name]
    if not path.is_file():
        raise FileNotFoundError(
            f"--config={name}: no such file; `jaxnuc train --list-configs` lists those by name"
        )
    get_config: Callable[..., Any] | None = runpy.run_path(str(path)).get(OUTSIDE.member)
    if not callable(get_config):
        raise ValueError(f"{path} has no function {OUTSIDE.member}")
    return get_config
