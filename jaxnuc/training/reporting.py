"""What a run reports while it trains: a progress bar, `metrics.jsonl`, TensorBoard, curves."""

import json
import math
import os
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, SupportsFloat

from tqdm import tqdm

from jaxnuc.io.atomic import naming, replace_file
from jaxnuc.reports import plots
from jaxnuc.run.log import LOG, NOTICED, read_log, rewind
from jaxnuc.training.tensorboard import EventFile

BAR = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class Reporter:
    """Reports a run below its workdir; a resumed run reports as if it had never stopped.

    Args:
      workdir: the run's folder; gets `metrics.jsonl`, `tensorboard/` and `curves.png`.
      total_steps: steps of the whole run.
      steps_per_epoch: turns steps into epochs in the log; None leaves epochs out.
      resumed_step: steps done when this process takes over. Whatever was logged later, by a
        process that died after its last checkpoint, is removed. None starts the logs anew.
      monitors: the figures of the validation that decide what is best: bold curves.
      quiet: no progress bar.
      active: False makes every method do nothing: only one process of a run reports.

    Raises:
      ValueError: an earlier log is damaged elsewhere than in its last line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Reporter(folder, total_steps=10, steps_per_epoch=5, quiet=True) as reporter:
    ...         reporter.step(1, {"loss": 0.5}, images=8)
    ...         reporter.log(1, {"train/loss": 0.5})
    ...     [line["train/loss"] for line in read_log(Path(folder) / "metrics.jsonl")]
    [0.5]
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        total_steps: int,
        steps_per_epoch: float | None = None,
        resumed_step: int | None = None,
        monitors: Collection[str] = (),
        quiet: bool = False,
        active: bool = True,
    ) -> None:
        self.workdir = Path(workdir)
        self.active = active
        self.steps_per_epoch = steps_per_epoch
        self.monitors = tuple(monitors)
        if not active:
            return
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._closing = ExitStack()
        path = rewind(self.workdir / LOG, resumed_step)
        self._log = self._closing.enter_context(path.open("a", encoding="utf-8"))
        self._board = EventFile(
            self.workdir / "tensorboard", 0 if resumed_step is None else resumed_step + 1
        )
        self._closing.callback(self._board.close)
        # A terminal is redrawn often; a job's log file gets a line now and then.
        self._interval = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            total=total_steps,
            initial=resumed_step or 0,
            disable=quiet,
            bar_format=BAR,
            mininterval=0,
            miniters=0,
            dynamic_ncols=True,
        )
        self._closing.callback(self._bar.close)
        self._shown = time.perf_counter()
        self._images = 0
        self._drawn, self._drawing = time.perf_counter(), 1.0  # when, and how long it takes

    def step(self, step: int, metrics: Mapping[str, SupportsFloat], images: int) -> None:
        """Moves the progress bar: loss, images per second of all devices, time left.

        The metrics may still be in computation on a device: they are waited for only when the
        bar is redrawn, so that steps stay queued ahead.
        """
        if not self.active or self._bar.disable:
            return
        self._images += images
        if time.perf_counter() - self._shown < self._interval and step < self._bar.total:
            return
        loss = [f"loss {float(metrics['loss']):.4g}"] if "loss" in metrics else []
        now = time.perf_counter()  # after the wait for the loss, or the rate were that of queueing
        rate = self._images / max(now - self._shown, 1e-9)
        self._bar.set_postfix_str(", ".join([*loss, f"{rate:.1f} images/s"]), refresh=False)
        self._bar.update(step - self._bar.n)
        self._shown, self._images = now, 0

    def log(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Writes figures by name to `metrics.jsonl` and TensorBoard.

        Names are `train/...`, `validation/...` or `learning_rate`: `curves` sorts by them. What is
        not finite is null in the JSON.

        Raises:
          ValueError: a name is one of those that every line has.
          OSError: a file cannot be written, for example on a full disk.
        """
        if taken := set(values) & set(plots.KEYS):
            raise ValueError(f"figures cannot be called {sorted(taken)}: every line has these keys")
        if not self.active:
            return
        figures = {name: float(value) for name, value in values.items()}
        self._append(step, {k: v if math.isfinite(v) else None for k, v in figures.items()})
        self._board.figures(step, {k: v for k, v in figures.items() if math.isfinite(v)})

    def event(
        self,
        step: int,
        name: str,
        figures: Mapping[str, SupportsFloat] = {},
        noticed: int | None = None,
    ) -> None:
        """Notes what happened, such as a switch of the optimizer: a mark on the curves.

        Args:
          step: at which it happened.
          name: of the event.
          figures: that belong to it.
          noticed: the step at which it is known, if later: a training that resumes before that
            will notice it again.
        """
        if self.active:
            later = {} if noticed in (None, step) else {NOTICED: noticed}
            values = {k: float(v) for k, v in figures.items()}
            self._append(step, {**later, "event": name, **values})
            self._board.text(step, "events", name)

    def curves(self, final: bool = False) -> None:
        """Draws `curves.png` from `metrics.jsonl`.

        A short training that is evaluated often would draw more than it trains: unless this is the
        final picture, at most every twentieth second is spent on drawing.
        """
        if not self.active:
            return
        began = time.perf_counter()
        if not final and began - self._drawn < 20 * self._drawing:
            return
        picture = plots.png(plots.curves(read_log(self.workdir / LOG), self.monitors))
        replace_file(self.workdir / "curves.png", picture)
        self._drawn = time.perf_counter()
        self._drawing = self._drawn - began

    def close(self) -> None:
        """Ends the bar and closes the files; may be called twice."""
        if self.active:
            self.active = False
            with naming(self.workdir):
                self._closing.close()

    def _append(self, step: int, values: Mapping[str, Any]) -> None:
        epoch = {"epoch": round(step / self.steps_per_epoch, 4)} if self.steps_per_epoch else {}
        line = {"step": int(step), **epoch, "time": round(time.time(), 3), **values}
        with naming(self.workdir / LOG):
            self._log.write(json.dumps(line, allow_nan=False) + "\n")
            self._log.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
