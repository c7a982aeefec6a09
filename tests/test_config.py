"""The configuration: its checks, its arguments, and every page in configs/."""

import importlib.util
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from jaxnuc import assembly, label_sets
from jaxnuc import config as configs
from jaxnuc.data import transforms

SETS = ("consep", "lizard", "monusac", "nucls", "pannuke")
PAGES = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


def page(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_every_page_is_valid_and_says_how_to_run_it(path):
    module = page(path)
    config = module.get_config()
    configs.check(config)
    section = config.data.source.to_dict()
    known = [s["name"] for s in section.get("sources", [section]) if s["name"] in SETS]
    cuts = [label_sets.cut(name) for name in known]
    assembly.make_model(config, assembly.make_representation(config, cuts))
    transforms.parse(config.data.transforms)
    assert f"--config=configs/{path.name}" in module.__doc__
    assert configs.from_json(configs.to_json(config)).to_dict().keys() == config.to_dict().keys()
    assert len(path.read_text().splitlines()) < 70


def changed(path, value):
    values = configs.default().to_dict()
    *sections, key = path.split(".")
    target = values
    for section in sections:
        target = target[section]
    target[key] = value
    return ConfigDict(values)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("bach_size", 8, "unknown configuration key 'bach_size'.*did you mean 'batch_size'"),
        ("data.transfroms", (), "did you mean 'data.transforms'"),
        ("batch_size", "8", "'batch_size' must be int such as 16, got '8'"),
        ("evaluation.every", 100, "'evaluation.every' must be str"),
        ("model", {"variant": "small"}, "'model' needs a 'name'"),
        ("data.transforms", "flip_turn()", "must be a list"),
    ],
)
def test_wrong_keys_and_types(path, value, message):
    with pytest.raises(ValueError, match=message):
        configs.check(changed(path, value))


def test_a_missing_key_is_named():
    config = configs.default()
    with config.unlocked():
        del config["seed"]
    with pytest.raises(ValueError, match="'seed' is missing"):
        configs.check(config)


def test_arguments_behind_the_colon():
    given = configs.arguments("small,crop=96,rate=1,name=x", small=False, crop=8, rate=0.5, name="")
    assert given.to_dict() == {"small": True, "crop": 96, "rate": 1.0, "name": "x"}
    assert configs.arguments("", crop=8).crop == 8
    for text, message in (
        ("crp=3", "did you mean 'crop'"),
        ("crop=big", "crop='big' is not of type int"),
        ("crop", "needs a value: crop=8"),
        ("crop=1.5", "not of type int"),
    ):
        with pytest.raises(ValueError, match=message):
            configs.arguments(text, crop=8)


def test_lengths_of_time():
    assert configs.steps("3000 steps", "duration", None) == 3000
    assert configs.steps("1 step", "duration", 10) == 1
    assert configs.steps("2.5 epochs", "duration", 10) == 25
    for text, message in (
        ("3000", "duration='3000' is not of the form"),
        ("many steps", "not of the form"),
        ("-1 steps", "not of the form"),
        ("3 hours", "not of the form"),
        ("2 epochs", "endless source has no epochs"),
    ):
        with pytest.raises(ValueError, match=message):
            configs.steps(text, "duration", None)
