"""The models that come with the library: small, described, and of use."""

import json
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

import jaxnuc
from jaxnuc.cli.main import main
from jaxnuc.config.pages import CONFIGURATIONS
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.geometry import resize
from jaxnuc.metrics import score
from jaxnuc.run.cards import EXAMPLES, MODELS, Card, card, cards, shipped, update
from jaxnuc.run.checkpoints import find, read_config

NAMES = list(shipped())
SIDE = 160  # of the part of an example image that is looked at


def test_they_are_small_together():
    assert sum(path.stat().st_size for path in shipped().values()) < 12e6


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_a_whole_card(name):
    values = json.loads((MODELS / f"{name}.json").read_text())
    assert values.keys() == {field.name for field in fields(Card)} - {"name"}
    found = card(name)
    assert found.figures
    assert all(path.is_file() for path in found.image_files)
    for line in (found.summary, found.license, found.made, *found.data, *found.not_for):
        assert line in found.text()


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_is_that_of_the_model(name):
    page = CONFIGURATIONS.make(card(name).recipe)
    config = read_config(find(name))
    for section in ("model", "representation", "classes"):
        assert config[section] == json.loads(page[section].to_json()), section
    assert config["data"]["normalize"] == page.data.normalize
    assert tuple(config["data"]["transforms"]) == page.data.transforms


def test_every_example_belongs_to_a_model():
    shown = {name for each in cards() for name in each.examples}
    assert {path.name for path in EXAMPLES.iterdir()} == shown


def test_an_example_is_seen_at_the_resolution_of_the_model(tmp_path, capsys):
    """Whose types depend on it: the file of the tile does not say its microns per pixel."""
    found = tmp_path / "found"
    assert main(["predict", "--example", "--model=he-types", f"--output={found}"]) == 0
    values = json.loads((found / "breast.json").read_text())
    assert values["settings"]["mpp"] == 0.25
    (tile,) = card("he-types").image_files
    assert main(["predict", f"--input={tile}", "--model=he-types", f"--output={tmp_path}"]) == 1
    assert "its microns per pixel are unknown; give them, as --mpp=0.25" in capsys.readouterr().err


SIZED = [name for name in NAMES if not read_config(find(name))["data"]["mpp"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZED)
def test_finds_the_same_nuclei_at_another_size(name):
    """Half as large again and at two thirds: most nuclei of the example images are the same."""
    predictor = jaxnuc.load(name)
    for path in card(name).image_files:
        image = np.array(Image.open(path).convert("RGB"))[:SIDE, :SIDE]
        found = predictor(image).instances
        assert found.max() > 10
        for factor in (0.67, 1.5):
            shape = tuple(round(n * factor) for n in found.shape)
            other = resize(Sample(image, found), *shape)
            assert score(other.instances, predictor(other.image).instances).pq > 0.6, factor


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fluorescence", "he-nc", "cytology"])
@pytest.mark.parametrize("levels", [1, 8, 20])
def test_finds_next_to_nothing_in_the_noise_of_a_camera(name, levels):
    """Enlarged far enough, grains of noise look like nuclei: 10,000 of 2 pixels were found here."""
    noise = np.random.default_rng(1).normal(400, levels, (256, 256)).astype(np.uint16)
    assert len(jaxnuc.load(name)(noise).scores) < 5


@pytest.mark.slow
@pytest.mark.parametrize(("pad", "least"), [((0, 120), 0.8), ((60, 60), 0.5)])
def test_finds_nuclei_of_tissue_beside_black(pad, least):
    """As exporters fill what lies outside of a slide; all around, nuclei at the border suffer."""
    (path, *_) = card("he").image_files
    image, predictor = np.array(Image.open(path).convert("RGB")), jaxnuc.load("he")
    framed = predictor(np.pad(image, (pad, pad, (0, 0)))).instances
    inside = framed[pad[0] : pad[0] + len(image), pad[0] : pad[0] + image.shape[1]]
    assert score(predictor(image).instances, inside).dq > least


def test_finds_nuclei_of_four_pixels():
    """A third of the resolution; trained on sharp images alone, the model had a PQ of 0.78 here."""
    (path,) = card("fluorescence").image_files
    image, predictor = np.array(Image.open(path).convert("RGB")), jaxnuc.load("fluorescence")
    sharp = Sample(image, predictor(image).instances)
    coarse = resize(sharp, *(round(0.35 * n) for n in sharp.instances.shape))
    assert score(coarse.instances, predictor(coarse.image).instances).pq > 0.83


def test_the_page_of_cards_is_of_the_present_cards():
    page = (EXAMPLES.parents[2] / "docs" / "models.md").read_text()
    assert update(page) == page, "old: run `make tables`"
