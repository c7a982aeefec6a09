"""One step of training, a pure function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxnuc.losses.schedules import LossSchedule
from jaxnuc.models import Network
from jaxnuc.representations import Representation
from jaxnuc.training.state import TrainState

Batch = dict[str, Any]
Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]


def as_input(images: jax.Array) -> jax.Array:
    """(B, H, W, 3) uint8 to float32 in [0, 1]: batches travel to the device as bytes."""
    return images.astype(jnp.float32) / 255


def central(targets: Batch, margin: int) -> Batch:
    """Crops target maps (B, H, W, C) to the center that a network of that margin gives maps of."""
    first, last = margin // 2, margin // 2 - margin or None
    center = np.s_[:, first:last, first:last]
    # What has fewer axes is a number for each image.
    return {name: x[center] if x.ndim == 4 else x for name, x in targets.items()}


def make_train_step(
    model: Network,
    representation: Representation,
    optimizer: optax.GradientTransformation,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    loss_schedule: LossSchedule | None = None,
) -> Step:
    """Makes `step(state, batch, rng) -> (state, metrics)`.

    Args:
      model: made with the same `axis_name`.
      representation: whose loss is minimized.
      optimizer: an Optax chain.
      ema_decay: of the averaged parameters; used where the state has some.
      axis_name: the pmapped axis that shares the batch, or None.
      loss_schedule: which gives the loss its factors; the state is made with the same one.

    Returns:
      A function of the state, a batch `{"image": (B, H, W, 3) uint8, "targets": {...}}` and a key,
      the same at every step. Metrics: `loss`, its parts, its factors as `<name>_factor`,
      `gradient_norm` and `parameter_norm` before the update.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    margin = model.margin

    def step(state: TrainState, batch: Batch, rng: jax.Array) -> tuple[TrainState, Metrics]:
        rng = jax.random.fold_in(rng, state.step)
        if axis_name is not None:
            rng = jax.random.fold_in(rng, lax.axis_index(axis_name))
        factors = state.loss_state.get("factors", {})

        def compute_loss(params: Any) -> tuple[jax.Array, tuple[Metrics, Any]]:
            maps, updated = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                as_input(batch["image"]),
                train=True,
                rngs={"dropout": rng},
                mutable=["batch_stats"],
            )
            if "side" in factors and "side" not in maps:
                raise ValueError(
                    "the loss schedule weighs side maps, but the network gives none; take the loss "
                    "schedule 'constant', or a network with deep supervision"
                )
            targets = central(batch["targets"], margin)
            loss, parts = representation.loss(maps, targets, axis_name, factors)
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
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        metrics["parameter_norm"] = optax.tree.norm(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, **watched)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            # Early on the average follows the parameters more closely than its decay says.
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema = optax.incremental_update(params, ema, 1 - decay)
        state = state.replace(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            loss_state=loss_state,
            ema=ema,
        )
        return state, metrics

    return step
