"""Rows of figures as text."""

import csv
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from jaxnuc.io.csv_table import as_cell


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as comma-separated values under a line of their keys; what is not a number is `nan`.

    >>> csv_text([{"a": 1, "b": float("nan")}])
    'a,b\\n1,nan\\n'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    names = {key: key for key in rows[0]}
    writer.writerows({key: as_cell(value) for key, value in row.items()} for row in [names, *rows])
    return text.getvalue()


def cell(value: Any) -> str:
    """A figure with four digits, a count as it is."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def html_table(rows: Sequence[Sequence[str]], below: str = "") -> str:
    """Rows of cells as an HTML table for a notebook, the first row in bold; text is escaped.

    >>> html_table([["", "a"], ["b", "1 < 2"]])
    '<table><tr><th></th><th>a</th></tr><tr><th>b</th><td>1 &lt; 2</td></tr></table>'
    """
    lines = []
    for number, row in enumerate(rows):
        cells = (
            f"<{kind}>{html.escape(text)}</{kind}>"
            for text, kind in zip(row, ["th"] + ["td" if number else "th"] * len(row), strict=False)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>" + (f"<p>{html.escape(below)}</p>" if below else "")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as aligned text; the first cell of a row stands to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )
