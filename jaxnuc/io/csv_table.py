"""CSV tables, and errors that say in which line of which file."""

import contextlib
import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def as_cell(value: Any) -> Any:
    """What is written of a value: text that a spreadsheet would take for a formula begins with '.

    An image called `=HYPERLINK(...)` would be one. Numbers stay as they are; `read_csv` gives the
    text back.

    >>> as_cell("=A1"), as_cell("-b"), as_cell("'=c"), as_cell("-3.2"), as_cell(-3.2), as_cell("d'")
    ("'=A1", "'-b", "''=c", '-3.2', -3.2, "d'")
    """
    if isinstance(value, str) and _FORMULA.match(value):
        with contextlib.suppress(ValueError):
            float(value)
            return value
        return f"'{value}"
    return value


def _text(cell: str) -> str:
    """The inverse of `as_cell`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def read_csv(
    data: bytes, where: str, columns: Iterable[str] = ()
) -> Iterator[tuple[str, dict[str, str]]]:
    """Reads a table in UTF-8 with a first line of names, among them `columns`.

    Fields are separated by commas, or by what the first line has: spreadsheets write semicolons
    where the comma is the decimal mark, or tabs.

    Yields:
      The address of a line, and its fields by column; a field that is missing is empty.

    Raises:
      ValueError: no text, a column that is missing, a line of more fields than columns, or a field
        of more than 131,072 characters, as after a quotation mark that is not closed.
    """
    try:
        text = data.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it has zeros")
    except ValueError as error:
        raise ValueError(
            f"{where}: no table in UTF-8 ({error}); fetch it again, or save it as CSV in UTF-8"
        ) from error
    first = text.partition("\n")[0]
    separator = next((each for each in ";\t" if each in first), ",")
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="", delimiter=separator)
    try:
        present = reader.fieldnames = [_text(name) for name in reader.fieldnames or ()]
        missing = [column for column in columns if column not in present]
        if missing:
            raise ValueError(
                f"{where}: no column {', '.join(missing)} in the first line, only "
                f"{', '.join(present) or 'an empty line'!s:.200}"
            )
        for row in reader:
            line = f"{where}, line {reader.line_num}"
            if None in row:
                raise ValueError(f"{line}: more fields than the {len(present)} columns")
            yield line, {name: _text(cell) for name, cell in row.items()}
    except csv.Error as error:
        raise ValueError(f"{where}, line {reader.line_num}: {error}") from error
