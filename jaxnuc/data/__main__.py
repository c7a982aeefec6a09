"""Looks at data sets, and packs them.

python -m jaxnuc.data inspect SOURCE ROOT            counts, problems, a contact sheet
python -m jaxnuc.data pack SOURCE ROOT OUTPUT        shards that are read fast, at random
"""

import argparse
import inspect as signatures
import json
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jaxnuc import registry
from jaxnuc.data import packing, sources
from jaxnuc.data.contact_sheet import write_contact_sheet
from jaxnuc.data.inspection import Inspection, inspect
from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.sample_checks import PIECES, Problem
from jaxnuc.io.atomic import replace_file

SPLITS = ("train", "val", "test", "unlabelled")
REST = "no split"  # the images of "all" that are in none of them


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0, or 1 where the data are not right."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def open_splits(
    name: str, root: str | None, split: str = "all", arguments: dict[str, Any] | None = None
) -> tuple[dict[str, Source], list[Problem]]:
    """Opens the splits of a data set.

    Args:
      name: of the source.
      root: its folder or archive; None for a source without files.
      split: one of its splits, or `"all"` for train, val, test and unlabelled as far as it has
        them, and for the images that are in none of these.
      arguments: of the source, other than these.

    Returns:
      The sources by split; and, of a source that cannot be opened as a whole, a problem for each
      of train, val and test that cannot be opened: a note where it is not there, else an error.

    Raises:
      ValueError: unknown source, argument or split, or files that do not match.
      FileNotFoundError: the data are not there.
    """
    parameters = signatures.signature(
        registry.load(sources.__name__, name, "source").Source
    ).parameters
    given = {**({} if root is None else {"root": root}), **(arguments or {})}
    if "cache" in parameters:
        given.setdefault("cache", False)  # every image is read once
    if "split" not in parameters:
        return {split: sources.create(name, **given)}, []
    if split != "all":
        return {split: sources.create(name, split=split, **given)}, []
    opened, failed = {}, {}
    for each in (*SPLITS, "all"):
        try:
            opened[each] = sources.create(name, split=each, **given)
        except (OSError, ValueError) as error:
            failed[each] = error
    if not opened:
        raise failed["train"]
    whole = opened.pop("all", None)
    if whole is None:
        return opened, [
            _unopened(e, s) for s, e in failed.items() if s not in ("unlabelled", "all")
        ]
    if not opened:
        return {"all": whole}, []
    ids: Any = getattr(whole, "ids", [])
    known = {each for source in opened.values() for each in getattr(source, "ids", ())}
    rest = [index for index, each in enumerate(ids) if each not in known]
    return {**opened, REST: _Part(whole, rest)} if rest else opened, []


def _unopened(error: Exception, split: str) -> Problem:
    """A split that is not there is no error; one that is damaged is."""
    absent = isinstance(error, FileNotFoundError) or str(error).startswith("unknown split")
    level, kind = ("note", "split not there") if absent else ("error", "unreadable")
    return Problem(level, kind, str(error), split)


class _Part:
    """Some images of a source."""

    def __init__(self, source: Source, indices: list[int]):
        self.name, self.label_set = source.name, getattr(source, "label_set", None)
        ids: Any = source.ids  # type: ignore[attr-defined]
        self.ids = [ids[index] for index in indices]
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self._source[self._indices[index]]


def report(name: str, found: Inspection, all_notes: bool = False) -> str:
    """What was found, as text.

    Args:
      name: of the data set.
      found: what was found.
      all_notes: list all notes, not only the first 10 of each kind.
    """
    lines = [
        f"{name}: {found.images} images, {found.nuclei} nuclei",
        f"splits: {_counts(found.splits.items())}",
    ]
    if found.nuclei_per_class:
        lines.append(f"nuclei per class: {_counts(found.nuclei_per_class.items())}")
    lines += [
        f"sizes (H x W): {_counts(found.sizes.most_common())}",
        f"microns per pixel: {_counts(sorted(found.mpp.items()))}",
    ]
    if found.left_out:
        lines.append(f"regions left out: {_counts(found.left_out.items())}")
    for level in ("note", "error"):
        problems = sorted(found.of(level), key=lambda problem: problem.kind)
        for kind, group in groupby(problems, key=lambda problem: problem.kind):
            members = list(group)
            lines.append(f"{level}: {kind} ({len(members)})")
            listed = members if level == "error" or all_notes else members[:10]
            lines += [f"  {problem.image}: {problem.text}" for problem in listed]
            if len(listed) < len(members):
                lines.append(f"  ... and {len(members) - len(listed)} more, see --all-notes")
    errors = len(found.of("error"))
    lines.append(f"{errors or 'no'} error{'' if errors == 1 else 's'}")
    return "\n".join(lines)


def _counts(items: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{key}: {number}" for key, number in items)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jaxnuc.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser(
        "inspect", help="count and check all that a data set holds, and draw a contact sheet"
    )
    command.set_defaults(command=_inspect)
    command.add_argument("source", help="a source, such as consep")
    command.add_argument("root", nargs="?", help="its folder or archive, as distributed")
    command.add_argument("--split", default="all", help="one split only (all)")
    command.add_argument(
        "--arguments",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="of the source; values in JSON, or plain text",
    )
    command.add_argument(
        "--output", type=Path, help="folder for sheet.png and summary.json (inspected/SOURCE)"
    )
    command.add_argument("--workers", type=int, default=0, help="processes (0: this one)")
    command.add_argument("--limit", type=int, help="read only so many images of each split")
    command.add_argument(
        "--limit-pictures",
        type=int,
        default=60,
        help="images on the sheet, and as many more that have problems (60)",
    )
    command.add_argument(
        "--max-pieces",
        type=int,
        default=PIECES,
        help=f"a nucleus in more pieces is an error ({PIECES})",
    )
    command.add_argument("--all-notes", action="store_true", help="list all notes of each kind")
    packing.add_command(commands)
    return parser


def _inspect(options: argparse.Namespace) -> int:
    arguments = dict(_argument(text) for text in options.arguments)
    splits, problems = open_splits(options.source, options.root, options.split, arguments)
    found = inspect(
        splits,
        workers=options.workers,
        limit=options.limit,
        limit_pictures=options.limit_pictures,
        max_pieces=options.max_pieces,
    )
    found.problems[:0] = problems
    output = options.output or Path("inspected", options.source)
    output.mkdir(parents=True, exist_ok=True)
    about = {"source": options.source, "root": options.root, "split": options.split}
    summary = {**about, "arguments": arguments, **found.to_json()}
    replace_file(output / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    if found.pictures:
        label_set = getattr(next(iter(splits.values())), "label_set", None)
        write_contact_sheet(
            output / "sheet.png", found.pictures, label_set.groups if label_set else ()
        )
    print(report(options.source, found, options.all_notes))
    print(f"written: {output}/summary.json{', sheet.png' if found.pictures else ''}")
    return 1 if found.of("error") else 0


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier() or key in ("root", "split"):
        raise ValueError(f"--arguments {text!r}: KEY=VALUE is expected, such as merge=true")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


if __name__ == "__main__":
    sys.exit(main())
