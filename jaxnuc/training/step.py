"""One step of training, a pure function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxnuc.losses.schedules import LossSchedule
from jaxnuc.models import Network, check_maps
from jaxnuc.representations import Representation
from jaxnuc.run.devices import image_numbers
from jaxnuc.training.dropout import dropout_by_image
from jaxnuc.training.self_training import SelfTraining
from jaxnuc.training.state import TrainState

Batch = dict[str, Any]
Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]
SMALL = 2**16  # numbers of an array


def as_input(images: jax.Array) -> jax.Array:
    """(B, H, W, 3) uint8 to float32 in [0, 1]: batches travel to the device as bytes."""
    return images.astype(jnp.float32) / 255


def central(targets: Batch, margin: int) -> Batch:
    """Crops target maps (B, H, W, C) to the center that a network of that margin gives maps of."""
    first, last = margin // 2, margin // 2 - margin or None
    center = np.s_[:, first:last, first:last]
    # What has fewer axes is a number for each image.
    return {name: x[center] if x.ndim == 4 else x for name, x in targets.items()}


def averaged(params: Any, average: Any, highest: float, step: jax.Array) -> Any:
    """The exponential moving average of parameters after a step, `highest` its decay at last."""
    # Early on the average follows the parameters more closely than its decay says.
    decay = jnp.minimum(highest, (1 + step) / (10 + step))
    return optax.incremental_update(params, average, 1 - decay)


def norm(tree: Any) -> jax.Array:
    """Euclidean norm of all numbers of a tree of real arrays, `()`."""
    # Each sum is a kernel that takes XLA milliseconds to compile or to load, and a network has
    # hundreds of small arrays: these are summed together.
    leaves = [x.ravel() for x in jax.tree.leaves(tree)]
    parts = [x for x in leaves if x.size > SMALL]
    if small := [x for x in leaves if x.size <= SMALL]:
        parts.append(jnp.concatenate(small))
    return jnp.sqrt(sum(jnp.sum(jnp.square(x)) for x in parts))


def make_train_step(
    model: Network,
    representation: Representation,
    optimizer: optax.GradientTransformation,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    loss_schedule: LossSchedule | None = None,
    self_training: SelfTraining | None = None,
) -> Step:
    """Makes `step(state, batch, rng) -> (state, metrics)`.

    Args:
      model: made with the same `axis_name`.
      representation: whose loss is minimized.
      optimizer: an Optax chain.
      ema_decay: of the averaged parameters; used where the state has some.
      axis_name: the pmapped axis that shares the batch, or None.
      loss_schedule: which gives the loss its factors; the state is made with the same one.
      self_training: what to do with the batch's unlabeled images; the state has a teacher then.

    Returns:
      A function of the state, a batch `{"image": (B, H, W, 3) uint8, "targets": {...}}` and a key,
      the same at every step. Metrics: `loss`, its parts, its factors as `<name>_factor`,
      `gradient_norm` and `parameter_norm` before the update. With self-training the batch has
      `"unlabeled": {"image": ..., "student": ...}`, and the metrics `consistency` and `confident`,
      the share of pixels that count in it.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    margin = model.margin

    def step(state: TrainState, batch: Batch, rng: jax.Array) -> tuple[TrainState, Metrics]:
        rng = jax.random.fold_in(rng, state.step)
        images = as_input(batch["image"])
        numbers = image_numbers(len(images), axis_name)
        if self_training is not None:
            unlabeled = jax.tree.map(as_input, batch["unlabeled"])
            # By a key that all devices share, so that they draw the same symmetry.
            lesson = self_training.prepare(model, state, unlabeled, images.shape, rng)
            # In one pass, so that the running statistics are those of both domains.
            images = jnp.concatenate([images, lesson.images])
            others = image_numbers(len(lesson.images), axis_name)
            numbers = jnp.concatenate([2 * numbers, 2 * others + 1])
        factors = state.loss_state.get("factors", {})

        def compute_loss(params: Any) -> tuple[jax.Array, tuple[Metrics, Any]]:
            with dropout_by_image(numbers):
                maps, updated = model.apply(
                    {"params": params, "batch_stats": state.batch_stats},
                    images,
                    train=True,
                    rngs={"dropout": rng},
                    mutable=["batch_stats"],
                )
            check_maps(model, maps, images.shape)
            if "side" in factors and "side" not in maps:
                raise ValueError(
                    "the loss schedule weighs side maps, but the network gives none; take the loss "
                    "schedule 'constant', or a network with deep supervision"
                )
            targets = central(batch["targets"], margin)
            if self_training is not None:
                count = len(batch["image"])
                student = {name: m[count:] for name, m in maps.items() if name in lesson.teacher}
                maps = jax.tree.map(lambda m: m[:count], maps)
            loss, parts = representation.loss(maps, targets, axis_name, factors)
            if self_training is not None:
                consistency, confident = self_training.compare(student, lesson)
                loss += self_training.factor(state.step) * consistency
                parts = parts | {"consistency": consistency, "confident": confident}
            return loss, (parts, updated.get("batch_stats", {}))

        (loss, (parts, batch_stats)), gradients = jax.value_and_grad(compute_loss, has_aux=True)(
            state.params
        )
        metrics = {"loss": loss, **parts}
        if axis_name is not None:
            # A loss pooled over the devices is the same on each of them, and the transpose of its
            # psum adds up the gradients of all copies: the mean is right for pooled and for local.
            gradients, metrics = lax.pmean((gradients, metrics), axis_name)
        loss_state = state.loss_state
        if loss_schedule is not None:
            loss_state = loss_schedule.update(metrics, loss_state)
        # What an optimizer that switches by itself wants to know.
        watched = {"value": metrics["loss"]}
        if "switched_at" in loss_state:
            watched["ready"] = loss_state["switched_at"] >= 0
        metrics |= {f"{name}_factor": value for name, value in factors.items()}
        metrics["gradient_norm"] = norm(gradients)
        metrics["parameter_norm"] = norm(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, **watched)
        params = optax.apply_updates(state.params, updates)
        ema, teaching = state.ema, state.teacher
        if ema is not None:
            ema = averaged(params, ema, ema_decay, state.step)
        if self_training is not None:
            teaching = averaged(params, teaching, self_training.decay, state.step)
        state = state.replace(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            loss_state=loss_state,
            ema=ema,
            teacher=teaching,
        )
        return state, metrics

    return step
