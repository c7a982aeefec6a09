"""Sections of a configuration."""

from collections.abc import Mapping
from typing import Any

from jaxnuc import registry


def filled(
    kind: str, section: Mapping[str, Any], table: Mapping[str, dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """A section `{"name": ..., **arguments}` with the defaults of what it does not give.

    Args:
      kind: what is chosen, for the errors.
      section: of the configuration.
      table: the arguments of each name, with their defaults.
      **more: arguments that all names have.

    Raises:
      ValueError: unknown name or argument.
    """
    name = section["name"]
    if name not in table:
        raise registry.unknown(kind, name, table)
    known = {"name": name, **table[name], **more}
    for key in section:
        if key not in known:
            raise registry.unknown(f"argument of {kind} {name}", key, known)
    return {**known, **section}
