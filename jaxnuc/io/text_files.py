"""JSON and XML from anywhere, parsed without harm."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

LARGEST = 256 << 20  # bytes; a whole slide's nuclei fit, what is meant to exhaust memory does not
# Those in which a declaration cannot hide from a search of the bytes, zeros taken out.
_ENCODINGS = {b"utf-8", b"utf-16", b"us-ascii", b"ascii", b"iso-8859-1", b"windows-1252"}


def parse_json(data: bytes, where: str) -> Any:
    """The content of a JSON file, in UTF-8, 16 or 32, with or without a byte order mark.

    Raises:
      ValueError: more than `LARGEST` bytes, or no JSON.
    """
    _check_length(data, where)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: not readable as JSON in UTF-8 ({error}); it is truncated or another kind of "
            "file"
        ) from error


def read_json(path: Path) -> Any:
    """The content of a JSON file: see `parse_json`."""
    return parse_json(path.read_bytes(), str(path))


def parse_xml(data: bytes, where: str) -> ElementTree.Element:
    """The root element of an XML file.

    Raises:
      ValueError: more than `LARGEST` bytes; a document type or entity, which annotation files do
        not have and attacks do; an encoding in which one could hide; no well-formed XML.
    """
    _check_length(data, where)
    text = data.replace(b"\0", b"")  # UTF-16 becomes readable
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise ValueError(
            f"{where}: declares a document type or entities, which no annotation file needs and "
            "which can exhaust memory; remove the declaration from a file that you trust"
        )
    declared = re.match(rb"[^<]*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)", text)
    if declared and declared[1].lower() not in _ENCODINGS:
        raise ValueError(f"{where}: encoding {declared[1][:40]!r}; save it as UTF-8")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(
            f"{where}: not well-formed XML ({error}); it is truncated or another kind of file"
        ) from error


def _check_length(data: bytes, where: str) -> None:
    if len(data) > LARGEST:
        raise ValueError(f"{where}: {len(data)} bytes, more than the {LARGEST} that are read")
