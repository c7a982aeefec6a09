"""Makes Markdown of docstrings as they are written in the library."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> ")


class Docstrings(griffe.Extension):
    """Fences what Python's prompt stands before, and links names of the library in backticks."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = _linked(_fenced(obj.docstring.value))


def _fenced(text: str) -> str:
    lines: list[str] = []
    indent = None  # of the example that the line belongs to
    for line in text.splitlines():
        match = EXAMPLE.match(line)
        if match and indent is None:
            indent = match[1]
            lines.append(f"{indent}```python")
        elif indent is not None and not line.strip():
            lines.append(f"{indent}```")
            indent = None
        lines.append(line)
    if indent is not None:
        lines.append(f"{indent}```")
    return "\n".join(lines)


def _linked(text: str) -> str:
    return re.sub(r"(?<!\[)`(jaxnuc(?:\.[^\W_]\w*)+)`(?!\])", r"[`\1`][\1]", text)
