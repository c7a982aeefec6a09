"""Initial values of parameters, drawn without compiling the network.

A compiler takes about as long for the random numbers of a large network, all in one program, as for
its training step. The initializers of this module therefore remember what they were asked for
while the network is traced, and `initialize` draws the numbers of each parameter by one of a few
small programs that all networks share. Values are those that Flax's initializers give.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr

Distribution = Literal["normal", "truncated_normal", "uniform"]

# The standard deviation of a standard normal distribution that is cut off at -2 and 2.
TRUNCATED = 0.87962566103423978


@dataclass(frozen=True)
class VarianceScaling:
    """Random numbers of mean 0 and variance `scale / fan`: an initializer for Flax.

    The fan is the number of input values of one output value, or the other way round; leading axes
    of a kernel are space.

    Args:
      scale: of the variance.
      fan: `"in"`, `"out"` or `"average"` of both.
      distribution: `"normal"`, `"truncated_normal"` (at two standard deviations) or `"uniform"`.
      space: whether the fan counts the pixels of the kernel.
    """

    scale: float
    fan: Literal["in", "out", "average"]
    distribution: Distribution
    space: bool = True

    def __call__(self, key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Any:
        """Numbers of this shape, floating point."""
        numbers = _standard_numbers(key, self.distribution, math.prod(shape))
        values = (numbers.reshape(shape) * self.factor(shape)).astype(dtype)
        if (draws := _draws.get()) is not None:
            draws.append(_Draw(values, key, self))
        return values

    def factor(self, shape: tuple[int, ...]) -> np.float32:
        """What standard numbers are multiplied by: normal, truncated, or uniform in [-1, 1)."""
        pixels = math.prod(shape[:-2]) if self.space else 1
        into, out = shape[-2] * pixels, shape[-1] * pixels
        fan = {"in": into, "out": out, "average": (into + out) / 2}[self.fan]
        variance = np.float32(self.scale / fan)
        if self.distribution == "uniform":
            return np.sqrt(np.float32(3) * variance)
        spread = np.sqrt(variance)
        return spread if self.distribution == "normal" else spread / np.float32(TRUNCATED)


he_normal = VarianceScaling(2.0, "in", "truncated_normal")
lecun_normal = VarianceScaling(1.0, "in", "truncated_normal")
fan_out_normal = VarianceScaling(2.0, "out", "normal")
glorot_uniform = VarianceScaling(1.0, "average", "uniform")


@dataclass(frozen=True)
class _Draw:
    """What an initializer was asked for while a network was traced."""

    values: jax.Array
    key: jax.Array
    initializer: VarianceScaling


_draws: ContextVar[list[_Draw] | None] = ContextVar("draws", default=None)


def initialize(
    module: nn.Module, seed: int, *inputs: Any, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The variables of a module before training: the same for a seed on every platform.

    They are those of `module.init(jax.random.key(seed), *inputs)` to rounding. Parameters by
    another initializer than those of this module are computed too, in one program, which takes the
    longer to compile the more of them there are.

    Args:
      module: of Linen.
      seed: decides all random numbers.
      inputs: of its `__call__`, arrays or `jax.ShapeDtypeStruct`: only shapes and types matter.
      given: variables of which some are arrays already and the others shapes; these alone are
        drawn. None: all are.

    Returns:
      The variables, `{"params": ..., "batch_stats": ...}`, with NumPy arrays as leaves.
    """
    with _on_a_cpu():
        key = jax.random.key(seed)
        drawn: dict[int, _Draw] = {}  # by place among the leaves

        def traced(key: jax.Array) -> tuple[Any, list[jax.Array]]:
            with _recorded() as draws:
                variables = module.init(key, *(jnp.zeros(x.shape, x.dtype) for x in inputs))
            by_values = {id(draw.values): draw for draw in draws}
            for place, leaf in enumerate(jax.tree.leaves(variables)):
                if id(leaf) in by_values:
                    drawn[place] = by_values[id(leaf)]
            return variables, [draw.key for draw in drawn.values()]

        program, (variables, _) = jax.make_jaxpr(traced, return_shape=True)(key)
        leaves, tree = jax.tree.flatten(variables)
        there = leaves if given is None else jax.tree.leaves(given)
        wanted = [i for i, x in enumerate(there) if isinstance(x, jax.ShapeDtypeStruct)]
        others = [place for place in wanted if place not in drawn]
        # All that is no such draw in one program, usually zeros and ones.
        values = dict(enumerate(there))
        values |= zip(others, jax.jit(_only(program, others))(key), strict=True)
        # Key by key, since a program of hundreds of them takes long to compile.
        keys = _only(program, range(len(leaves), len(program.jaxpr.outvars)))(key)
        for (place, draw), own in zip(drawn.items(), keys, strict=True):
            if place not in wanted:
                continue
            values[place] = _drawn(own, draw.initializer, leaves[place].shape, leaves[place].dtype)
        return jax.tree.unflatten(tree, [np.asarray(values[i]) for i in range(len(leaves))])


@contextlib.contextmanager
def _recorded() -> Iterator[list[_Draw]]:
    """Notes what the initializers are asked for."""
    draws: list[_Draw] = []
    token = _draws.set(draws)
    try:
        yield draws
    finally:
        _draws.reset(token)


def _only(program: ClosedJaxpr, outputs: Collection[int]) -> Callable[..., Any]:
    """The function of some outputs of a program, without what only the others need."""
    used = [place in outputs for place in range(len(program.jaxpr.outvars))]
    needed, _ = dce_jaxpr(program.jaxpr, used, instantiate=True)
    return jaxpr_as_fun(ClosedJaxpr(needed, program.consts))


def _drawn(
    key: jax.Array, initializer: VarianceScaling, shape: tuple[int, ...], dtype: Any
) -> np.ndarray:
    count = math.prod(shape)
    # The first numbers of a stream do not depend on how many are drawn: few programs do for all.
    size = 256
    while size < count:
        size *= 4 if size < 2**20 else 2
    numbers = np.asarray(_numbers(key, initializer.distribution, size))[:count]
    return (numbers.reshape(shape) * initializer.factor(shape)).astype(dtype)


def _standard_numbers(key: jax.Array, distribution: Distribution, count: int) -> jax.Array:
    match distribution:
        case "normal":
            return jax.random.normal(key, (count,))
        case "truncated_normal":
            return jax.random.truncated_normal(key, -2, 2, (count,))
        case "uniform":
            return jax.random.uniform(key, (count,), minval=-1)


_numbers = jax.jit(_standard_numbers, static_argnames=("distribution", "count"))


def _on_a_cpu() -> contextlib.AbstractContextManager[Any]:
    """Computes on a CPU, where there is one for JAX: an accelerator rounds otherwise."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS names an accelerator only
        return contextlib.nullcontext()
