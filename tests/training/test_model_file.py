"""A trained network as one file."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest

import jaxnuc
from jaxnuc.labels import label_set
from jaxnuc.run import model_file
from jaxnuc.run.cards import shipped
from jaxnuc.run.checkpoints import find, is_trained, read_thresholds, write_thresholds
from jaxnuc.run.model_file import TrainedModel


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    config = jaxnuc.config.default()
    config.model = {"name": "unet", "variant": "tiny"}
    return TrainedModel(
        jaxnuc.config.to_json(config),
        (label_set("consep"),),
        (10.0, 100.0, 300.0),
        "2026-11-30T12:00+00:00",
        {"threshold": 0.45},
        {
            "params": {"conv": {"kernel": rng.normal(size=(3, 3, 2, 4)).astype(np.float32)}},
            "batch_stats": {"norm": {"var": rng.uniform(1, 9, 4).astype(np.float32)}},
        },
    )


def test_everything_comes_back_and_arrays_to_16_bits(tmp_path, model):
    path = tmp_path / "a.npz"
    model_file.write(path, model)
    found = model_file.read(path)
    assert replace(found, variables={}) == replace(model, variables={})
    kernel, expected = (m.variables["params"]["conv"]["kernel"] for m in (found, model))
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel, expected, rtol=2**-11)
    assert found.variables["batch_stats"].keys() == {"norm"}
    assert model_file.is_model(path)


def test_values_that_16_bits_cannot_hold_are_refused(tmp_path, model):
    model.variables["batch_stats"]["norm"]["var"][0] = 1e6
    with pytest.raises(ValueError, match="batch_stats/norm/var holds values beyond those"):
        model_file.write(tmp_path / "a.npz", model)
    assert not (tmp_path / "a.npz").exists()


def test_other_arrays_are_no_model(tmp_path):
    np.savez(tmp_path / "weights.npz", kernel=np.ones(3))
    assert not model_file.is_model(tmp_path / "weights.npz")
    assert not model_file.is_model(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"weights\.npz is no file of a model, or damaged"):
        model_file.read(tmp_path / "weights.npz")


def test_damage_is_noticed(tmp_path, model):
    """Of the arrays and of the text, also where the file itself stays a whole archive."""
    path = tmp_path / "a.npz"
    model_file.write(path, model)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for name in content:
        changed = bytearray(content[name])
        changed[-2] ^= 1
        with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
            for each, data in content.items():
                archive.writestr(each, bytes(changed) if each == name else data)
        with pytest.raises(ValueError, match=r"b\.npz is no file of a model, or damaged"):
            model_file.read(tmp_path / "b.npz")
    data = path.read_bytes()
    (tmp_path / "c.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"c\.npz"):
        model_file.read(tmp_path / "c.npz")


def test_a_folder_of_the_name_of_a_model_does_not_hide_it(tmp_path, monkeypatch):
    """Such as one of images; a workdir of the name comes first."""
    name = "fluorescence"
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert find(name) == shipped()[name]
    assert is_trained(name)
    (tmp_path / name / "checkpoints" / "7").mkdir(parents=True)
    assert find(name, "latest") == tmp_path / name / "checkpoints" / "7"
    with pytest.raises(FileNotFoundError, match=r"unknown model .* mean 'fluorescence'"):
        find("fluorescense")


def test_thresholds_of_a_model_stay(tmp_path, model):
    path = tmp_path / "a.npz"
    model_file.write(path, model)
    with pytest.raises(ValueError, match=r"a\.npz is the file of a model, which is not changed"):
        write_thresholds(path, {"threshold": 0.5}, 0.9)
    assert read_thresholds(path) == {"threshold": 0.45}
