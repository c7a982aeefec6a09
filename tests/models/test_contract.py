"""What every network promises, on the tiny variant of each that there is: see `models.base`."""

import functools
import re
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxnuc import models
from jaxnuc.models.cost import inner_programs

MAPS = {"mask": 1, "any other name": 3}
SIDE, ODD = 64, (65, 101)  # of the maps
every_network = pytest.mark.parametrize("name", models.REGISTRY.names())
every_variant = pytest.mark.parametrize(
    ("name", "variant"),
    [(name, v) for name in models.REGISTRY.names() for v in models.REGISTRY.find(name).VARIANTS],
)


def tiny(name, **arguments):
    return models.create(name, MAPS, "tiny", **arguments)


def images_for(model, height, width=None, batch=2):
    """The shape of images whose maps have these sides."""
    sides = (height + model.margin, (width or height) + model.margin)
    return jax.ShapeDtypeStruct((batch, *sides, 3), jnp.float32)


def evaluated(model, height, width=None):
    """Maps of an evaluation with these sides, and the variables, as shapes: one trace for both."""
    images = images_for(model, height, width)
    return jax.eval_shape(model.init_with_output, jax.random.key(0), images)


def expected_maps(model, height, width=None, batch=2):
    sides = [-(-side // model.grid) for side in (height, width or height)]
    return {k: jax.ShapeDtypeStruct((batch, *sides, c), jnp.float32) for k, c in MAPS.items()}


def train(model, variables, images):
    rngs = {"dropout": jax.random.key(0)}
    return model.apply(variables, images, train=True, rngs=rngs, mutable=["batch_stats"])


def operations(program):
    """All equations of a program, with those of the functions that it calls."""
    for equation in program.eqns:
        yield equation
        for inner in inner_programs(equation):
            yield from operations(inner)


@functools.cache
def any_sides(name):
    """A network in bfloat16 on two devices; the maps of an evaluation and the variables, as shapes.

    Of images of odd sides, or of `SIDE` where these do not fit, and the message that says so.
    """
    model = tiny(name, axis_name="devices", dtype=jnp.bfloat16)
    try:
        return model, ODD, *evaluated(model, *ODD), None
    except ValueError as error:
        return model, (SIDE, SIDE), *evaluated(model, SIDE), str(error)


@functools.cache
def trained(name):
    """The network of `any_sides`, traced as it trains on images of `SIDE`.

    Maps and running statistics, as shapes; the operations of the step.
    """
    model, _, _, variables, _ = any_sides(name)
    step = functools.partial(train, model)
    trace = jax.make_jaxpr(step, axis_env=[("devices", 2)], return_shape=True)
    program, (maps, state) = trace(variables, images_for(model, SIDE))
    return maps, state.get("batch_stats", {}), [*operations(program.jaxpr)]


@every_network
def test_is_a_network_with_the_variants_that_all_have(name):
    network = models.REGISTRY.find(name)
    assert issubclass(network, models.Network)
    assert network.__name__ == "Model"
    assert {"small", "tiny"} <= set(network.VARIANTS)
    assert len(network.VARIANTS) > 2, "and one that is published"


@every_variant
def test_every_variant_has_known_arguments(name, variant):
    model = models.create(name, MAPS, variant)
    assert model.margin >= 0
    assert model.grid >= 1


@every_network
def test_tiny_is_tiny(name):
    """That `small` is small is tested where its figures are: tests/test_systems_doc.py."""
    variables = any_sides(name)[3]
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) < 300_000


@every_network
def test_gives_the_maps_that_are_asked_for(name):
    model, sides, at_evaluation, *_ = any_sides(name)
    assert at_evaluation == expected_maps(model, *sides), "maps of an evaluation; no side maps"
    maps, expected = trained(name)[0], expected_maps(model, SIDE)
    assert {key: maps[key] for key in MAPS} == expected
    assert maps.keys() - {"side"} == MAPS.keys()
    if "side" in maps:
        number = len(maps["side"]["mask"])
        assert maps["side"] == {key: [shape] * number for key, shape in expected.items()}


@every_network
def test_takes_any_sides_or_says_which_ones_fit(name):
    _, sides, _, _, message = any_sides(name)
    assert sides == ODD or re.search(r"do(es)? not fit.*nearest", message)


@every_network
def test_arrays_are_float32_and_convolutions_of_the_dtype(name):
    variables = any_sides(name)[3]
    _, statistics, steps = trained(name)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    assert statistics == variables.get("batch_stats", {})
    convolutions = [step for step in steps if step.primitive.name == "conv_general_dilated"]
    assert {step.outvars[0].aval.dtype for step in convolutions} == {jnp.dtype(jnp.bfloat16)}


@every_network
def test_every_batch_statistic_is_averaged_over_the_devices(name):
    _, statistics, steps = trained(name)
    norms = len(jax.tree.leaves(statistics)) // 2  # a mean and a variance
    assert sum(step.primitive.name.startswith("psum") for step in steps) == norms


@every_network
def test_refuses_arguments_it_does_not_have(name):
    message = f"unknown argument of network '{name}': 'widht'; known: "
    with pytest.raises(ValueError, match=message):
        models.create(name, MAPS, widht=3)
    with pytest.raises(ValueError, match=f"unknown variant of network '{name}': 'smal'.* 'small'"):
        models.create(name, MAPS, "smal")


def test_maps_that_were_not_asked_for_are_refused():
    network = models.create("unet", {"mask": 1}, "tiny")
    shape, mask = (2, 33, 40, 3), jnp.zeros((2, 33, 40, 1))
    models.check_maps(network, {"mask": mask, "side": {"mask": [mask]}}, shape)
    wrong = {
        r"gives no map 'mask', .*; there are fg": {"fg": mask},
        "gives no map 'mask', .*; there are none": {},
        r"'mask' as \(2, 33, 40, 2\); \(2, 33, 40, 1\) is expected": {
            "mask": jnp.zeros((2, 33, 40, 2))
        },
        r"'mask' as \(2, 16, 20, 1\); .* margin=0 and grid=1": {"mask": mask[:, :16, :20]},
        "'mask' in bfloat16; float32 is expected": {"mask": mask.astype(jnp.bfloat16)},
    }
    for message, maps in wrong.items():
        with pytest.raises(ValueError, match=f"network 'jaxnuc.models.unet' .*{message}"):
            models.check_maps(network, maps, shape)
    with pytest.raises(ValueError, match="a dict of maps by name is expected"):
        models.check_maps(network, mask, shape)


def test_the_shapes_of_maps_on_a_grid_and_with_a_margin():
    on_grid = models.create("stardist", {"prob": 1}, "tiny", grid=2)
    models.check_maps(on_grid, {"prob": jnp.zeros((1, 17, 20, 1))}, (1, 33, 40, 3))
    smaller = models.create("hovernet", {"np": 2}, "tiny")
    side = 270 - smaller.margin
    models.check_maps(smaller, {"np": jnp.zeros((1, side, side, 2))}, (1, 270, 270, 3))


OUTSIDE = """
from typing import ClassVar

from flax import linen as nn

from jaxnuc.models import Network

class Model(Network):
    VARIANTS: ClassVar = {"tiny": {"width": 2}}
    width: int = 8

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.relu(nn.Conv(self.width, (3, 3), dtype=self.dtype)(images))
        return {name: nn.Conv(c, (1, 1), name=name)(x) for name, c in self.outputs.items()}
"""


def test_a_network_of_another_package(tmp_path, monkeypatch):
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package" / "__init__.py").write_text("")
    (tmp_path / "their_package" / "net.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    model = models.create("their_package.net", MAPS, "tiny")
    assert (model.width, model.margin, model.grid) == (2, 0, 1)
    assert evaluated(model, 32)[0] == expected_maps(model, 32)
    same = models.create("their_package.net.Model", MAPS, width=3)
    assert same.width == 3
    with pytest.raises(ValueError, match=r"argument of network 'their_package.net': 'widht'"):
        models.create("their_package.net", MAPS, widht=3)
    for module in [m for m in sys.modules if m.startswith("their_")]:
        del sys.modules[module]
