"""`metrics.jsonl`: the log of a run, one JSON object a line."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnuc.io.atomic import replace_file

LOG = "metrics.jsonl"
NOTICED = "noticed"  # in the line of an event: the step at which it was written, if not its own


@dataclass(frozen=True)
class TrainingLog:
    """What is drawn of a training: the lines of its log, and the figures that decided."""

    lines: Iterable[Mapping[str, Any]] = ()
    monitors: tuple[str, ...] = ()  # such as "pq_image_mean"


NOT_TRAINED = TrainingLog()


def read_log(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads a `metrics.jsonl`: of each line `step`, `time`, perhaps `epoch`, figures or an `event`.

    A last line that a killed process left unfinished is passed over.

    Raises:
      ValueError: another line is not a JSON object with a step.
    """
    raw = Path(path).read_bytes().splitlines()
    lines = []
    for number, text in enumerate(raw, 1):
        try:
            line = json.loads(text)
            line["step"]
        except (ValueError, TypeError, KeyError):
            if number == len(raw):
                break
            raise ValueError(
                f"{path}, line {number}: not a JSON object with a step: {text[:80]!r}; "
                "repair or remove that line"
            ) from None
        lines.append(line)
    return lines


def rewind(path: Path, step: int | None) -> Path:
    """Takes from the log what was written after `step`, perhaps of an event before it.

    None takes all: the run starts anew.
    """
    if path.exists():
        kept = []
        if step is not None:
            kept = [line for line in read_log(path) if line.get(NOTICED, line["step"]) <= step]
        replace_file(path, "".join(json.dumps(line) + "\n" for line in kept).encode())
    return path
