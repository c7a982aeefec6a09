"""The parser of all commands, and the arguments that several of them have."""

import argparse
import difflib
import json
import re
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

WIDTH = 100  # columns at most, also where the terminal is wider


class _Format(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, WIDTH)
        super().__init__(prog, max_help_position=26, width=width)

    def format_help(self) -> str:
        # Headings suffice to tell groups apart; blank lines between them cost half a screen.
        return re.sub(r"\n\n(?!options|positional)(?=[a-z]+:\n  )", "\n", super().format_help())


class Parser(argparse.ArgumentParser):
    """An `argparse` parser whose errors are one line and name the flag that was perhaps meant."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(formatter_class=_Format, allow_abbrev=False, **arguments)
        self.takes_overrides = False  # whether `--config.KEY=VALUE` is an argument

    def add_checkpoint(self, ensemble: bool = False) -> None:
        """Adds the choice of a trained network, or of several."""
        group = self.add_argument_group("network")
        several = "; repeat for an ensemble" if ensemble else ""
        group.add_argument(
            "--workdir",
            required=True,
            action="append" if ensemble else "store",
            metavar="FOLDER",
            help=f"folder of a run or checkpoint{several}",
        )
        group.add_argument(
            "--checkpoint", default="best", metavar="STEP", help="best, latest or a step (best)"
        )

    def add_patches(self, patch: int | None, overlap: int) -> None:
        """Adds how images are shown to the network."""
        group = self.add_argument_group("inference")
        group.add_argument(
            "--symmetries",
            type=int,
            choices=(1, 4, 8),
            default=1,
            metavar="N",
            help="test-time augmentation over 4 or 8 symmetries (1: none)",
        )
        group.add_argument(
            "--patch",
            type=int,
            default=patch,
            metavar="PX",
            help=f"side of what the network sees, multiple of 64 ({patch or 'image'})",
        )
        group.add_argument(
            "--overlap",
            type=int,
            default=overlap,
            metavar="PX",
            help=f"overlap of neighboring patches, multiple of 32 ({overlap})",
        )

    def add_source(self) -> None:
        """Adds the choice of a data set and its arguments."""
        self.add_argument("source", help="name of a data set, such as consep")
        self.add_argument(
            "--arguments",
            type=key_value,
            nargs="+",
            action="extend",
            default=[],
            metavar="KEY=VALUE",
            help="arguments of the data set; values in JSON, or plain text",
        )

    def add_level(self) -> None:
        """Adds the confidence of intervals."""
        self.add_argument(
            "--level", type=float, default=0.95, metavar="P", help="of the intervals (0.95)"
        )

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parses a command line; `overrides` is what it says of `--config.KEY=VALUE`, as text."""
        options, rest = self.parse_known_args(arguments)
        options.overrides, rest = _overrides(rest) if self.takes_overrides else ({}, rest)
        if rest:
            flags = [flag for action in self._actions for flag in action.option_strings]
            near = difflib.get_close_matches(rest[0].partition("=")[0], flags, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unknown argument {rest[0]!r}{hint}")
        return options

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _overrides(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """`--config.KEY=VALUE` and `--config.KEY VALUE` by key, and the other arguments."""
    found, rest, remaining = {}, [], iter(arguments)
    for argument in remaining:
        flag, equals, value = argument.partition("=")
        if flag.startswith("--config."):
            found[flag.removeprefix("--config.")] = value if equals else next(remaining, "")
        else:
            rest.append(argument)
    return found, rest


def add_workers(group: Any, text: str, default: int | None = None) -> None:
    """Adds the number of worker processes to a group; `text` is what the default means."""
    group.add_argument(
        "--workers", type=int, default=default, metavar="N", help=f"worker processes ({text})"
    )


def comma_separated(text: str) -> tuple[str, ...]:
    """`"a,b"` as `("a", "b")`."""
    return tuple(filter(None, text.split(",")))


def key_value(text: str) -> tuple[str, Any]:
    """`KEY=VALUE` with the value in JSON, or else plain text."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, such as merge=true")
    if key in ("name", "root", "split"):
        raise argparse.ArgumentTypeError(f"{text!r}: {key} has its own argument")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
