"""What a training is, between two steps."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct


class TrainState(struct.PyTreeNode):
    """Everything that a step reads and writes, in natural shapes.

    Attributes:
      step: () int32, steps taken.
      params: float32 parameters.
      batch_stats: running statistics of the normalisations; empty where a network has none.
      opt_state: of the Optax chain.
      ema: exponential moving average of the parameters, or None.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any = None

    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes to evaluate: the averaged parameters where there are some."""
        params = self.params if self.ema is None else self.ema
        return {"params": params, "batch_stats": self.batch_stats}


def create(
    model: nn.Module, optimizer: optax.GradientTransformation, seed: int, ema: bool
) -> TrainState:
    """The state before the first step, a pure function of the seed."""

    def init(key: jax.Array) -> TrainState:
        # The parameters' shapes do not depend on the image's size.
        variables = model.init(key, jnp.zeros((1, 64, 64, 3), jnp.float32))
        params = variables["params"]
        return TrainState(
            step=jnp.int32(0),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
            ema=jax.tree.map(jnp.copy, params) if ema else None,
        )

    return jax.jit(init)(jax.random.key(seed))
