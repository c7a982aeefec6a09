"""Lengths of time in a configuration: `"20 epochs"` or `"3000 steps"`."""

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
    """The number of steps of `"20 epochs"` or `"3000 steps"`.

    Args:
      text: the length.
      key: the configuration key, for the error.
      per_epoch: steps of an epoch; None for an endless source.

    Raises:
      ValueError: not of that form, or epochs of an endless source.

    >>> steps("2 epochs", "duration", 30)
    60
    """
    number, _, unit = str(text).partition(" ")
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
