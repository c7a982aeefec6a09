"""Parameters that weights gave, which may learn slower than the fresh ones, and later.

Which they are is in the optimizer's state, so that a run goes on without the weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

TAKEN = "taken"  # entry of a chain's state: (N,) bool, by `jax.tree.leaves` of the parameters


def treats_taken_differently(section: Mapping[str, Any]) -> bool:
    """Whether an optimizer's section treats the parameters that weights gave by themselves."""
    return section.get("taken_rate", 1) != 1 or bool(section.get("taken_frozen_until", ""))


def scale_taken(rate: float) -> optax.GradientTransformation:
    """Multiplies the updates of parameters that weights gave by a share of the learning rate."""

    def init(params: Any) -> jax.Array:
        return jnp.zeros(len(jax.tree.leaves(params)), bool)

    def update(updates: Any, state: jax.Array, params: Any = None) -> tuple[Any, jax.Array]:
        factors = jnp.where(state, jnp.float32(rate), 1)
        leaves, tree = jax.tree.flatten(updates)
        scaled = [leaf * factors[i].astype(leaf.dtype) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(tree, scaled), state

    return optax.GradientTransformation(init, update)


def mark_taken(opt_state: Any, taken: Sequence[bool]) -> Any:
    """A new optimizer's state that knows which parameters weights gave, where it makes use of it.

    Args:
      opt_state: of a chain made by `make`.
      taken: for each of `jax.tree.leaves` of the parameters.
    """
    return opt_state | {TAKEN: jnp.array(taken, bool)} if TAKEN in opt_state else opt_state


def which_taken(params: Any, opt_state: Any) -> list[jax.Array]:
    """For each leaf of the parameters whether weights gave it, () bool."""
    return list(opt_state[TAKEN])
