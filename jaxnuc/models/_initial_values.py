"""Initial values of parameters, drawn without compiling anything.

A compiler takes about as long for the random numbers of a large network as for its training step.
The initializers of this module therefore remember what they were asked for while the network is
traced, and `Initialization` draws the numbers of each parameter in NumPy. Values are those that
Flax's initializers give.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.extend import core

from jaxnuc import traced
from jaxnuc.models._random_numbers import Distribution, fold_in, make_key, standard_numbers

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
        values = _values(key, self, shape, dtype)
        if (draws := _draws.get()) is not None:
            draws.append(_Draw(values, key, self))
        return values

    def drawn(self, key: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """The same numbers from the data of a key, (2,) uint32, without JAX."""
        numbers = standard_numbers(key, self.distribution, math.prod(shape))
        return (numbers.reshape(shape) * self.factor(shape)).astype(dtype)

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


class Initialization:
    """How the variables of a module are made before training, from one trace of it.

    Args:
      module: of Linen.
      inputs: of its `__call__`, arrays or `jax.ShapeDtypeStruct`: only shapes and types matter.

    Attributes:
      module: as given.
      shapes: of the variables, `{"params": ..., "batch_stats": ...}`, with their types.
    """

    def __init__(self, module: nn.Module, *inputs: Any) -> None:
        self.module = module
        drawn: dict[int, _Draw] = {}  # by place among the leaves

        def init(key: jax.Array) -> tuple[Any, list[jax.Array]]:
            with _recorded() as draws:
                variables = module.init(key, *(jnp.zeros(x.shape, x.dtype) for x in inputs))
            by_values = {id(draw.values): draw for draw in draws}
            for place, leaf in enumerate(jax.tree.leaves(variables)):
                if id(leaf) in by_values:
                    drawn[place] = by_values[id(leaf)]
            return variables, [draw.key for draw in drawn.values()]

        key = jax.eval_shape(partial(jax.random.key, impl="threefry2x32"), 0)
        self._program, (self.shapes, _) = jax.make_jaxpr(init, return_shape=True)(key)
        self._makers = traced.definitions(self._program)
        keys = self._program.jaxpr.outvars[len(jax.tree.leaves(self.shapes)) :]
        self._draws = {
            place: (draw.initializer, variable)
            for (place, draw), variable in zip(drawn.items(), keys, strict=True)
        }

    def values(self, seed: int, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The variables of a seed, the same on every platform.

        They are those of `module.init(jax.random.key(seed), *inputs)` to rounding. Parameters by
        another initializer than those of this module are computed too, in one program, which takes
        the longer to compile the more of them there are.

        Args:
          seed: decides all random numbers.
          given: variables of which some are arrays already and the others shapes; these alone are
            drawn. None: all are.

        Returns:
          The variables, with NumPy arrays as leaves.
        """
        leaves, tree = jax.tree.flatten(self.shapes)
        there = leaves if given is None else jax.tree.leaves(given)
        wanted = [i for i, x in enumerate(there) if isinstance(x, jax.ShapeDtypeStruct)]
        root = make_key(seed)
        values, others = dict(enumerate(there)), []
        for place in wanted:
            initializer, key = self._draws.get(place, (None, None))
            if initializer is None or (own := self._key(key, root)) is None:
                others.append(place)
            else:
                values[place] = initializer.drawn(own, leaves[place].shape, leaves[place].dtype)
        if others:
            with _on_a_cpu():
                key = jax.random.wrap_key_data(jnp.array(root), impl="threefry2x32")
                values |= zip(others, traced.results(self._program, [key], others), strict=True)
        return jax.tree.unflatten(tree, [np.asarray(values[i]) for i in range(len(leaves))])

    def _key(self, variable: Any, root: np.ndarray) -> np.ndarray | None:
        """The key that a variable of the trace stands for; None where it is not known how."""
        if variable == self._program.jaxpr.invars[0]:
            return root
        maker = self._makers.get(variable)
        if maker is None or maker.primitive.name != "random_fold_in":
            return None
        key, number = maker.invars
        parent = self._key(key, root)
        if parent is None or not isinstance(number, core.Literal):
            return None
        return fold_in(parent, int(number.val))


def initialize(
    module: nn.Module, seed: int, *inputs: Any, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The variables of a module before training; see `Initialization.values`."""
    return Initialization(module, *inputs).values(seed, given)


@contextlib.contextmanager
def _recorded() -> Iterator[list[_Draw]]:
    """Notes what the initializers are asked for."""
    draws: list[_Draw] = []
    token = _draws.set(draws)
    try:
        yield draws
    finally:
        _draws.reset(token)


@partial(jax.jit, static_argnames=("initializer", "shape", "dtype"))
def _values(
    key: jax.Array, initializer: VarianceScaling, shape: tuple[int, ...], dtype: Any
) -> jax.Array:
    """What `VarianceScaling.drawn` gives, for a key of JAX; traced once for a shape."""
    count = (math.prod(shape),)
    match initializer.distribution:
        case "normal":
            numbers = jax.random.normal(key, count)
        case "truncated_normal":
            numbers = jax.random.truncated_normal(key, -2, 2, count)
        case "uniform":
            numbers = jax.random.uniform(key, count, minval=-1)
    return (numbers.reshape(shape) * initializer.factor(shape)).astype(dtype)


def _on_a_cpu() -> contextlib.AbstractContextManager[Any]:
    """Computes on a CPU, where there is one for JAX: an accelerator rounds otherwise."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS names an accelerator only
        return contextlib.nullcontext()
