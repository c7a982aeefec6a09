"""Parameters and multiply-adds of every network: the table of sizes in docs/systems.md.

    python benchmarks/systems.py

Nothing is computed or compiled: the networks are traced, with the maps that their own system asks
for. GMAC are billions of multiply-adds for one image of 256 x 256 pixels, or of the next side up
that fits; a network without padding gives smaller maps, so that networks compare by the pixel of
the maps: kMAC.
"""

import importlib
import itertools
import math
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

import jaxnuc.models
from jaxnuc import representations

SIDE = 256
LOOPS = ("scan", "while", "cond")

# What a network, or one of its variants, is measured with: representation, its arguments, and the
# channels of a class map, background included: 5 for CoNSeP's merged classes, 6 for PanNuke's, 7
# for CoNIC's, 12 for the leaves of `jaxnuc.labels.NUCLEI`; 0 is without one.
Case = tuple[str, dict[str, Any], int]
BINARY: list[Case] = [("binary", {}, 0)]
OWN: dict[str | tuple[str, str], list[Case]] = {
    "alnet_attention": [("contour", {}, 0)],
    "dcan": [("contour", {"channels": 2}, 0)],
    "dist": [("distance", {}, 0)],
    "harunet": [("contour", {}, 0)],
    ("harunet", "full"): [("contour", {"channels": channels}, 0) for channels in (1, 2)],
    "hovernet": [("hover", {}, 0)],
    ("hovernet", "full"): [("hover", {}, 0), ("hover", {}, 5)],
    ("hovernet", "fast"): [("hover", {}, 6)],
    ("hovernet", "conic"): [("hover", {}, 7)],
    "micro_net": [("binary", {"channels": 2}, 0)],
    "stardist": [("stardist", {}, 0), ("stardist", {"grid": 2}, 0)],
    ("stardist", "conic"): [("stardist", {"n_rays": 64}, classes) for classes in (0, 7, 12)],
    ("unet", "valid"): [("binary", {"channels": 2}, 0)],
}


class Size(NamedTuple):
    """What a network costs.

    Attributes:
      network: a file of `jaxnuc.models`.
      variant: a name in its `VARIANTS`.
      outputs: channels of its maps.
      grid: pixels of the image for one of the maps.
      parameters: their number, without running statistics.
      side: of the image in pixels.
      out: side of the maps.
      multiply_adds: for one image.
    """

    network: str
    variant: str
    outputs: dict[str, int]
    grid: int
    parameters: int
    side: int
    out: int
    multiply_adds: int

    def __str__(self) -> str:
        """A row of the table."""
        maps = ", ".join(f"{name} {channels}" for name, channels in self.outputs.items())
        cells = (
            f"`{self.network}`",
            f"`{self.variant}`",
            maps,
            f"{self.parameters:,}",
            f"{self.side} → {self.out}",
            f"{self.multiply_adds / 1e9:.2f}",
            f"{self.multiply_adds / self.out**2 / 1e3:.0f}",
        )
        return f"| {' | '.join(cells)} |"


HEADER = (
    "| network | variant | maps | parameters | sides | GMAC | kMAC a pixel |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def networks() -> list[str]:
    """The files of `jaxnuc.models`."""
    names = (module.name for module in pkgutil.iter_modules(jaxnuc.models.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def sizes(network: str) -> Iterator[Size]:
    """Measures all variants of a network."""
    for variant in importlib.import_module(f"jaxnuc.models.{network}").VARIANTS:
        cases = OWN.get((network, variant)) or OWN.get(network, BINARY)
        for name, arguments, classes in cases:
            own = representations.create(name, **arguments).outputs
            outputs = {**own, "class": classes} if classes else dict(own)
            yield measure(network, variant, outputs, arguments.get("grid", 1))


def measure(network: str, variant: str, outputs: dict[str, int], grid: int = 1) -> Size:
    """Counts the parameters of a network, and its multiply-adds for one image."""
    coarser = {"grid": grid} if grid > 1 else {}
    model = jaxnuc.models.create(network, outputs, variant, **coarser)
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
    out = maps[next(iter(outputs))].shape[1]
    return Size(network, variant, outputs, grid, parameters, side, out, count(traced))


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
      ValueError: a loop or a branch holds products; how often they run is not known.
    """
    return count(jax.make_jaxpr(function)(*args))


def count(traced: core.ClosedJaxpr) -> int:
    """As `multiply_adds`, of a function already traced."""
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
        for inner in core.jaxprs_in_params(equation.params):
            # Other than in a call, inputs need not match, as in the sum that a reduction is by.
            is_call = len(inner.invars) == len(inputs) and equation.primitive.name not in LOOPS
            number, results = _walk(inner, inputs if is_call else [True] * len(inner.invars))
            if number and not is_call:
                raise ValueError(f"{equation.primitive.name!r} holds products; cannot count them")
            total += number
            outputs = results if is_call else outputs
        variable |= {
            v for v, is_variable in zip(equation.outvars, outputs, strict=True) if is_variable
        }
    return total, [depends(v) for v in jaxpr.outvars]


def _products(equation: core.JaxprEqn) -> int:
    """Multiply-adds of one operation."""
    name, params = equation.primitive.name, equation.params
    if name not in ("dot_general", "conv_general_dilated"):
        return 0
    left, right = (v.aval.shape for v in equation.invars)
    out = equation.outvars[0].aval.shape
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


def main() -> None:
    print(HEADER)
    for network in networks():
        for size in sizes(network):
            print(size, flush=True)


if __name__ == "__main__":
    main()
