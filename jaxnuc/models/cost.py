"""What a network costs: parameters, and multiply-adds for one image, counted without running it."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnuc.models.base import Network

SIDE = 256
LOOPS = ("scan", "while")


class Cost(NamedTuple):
    """What a network costs.

    Attributes:
      parameters: their number, without running statistics.
      side: of the image in pixels.
      out: side of the maps, which is smaller without padding, and on a grid.
      multiply_adds: for one image.
    """

    parameters: int
    side: int
    out: int
    multiply_adds: int


def cost(model: Network) -> Cost:
    """Counts for an image of 256 x 256 pixels, or of the next side up that fits the network.

    The network is traced; nothing is computed or compiled.
    """
    for side in itertools.count(SIDE):
        image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        try:
            variables = jax.eval_shape(model.init, jax.random.key(0), image)
            break
        except ValueError:  # the side does not fit
            if side == 2 * SIDE:
                raise
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    traced, maps = jax.make_jaxpr(model.apply, return_shape=True)(variables, image)
    out = maps[next(iter(model.outputs))].shape[1]
    return Cost(parameters, side, out, _count(traced))


def multiply_adds(function: Callable[..., Any], *args: Any) -> int:
    """The multiply-adds in the convolutions and matrix products of a function.

    Counted is what a textbook counts: for each value that comes out, the values and weights that
    are multiplied for it; the zeros of a padding count, those that a transposed convolution puts
    between its inputs do not. Products with constants do not count either: by them JAX enlarges
    images, with a weight for every pair of rows, most of them 0.

    Args:
      function: of arrays.
      *args: its arguments, arrays or their shapes.

    Raises:
      ValueError: a loop holds products, or one of two branches more than the other; how often they
        run is not known.
    """
    return _count(jax.make_jaxpr(function)(*args))


def _count(traced: core.ClosedJaxpr) -> int:
    return _walk(traced.jaxpr, [True] * len(traced.jaxpr.invars))[0]


def _walk(jaxpr: core.Jaxpr, given: list[bool]) -> tuple[int, list[bool]]:
    """The multiply-adds, and which results depend on those inputs that do not hold constants."""
    variable = {v for v, is_given in zip(jaxpr.invars, given, strict=True) if is_given}
    depends = lambda v: not isinstance(v, core.Literal) and v in variable
    total = 0
    for equation in jaxpr.eqns:
        inputs = [depends(v) for v in equation.invars]
        outputs = [any(inputs)] * len(equation.outvars)
        if all(inputs):
            total += _products(equation)
        name = equation.primitive.name
        if name == "cond":  # the form for a CPU and that for others, as a rule
            branches = {_walk(inner.jaxpr, inputs[1:])[0] for inner in equation.params["branches"]}
            if len(branches) > 1:
                raise ValueError(f"{name!r} holds different products; cannot count them")
            total += branches.pop()
            variable |= {v for v in equation.outvars if any(inputs)}
            continue
        for inner in inner_programs(equation):
            # Other than in a call, inputs need not match, as in the sum that a reduction is by.
            is_call = len(inner.invars) == len(inputs) and name not in LOOPS
            number, results = _walk(inner, inputs if is_call else [True] * len(inner.invars))
            if number and not is_call:
                raise ValueError(f"{name!r} holds products; cannot count them")
            total += number
            outputs = results if is_call else outputs
        variable |= {
            v for v, is_variable in zip(equation.outvars, outputs, strict=True) if is_variable
        }
    return total, [depends(v) for v in jaxpr.outvars]


def inner_programs(equation: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """The programs that an operation runs."""
    for value in equation.params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part


def _products(equation: core.JaxprEqn) -> int:
    """Multiply-adds of one operation."""
    name, params = equation.primitive.name, equation.params
    if name not in ("dot_general", "conv_general_dilated"):
        return 0
    left, right, out = (
        cast(jax.ShapeDtypeStruct, v.aval).shape for v in (*equation.invars, *equation.outvars)
    )
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return math.prod(out) * math.prod(left[axis] for axis in contracted)
    layout = params["dimension_numbers"]
    _, features, *kernel = (right[axis] for axis in layout.rhs_spec)  # features of one group
    b, channels, *sides = (out[axis] for axis in layout.out_spec)
    taps = 1
    for side, taps_here, stride, (before, _), spread, dilation in zip(
        sides,
        kernel,
        params["window_strides"],
        params["padding"],
        params["lhs_dilation"],
        params["rhs_dilation"],
        strict=True,
    ):
        place = np.arange(side)[:, None] * stride + np.arange(taps_here) * dilation - before
        taps *= int((place % spread == 0).sum())
    return b * channels * features * taps
