"""The models that come with this library: what they are for, made of, and worth."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxnuc.registry import check_known

FOLDER = Path(str(files("jaxnuc"))) / "pretrained"
EXAMPLES, MODELS = FOLDER / "examples", FOLDER / "models"
TITLE = "## The cards\n"
SUFFIX = ".npz"  # of the file of a model, see `jaxnuc.run.model_file`; its card is JSON


def shipped() -> dict[str, Path]:
    """The files of the models that come with this library, by name."""
    return {path.stem: path for path in sorted(MODELS.glob(f"*{SUFFIX}"))}


@dataclass(frozen=True)
class Card:
    """What one should know of a model before using it.

    Attributes:
      name: by which commands take it.
      summary: what it finds, in one line.
      data: on what it was trained, a line each.
      license: of its weights.
      commercial: whether the licenses of its data allow commercial use.
      recipe: the configuration that makes it.
      made: date, commit and machine of its training.
      figures: lines of a table, each `{"images": ..., "pq": "0.80 [0.78, 0.82]", ...}`.
      not_for: what it was not made for, or is known to fail at, a line each.
      examples: names of the example images that show it.
    """

    name: str
    summary: str
    data: tuple[str, ...]
    license: str
    commercial: bool
    recipe: str
    made: str
    figures: tuple[Mapping[str, str], ...]
    not_for: tuple[str, ...]
    examples: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file of its weights."""
        return shipped()[self.name]

    @property
    def image_files(self) -> tuple[Path, ...]:
        """The example images."""
        return tuple(EXAMPLES / name for name in self.examples)

    def text(self) -> str:
        """The card as Markdown, for people to read."""
        lines = [f"### {self.name}", "", f"{self.summary}", ""]
        use = "also commercial" if self.commercial else "not for commercial use"
        lines += [
            f"- Weights: {self.path.stat().st_size / 1e6:.1f} MB, {self.license} ({use})",
            f"- Recipe: `jaxnuc train --config={self.recipe}`",
            f"- Made: {self.made}",
            *(f"- Data: {line}" for line in self.data),
            *(f"- Not for: {line}" for line in self.not_for),
            "",
        ]
        columns = list(dict.fromkeys(key for row in self.figures for key in row))
        lines += [_row(columns), _row(["---"] * len(columns))]
        lines += [_row([row.get(key, "") for key in columns]) for row in self.figures]
        return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def card(name: str) -> Card:
    """The card of a model.

    Raises:
      ValueError: there is no model of this name.
    """
    models = shipped()
    check_known("model", name, models)
    values: dict[str, Any] = json.loads(models[name].with_suffix(".json").read_text())
    for field in fields(Card):
        if isinstance(values.get(field.name), list):
            values[field.name] = tuple(values[field.name])
    return Card(name=name, **values)


def cards() -> list[Card]:
    """The cards of all models."""
    return [card(name) for name in shipped()]


def update(page: str) -> str:
    """A page with the cards below `TITLE` made anew."""
    head, title, rest = page.partition(TITLE)
    intro = rest.partition("\n### ")[0].rstrip()
    return head + "\n".join([f"{title}{intro}\n", *(each.text() for each in cards())])


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(update(path.read_text()))
