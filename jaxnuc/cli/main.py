"""`jaxnuc COMMAND ...`: picks the command, shows its progress and its errors."""

import contextlib
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import jaxnuc
from jaxnuc.cli.interrupts import INTERRUPTED, is_interrupt, keep_interrupts
from jaxnuc.cli.large_pages import restart_with_large_pages
from jaxnuc.cli.parser import Parser
from jaxnuc.registry import unknown

COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "models",
    "suggest",
    "inspect",
    "pack",
    "score",
    "compare",
    "study",
    "export",
    "convert",
)
COMPUTING = {"train", "evaluate", "predict", "study"}
CACHE = "~/.cache/jaxnuc/xla"  # of compiled programs

# What a user can mend. Anything else is a fault of the program and shows its traceback.
USER_ERRORS = (ValueError, OSError, ImportError, SyntaxError, FloatingPointError)
# A ValueError that these raise is about shapes and dtypes in the code, not about what was given.
FRAMEWORKS = ("flax", "jax", "jaxlib", "optax")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      arguments: of the command line; None takes those of the process.

    Returns:
      The exit status: 0; 1 where something is wrong with what was given or found; 130 where the
      user interrupted it, and 143 where SIGTERM stopped a training, which can go on. A wrong
      command line exits with 2.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0].startswith("-"):
        _top_parser().parse(given or ["--help"])
        return 0
    name, *rest = given
    if name not in COMMANDS:
        _top_parser().error(str(unknown("command", name, COMMANDS)))
    if arguments is None:
        if name in COMPUTING:
            restart_with_large_pages(rest)
        keep_interrupts()
    _prepare_process()
    options = command_parser(name).parse(rest)
    with _shown_progress():
        try:
            return _command(name).run(options) or 0
        except (Exception, KeyboardInterrupt) as error:
            if is_interrupt(error):
                if arguments is None:  # JAX can crash if the process ends amid a compilation
                    sys.stdout.flush()
                    os._exit(INTERRUPTED)
                return INTERRUPTED
            if isinstance(error, BrokenPipeError):  # the reader of the output has enough, as `head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1
            known = isinstance(error, USER_ERRORS) and _package_of(error) not in FRAMEWORKS
            if options.debug or not known:
                raise
            print("; ".join([f"error: {error}", *_notes(error)]), file=sys.stderr)
            return 1


def command_parser(name: str) -> Parser:
    """The parser of one of the commands."""
    command = _command(name)
    parser = Parser(prog=f"jaxnuc {name}", description=command.__doc__)
    command.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _command(name: str) -> Any:
    return importlib.import_module(f"jaxnuc.cli.{name}")


def _top_parser() -> Parser:
    summaries = [f"  {name:<10}{_command(name).__doc__.splitlines()[0]}" for name in COMMANDS]
    parser = Parser(
        prog="jaxnuc",
        usage="jaxnuc COMMAND [options]",
        description="Nucleus segmentation in microscopy and pathology images.",
        epilog="\n".join(["commands:", *summaries, "", "jaxnuc COMMAND --help shows its options."]),
    )
    parser.add_argument("--version", action="version", version=f"jaxnuc {jaxnuc.__version__}")
    return parser


def _prepare_process() -> None:
    # At the end, so that nothing in the user's folder hides an installed package. Worker
    # processes that are spawned take over this list.
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.expanduser(CACHE))
    # Its own frames tell whether JAX raised an error, and belong to the traceback of a fault.
    os.environ.setdefault("JAX_TRACEBACK_FILTERING", "off")
    # Of a damaged file it says a dozen lines, and we the one that names it.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def _package_of(error: BaseException) -> str:
    """The package whose code raised an error."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    name: str = frames[-1].f_globals.get("__name__", "") if frames else ""
    return name.partition(".")[0]


def _notes(error: BaseException) -> list[str]:
    """Notes of ours: JAX and Grain add one about the traceback, which is not shown."""
    notes = getattr(error, "__notes__", ())
    return [note for note in notes if "removed its internal frames" not in note]


class _Progress(logging.Handler):
    """Writes the library's messages to stderr, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        bars = sys.modules.get("tqdm")
        text = self.format(record)
        if bars is None:
            print(text, file=sys.stderr, flush=True)
        else:
            bars.tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()


@contextlib.contextmanager
def _shown_progress() -> Iterator[None]:
    logger, handler = logging.getLogger("jaxnuc"), _Progress()
    handler.setFormatter(_Format())
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        return prefix + record.getMessage()
