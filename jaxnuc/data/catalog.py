"""The public data sets that `jaxnuc.data.sources` reads: what is in them, and whose they are.

Each is a line of `catalog.csv`. The table of docs/data.md is made of them:

    python -m jaxnuc.data.catalog docs/data.md

>>> record = CATALOG["dsb2018"]
>>> record.license, record.images
('CC0 1.0', 670)
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from jaxnuc.io.csv_table import read_csv


class Record(NamedTuple):
    """A data set as its authors describe it.

    Attributes:
      key: name of the source that reads it.
      title: its name, and what it shows.
      images: number of annotated images; None where it is not stated.
      nuclei: number of nuclei; None where it is not stated, or nuclei are not separated.
      classes: their names as the authors list them, none if there are no classes.
      splits: those that are published, with their images.
      license: as stated; a set without a license may not be passed on.
      published: where.
      citation: what to cite.
    """

    key: str
    title: str
    images: int | None
    nuclei: int | None
    classes: tuple[str, ...]
    splits: str
    license: str
    published: str
    citation: str


def _read(path: Path) -> Iterable[Record]:
    for _, row in read_csv(path.read_bytes(), str(path), Record._fields):
        counts = {key: int(row[key]) if row[key] else None for key in ("images", "nuclei")}
        classes = tuple(row["classes"].split("; ")) if row["classes"] else ()
        yield Record(**{**row, **counts, "classes": classes})  # type: ignore[arg-type]


CATALOG = {record.key: record for record in _read(Path(__file__).with_suffix(".csv"))}

_HEADER = ("source", "set", "images", "nuclei", "classes", "published splits", "license", "cite")


def table(records: Iterable[Record] = tuple(CATALOG.values())) -> str:
    """The records as a table in Markdown, one line each; the name of a set links to it."""
    rows = [_HEADER, ("---",) * len(_HEADER)]
    for record in records:
        names = ", ".join(record.classes)
        rows.append(
            (
                f"`{record.key}`",
                f"[{record.title}]({record.published})",
                *("" if n is None else f"{n:,}" for n in (record.images, record.nuclei)),
                f"{len(record.classes)}: {names}" if names else "",
                record.splits,
                record.license,
                record.citation,
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def update(page: str) -> str:
    """A page with its table of data sets made anew."""
    lines = page.splitlines(keepends=True)
    start = lines.index(f"| {' | '.join(_HEADER)} |\n")
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return "".join((*lines[:start], table(), *lines[end:]))


if __name__ == "__main__":
    for _name in sys.argv[1:]:
        Path(_name).write_text(update(Path(_name).read_text()))
