"""`train_and_evaluate`: from a configuration to a trained, evaluated, resumable model."""

import contextlib
import dataclasses
import logging
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxnuc import build, optim
from jaxnuc import config as configs
from jaxnuc.data import pipeline, transforms
from jaxnuc.data.normalize import Normalize
from jaxnuc.data.sample import Source
from jaxnuc.data.sizes import area_quantiles
from jaxnuc.data.sources.mixture import only
from jaxnuc.data.splits import open_split
from jaxnuc.durations import TrainingLength
from jaxnuc.evaluation.checkpoint import optimize_checkpoint
from jaxnuc.evaluation.scoring import Scoring
from jaxnuc.evaluation.validate import Monitor, plan_validation, validate
from jaxnuc.io.lock import locked
from jaxnuc.labels import LabelSet
from jaxnuc.losses import schedules
from jaxnuc.models import Network
from jaxnuc.prediction.predictor import Predictor, make_predictor
from jaxnuc.registry import check_known
from jaxnuc.representations import Representation
from jaxnuc.run import devices
from jaxnuc.run.checkpoints import Checkpoints
from jaxnuc.training import episodes as training_episodes
from jaxnuc.training import state
from jaxnuc.training import workdir as workdirs
from jaxnuc.training.episodes import Episode
from jaxnuc.training.preemption import Preemption, Stopped
from jaxnuc.training.progress import Progress
from jaxnuc.training.reporting import Reporter
from jaxnuc.training.self_training import SelfTraining, with_unlabeled
from jaxnuc.training.self_training import plan as plan_self_training
from jaxnuc.training.starting_point import create_from_weights
from jaxnuc.training.step import make_train_step
from jaxnuc.training.validation_loss import make_validation_loss

logger = logging.getLogger(__name__)

SWITCH = "Lion gives way to SGD"


@dataclass(frozen=True)
class Parts:
    """What a training is made of, before anything is computed or written."""

    train_source: Source
    val_source: Source
    label_sets: tuple[LabelSet, ...]  # of the images to train on
    representation: Representation
    model: Network  # with batch statistics over all devices
    episodes: tuple[Episode, ...]  # of which the training consists, at least one
    length: TrainingLength  # of all of them
    evaluate_every: int  # steps; 0: only at the end
    checkpoint_every: int  # steps between further checkpoints; 0: none
    schedule: optim.Schedule
    learning_rate: optax.Schedule  # by step, as the schedule has it
    optimizer: optax.GradientTransformationExtraArgs
    loss_schedule: schedules.LossSchedule
    batches: Mapping[tuple[str, ...], pipeline.Batches]  # by the sources of an episode
    self_training: SelfTraining | None  # what a step does with the unlabeled ones among these
    predictor: Predictor  # as evaluations use it, without parameters
    scorings: Mapping[str, Scoring]  # what evaluations compute, by data set
    validation_loss: Callable[[state.TrainState], dict[str, float]] | None  # beside these
    monitors: Mapping[str, Monitor]  # the figures that decide what is best


def build_parts(config: ConfigDict) -> Parts:
    """Makes the parts of a training; writes nothing.

    Raises:
      ValueError: what is wrong with the configuration or the data, and the way out.
    """
    # --- data, representation, network
    data, seed = config.data, config.seed
    train_source, val_source = (
        open_split(data.source, data.root, split, mpp=data.mpp or None, seed=seed)
        for split in ("train", "val")
    )
    label_sets = build.label_sets_of(train_source)
    representation = build.make_representation(config, label_sets)
    model = build.make_model(config, representation, devices.AXIS)

    # --- lengths of time
    epoch = max(len(train_source) // config.batch_size, 1)
    per_epoch = None if train_source.endless else epoch
    episodes = training_episodes.plan(config, train_source, per_epoch)
    length = TrainingLength(sum(episode.steps for episode in episodes), per_epoch)
    evaluate_every = length.steps(config.evaluation.every, "evaluation.every")
    checkpoint_every = length.steps(config.checkpoint_every, "checkpoint_every")
    if config.evaluation.optimize_thresholds and not representation.thresholds:
        raise ValueError(
            f"evaluation.optimize_thresholds: the representation "
            f"{config.representation['name']!r} has no thresholds to choose; set it to False"
        )
    for name in config.evaluation.threshold_choices:
        check_known("key of evaluation.threshold_choices:", name, representation.thresholds)

    # --- loss and optimizer
    loss_schedule = schedules.make(config.loss_schedule.to_dict(), length)
    build.check_schedule(loss_schedule, representation, config.loss_schedule["name"])
    schedule = optim.SCHEDULES.build(config.schedule)
    learning_rate = schedule.rate(config.optimizer["learning_rate"], length)
    if not config.weights.file and optim.treats_taken_differently(config.optimizer):
        raise ValueError(
            "optimizer.taken_rate and optimizer.taken_frozen_until are for parameters that weights "
            "give; set weights.file, or leave them out"
        )
    optimizer = optim.make(
        config.optimizer,
        learning_rate,
        length,
        plateau=schedule.lowers_rate,
        clip_value=config.clip_value,
        clip_norm=config.clip_norm,
    )

    # --- batches to train on, and the predictor of the evaluations
    chain = [Normalize(data.normalize), *transforms.parse(data.transforms)]
    process = jax.process_index(), jax.process_count()
    self_training = plan_self_training(config, model, representation, length)
    batches = {}
    for names in dict.fromkeys(episode.sources for episode in episodes):
        batches[names] = pipeline.batches(
            only(train_source, names),
            chain,
            representation.encode,
            config.batch_size,
            seed,
            process=process,
            workers=data.workers,
        )
        if self_training is not None:
            batches[names] = with_unlabeled(batches[names], config, process)
    evaluated = build.make_model(config, representation)  # on one device: no axis
    predictor = make_predictor(config, evaluated, representation, None)
    names_of_monitors = [episode.monitor for episode in episodes]
    scorings, monitors = plan_validation(config, predictor, val_source, names_of_monitors)
    validation_loss = None
    if config.evaluation.loss:
        validation_loss = make_validation_loss(
            evaluated, representation, val_source, chain, config.batch_size, seed
        )
    return Parts(
        train_source=train_source,
        val_source=val_source,
        label_sets=label_sets,
        representation=representation,
        model=model,
        episodes=episodes,
        length=length,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
        schedule=schedule,
        learning_rate=learning_rate,
        optimizer=optimizer,
        loss_schedule=loss_schedule,
        batches=batches,
        self_training=self_training,
        predictor=predictor,
        scorings=scorings,
        validation_loss=validation_loss,
        monitors=monitors,
    )


def train_and_evaluate(config: ConfigDict, workdir: str | os.PathLike[str]) -> dict[str, float]:
    """Trains, evaluates at intervals and at the end, and resumes where the workdir has a run.

    Args:
      config: made from `jaxnuc.config.default()`.
      workdir: gets `config.json`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`, `curves.png`.

    Returns:
      The figures of the last evaluation on the split "val".

    Raises:
      Stopped: by SIGTERM, when everything is saved; the same call goes on.
      ValueError: what is wrong with the configuration, the data or the workdir, and the way out.
      FloatingPointError: the loss is not finite; names the step and the norms.
    """
    # --- build: a mistake ends the run here, and leaves no trace in the workdir
    workdir = Path(workdir).absolute()
    configs.check(config)
    devices.initialize(config.distributed)
    devices.check_batch_size(config.batch_size)
    if config.self_training.source["name"] != "none":
        devices.check_batch_size(config.self_training.batch_size, "self_training.batch_size")
    logger.info("opening the data set %s", config.data.source["name"])
    parts = build_parts(config)
    number = "endless" if parts.train_source.endless else len(parts.train_source)
    logger.info("images to train on: %s, to evaluate on: %d", number, len(parts.val_source))
    with locked(workdir) if jax.process_index() == 0 else contextlib.nullcontext():
        workdirs.claim(workdir, config)
        return _train_and_evaluate(config, parts, workdir)


def _train_and_evaluate(config: ConfigDict, parts: Parts, workdir: Path) -> dict[str, float]:
    # --- the state before the first step
    total = parts.length.total
    options = {
        "ema": config.ema_decay > 0,
        "loss_schedule": parts.loss_schedule,
        "teacher": parts.self_training is not None,
    }
    initialization = state.initialization(parts.model)
    template = state.shapes(initialization.shapes, parts.optimizer, **options)
    parameters = sum(p.size for p in jax.tree.leaves(template.params))
    logger.info("network %s: %s parameters", config.model["name"], f"{parameters:,}")
    progress = Progress(data={"next_batch": 0})
    rng = devices.replicate(jax.random.key(config.seed))
    learning_rate = jax.jit(parts.learning_rate)  # for the log: one program, not one an operation
    train_step = devices.compile_step(
        make_train_step(
            parts.model,
            parts.representation,
            parts.optimizer,
            config.ema_decay,
            devices.AXIS,
            parts.loss_schedule,
            parts.self_training,
        )
    )

    with (
        contextlib.ExitStack() as stack,
        Checkpoints(workdir) as checkpoints,
        Preemption() as preemption,
    ):
        for batches in parts.batches.values():
            stack.enter_context(contextlib.closing(batches))  # also after an error or Ctrl-C

        # --- restore, or start from given weights
        restored = checkpoints.restore(template)
        if restored is not None:
            current, progress = restored[0], Progress.from_json(restored[1])
            logger.info("resumed at step %d of %d", current.step, total)
        else:
            complete = True
            if config.weights.file:
                current, complete = create_from_weights(
                    config, initialization, parts.representation, parts.optimizer, **options
                )
            else:
                variables = initialization.values(config.seed)
                current = state.create_from(variables, parts.optimizer, **options)
        step = int(current.step)
        current = devices.replicate(current)
        finished = _episode_is_over(parts, progress, step) and _is_last(parts, progress)
        if not finished:
            # Read while the step compiles; a checkpoint keeps them for predictions.
            reader = stack.enter_context(ThreadPoolExecutor(1))
            steps = transforms.parse(config.data.transforms)
            areas = reader.submit(area_quantiles, parts.train_source, steps, config.seed)
            logger.info("compiling the training step; the run is in %s", workdir)

        active = jax.process_index() == 0
        resumed = None if restored is None else step
        with Reporter(
            workdir, total, parts.length.per_epoch, resumed, parts.monitors, active=active
        ) as reporter:
            batches, workers = _batches(parts, progress), config.evaluation.workers
            if restored is None and config.episodes:
                reporter.event(0, _title(parts, progress))
            if restored is None and config.evaluation.at_start:
                # A head that starts fresh gives noise, however good the figure of all else is.
                current, merit = _evaluate(
                    parts, current, progress, reporter, 0, workers, ranked=complete
                )
                best = merit if _is_last(parts, progress) else None
                plain = progress.to_json(), configs.to_json(config)
                checkpoints.save(current, *plain, best, parts.label_sets, areas.result())
            unchecked: dict[int, Any] = {}
            while not finished:
                episode = parts.episodes[progress.episode]
                # --- one step
                current, metrics = train_step(current, next(batches), rng)
                step += 1
                # Checked one step behind, so that the device need not wait for the answer.
                _check_finite(unchecked)
                unchecked = {step: metrics}

                # --- log
                reporter.step(step, metrics, config.batch_size)
                ends = step - progress.began >= episode.steps
                if step % config.log_every == 0 or ends:
                    rate = optim.current_rate(current.opt_state, learning_rate, step - 1)
                    values = {f"train/{k}": v for k, v in metrics.items()}
                    reporter.log(step, {**values, "learning_rate": rate})
                    _report_switches(current, progress, reporter, step)

                # --- what is due
                evaluates = ends or _is_due(step, parts.evaluate_every)
                preempted = preemption.reached(step, checkpoints)
                saves = evaluates or preempted or _is_due(step, parts.checkpoint_every)
                if saves:
                    _check_finite(unchecked, current)

                # --- evaluate
                merit = None
                if evaluates:
                    current, merit = _evaluate(parts, current, progress, reporter, step, workers)
                    reporter.curves()

                # --- the next episode
                progress.data = batches.get_state()
                if _is_last(parts, progress):
                    finished = _episode_is_over(parts, progress, step)
                else:
                    merit = None  # the best checkpoint is one of the last episode
                    if _episode_is_over(parts, progress, step):
                        _report_patience(episode, progress, step)
                        batches.close()
                        progress.begin(progress.episode + 1, step)
                        batches = _batches(parts, progress)
                        opt_state = parts.schedule.begin_episode(current.opt_state)
                        current = current.replace(opt_state=devices.replicate(opt_state))
                        reporter.event(step, _title(parts, progress))

                # --- save
                if saves:
                    plain = progress.to_json(), configs.to_json(config)
                    checkpoints.save(current, *plain, merit, parts.label_sets, areas.result())
                if preempted and not finished:
                    reporter.event(step, "stopped by SIGTERM")
                    break

            # --- the end
            if finished:
                _report_patience(parts.episodes[-1], progress, step)
                _report_best(parts, progress, checkpoints)
            reporter.curves(final=True)
    if not finished:
        raise Stopped(f"SIGTERM: saved at step {step}; run again to go on")
    if config.evaluation.optimize_thresholds:
        # In every process: reading a checkpoint waits for all of them.
        source = only(parts.val_source, parts.episodes[-1].sources)
        choices = config.evaluation.threshold_choices
        found = optimize_checkpoint(workdir, source=source, choices=choices)
        logger.info("thresholds of the best checkpoint: %s", found)
    return progress.figures


def _evaluate(
    parts: Parts,
    current: state.TrainState,
    progress: Progress,
    reporter: Reporter,
    step: int,
    workers: int,
    ranked: bool = True,
) -> tuple[state.TrainState, float | None]:
    """Evaluates a state for the log and, where it is ranked, for the patience and the schedule.

    Returns:
      The state, perhaps with another learning rate, and how good it is; None where it is not
      ranked, or the figure that is monitored is not finite.
    """
    figures = _figures(parts, current, workers)
    reporter.log(step, {f"validation/{k}": v for k, v in figures.items()})
    if not ranked:
        progress.figures = dict(figures)
        return current, None
    merit = parts.monitors[parts.episodes[progress.episode].monitor].merit(figures)
    progress.observe(figures, merit)
    if merit is not None:
        opt_state = parts.schedule.observe(current.opt_state, merit)
        current = current.replace(opt_state=devices.replicate(opt_state))
    return current, merit


def _figures(parts: Parts, current: state.TrainState, workers: int) -> dict[str, float]:
    """The figures of a state on the images to evaluate on."""
    # One device evaluates; a replicated state of several devices would drag them all along.
    variables = jax.device_put(jax.device_get(current.variables()), jax.local_devices()[0])
    (network,) = parts.predictor.networks
    network = dataclasses.replace(network, variables=variables)
    predictor = dataclasses.replace(parts.predictor, networks=(network,))
    figures = validate(predictor, parts.val_source, parts.scorings, workers=workers)
    return figures | (parts.validation_loss(current) if parts.validation_loss else {})


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _episode_is_over(parts: Parts, progress: Progress, step: int) -> bool:
    return parts.episodes[progress.episode].is_over(step - progress.began, progress.waited)


def _is_last(parts: Parts, progress: Progress) -> bool:
    return progress.episode == len(parts.episodes) - 1


def _batches(parts: Parts, progress: Progress) -> pipeline.Batches:
    """The batches of the current episode: they go on counting where the last one ended."""
    batches = parts.batches[parts.episodes[progress.episode].sources]
    batches.set_state(progress.data)
    return batches


def _title(parts: Parts, progress: Progress) -> str:
    names = parts.episodes[progress.episode].sources
    return f"episode {progress.episode + 1}" + (f": {', '.join(names)}" if names else "")


def _report_patience(episode: Episode, progress: Progress, step: int) -> None:
    if step - progress.began < episode.steps:
        best = f"the best {episode.monitor} was {progress.waited} evaluations ago"
        logger.info("stopped at step %d: %s", step, best)


def _report_best(parts: Parts, progress: Progress, checkpoints: Checkpoints) -> None:
    if progress.best is None:
        return
    monitor = parts.monitors[parts.episodes[-1].monitor]
    figure = monitor.turned(progress.best)
    best = checkpoints.best
    at_start = ", the network as it began, which the training did not improve" if best == 0 else ""
    logger.info("the best checkpoint is step %s%s: %s %.4g", best, at_start, monitor.figure, figure)


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


def _all_finite(tree: Any) -> bool:
    # In NumPy: what is checked is about to be saved, and a program of hundreds of arrays is slow to
    # compile.
    return all(np.isfinite(x).all() for x in jax.device_get(jax.tree.leaves(tree)))


def _report_switches(
    current: state.TrainState, progress: Progress, reporter: Reporter, now: int
) -> None:
    """Reports once what the optimizer and the loss schedule have decided within their steps."""
    found = {
        SWITCH: optim.switched_at(current.opt_state),
        "boundary refinement begins": current.loss_state.get("switched_at"),
    }
    for name, step in found.items():
        if step is None or int(step) < 0 or name in progress.switches:
            continue
        figures = {}
        if name == SWITCH:
            rate, estimate = map(float, optim.sgd_rate(current.opt_state))
            figures = {"sgd_rate": rate, "estimate": estimate}
            bounded = "" if rate == estimate else f", a bound; the estimate was {estimate:.3g}"
            logger.info("step %d: %s at the rate %.3g%s", step, name, rate, bounded)
        reporter.event(int(step), name, figures, noticed=now)
        progress.switches.append(name)
