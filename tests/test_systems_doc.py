"""docs/systems.md is made of the networks and configurations; how multiply-adds are counted."""

import importlib.util
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax import lax

from jaxnuc import models
from jaxnuc.models.cost import multiply_adds

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "systems.md").read_text()
SPEC = importlib.util.spec_from_file_location("systems", ROOT / "benchmarks" / "systems.py")
systems = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(systems)

# --- the page


def test_examples_print_what_their_comments_say(capsys):
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S))
    exec(compile(code, "systems.md", "exec"), {})
    expected = re.findall(r"^print\(.*\)  # (.*)$", code, re.M)
    assert len(expected) == 3
    assert capsys.readouterr().out.splitlines() == expected


# Of these columns `test_the_figures_are_those_of_the_network` checks one row of each network: all
# 45 rows would take minutes. The continuous integration runs `make tables`, which measures all.
FIGURES = ("parameters", "sides", "GMAC", "kMAC a pixel")


def rows(table):
    """Its rows, without figures."""
    header, _, *lines = ([cell.strip() for cell in x.split("|")] for x in table.splitlines())
    return [
        [x for name, x in zip(header, line, strict=True) if name not in FIGURES] for line in lines
    ]


def test_the_tables_are_those_of_the_networks_and_configurations(monkeypatch):
    def unmeasured(network, variant, model):
        return systems.Size(network, variant, dict(model.outputs), 1, 256, 256, 0)

    monkeypatch.setattr(systems, "measure", unmeasured)
    for name, table in systems.tables().items():
        _, found, rest = PAGE.partition(f"<!-- {name}: made by {systems.COMMAND} -->\n")
        assert found
        on_page = rows(rest[: rest.index(f"\n<!-- end of {name} -->")])
        assert on_page == rows(table), f"docs/systems.md is out of date; run: {systems.COMMAND}"


@pytest.mark.parametrize("network", models.REGISTRY.names())
def test_the_figures_are_those_of_the_network(network):
    line = re.search(rf"^\| `{network}` \| `small` \| (.*?) \|.*$", PAGE, re.M)
    outputs = {name: int(n) for name, n in re.findall(r"(\w+) (\d+)", line[1])}
    model = models.create(network, outputs, "small")
    size = systems.measure(network, "small", model)
    assert line[0] == size.row(), f"docs/systems.md is out of date; run: {systems.COMMAND}"
    assert 300_000 < size.parameters < 2_000_000, "small is small"


def test_a_network_without_a_published_system_has_the_sizes_of_its_variants():
    found = list(systems.sizes("stardist", []))
    variants = [name for name in models.REGISTRY.find("stardist").VARIANTS if name != "tiny"]
    assert [size.variant for size in found] == variants
    assert {tuple(size.outputs.items()) for size in found} == {(("mask", 1),)}


def test_calls_are_written_as_in_python():
    section = {"name": "a", "n": 2, "inner": {"name": "b", "list": [1.0]}, "hidden": 0}
    assert systems.call(section, ("hidden",)) == '`a(inner={"name": "b", "list": [1.0]}, n=2)`'


# --- counting


def shape(*sides):
    return jax.ShapeDtypeStruct(sides, jnp.float32)


def of_layer(layer, *sides):
    """Of a Flax layer on an input of these sides."""
    x = shape(*sides)
    return multiply_adds(layer.apply, jax.eval_shape(layer.init, jax.random.key(0), x), x)


@pytest.mark.parametrize(
    ("layer", "sides", "expected"),
    [
        (nn.Dense(7), (2, 3, 5), 2 * 3 * 5 * 7),
        (nn.Conv(7, (3, 3)), (1, 8, 9, 5), 72 * 9 * 5 * 7),
        (nn.Conv(7, (3, 3), padding="VALID"), (1, 8, 9, 5), 42 * 9 * 5 * 7),
        (nn.Conv(7, (3, 3), strides=2), (1, 8, 9, 5), 20 * 9 * 5 * 7),
        (nn.Conv(7, (3, 3), kernel_dilation=4), (1, 8, 9, 5), 72 * 9 * 5 * 7),
        (nn.Conv(8, (5, 1), feature_group_count=2), (3, 8, 9, 4), 3 * 72 * 5 * 2 * 8),
        (nn.Conv(4, (3, 3), feature_group_count=4), (1, 8, 9, 4), 72 * 9 * 4),
        # each input meets each tap once
        (nn.ConvTranspose(7, (2, 2), (2, 2)), (1, 8, 9, 5), 72 * 4 * 5 * 7),
        (nn.ConvTranspose(7, (4, 4), (2, 2)), (1, 8, 9, 5), 72 * 16 * 5 * 7),
        # of 17 and 19 outputs those at even places have two taps, the others one
        (
            nn.ConvTranspose(7, (3, 3), (2, 2), padding="VALID"),
            (1, 8, 9, 5),
            (9 * 2 + 8) * (10 * 2 + 9) * 5 * 7,
        ),
    ],
)
def test_layers_by_hand(layer, sides, expected):
    assert of_layer(layer, *sides) == expected


@pytest.mark.parametrize(
    ("strides", "spread", "dilation", "groups"),
    [((1, 1), (1, 1), (1, 1), 1), ((2, 3), (1, 1), (2, 1), 3), ((1, 2), (3, 2), (1, 3), 2)],
)
def test_a_convolution_of_ones_sums_to_its_count(strides, spread, dilation, groups):
    """Without padding: each product with an input is 1, those with zeros between inputs are 0."""

    def convolve(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, strides, [(0, 0)] * 2, spread, dilation, ("NHWC", "HWIO", "NHWC"), groups
        )

    arrays = jnp.ones((2, 11, 13, 6)), jnp.ones((3, 2, 6 // groups, 12))
    assert multiply_adds(convolve, *arrays) == int(convolve(*arrays).sum())


@pytest.mark.parametrize(
    ("formula", "sides", "expected"),
    [
        ("bhwc,ijcf->bhiwjf", ((2, 3, 4, 5), (2, 2, 5, 6)), 2 * 3 * 4 * 5 * 2 * 2 * 6),
        ("bij,bjk->bik", ((7, 2, 3), (7, 3, 4)), 7 * 2 * 3 * 4),
        ("ij,ij->", ((3, 5), (3, 5)), 15),
    ],
)
def test_products_by_hand(formula, sides, expected):
    product = lambda a, b: jnp.einsum(formula, a, b)
    assert multiply_adds(product, *map(lambda s: shape(*s), sides)) == expected


def test_calls_are_followed_and_constants_left_out():
    x = shape(1, 6, 6, 3)

    @jax.jit
    def inner(x, w):
        return jax.nn.relu(jax.checkpoint(jnp.dot)(x, w))

    def outer(x, w):
        larger = jax.image.resize(x, (1, 12, 12, 3), "linear")  # by products with constants
        return inner(larger, w) @ jnp.eye(4) + inner(nn.max_pool(larger, (2, 2)), w).sum()

    w = shape(3, 4)
    assert multiply_adds(outer, x, w) == (12 * 12 + 11 * 11) * 3 * 4
    assert multiply_adds(lambda x: x + 1, x) == 0


def test_loops_with_products_are_refused():
    def loop(x, w):
        return lax.fori_loop(0, 3, lambda _, y: y @ w, x)

    with pytest.raises(ValueError, match="'scan' holds products"):
        multiply_adds(loop, shape(4, 4), shape(4, 4))
    harmless = lambda x: lax.fori_loop(0, 3, lambda _, y: y + 1, x) @ x
    assert multiply_adds(harmless, shape(4, 4)) == 64


def test_branches_count_once_and_must_hold_as_many_products():
    def chosen(x, other):
        forms = {"cpu": lambda x: x @ x, "default": other}
        return lax.platform_dependent(x, **forms) @ x

    assert multiply_adds(partial(chosen, other=lambda x: (x.T @ x.T).T), shape(4, 4)) == 128
    with pytest.raises(ValueError, match="'cond' holds different products"):
        multiply_adds(partial(chosen, other=lambda x: x @ x @ x), shape(4, 4))
