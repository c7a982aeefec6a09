"""Choices by name: of the library, of a table, from outside."""

import sys

import pytest
from ml_collections import ConfigDict

from jaxnuc.registry import Registry, split

OUTSIDE = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Model:
    outputs: dict
    width: int = 4

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
        (NETWORKS, {"name": "their_package.nt"}, "'their_package.nt' cannot be imported: .*'nt'"),
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
