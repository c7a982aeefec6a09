"""`--config=NAME:arguments` and `--config.KEY=VALUE`."""

import pytest

from jaxnuc.config import default, pages
from jaxnuc.config.pages import load


def test_a_page_by_name_and_by_path():
    path = pages.CONFIGURATIONS.folder / "harunet_monuseg.py"
    by_name = load("harunet_monuseg:small", {})
    assert by_name.model.variant == "small"
    assert load(f"{path}:small", {}) == by_name
    assert load("harunet_monuseg", {}).model.variant == "full"
    assert load("harunet_monuseg:", {}) == load("harunet_monuseg", {})


def test_a_page_of_another_package(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "page.py").write_text(
        "from jaxnuc.config import arguments, default\n"
        "def get_config(text=''):\n"
        "    config = default()\n"
        "    config.seed = arguments(text, seed=3).seed\n"
        "    return config\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load("elsewhere.page", {}).seed == 3
    assert load("elsewhere.page:seed=5", {}).seed == 5


def test_all_pages_are_listed_with_their_titles(jaxnuc):
    done = jaxnuc("train", "--list-configs")
    assert done.status == 0
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == list(pages.CONFIGURATIONS.paths())
    assert all(len(line.split()) > 4 for line in lines)


def test_values_have_the_type_of_those_that_they_replace():
    config = load(
        "quickstart",
        {
            "batch_size": "4",
            "clip_norm": "2",
            "evaluation.inclusive": "true",
            "evaluation.every": "7 steps",
            "data.transforms": "['flip_turn()', 'random_crop(32)']",
            "seed": "-1",
        },
    )
    assert (config.batch_size, config.seed) == (4, -1)
    assert (config.clip_norm, type(config.clip_norm)) == (2.0, float)
    assert config.evaluation.inclusive is True
    assert config.evaluation.every == "7 steps"
    assert config.data.transforms == ("flip_turn()", "random_crop(32)")


def test_sections_that_name_a_choice_take_its_arguments():
    config = load(
        "quickstart",
        {
            "model": "{'name': 'unet', 'variant': 'small'}",
            "data.source.size": "64",
            "optimizer.weight_decay": "1e-4",
            "classes.name": "leaves",
        },
    )
    assert config.model.to_dict() == {"name": "unet", "variant": "small"}
    assert config.data.source.size == 64
    assert config.optimizer.weight_decay == 1e-4
    assert config.classes.name == "leaves"


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("batch_sise", "8", "unknown configuration key 'batch_sise'.*did you mean 'batch_size'"),
        ("data.rot", "x", "unknown configuration key 'data.rot'.*did you mean 'data.root'"),
        ("evalution.every", "x", "'evalution'; known: .*did you mean 'evaluation'"),
        ("seed.x", "1", "unknown configuration key 'seed'"),
        ("batch_size", "8.5", "--config.batch_size='8.5' is not of type int, such as 4"),
        ("batch_size", "many", "'many' is not of type int"),
        ("evaluation.inclusive", "1", "'1' is not of type bool, such as False"),
        ("data.transforms", "flip_turn()", "'flip_turn\\(\\)' is not of type tuple"),
        ("model", "unet(3)", r"'unet\(3\)': arguments need names"),
        ("model", "3", "nor a call"),
        ("weights", "unet", "'unet' is not of type section"),
    ],
)
def test_wrong_overrides(key, text, message):
    with pytest.raises(ValueError, match=message):
        load("quickstart", {key: text})


def test_values_can_follow_a_space(jaxnuc):
    done = jaxnuc("train", "--config", "quickstart", "--workdir", "w", "--config.batch_size", "x")
    assert done.error == "error: --config.batch_size='x' is not of type int, such as 4"


def test_every_page_takes_no_other_argument_than_its_own():
    for name in pages.CONFIGURATIONS.paths():
        with pytest.raises(ValueError, match=r"takes no arguments|unknown argument"):
            load(f"{name}:nonsense=1", {})


def test_another_source_drops_the_arguments_of_the_former(caplog):
    with caplog.at_level("INFO"):
        given = {"data.source.images": "pictures", "data.source.name": "folder"}
        assert load("quickstart", given).data.source.to_dict() == {
            "name": "folder",
            "images": "pictures",
        }
    (line,) = caplog.messages
    assert line == "--config.data.source.name=folder: dropped of the former source: ['size']"
    same = load("quickstart", {"data.source.name": "synthetic"}).data.source
    assert same.to_dict() == {"name": "synthetic", "size": 96}


def test_finetune_goes_on_with_the_network_of_a_run(a_run):
    given = {"weights.file": str(a_run), "data.root": "cells", "model.norm": "group"}
    config, run = load("finetune", given), default()
    assert config.model.to_dict() == {**run.model.to_dict(), "norm": "group"}
    assert config.representation == run.representation
    assert config.data.transforms == run.data.transforms
    assert (config.data.source.name, config.data.root) == ("folder", "cells")
    with pytest.raises(ValueError, match=r"give --config\.weights\.file=NAME_OR_WORKDIR"):
        load("finetune", {})
    with pytest.raises(FileNotFoundError, match="neither a workdir"):
        load("finetune", {"weights.file": str(a_run.parent / "none")})
