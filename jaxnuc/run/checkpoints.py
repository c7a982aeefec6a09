"""Checkpoints: the state, the position in the data, the progress, the configuration, the labels.

Below `workdir/checkpoints` one folder a step. The latest two and the best one are kept.
"""

import contextlib
import json
import logging
import math
import operator
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

from jaxnuc.labels import LabelSet

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
THRESHOLDS = "thresholds.json"  # beside the state of a checkpoint, where they were optimized

State = TypeVar("State", bound=Any)  # a `TrainState`: a tree of arrays, with the step it is at


class Checkpoints:
    """Saves and restores what a training needs to go on to the bit, in the workdir of a run."""

    def __init__(self, workdir: str | os.PathLike[str]) -> None:
        self.folder = Path(workdir).absolute() / FOLDER

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
        labels = {"label_sets": [each.to_json() for each in label_sets], "areas": list(areas)}
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(jax.device_get(state)),  # the same on every process
                progress=ocp.args.JsonSave(dict(progress)),
                config=ocp.args.JsonSave(dict(config)),
                labels=ocp.args.JsonSave(labels),
            ),
            metrics=None if monitor is None else {"monitor": monitor},
            force=True,
        )

    def restore(self, template: State) -> tuple[State, dict[str, Any]] | None:
        """The latest checkpoint that can be read, or None where there is none.

        One that cannot be read is logged and passed over; once an earlier one can be, it is renamed
        to `<step>.corrupt`.

        Raises:
          ValueError: there are checkpoints, and none of them can be read; all are left in place.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for index, step in enumerate(steps):
            try:
                restored = self._manager.restore(
                    step,
                    args=ocp.args.Composite(
                        state=_arguments(template), progress=ocp.args.JsonRestore()
                    ),
                )
            except Exception as error:
                logger.warning(
                    "checkpoint %s cannot be read (%s: %s)",
                    self.folder / str(step),
                    type(error).__name__,
                    textwrap.shorten(str(error), 300),
                )
                continue
            for damaged in steps[:index]:
                self._set_aside(damaged)
            return restored.state, restored.progress
        if steps:
            raise ValueError(
                f"none of the checkpoints {steps[::-1]} in {self.folder} can be read, and they are "
                "left as they are; start again in another workdir"
            )
        return None

    def _set_aside(self, step: int) -> None:
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
        self._manager.reload()

    def reached_preemption(self, step: int) -> bool:
        """Whether the processes of a training agree to stop here, being preempted."""
        return self._manager.reached_preemption(step)

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
    """The folder of a checkpoint.

    Args:
      path: a workdir, or already the folder of one checkpoint.
      which: `"best"`, `"latest"` or a step.

    Raises:
      FileNotFoundError: there is no such checkpoint; lists the existing ones.
    """
    path = Path(path).absolute()
    if (path / "state").is_dir():
        return path
    if not (path / FOLDER).is_dir():
        raise FileNotFoundError(
            f"{path} is neither a workdir (it has no folder {FOLDER!r}) nor a checkpoint; give the "
            "--workdir of a training"
        )
    steps = sorted(int(p.name) for p in (path / FOLDER).iterdir() if p.name.isdigit())
    chosen: int | None = None
    if steps and which == "latest":
        chosen = steps[-1]
    elif steps and which == "best":  # the latest where none was evaluated, or of equals
        chosen = max(steps, key=lambda step: (_monitored(path / FOLDER / str(step)), step))
    elif str(which).isdigit():
        chosen = int(which)
    if chosen not in steps:
        raise FileNotFoundError(f"no checkpoint {which!r} in {path}; there are {steps}")
    return path / FOLDER / str(chosen)


def _monitored(folder: Path) -> float:
    """The figure by which checkpoints are compared, minus infinity where it was not evaluated."""
    path = folder / "metrics" / "metrics"
    return json.loads(path.read_text())["monitor"] if path.exists() else -math.inf


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration a checkpoint was made with, as plain data."""
    return ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(folder / "config")


def read_label_sets(folder: Path) -> tuple[LabelSet, ...]:
    """The label sets of the data a checkpoint was made with; empty where there are none."""
    found = ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(folder / "labels")
    return tuple(LabelSet.from_json(label_set) for label_set in found["label_sets"])


def read_areas(folder: Path) -> tuple[float, ...]:
    """The areas that `save` was given; empty where there were no nuclei."""
    found = ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(folder / "labels")
    return tuple(found["areas"])


def read_date(folder: Path) -> str | None:
    """When a checkpoint was written, `2026-11-29T12:00+00:00`; None where it does not say."""
    path = folder / "_CHECKPOINT_METADATA"  # Orbax's
    seconds = json.loads(path.read_text())["commit_timestamp_nsecs"] / 1e9 if path.exists() else 0
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="minutes")


def read_variables(folder: Path, template: Any, ema: bool) -> dict[str, Any]:
    """What `model.apply` needs to evaluate, and nothing else of the checkpoint.

    Args:
      folder: of the checkpoint.
      template: the model's variables as shapes: `{"params": ..., "batch_stats": ...}`.
      ema: read the averaged parameters.

    Raises:
      ValueError: the checkpoint is damaged or of another model.
    """
    name = "ema" if ema else "params"
    item = {name: template["params"], "batch_stats": template.get("batch_stats", {})}
    with _readable(folder):
        restored = _restored(folder, item)
    found = jax.tree_util.tree_leaves_with_path(restored)
    for (keys, array), expected in zip(found, jax.tree.leaves(item), strict=True):
        # Orbax leaves what a checkpoint lacks as the shape that was asked for.
        stored = array.shape if isinstance(array, np.ndarray) else "missing"
        if stored != expected.shape:
            path = jax.tree_util.keystr(keys, simple=True, separator="/")
            raise ValueError(
                f"checkpoint {folder} is of another model: {path} is {stored} in the checkpoint, "
                f"and {expected.shape} in the model"
            )
    return {"params": restored[name], "batch_stats": restored["batch_stats"]}


def read_all_variables(folder: Path, ema: bool) -> dict[str, Any]:
    """The variables as the checkpoint has them, whatever its network.

    Args:
      folder: of the checkpoint.
      ema: read the averaged parameters.

    Raises:
      ValueError: the checkpoint is damaged.
    """
    name = "ema" if ema else "params"
    with _readable(folder):
        stored = ocp.PyTreeCheckpointHandler().metadata(folder / "state").tree
        item = {key: stored.get(key, {}) for key in (name, "batch_stats")}
        restored = _restored(folder, item)
    return {"params": restored[name], "batch_stats": restored["batch_stats"]}


def _restored(folder: Path, item: Mapping[str, Any]) -> dict[str, Any]:
    reader = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
    return reader.restore(folder / "state", args=_arguments(item))


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turns what goes wrong while a checkpoint is read into one line."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"checkpoint {folder} cannot be read: {textwrap.shorten(str(error), 300)}; take "
            "another by --checkpoint=STEP"
        ) from error


def read_thresholds(folder: Path) -> dict[str, float]:
    """The thresholds stored in a checkpoint; empty where none were optimized."""
    path = folder / THRESHOLDS
    return json.loads(path.read_text())["thresholds"] if path.is_file() else {}
