"""What is wrong is said with its name, both values and the way out; nothing is overwritten."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxnuc import config as configs
from jaxnuc.io.lock import locked
from jaxnuc.run import devices
from jaxnuc.training.loop import train_and_evaluate


@pytest.fixture
def science_bowl(tmp_path):
    """Six images with two nuclei each, as the data set is distributed."""
    root = tmp_path / "data" / "stage1_train"
    for index in range(6):
        name = f"{index:064x}"
        for kind in ("images", "masks"):
            (root / name / kind).mkdir(parents=True)
        picture = np.random.default_rng(index).integers(0, 255, (32, 32, 4), dtype=np.uint8)
        Image.fromarray(picture).save(root / name / "images" / f"{name}.png")
        for number in range(2):
            mask = np.zeros((32, 32), np.uint8)
            mask[4:12, 4 + 14 * number : 14 + 14 * number] = 255
            Image.fromarray(mask).save(root / name / "masks" / f"{number}.png")
    return root


def test_a_workdir_is_of_one_process(tmp_path, tiny):
    with locked(tmp_path):
        with pytest.raises(ValueError, match=r"is written to by process \d+ on .*another folder"):
            train_and_evaluate(tiny(), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.fixture
def on_science_bowl(tiny, science_bowl):
    return tiny(
        duration="2 steps",
        schedule={"name": "constant"},
        **{
            "data.source": {"name": "dsb2018", "fractions": [0.7, 0.3, 0.0]},
            "data.root": str(science_bowl.parent),
        },
    )


def test_the_data_as_they_are(tmp_path, on_science_bowl):
    """The errors below are not those of the fixture."""
    assert train_and_evaluate(on_science_bowl, tmp_path / "run")["images"] == 2


def test_missing_root(tmp_path, tiny, monkeypatch):
    monkeypatch.delenv("JAXNUC_DATA", raising=False)
    config = tiny(**{"data.source": {"name": "dsb2018"}, "data.root": ""})
    with pytest.raises(ValueError, match=r"--config.data.root=FOLDER, or set JAXNUC_DATA"):
        train_and_evaluate(config, tmp_path / "run")
    config.data.root = str(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder.*stage1.*BBBC038"):
        train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_image_without_masks(tmp_path, on_science_bowl, science_bowl):
    for mask in (science_bowl / f"{3:064x}" / "masks").iterdir():
        mask.unlink()
    with pytest.raises(ValueError, match=f"{3:064x}.png: an image without masks"):
        train_and_evaluate(on_science_bowl, tmp_path / "run")


@pytest.mark.parametrize("problem", ["size", "truncated"])
def test_damaged_files_are_named(tmp_path, on_science_bowl, science_bowl, problem):
    for index in range(6):  # whichever is read first
        file = science_bowl / f"{index:064x}" / "masks" / "1.png"
        if problem == "size":
            Image.fromarray(np.full((30, 32), 255, np.uint8)).save(file)
        else:
            file.write_bytes(file.read_bytes()[:40])
    message = {
        "size": r"masks/1.png: a mask of \(30, 32\) pixels for an image of \(32, 32\)",
        "truncated": r"masks/1.png: cannot be decoded",
    }[problem]
    with pytest.raises(ValueError, match=message):
        train_and_evaluate(on_science_bowl, tmp_path / "run")

    for index in range(6):  # the same workdir goes on once they are mended
        mask = science_bowl / f"{index:064x}" / "masks"
        shutil.copy(mask / "0.png", mask / "1.png")
    assert train_and_evaluate(on_science_bowl, tmp_path / "run")["images"] == 2


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("bach_size", 8, "'bach_size'.*did you mean 'batch_size'"),
        ("model", {"name": "harunett"}, "unknown network 'harunett'.*did you mean 'harunet'"),
        ("representation", {"name": "contours"}, "did you mean 'contour'"),
        (
            "optimizer",
            {"name": "adamw", "learning_rate": 1e-3, "b3": 1},
            "of optimizer 'adamw': 'b3'",
        ),
        ("compute_dtype", "float16", "known: float32, bfloat16"),
        ("log_every", 0, "'log_every' must be 1 or more, got 0"),
        ("data.transforms", ["flip()"], "did you mean 'flip_turn'"),
        ("evaluation.monitor", "pq", "'pq' is no figure; there are dice_image_mean"),
    ],
)
def test_wrong_configurations(tmp_path, tiny, path, value, message):
    values = configs.to_json(tiny(duration="1 steps", schedule={"name": "constant"}))
    *sections, key = path.split(".")
    target = values
    for section in sections:
        target = target[section]
    target[key] = value
    with pytest.raises(ValueError, match=message):
        train_and_evaluate(type(tiny())(values), tmp_path)


def test_batch_that_does_not_divide(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(devices.jax, "device_count", lambda: 4)
    with pytest.raises(ValueError, match="batch size 10 does not divide over 4 devices; take 8 or"):
        train_and_evaluate(tiny(batch_size=10), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"), [("[]", "not the configuration of a run"), ('{"a', "not readable as")]
)
def test_a_damaged_configuration(tmp_path, tiny, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        train_and_evaluate(tiny(), tmp_path)
    assert (tmp_path / "config.json").read_text() == content


def test_the_figure_that_ranks_checkpoints_stays(tmp_path, tiny, caplog):
    train_and_evaluate(tiny(duration="1 steps", schedule={"name": "constant"}), tmp_path)
    other = tiny(duration="2 steps", schedule={"name": "constant"})
    other.evaluation.monitor = "aji_image_mean"
    message = "evaluation.monitor: 'dice_image_mean' there, 'aji_image_mean' now"
    with pytest.raises(ValueError, match=message):
        train_and_evaluate(other, tmp_path)
    # What may differ is said.
    same = tiny(duration="2 steps", schedule={"name": "constant"})
    same.evaluation.every = "1 steps"
    with caplog.at_level("INFO"):
        train_and_evaluate(same, tmp_path)
    assert "the run goes on with duration='2 steps', which was '1 steps'" in caplog.messages
    changed = [line for line in caplog.messages if line.startswith("the run goes on with ")]
    assert len(changed) == 2


def test_workdir_of_another_model(tmp_path, tiny):
    train_and_evaluate(tiny(duration="2 steps", schedule={"name": "constant"}), tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    other = tiny(duration="2 steps", schedule={"name": "constant"}, seed=1)
    other.model.layers = 3
    with pytest.raises(ValueError, match="holds a run of another configuration") as error:
        train_and_evaluate(other, tmp_path)
    assert "model.layers: 1 there, 3 now" in str(error.value)
    assert "seed: 0 there, 1 now" in str(error.value)
    assert "give another folder" in str(error.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert json.loads((tmp_path / "config.json").read_text())["model"]["layers"] == 1
