"""Lengths of time in a configuration: `"20 epochs"`, `"3000 steps"`, or one within bounds."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingLength:
    """How long a training is, and how long an epoch.

    Attributes:
      total: steps of the training.
      per_epoch: steps of an epoch; None where the data have no end.
    """

    total: int
    per_epoch: int | None = None

    def steps(self, text: str, key: str) -> int:
        """The number of steps of a length of time; `key` names it in the error."""
        return steps(text, key, self.per_epoch)


def steps(text: str, key: str, per_epoch: int | None) -> int:
    """The number of steps of `"20 epochs"`, `"3000 steps"` or `"40 epochs, 300 to 3000 steps"`.

    Args:
      text: the length, and perhaps the bounds that it is held within.
      key: the configuration key, for the error.
      per_epoch: steps of an epoch; None for an endless source.

    Raises:
      ValueError: not of that form, or epochs of an endless source.

    >>> steps("2 epochs", "duration", 30)
    60
    >>> steps("2 epochs, 100 to 1000 steps", "duration", 30)
    100
    """
    text = str(text)
    if bounds := re.fullmatch(r"(.*), (\d+) to (\d+) steps", text):
        low, high = int(bounds[2]), int(bounds[3])
        if low > high:
            raise ValueError(f"{key}={text!r}: {low} steps are more than {high}")
        return min(max(steps(bounds[1], key, per_epoch), low), high)
    number, _, unit = text.partition(" ")
    try:
        count = float(number)
    except ValueError:
        count = -1.0
    if unit.rstrip("s") not in ("step", "epoch") or count < 0:
        raise ValueError(f"{key}={text!r} is not of the form '3000 steps' or '20 epochs'")
    if unit.startswith("step"):
        return int(count)
    if per_epoch is None:
        raise ValueError(f"{key}={text!r}: an endless source has no epochs; give it in steps")
    return round(count * per_epoch)
