"""Annotations as the tools of the field write them: the file name is the registry.

A file is taken for what its content is, whatever its name:

  >>> content = b'{"shapes": [{"label": "tumor", "points": [[1, 1], [4, 1], [4, 5]]}]}'
  >>> (found,) = read_annotations(content, "a.json")
  >>> found.objects[0].name
  'tumor'
"""

import functools

from jaxnuc.io.annotations.base import ImageAnnotations, Object, Reader, check_plane
from jaxnuc.io.text_files import parse_json, parse_xml
from jaxnuc.registry import Registry

__all__ = ["REGISTRY", "ImageAnnotations", "Object", "Reader", "read_annotations"]

REGISTRY = Registry("annotation format", __name__, "Reader", base=Reader)


def read_annotations(data: bytes, where: str, format: str = "") -> tuple[ImageAnnotations, ...]:
    """Reads a file of annotations.

    Args:
      data: content of the file.
      where: its address, for errors.
      format: name of the format; empty: the one that accepts the content.

    Returns:
      The annotations of each image that the file is of.

    Raises:
      ValueError: the file is damaged or of no known format, or it holds something that is no
        nucleus, such as a point, or objects on several planes; the message names the object and
        the way out.
    """
    content = _parsed(data, where)
    found = _reader(content, where, format).read(content, where)
    for image in found:
        check_plane(image.objects, where)
    return tuple(image._replace(objects=tuple(map(_stripped, image.objects))) for image in found)


def _stripped(one: Object) -> Object:
    """Without blanks around its name, which nobody sees in a tool; of blanks alone, without one."""
    return one._replace(name=(one.name or "").strip() or None)


def _reader(content: object, where: str, format: str) -> Reader:
    if format:
        reader: Reader = REGISTRY.build({"name": format})
        if not reader.accepts(content):
            raise ValueError(f"{where}: not of the format {format!r}; expected {reader.title}")
        return reader
    for reader in _readers():
        if reader.accepts(content):
            return reader
    known = ", ".join(reader.title for reader in _readers())
    raise ValueError(
        f"{where}: annotations of no known format; known are {known}; export it in "
        "one of these, or put it elsewhere if it holds none"
    )


@functools.cache
def _readers() -> tuple[Reader, ...]:
    return tuple(REGISTRY.build({"name": name}) for name in REGISTRY.names())


def _parsed(data: bytes, where: str) -> object:
    """JSON as Python's lists and dictionaries, XML as its root element, else the bytes."""
    start = data[:256].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xfe\xff \t\r\n")
    if not start and not data.strip():
        raise ValueError(f"{where}: an empty file; export it again, or remove it")
    if data[:4] == b"Iout" or data[:2] == b"PK":
        return data
    return parse_xml(data, where) if start[:1] == b"<" else parse_json(data, where)
