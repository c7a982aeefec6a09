"""`train_and_evaluate`: from a configuration to a trained, evaluated, resumable model."""

import dataclasses
import json
import math
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from jaxnuc import build, optim
from jaxnuc import config as configs
from jaxnuc.data import pipeline, transforms
from jaxnuc.data.normalize import Normalize
from jaxnuc.data.splits import open_split
from jaxnuc.evaluation.checkpoint import optimize_checkpoint
from jaxnuc.evaluation.validate import CLASS_FIGURES, validate
from jaxnuc.io.atomic import replace_file
from jaxnuc.losses import schedules
from jaxnuc.metrics import Conventions, score_with, summarize
from jaxnuc.prediction.predictor import make_predictor
from jaxnuc.run import devices
from jaxnuc.run.checkpoints import Checkpoints
from jaxnuc.training import state
from jaxnuc.training.reporting import Reporter
from jaxnuc.training.starting_point import with_weights
from jaxnuc.training.step import make_train_step

# What may differ when a run goes on; everything else would make it another run.
MAY_CHANGE = (
    "data.root",
    "data.workers",
    "duration",
    "evaluation",
    "checkpoint_every",
    "log_every",
    "distributed",
)


def train_and_evaluate(config: ConfigDict, workdir: str | os.PathLike[str]) -> dict[str, float]:
    """Trains, evaluates at intervals and at the end, and resumes where the workdir has a run.

    Args:
      config: made from `jaxnuc.config.default()`.
      workdir: gets `config.json`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`, `curves.png`.

    Returns:
      The figures of the last evaluation on the split "val"; empty where SIGTERM came before one.

    Raises:
      ValueError: what is wrong with the configuration, the data or the workdir, and the way out.
      FloatingPointError: the loss is not finite; names the step and the norms.
    """
    configs.check(config)
    devices.initialize(config.distributed)
    devices.check_batch_size(config.batch_size)
    workdir = Path(workdir).absolute()
    return _Run(config, workdir).train()


class _Run:
    """What stays the same during one call of `train_and_evaluate`."""

    def __init__(self, config: ConfigDict, workdir: Path) -> None:
        self.config, self.workdir = config, workdir
        self.train_source, self.val_source = (
            open_split(
                config.data.source,
                config.data.root,
                split,
                mpp=config.data.mpp or None,
                seed=config.seed,
            )
            for split in ("train", "val")
        )
        self.label_sets = build.cuts_of(self.train_source)
        self.representation = build.make_representation(config, self.label_sets)
        self.model = build.make_model(config, self.representation, devices.AXIS)
        self.conventions = configs.conventions(config)
        classes = config.classes["name"] != "none" and getattr(self.val_source, "label_set", None)
        _check_monitor(config.evaluation.monitor, self.conventions, bool(classes))
        endless = getattr(self.train_source, "endless", False)
        self.per_epoch = None if endless else max(len(self.train_source) // config.batch_size, 1)
        self.total = self.steps(config.duration, "duration")
        self.evaluate_every = self.steps(config.evaluation.every, "evaluation.every")
        self.checkpoint_every = self.steps(config.checkpoint_every, "checkpoint_every")
        if config.evaluation.optimize_thresholds and not hasattr(self.representation, "thresholds"):
            raise ValueError(
                f"evaluation.optimize_thresholds: the representation "
                f"{config.representation['name']!r} has no thresholds to choose; set it to False"
            )
        self.loss_schedule = schedules.make(config.loss_schedule, self.total, self.steps)
        build.check_schedule(self.loss_schedule, self.representation, config.loss_schedule["name"])
        self.learning_rate = optim.schedule(
            config.schedule, config.optimizer["learning_rate"], self.total, self.steps
        )
        self.optimizer = optim.make(
            config.optimizer,
            self.learning_rate,
            to_steps=self.steps,
            total_steps=self.total,
            plateau=config.schedule["name"] == "plateau",
            clip_value=config.clip_value,
            clip_norm=config.clip_norm,
        )
        normalize = Normalize(config.data.normalize)
        self.batches = pipeline.batches(
            self.train_source,
            [normalize, *transforms.parse(config.data.transforms)],
            self.representation.encode,
            config.batch_size,
            config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            workers=config.data.workers,
        )
        evaluated_model = build.make_model(config, self.representation)
        self.predictor = make_predictor(config, evaluated_model, self.representation, None)
        self.stopping = _Sigterm()
        # Written last: a configuration that fails above leaves no trace in the workdir.
        self._claim_workdir()

    def steps(self, text: str, key: str) -> int:
        return configs.steps(text, key, self.per_epoch)

    def _claim_workdir(self) -> None:
        path = self.workdir / "config.json"
        given = configs.to_json(self.config)
        if path.exists():
            # With the defaults of keys that there were not yet when the run began.
            earlier = configs.to_json(configs.from_json(json.loads(path.read_text())))
            changed = _differences(earlier, given)
            if changed:
                lines = "\n".join(
                    f"  {key}: {old!r} there, {new!r} now" for key, old, new in changed
                )
                raise ValueError(
                    f"{self.workdir} holds a run of another configuration:\n{lines}\n"
                    "give another --workdir, or the configuration of that run to go on with it"
                )
        if jax.process_index() == 0:
            self.workdir.mkdir(parents=True, exist_ok=True)
            replace_file(path, (json.dumps(given, indent=2) + "\n").encode())

    def train(self) -> dict[str, float]:
        config = self.config
        current = state.create(
            self.model, self.optimizer, config.seed, config.ema_decay > 0, self.loss_schedule
        )
        progress: dict[str, Any] = {
            "data": self.batches.get_state(),
            "best": None,
            "waited": 0,
            "switches": [],
        }
        figures: dict[str, float] = {}
        step_fn = devices.compile_step(
            make_train_step(
                self.model,
                self.representation,
                self.optimizer,
                config.ema_decay,
                devices.AXIS,
                self.loss_schedule,
            )
        )
        rng = jax.random.key(config.seed)
        active = jax.process_index() == 0
        with Checkpoints(self.workdir) as checkpoints, self.stopping:
            restored = checkpoints.restore(current)
            if restored is not None:
                current, progress = restored
                self.batches.set_state(progress["data"])
                figures = {
                    k: math.nan if v is None else v for k, v in progress.get("figures", {}).items()
                }
            elif config.weights.file:
                current = with_weights(current, self.model, config.weights)
            step = int(current.step)
            current = devices.replicate(current)
            with Reporter(
                self.workdir, self.total, self.per_epoch, resumed_step=step, active=active
            ) as reporter:
                if restored is not None:
                    logging.info("resumed at step %d of %d", step, self.total)
                stop = _patience_is_over(config, progress)
                unchecked: dict[int, Any] = {}
                while step < self.total and not stop:
                    current, metrics = step_fn(current, next(self.batches), rng)
                    step += 1
                    # One step behind, so that the device need not wait for the answer.
                    _check_finite(unchecked)
                    unchecked = {step: metrics}
                    reporter.step(step, metrics, config.batch_size)
                    if step % config.log_every == 0 or step == self.total:
                        rate = optim.current_rate(current.opt_state, self.learning_rate, step - 1)
                        values = {f"train/{k}": v for k, v in metrics.items()}
                        reporter.log(step, {**values, "learning_rate": rate})
                        _report_switches(current, progress, reporter)

                    monitor = None
                    evaluate = step == self.total or (
                        self.evaluate_every and step % self.evaluate_every == 0
                    )
                    due = self.checkpoint_every and step % self.checkpoint_every == 0
                    preempted = self.stopping.at(step, checkpoints)
                    save = evaluate or due or preempted
                    if save:
                        _check_finite(unchecked, current)
                    if evaluate:
                        figures = self._evaluate(current)
                        reporter.log(step, {f"validation/{k}": v for k, v in figures.items()})
                        reporter.curves()
                        monitor = self._monitor(figures)
                        current = self._observe(current, progress, monitor, figures)
                        stop = _patience_is_over(config, progress)
                    if save:
                        progress["data"] = self.batches.get_state()
                        checkpoints.save(
                            current, progress, configs.to_json(config), monitor, self.label_sets
                        )
                    if preempted:
                        reporter.event(step, "stopped by SIGTERM")
                        logging.warning("SIGTERM: saved at step %d; run again to go on", step)
                        break
                if stop:
                    logging.info(
                        "stopped at step %d: %s was best with %s, %d evaluations ago",
                        step,
                        config.evaluation.monitor,
                        progress["best"],
                        progress["waited"],
                    )
                reporter.curves()
        self.batches.close()
        finished = step == self.total or stop
        if finished and config.evaluation.optimize_thresholds:
            # In every process: reading a checkpoint waits for all of them.
            found = optimize_checkpoint(self.workdir, source=self.val_source)
            logging.info("thresholds of the best checkpoint: %s", found)
        return figures

    def _evaluate(self, current: state.TrainState) -> dict[str, float]:
        # One device evaluates; a replicated state of several devices would drag them all along.
        variables = jax.device_put(jax.device_get(current.variables()), jax.local_devices()[0])
        (network,) = self.predictor.networks
        network = dataclasses.replace(network, variables=variables)
        predictor = dataclasses.replace(self.predictor, networks=(network,))
        return dict(
            validate(
                predictor,
                self.val_source,
                conventions=self.conventions,
                workers=self.config.evaluation.workers,
            )
        )

    def _monitor(self, figures: Mapping[str, float]) -> float | None:
        figure = figures[self.config.evaluation.monitor]
        return figure if math.isfinite(figure) else None

    def _observe(
        self,
        current: state.TrainState,
        progress: dict[str, Any],
        monitor: float | None,
        figures: dict[str, float],
    ) -> state.TrainState:
        """Keeps count of the evaluations, for early stopping and the plateau schedule."""
        progress["figures"] = {k: v if math.isfinite(v) else None for k, v in figures.items()}
        best = progress["best"]
        if monitor is not None and (best is None or monitor > best):
            progress.update(best=monitor, waited=0)
        else:
            progress["waited"] += 1
        if monitor is None:
            return current
        opt_state = optim.observe(self.config.schedule, current.opt_state, monitor)
        return current.replace(opt_state=devices.replicate(opt_state))


def _check_finite(
    metrics: Mapping[int, Mapping[str, Any]], current: state.TrainState | None = None
) -> None:
    """Raises for the first of the steps that is not finite, or for the state they lead to."""
    for step, values in metrics.items():
        loss, gradient, parameter = (
            float(values[k]) for k in ("loss", "gradient_norm", "parameter_norm")
        )
        what = ""
        if not math.isfinite(loss) or not math.isfinite(gradient):
            what = f"the loss is {loss} at step {step}"
        # An update can overflow after a finite loss, and running statistics beside one.
        elif current is not None and not _all_finite((current.params, current.variables())):
            what = f"step {step} leads to parameters or running statistics that are not finite"
        if what:
            raise FloatingPointError(
                f"{what}: gradient norm {gradient:.4g}, parameter norm {parameter:.4g}; nothing "
                "was saved since the last checkpoint. Lower optimizer.learning_rate or set "
                "clip_norm, in another workdir"
            )


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]).all()


def _report_switches(
    current: state.TrainState, progress: dict[str, Any], reporter: Reporter
) -> None:
    """Notes once what the optimizer and the loss schedule have decided within their steps."""
    found = {
        "Lion gives way to SGD": optim.switched_at(current.opt_state),
        "boundary refinement begins": current.loss_state.get("switched_at"),
    }
    for name, step in found.items():
        if step is not None and int(step) >= 0 and name not in progress["switches"]:
            reporter.event(int(step), name)
            progress["switches"] = [*progress["switches"], name]


def _check_monitor(name: str, conventions: Conventions, classes: bool) -> None:
    """Refuses a figure that there is not, before hours of training lead to its absence."""
    nothing = np.zeros((1, 1), np.int32)
    figures = dict(summarize([score_with(conventions, nothing, nothing)]))
    if classes:
        figures |= dict.fromkeys(CLASS_FIGURES, math.nan)
    if name not in figures:
        raise ValueError(
            f"evaluation.monitor={name!r} is no figure; there are {', '.join(figures)}"
        )


def _patience_is_over(config: ConfigDict, progress: Mapping[str, Any]) -> bool:
    patience = config.evaluation.patience
    return patience > 0 and progress["waited"] >= patience


def _differences(
    earlier: Mapping[str, Any], given: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """Keys whose values differ and must not, with both values."""
    found = []
    for key in sorted({*earlier, *given}):
        path, old, new = prefix + key, earlier.get(key), given.get(key)
        if old == new or path in MAY_CHANGE:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, path + ".")
        else:
            found.append((path, old, new))
    return found


class _Sigterm:
    """Notes a SIGTERM, which a preempted job gets some time before it is killed."""

    def __init__(self) -> None:
        self.received = False
        self._previous: Any = None

    def at(self, step: int, checkpoints: Checkpoints) -> bool:
        # Several processes must stop at the same step: JAX's own handler agrees on one.
        if jax.process_count() > 1:
            return checkpoints.reached_preemption(step)
        return self.received

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def __enter__(self) -> "_Sigterm":
        main = threading.current_thread() is threading.main_thread()
        if main and jax.process_count() == 1:
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
