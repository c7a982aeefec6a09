"""Published weights become a run that gives the maps of the network that they are of."""

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxnuc
from jaxnuc import models, pretrained
from jaxnuc.labels import label_set
from jaxnuc.run.cards import card
from jaxnuc.training.conversion import _page_of, convert
from jaxnuc.training.state import initialization

SMALL = {"model.variant": "small"}
MAPS = {"np": 2, "hv": 2, "class": 5}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A thin HoVer-Net with types, its variables, and a file as its authors name the arrays."""
    model = models.create("hovernet", MAPS, variant="small")
    shapes = initialization(model).shapes
    rng = np.random.default_rng(0)
    draw = lambda leaf: rng.uniform(0.2, 0.6, leaf.shape).astype(np.float32)
    variables = jax.tree.map(draw, shapes)
    path = tmp_path_factory.mktemp("weights") / "hovernet.safetensors"
    save_file(pretrained.export(variables, "hovernet"), path)
    return model, variables, path


def test_hovernet_is_recognized_and_gives_its_maps(published, tmp_path):
    model, variables, path = published
    predictor = jaxnuc.load(convert(path, tmp_path / "run", overrides=SMALL))
    assert predictor.representation.label_set == label_set("monusac")
    assert predictor.config.data.mpp == 0.25
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    half = model.margin // 2
    wide = np.pad(image, ((half, model.margin - half),) * 2 + ((0, 0),), "reflect")
    expected = jax.jit(model.apply)(variables, wide[None].astype(np.float32) / 255)
    for name, found in predictor.maps(image).items():
        np.testing.assert_allclose(found, expected[name][0], rtol=1e-4, atol=1e-4, err_msg=name)
    with pytest.raises(ValueError, match="holds a run; give another --output"):
        convert(path, tmp_path / "run", overrides=SMALL)


def arrays(kernel, types):
    found = {"decoder.np.u3.conva.weight": np.zeros((1, 1, kernel, kernel))}
    return found | ({"decoder.tp.u0.conv.weight": np.zeros((types, 1, 1, 1))} if types else {})


@pytest.mark.parametrize(
    ("kernel", "types", "source"),
    [(5, 0, "kumar"), (5, 5, "consep"), (3, 6, "pannuke"), (3, 5, "monusac")],
)
def test_the_data_of_each_published_hovernet(kernel, types, source):
    assert _page_of(arrays(kernel, types)) == f"hovernet_consep:source={source}"


def test_what_needs_no_conversion_or_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nofile: no such file or folder"):
        convert(tmp_path / "nofile", tmp_path / "run")
    path = card("he").path
    with pytest.raises(ValueError, match=r"he\.npz is a model of this library: --model=.*he\.npz"):
        convert(path, tmp_path / "run")


def test_what_cannot_be_recognized(tmp_path):
    with pytest.raises(ValueError, match=r"mode fast with 8 types .*--config=hovernet_consep"):
        _page_of(arrays(3, 8))
    with pytest.raises(ValueError, match=r"no network that is recognized \(a, \.\.\.\); give"):
        convert({"a": np.zeros(1)}, tmp_path / "run")
    with pytest.raises(ValueError, match=r"weights of no known layout: a"):
        convert({"a": np.zeros(1)}, tmp_path / "run", "quickstart")
    assert not (tmp_path / "run").exists()
