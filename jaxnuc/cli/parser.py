"""The parser of all commands, and the arguments that several of them have."""

import argparse
import difflib
import re
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

from jaxnuc.config.pages import Pages
from jaxnuc.registry import section_of

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
        self._section: argparse._ActionsContainer = self
        self.takes_overrides = False  # whether `--config.KEY=VALUE` is an argument
        self.needs_network = False  # one by --workdir or --model

    def section(self, title: str) -> Sequence[argparse.Action]:
        """Begins a section of the help, to which the options that follow belong; gives these."""
        self._section = group = self.add_argument_group(title)
        return group._group_actions

    def value(
        self, flag: str, metavar: str, text: str, kind: Any = str, default: Any = None, **more: Any
    ) -> None:
        """Adds `--flag=METAVAR`, with its line of help, its type and default."""
        self._section.add_argument(
            flag, metavar=metavar, help=text, type=kind, default=default, **more
        )

    def choice(self, flag: str, choices: Sequence[str], text: str) -> None:
        """Adds an option with a few values, of which the first is the default."""
        self._section.add_argument(flag, choices=choices, default=choices[0], help=text)

    def switch(self, flag: str, text: str) -> None:
        """Adds an option without a value."""
        self._section.add_argument(flag, action="store_true", help=text)

    def add_checkpoint(self, ensemble: bool = False) -> None:
        """Adds the choice of a trained network, or of several."""
        self.section("network")
        text = "folder of a run or checkpoint" + ("; repeat for an ensemble" if ensemble else "")
        action = "append" if ensemble else "store"
        self.value("--workdir", "FOLDER", text, action=action)
        shipped = "or one of `jaxnuc models`, such as fluorescence"
        self.value("--model", "NAME", shipped, action=action, dest="workdir")
        self.needs_network = True
        self.value("--checkpoint", "STEP", "best, latest or a step (best)", default="best")
        if ensemble:
            other = "another decoder, such as watershed (as configured)"
            self.value("--decoder", "NAME", other, decoder_section)

    def add_patches(self, patch: int | None, overlap: int, symmetries: int = 1) -> None:
        """Adds how images are shown to the network."""
        self.section("inference")
        augmentation = "test-time augmentation over 4 or 8 symmetries (1: none)"
        if symmetries > 1:
            augmentation = f"of the square, 1, 4 or 8, that are compared ({symmetries})"
        self.value("--symmetries", "N", augmentation, int, symmetries, choices=(1, 4, 8))
        side = f"side of what the network sees, multiple of 64 ({patch or 'image'})"
        self.value("--patch", "PX", side, int, patch)
        shared = f"overlap of neighboring patches, multiple of 32 ({overlap})"
        self.value("--overlap", "PX", shared, int, overlap)
        typical = "of typical nuclei, auto or off (as the model needs)"
        self.value("--diameter", "PX", typical, diameter)

    def add_source(self) -> None:
        """Adds the choice of a data set."""
        text = "name of a data set, such as consep, or with arguments, 'consep(merge=True)'"
        self.add_argument("source", type=source_section, help=text)

    def add_reading(self) -> None:
        """Adds how the images of a prediction are read."""
        text = "microns per pixel (from the files); also --model-mpp"
        self.value("--mpp", "X", text, float)
        self.value("--model-mpp", "X", argparse.SUPPRESS, float)  # that the model expects
        self.add_planes()
        self.switch("--tissue", "leave out glass (stained sections only)")
        self.switch("--skip-corrupt", "fill unreadable regions with white")

    def add_batches(self) -> None:
        """Adds how much of a prediction is done at once."""
        text = "patches per step of the devices (1); also --tile"
        self.value("--batch-size", "N", text, int, 1)
        self.value("--tile", "PX", argparse.SUPPRESS, int, 1792)

    def add_planes(self) -> None:
        """Adds the choice of what is read of files of several images."""
        text = "which of several; also --channel, --z, --time, --no-bounds"
        self.value("--image", "N", text, int)
        hidden = argparse.SUPPRESS  # named in the line above: all would not fit a screen
        self.value("--channel", "A,B,C", hidden, comma_separated, ())
        self.value("--z", "N", hidden, depth)
        self.value("--time", "N", hidden, int)
        self.switch("--no-bounds", hidden)
        self.value("--most-pixels", "N", hidden, int)

    def add_workers(self, text: str, default: int | None = None) -> None:
        """Adds the number of worker processes; `text` is what the default means."""
        self.value("--workers", "N", f"worker processes ({text})", int, default)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parses a command line; `overrides` is what it says of `--config.KEY=VALUE`, as text."""
        options, rest = self.parse_known_args(arguments)
        options.overrides, rest = _overrides(rest) if self.takes_overrides else ({}, rest)
        if rest:
            flags = [flag for action in self._actions for flag in action.option_strings]
            near = difflib.get_close_matches(rest[0].partition("=")[0], flags, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unknown argument {rest[0]!r}{hint}")
        if self.needs_network and not (options.workdir or getattr(options, "example", False)):
            self.error("no network: give --workdir=FOLDER or --model=NAME, see jaxnuc models")
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


class ListPages(argparse.Action):
    """Prints the pages of a kind and ends the process."""

    def __init__(self, pages: Pages, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.pages = pages

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(self.pages.listing())
        parser.exit()


def depth(text: str) -> int | str:
    """The number of a depth, or how the depths become one image."""
    return int(text) if text.isdecimal() else text


def diameter(text: str) -> float | str:
    """A number of pixels, or how the diameter of nuclei is found."""
    try:
        return float(text)
    except ValueError:
        return text


def comma_separated(text: str) -> tuple[str, ...]:
    """`"a,b"` as `("a", "b")`."""
    return tuple(filter(None, text.split(",")))


def decoder_section(text: str) -> dict[str, Any]:
    """The section of a decoder that is written as a name or as a call."""
    return _section(text, "decoder")


def source_section(text: str) -> dict[str, Any]:
    """The section of a data set that is written as a name or as a call."""
    section = _section(text, "data set")
    if "split" in section:
        raise argparse.ArgumentTypeError(f"{text!r}: the split has its own option, --split")
    return section


def _section(text: str, kind: str) -> dict[str, Any]:
    try:
        return section_of(text, kind)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
