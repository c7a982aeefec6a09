"""Checkpoints: the state, the position in the data, the progress, the configuration, the labels.

Below `workdir/checkpoints` one folder a step. The latest two and the best one are kept. All that is
read of a checkpoint is compared with the digests that were saved with it.
"""

import contextlib
import json
import logging
import math
import operator
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

from jaxnuc.io.atomic import replace_file
from jaxnuc.labels import LabelSet
from jaxnuc.registry import did_you_mean
from jaxnuc.run import cards, digests, model_file

logger = logging.getLogger(__name__)


def _is_for_users(record: logging.LogRecord) -> bool:
    """Whether to show a line of Orbax's log; damage is reported in words of our own instead."""
    message = record.getMessage()
    if damaged := re.match(r"Failed to .*?Metadata file: (.+?), ", message):
        logger.warning("%s is damaged; nothing in it is needed", damaged[1])
        return False
    if record.exc_info and "orbax" in record.pathname:  # it raises the same a little later
        return False
    # It warns of each checkpoint that was not evaluated, but not all of them are.
    return "`tracked_metric`" not in message


logging.getLogger("absl").addFilter(_is_for_users)

FOLDER = "checkpoints"
JSON = "metadata"  # Orbax's name of the file of plain data
THRESHOLDS = "thresholds.json"  # beside the state of a checkpoint, where they were optimized

State = TypeVar("State", bound=Any)  # a `TrainState`: a tree of arrays, with the step it is at


class Checkpoints:
    """Saves and restores what a training needs to go on to the bit, in the workdir of a run."""

    def __init__(self, workdir: str | os.PathLike[str]) -> None:
        self.folder = Path(workdir).absolute() / FOLDER
        self._set_aside_unranked()

        figure = operator.itemgetter("monitor")
        best = keep.BestN(get_metric_fn=figure, n=1, keep_checkpoints_without_metrics=False)
        policy = keep.AnyPreservationPolicy([keep.LatestN(2), best])
        options = ocp.CheckpointManagerOptions(best_fn=figure, preservation_policy=policy)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def save(
        self,
        state: Any,
        progress: Mapping[str, Any],
        config: Mapping[str, Any],
        monitor: float | None,
        label_sets: Sequence[LabelSet] = (),
        areas: Sequence[float] = (),
    ) -> None:
        """Saves in the background under the state's step; never overwrites a step.

        Args:
          state: to save; may be donated as soon as this returns.
          progress: plain data: position in the data, best figure, evaluations waited.
          config: the resolved configuration as plain data.
          monitor: decides which is best, larger is better; None where there was no evaluation.
          label_sets: the label sets of the data, for a class map.
          areas: of the nuclei of the training, from `jaxnuc.data.sizes.area_quantiles`.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        state = jax.device_get(state)  # the same on every process
        origin = {
            "label_sets": [each.to_json() for each in label_sets],
            "areas": list(areas),
            "date": datetime.now(UTC).isoformat(timespec="minutes"),
        }
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(state),
                digests=digests.DigestSave(state),
                progress=ocp.args.JsonSave(digests.sealed(progress)),
                config=ocp.args.JsonSave(digests.sealed(config)),
                origin=ocp.args.JsonSave(digests.sealed(origin)),
            ),
            metrics=None if monitor is None else digests.sealed({"monitor": monitor}),
            force=True,
        )

    def restore(self, template: State) -> tuple[State, dict[str, Any]] | None:
        """The latest checkpoint that can be read, or None where there is none.

        One that is damaged is logged and passed over; once an earlier one can be read, it is
        renamed to `<step>.corrupt`.

        Raises:
          ValueError: there are checkpoints, and none of them can be read; all are left in place.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for index, step in enumerate(steps):
            folder = self.folder / str(step)
            try:
                restored = self._manager.restore(
                    step, args=ocp.args.Composite(state=_arguments(template))
                ).state
                digests.check_arrays(folder / "digests", restored)
                for name in ("config", "origin"):  # which loading will need
                    digests.read_sealed(folder / name / JSON)
                progress = digests.read_sealed(folder / "progress" / JSON)
            except Exception as error:
                _warn(folder, error)
                continue
            for damaged in steps[:index]:
                self._set_aside(damaged)
            if index:
                self._manager.reload()
            return restored, progress
        if steps:
            raise ValueError(self._none_can_be_read(steps))
        return None

    def _none_can_be_read(self, steps: Sequence[int]) -> str:
        return (
            f"none of the checkpoints {sorted(steps)} in {self.folder} can be read, and they are "
            "left as they are; start again in another workdir"
        )

    def _set_aside_unranked(self) -> None:
        """Sets aside the checkpoints without a readable figure, at which Orbax would fail.

        Raises:
          ValueError: there are no others; all are left in place.
        """
        steps, damaged = _steps(self.folder), []
        for step in steps:
            try:
                _monitored(self.folder / str(step))
            except ValueError as error:
                _warn(self.folder / str(step), error)
                damaged.append(step)
        if damaged and damaged == steps:
            raise ValueError(self._none_can_be_read(steps))
        for step in damaged:
            self._set_aside(step)

    def _set_aside(self, step: int) -> None:
        if jax.process_count() > 1:  # while another process still reads, nothing is renamed
            multihost_utils.sync_global_devices(f"{step} is damaged")
        if jax.process_index() == 0:
            target = self.folder / f"{step}.corrupt"
            number = 1
            while target.exists():
                number += 1
                target = self.folder / f"{step}.corrupt{number}"
            (self.folder / str(step)).rename(target)
            logger.warning("%s is set aside as %s", self.folder / str(step), target.name)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"{step} set aside")

    def reached_preemption(self, step: int) -> bool:
        """Whether the processes of a training agree to stop here, being preempted."""
        return self._manager.reached_preemption(step)

    @property
    def best(self) -> int | None:
        """The step of the best one; None where there is none with a figure."""
        step: int | None = self._manager.best_step()
        return step

    def close(self) -> None:
        """Waits for what is being saved."""
        self._manager.wait_until_finished()
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _arguments(template: Any) -> ocp.args.PyTreeRestore:
    """To restore what a template has, and nothing else, as NumPy arrays."""
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), template)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), template)
    return ocp.args.PyTreeRestore(shapes, restore_args=as_numpy, partial_restore=True)


def find(path: str | os.PathLike[str], which: str | int = "best") -> Path:
    """The folder of a checkpoint, or the file of a model.

    Args:
      path: a workdir, or already the folder of one checkpoint; or a file that
        `jaxnuc.run.model_file` wrote, or the name of one that comes with this library.
      which: `"best"`, `"latest"` or a step.

    Raises:
      FileNotFoundError: there is no such checkpoint; lists the existing ones.
      ValueError: the best one is unknown, since a damaged one may be it.
    """
    name, path = str(path), Path(path).expanduser().absolute()
    if (path / "state").is_dir() or model_file.is_model(path):
        return path
    shipped = cards.shipped()
    if name in shipped and not (path / FOLDER).is_dir():  # but perhaps a folder of images
        return shipped[name]
    if not (path / FOLDER).is_dir():
        if not path.exists() and Path(name).name == name:
            hint = did_you_mean(name, shipped) or ";"
            raise FileNotFoundError(
                f"unknown model {name!r}; the models are {', '.join(shipped)}{hint} there is no "
                f"workdir {path} either"
            )
        raise FileNotFoundError(
            f"{path} is neither a workdir (it has no folder {FOLDER!r}) nor a checkpoint; give the "
            f"--workdir of a training, or --model, one of {', '.join(shipped)}"
        )
    steps = _steps(path / FOLDER)
    chosen: int | None = None
    if steps and which == "latest":
        chosen = steps[-1]
    elif steps and which == "best":  # the latest where none was evaluated, or of equals
        figures = {}
        for step in steps:
            with _readable(path / FOLDER / str(step)):
                figures[step] = _monitored(path / FOLDER / str(step))
        chosen = max(steps, key=lambda step: (figures[step], step))
    elif str(which).isdigit():
        chosen = int(which)
    if chosen not in steps:
        raise FileNotFoundError(f"no checkpoint {which!r} in {path}; there are {steps}")
    return path / FOLDER / str(chosen)


def is_trained(path: str | os.PathLike[str]) -> bool:
    """Whether `find` takes it, and not `jaxnuc.pretrained.read`: a folder, or a model."""
    expanded = Path(path).expanduser()
    return expanded.is_dir() or model_file.is_model(expanded) or str(path) in cards.shipped()


def _steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, which may not exist."""
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdigit())


def _monitored(folder: Path) -> float:
    """The figure by which checkpoints are compared, minus infinity where it was not evaluated."""
    if not (folder / "metrics").exists():
        return -math.inf
    figure: float = digests.read_sealed(folder / "metrics" / "metrics")["monitor"]
    return figure


def _warn(folder: Path, error: Exception) -> None:
    logger.warning("checkpoint %s cannot be read: %s", folder, _reason(error))


def _reason(error: Exception) -> str:
    """What Orbax stumbled over is of any type, and often says little without it."""
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
    return kind + textwrap.shorten(str(error), 300)


def _part(folder: Path, name: str) -> dict[str, Any]:
    with _readable(folder):
        return digests.read_sealed(folder / name / JSON)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration a checkpoint was made with, as plain data.

    Raises:
      ValueError: the checkpoint is damaged.
    """
    if folder.is_file():
        return model_file.read(folder).config
    return _part(folder, "config")


def read_label_sets(folder: Path) -> tuple[LabelSet, ...]:
    """The label sets of the data a checkpoint was made with; empty where there are none.

    Raises:
      ValueError: the checkpoint is damaged.
    """
    if folder.is_file():
        return model_file.read(folder).label_sets
    found = _part(folder, "origin")["label_sets"]
    return tuple(LabelSet.from_json(label_set) for label_set in found)


def read_model(folder: Path) -> model_file.TrainedModel:
    """All that is needed to use the network of a checkpoint, averaged parameters if there are any.

    Raises:
      ValueError: the checkpoint is damaged.
    """
    if folder.is_file():
        return model_file.read(folder)
    config, origin = _part(folder, "config"), _part(folder, "origin")
    return model_file.TrainedModel(
        config,
        tuple(LabelSet.from_json(label_set) for label_set in origin["label_sets"]),
        tuple(origin["areas"]),
        origin["date"],
        read_thresholds(folder),
        _read_variables(folder, "ema" if config["ema_decay"] > 0 else "params"),
    )


def _read_variables(folder: Path, parameters: str) -> dict[str, Any]:
    with _readable(folder):
        stored = ocp.PyTreeCheckpointHandler().metadata(folder / "state").tree
        item = {key: stored.get(key, {}) for key in (parameters, "batch_stats")}
        reader = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
        restored = reader.restore(folder / "state", args=_arguments(item))
        digests.check_arrays(folder / "digests", restored)
    return {"params": restored[parameters], "batch_stats": restored["batch_stats"]}


def check_shapes(folder: Path, variables: Mapping[str, Any], template: Mapping[str, Any]) -> None:
    """Compares what was read of a checkpoint with the variables of a network, as shapes.

    Raises:
      ValueError: they are of another network; names the first that differs.
    """
    found = flatten_dict(dict(variables), sep="/")
    for name, expected in flatten_dict(dict(template), sep="/").items():
        stored = found[name].shape if name in found else "missing"
        if stored != expected.shape:
            raise ValueError(
                f"checkpoint {folder} is of another model: {name} is {stored} in the checkpoint, "
                f"and {expected.shape} in the model"
            )


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turns what goes wrong while a checkpoint is read into one line."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"checkpoint {folder} cannot be read: {_reason(error)}; take another by "
            "--checkpoint=STEP"
        ) from error


def write_thresholds(folder: Path, thresholds: Mapping[str, float], accuracy: float) -> None:
    """Stores the thresholds that were optimized in a checkpoint, and what they reach.

    Raises:
      ValueError: it is the file of a model, which stays as it is.
    """
    if folder.is_file():
        raise ValueError(
            f"{folder} is the file of a model, which is not changed; optimize the thresholds of "
            "its run, and export that"
        )
    values = digests.sealed({"thresholds": dict(thresholds), "accuracy": accuracy})
    replace_file(folder / THRESHOLDS, (json.dumps(values, indent=2) + "\n").encode())


def read_thresholds(folder: Path) -> dict[str, float]:
    """The thresholds stored in a checkpoint; empty where none were optimized.

    Raises:
      ValueError: their file is damaged.
    """
    if folder.is_file():
        return model_file.read(folder).thresholds
    path = folder / THRESHOLDS
    if not path.is_file():
        return {}
    with _readable(folder):
        return digests.read_sealed(path)["thresholds"]
