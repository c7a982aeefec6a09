"""Training in two phases: some parameters are held at first, then all are trained afresh."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnuc.optim.lion_then_sgd import LionThenSgdState, renewed

# Entries of a chain's state that go on where the second phase begins: the schedules' own.
KEPT = ("learning_rate", "plateau")


def _path(keys: tuple) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def frozen_at_first(
    chain: optax.GradientTransformationExtraArgs, pattern: str, until: int
) -> optax.GradientTransformationExtraArgs:
    """Holds some parameters for a number of steps, then begins the method again with all.

    While they are held, the chain sees zeros in place of these parameters and of their gradients:
    they move by nothing, count in no norm, and leave no trace in the moments. The first update that
    moves them finds the method as a new one: empty moments, bias correction from one. The learning
    rate's schedule goes on, and so does a decision to switch from one method to another.

    Args:
      chain: made by `optax.named_chain`.
      pattern: regular expression of the whole path of a parameter, joined by `/`.
      until: number of updates that hold them.

    Returns:
      The chain, whose state has one more entry, `"frozen"`: updates made, () int32.

    Raises:
      ValueError: `pattern` is no regular expression, or `until` less than one; on `init`, if it
        matches no parameter.

    References:
      Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019, trains its decoders first.
    """
    try:
        matches = re.compile(pattern).fullmatch
    except re.error as error:
        raise ValueError(
            f"optimizer.frozen={pattern!r} is no regular expression: {error}"
        ) from None
    if until < 1:
        raise ValueError(f"optimizer.frozen_until is {until} steps; it must be at least one")

    def init(params: Any) -> Any:
        paths = [_path(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(params)]
        if not any(map(matches, paths)):
            some = ", ".join(paths[:: -(-len(paths) // 6)])
            raise ValueError(
                f"optimizer.frozen={pattern!r} matches the whole of no parameter's path; "
                f"there are {len(paths)}, such as {some}"
            )
        return chain.init(params) | {"frozen": jnp.int32(0)}

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        count = state["frozen"]

        def held(keys: tuple, x: jax.Array) -> jax.Array:
            return jnp.where(count < until, 0, x) if matches(_path(keys)) else x

        def begun(name: str, new: Any) -> Any:
            old = state[name]
            if name in KEPT:
                return old
            if isinstance(old, LionThenSgdState):
                new = renewed(old, new)
            return jax.tree.map(lambda n, o: jnp.where(count == until, n, o), new, old)

        hold = lambda tree: jax.tree_util.tree_map_with_path(held, tree)
        state = {name: begun(name, new) for name, new in chain.init(params).items()}
        updates, state = chain.update(hold(updates), state, hold(params), **extra_args)
        return updates, state | {"frozen": count + 1}

    return optax.GradientTransformationExtraArgs(init, update)
