"""Results of a traced function, compiling as little as possible.

The state before a training's first step is hundreds of arrays, nearly all of them filled with one
number. A program that makes them takes seconds to compile; NumPy makes them at once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core
from jax.interpreters.partial_eval import dce_jaxpr


def results(
    program: core.ClosedJaxpr, inputs: Sequence[Any], wanted: Collection[int]
) -> list[np.ndarray]:
    """Some results of a traced function.

    Constants, inputs and their copies are taken as they are. The others are computed by one program
    that does nothing else.

    Args:
      program: made by `jax.make_jaxpr`.
      inputs: its leaves.
      wanted: places among the leaves of the results.

    >>> program = jax.make_jaxpr(lambda x: (x, jax.numpy.zeros(2), x + 1))(np.ones(3, np.float32))
    >>> results(program, [np.ones(3, np.float32)], [1, 2])
    [array([0., 0.], dtype=float32), array([2., 2., 2.], dtype=float32)]
    """
    jaxpr = program.jaxpr
    given = dict(zip([*jaxpr.invars, *jaxpr.constvars], [*inputs, *program.consts], strict=True))
    makers = definitions(program)
    found = {place: _known(jaxpr.outvars[place], given, makers) for place in wanted}
    if others := [place for place, value in found.items() if value is None]:
        found |= zip(others, jax.jit(_only(program, others))(*inputs), strict=True)
    return [np.asarray(found[place]) for place in wanted]


def definitions(program: core.ClosedJaxpr) -> dict[core.Var, core.JaxprEqn]:
    """The operation that makes each variable of a traced function."""
    return {variable: each for each in program.jaxpr.eqns for variable in each.outvars}


def _known(
    variable: Any, given: Mapping[Any, Any], makers: Mapping[Any, core.JaxprEqn]
) -> np.ndarray | None:
    """The value of what needs no computation, else None."""
    shape, dtype = variable.aval.shape, variable.aval.dtype
    if isinstance(variable, core.Literal):
        return np.full(shape, variable.val, dtype)
    if variable in given:
        return given[variable]
    maker = makers[variable]
    (operand,) = maker.invars if len(maker.invars) == 1 else (None,)
    if maker.primitive.name == "broadcast_in_dim" and isinstance(operand, core.Literal):
        return np.full(shape, operand.val, dtype)
    if maker.primitive.name == "copy" and operand in given:
        return np.array(given[operand])
    return None


def _only(program: core.ClosedJaxpr, outputs: Collection[int]) -> Callable[..., Any]:
    """The function of some outputs of a program, without what only the others need."""
    used = [place in outputs for place in range(len(program.jaxpr.outvars))]
    needed, _ = dce_jaxpr(program.jaxpr, used, instantiate=True)
    return core.jaxpr_as_fun(core.ClosedJaxpr(needed, program.consts))
