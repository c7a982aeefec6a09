"""Training in two phases: some parameters are held at first, then all are trained afresh."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnuc.optim.lion_then_sgd import LionThenSgdState, renewed
from jaxnuc.optim.taken import TAKEN
from jaxnuc.registry import expression

# Entries of a chain's state that go on where the second phase begins: the schedules' own.
KEPT = ("learning_rate", "plateau", TAKEN)

# For each leaf of the parameters whether it is held, from these and the chain's state.
Held = Callable[[Any, Any], Sequence[Any]]


def _path(keys: tuple) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def matching(pattern: str) -> Held:
    """The parameters whose whole path, joined by `/`, matches a regular expression.

    Raises:
      ValueError: `pattern` is no regular expression; when it is used, if it matches no parameter.
    """
    matches = expression("optimizer.frozen", pattern).fullmatch

    def held(params: Any, state: Any) -> list[bool]:
        paths = [_path(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(params)]
        found = [matches(path) is not None for path in paths]
        if not any(found):
            some = ", ".join(paths[:: -(-len(paths) // 6)])
            raise ValueError(
                f"optimizer.frozen={pattern!r} matches the whole of no parameter's path; "
                f"there are {len(paths)}, such as {some}"
            )
        return found

    return held


def frozen_at_first(
    chain: optax.GradientTransformationExtraArgs, held: Held, until: int, key: str
) -> optax.GradientTransformationExtraArgs:
    """Holds some parameters for a number of steps, then begins the method again with all.

    While they are held, the chain sees zeros in place of these parameters and of their gradients:
    they move by nothing, count in no norm, and leave no trace in the moments. The first update that
    moves them finds the method as a new one: empty moments, bias correction from one. The learning
    rate's schedule goes on, and so does a decision to switch from one method to another.

    Args:
      chain: made by `optax.named_chain`.
      held: which parameters, such as `matching(pattern)`.
      until: number of updates that hold them.
      key: of the configuration that says how many, for the error.

    Returns:
      The chain, whose state has one more entry, `"frozen"`: updates made, () int32.

    Raises:
      ValueError: `until` is less than one.

    References:
      Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019, trains its decoders first.
    """
    if until < 1:
        raise ValueError(f"{key} is {until} steps; it must be at least one")

    def init(params: Any) -> Any:
        state = chain.init(params)
        held(params, state)  # says what is wrong with it before the first step
        return state | {"frozen": jnp.int32(0)}

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        count = state["frozen"]
        which = held(params, state)

        def hold(tree: Any) -> Any:
            leaves, structure = jax.tree.flatten(tree)
            pairs = zip(which, leaves, strict=True)
            zeroed = [jnp.where((count < until) & is_held, 0, x) for is_held, x in pairs]
            return jax.tree.unflatten(structure, zeroed)

        def started_anew(name: str, new: Any) -> Any:
            old = state[name]
            if name in KEPT:
                return old
            if isinstance(old, LionThenSgdState):
                new = renewed(old, new)
            return jax.tree.map(lambda n, o: jnp.where(count == until, n, o), new, old)

        state = {name: started_anew(name, new) for name, new in chain.init(params).items()}
        updates, state = chain.update(hold(updates), state, hold(params), **extra_args)
        return updates, state | {"frozen": count + 1}

    return optax.GradientTransformationExtraArgs(init, update)
