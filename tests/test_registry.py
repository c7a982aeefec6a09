"""Choices by name: of the library, of a table, from outside."""

import json
import sys
from dataclasses import dataclass

import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from jaxnuc.registry import Registry, choice, split

OUTSIDE = """
import abc
from dataclasses import dataclass

@dataclass(frozen=True)
class Model:
    outputs: dict
    width: int = 4

class Half(abc.ABC):
    @abc.abstractmethod
    def decode(self): ...

def double(x, times=2):
    return x * times
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A package of somebody else."""
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package" / "__init__.py").write_text("")
    (tmp_path / "their_package" / "net.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [n for n in sys.modules if n.startswith("their_package")]:
        del sys.modules[name]


NETWORKS = Registry("network", "jaxnuc.models", "Model", elsewhere={"dtype": "set compute_dtype"})
TABLE = Registry("function", table={"sum": lambda a, b=1: a + b, "space": lambda **given: given})


def test_files_and_tables():
    assert "harunet" in NETWORKS.names()
    assert not any(name.startswith("_") for name in NETWORKS.names())
    assert NETWORKS.find("unet").__module__ == "jaxnuc.models.unet"
    assert TABLE.names() == ["space", "sum"]
    assert TABLE.build({"name": "sum", "a": 2}) == 3
    assert TABLE.build(ConfigDict({"name": "sum", "b": 5}), a=2) == 7
    assert TABLE.build({"name": "space", "anything": 1}) == {"anything": 1}


@pytest.mark.usefixtures("outside")
def test_from_outside():
    made = NETWORKS.build({"name": "their_package.net", "width": 8}, outputs={"mask": 1})
    assert (made.width, made.outputs) == (8, {"mask": 1})
    assert NETWORKS.module("their_package.net").double(3) == 6
    assert NETWORKS.module("their_package.net.Model").double(3) == 6
    assert TABLE.build({"name": "their_package.net.double", "x": 3}) == 6


@pytest.mark.usefixtures("outside")
def test_choices_are_derived_from_the_base_class():
    derived = Registry("network", "jaxnuc.models", "Model", base=nn.Module)
    assert issubclass(derived.find("unet"), nn.Module)
    with pytest.raises(ValueError, match=r"'their_package.net' is not derived from flax.*Module"):
        derived.find("their_package.net")
    with pytest.raises(ValueError, match="is not derived from"):
        derived.find("their_package.net.double")


@pytest.mark.parametrize(
    ("registry", "section", "message"),
    [
        (NETWORKS, {}, "a network needs a 'name', got {}"),
        (NETWORKS, {"name": 3}, "a network needs a 'name', got {'name': 3}"),
        (NETWORKS, {"name": "harunett"}, "unknown network 'harunett'; known: .*mean 'harunet'"),
        (NETWORKS, {"name": "unet", "wdiths": 1}, "argument of network 'unet': 'wdiths'.*'widths'"),
        (NETWORKS, {"name": "unet"}, "network 'unet' needs the argument 'outputs'"),
        (
            NETWORKS,
            {"name": "unet", "dtype": 1},
            "'dtype' of network 'unet' cannot be set here; set",
        ),
        (
            NETWORKS,
            {"name": "no.such"},
            "network 'no.such' cannot be imported: No module named 'no'",
        ),
        (NETWORKS, {"name": "their_package"}, "network 'their_package'.*known: "),
        (NETWORKS, {"name": "their_package.nt"}, "'their_package.nt': their_package has no 'nt'"),
        (NETWORKS, {"name": "their_package.net.Mode"}, "net has no 'Mode'; did you mean 'Model'"),
        (TABLE, {"name": "their_package.net.Half"}, "'their_package.net.Half' lacks decode; see"),
        (TABLE, {"name": "their_package.net"}, "function 'their_package.net': .* has no ''"),
        (TABLE, {"name": "su"}, "unknown function 'su'; known: space, sum; did you mean 'sum'"),
    ],
)
@pytest.mark.usefixtures("outside")
def test_errors_name_the_way_out(registry, section, message):
    with pytest.raises(ValueError, match=message):
        registry.build(section)


def test_sections_are_split_into_plain_data():
    section = ConfigDict({"name": "a", "inner": {"b": 1}})
    assert split(section) == ("a", {"inner": {"b": 1}})
    assert type(split(section)[1]["inner"]) is dict
    assert "name" in section


@dataclass(frozen=True)
class Disc:
    radius: float = 1.0


@dataclass(frozen=True)
class Ring(Disc):
    width: int = 1


SHAPES = Registry("shape", table={"disc": Disc, "ring": Ring})


@dataclass(frozen=True)
class Picture:
    side: int | None = None
    name_of: str = ""
    first: Disc = choice(Ring(2.0), SHAPES)
    others: tuple[Disc, ...] = choice((Disc(),), SHAPES)
    sides: tuple[int, ...] = (1, 2)


PICTURES = Registry("picture", table={"picture": Picture})


def test_sections_within_a_section():
    section = {"name": "picture", "first": {"name": "disc", "radius": 3}, "others": []}
    assert PICTURES.build(section) == Picture(first=Disc(3), others=())
    # Without a name the arguments are those of the default's kind.
    assert PICTURES.build({"name": "picture", "first": {"width": 4}}).first == Ring(1.0, 4)
    given = ConfigDict({"name": "picture", "others": [{"name": "ring"}, {"name": "disc"}]})
    made = PICTURES.build(given)
    assert made.others == (Ring(), Disc())
    again = json.loads(json.dumps(PICTURES.section(made)))
    assert again["first"] == {"name": "ring", "radius": 2.0, "width": 1}
    assert PICTURES.build(again).others == made.others


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": 1.5}, "side of picture 'picture' must be int or None, got 1.5"),
        ({"side": True}, "must be int or None, got True"),
        ({"name_of": 3}, "name_of of picture 'picture' must be str, got 3"),
        ({"first": "ring"}, "first of picture 'picture' must be a section with a name, got 'ring'"),
        ({"first": {"name": "box"}}, "unknown shape 'box'; known: disc, ring"),
        ({"first": {"name": "disc", "width": 1}}, "argument of shape 'disc': 'width'; known: rad"),
        ({"others": {"name": "disc"}}, "others of picture 'picture' must be a list of sections"),
    ],
)
def test_values_of_another_type_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PICTURES.build({"name": "picture", **arguments})


def test_the_name_of_a_choice():
    assert SHAPES.name_of(Ring) == "ring"
    assert NETWORKS.name_of(NETWORKS.find("unet")) == "unet"
    assert SHAPES.name_of(Picture) == f"{__name__}.Picture"
