"""Every command from beginning to end, on tiny data."""

import json
import re
import shutil
from datetime import UTC, datetime

import jax
import numpy as np
import pytest
from PIL import Image

from jaxnuc import load, models, pretrained
from jaxnuc.cli.main import COMMANDS
from jaxnuc.data.synthetic import generate
from jaxnuc.run.cards import shipped
from jaxnuc.training.state import initialization

RUN = {"study", "train", "evaluate", "predict", "export", "score", "compare", "inspect", "pack"}
RUN |= {"convert", "models"}
ELSEWHERE = {"suggest"}  # in test_loop.py


def test_all_commands_are_here():
    assert {*COMMANDS} == RUN | ELSEWHERE


@pytest.mark.usefixtures("no_curves")
@pytest.mark.slow
def test_train_says_what_it_does_and_continues(jaxnuc, tmp_path, trained):
    shutil.copytree(trained, tmp_path / "run")
    again = jaxnuc("train", "--workdir=run")
    assert again.status == 0
    assert "pq_image_mean: " in again.out
    assert re.search(r"^images: \d+$", again.out, re.MULTILINE)  # a count
    assert "images_skipped: 0" not in again.out
    assert again.err.startswith("reading the configuration quickstart\n")
    longer = jaxnuc("train", "--workdir=run", "--config.duration=3 steps")
    assert longer.status == 0
    assert "step 2 of 3" in longer.err


@pytest.mark.slow
def test_evaluate_predict_and_export(jaxnuc, tmp_path, trained):
    done = jaxnuc("evaluate", f"--workdir={trained}", "--output=figures", "--overlays=2")
    assert done.status == 0
    assert "pq" in done.out
    assert "written to figures\n" in done.err
    assert json.loads((tmp_path / "figures" / "metrics.json").read_text())["split"] == "test"

    pixels = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    command = ["predict", f"--workdir={trained}", "--input=a.png", "--output=out", "--patch=64"]
    done = jaxnuc(*command, "--overlap=32", "--tile=64", "--workers=0", "--no-stains")
    assert done.status == 0
    assert done.out.startswith("a: ")
    assert done.out.endswith(" nuclei\n")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"a.geojson", "a.csv", "a.report.html", "summary.csv", "index.html"} < names
    network = json.loads((tmp_path / "out" / "a.json").read_text())["network"]
    assert network["trained_on"].startswith("synthetic(")
    (checkpoint,) = network["checkpoint"]
    assert checkpoint.startswith(str(trained.resolve()))
    low, middle, high = network["areas_of_training_px"]
    assert 1 < low < middle < high < 64**2
    assert abs(datetime.fromisoformat(network["saved"][0]) - datetime.now(UTC)).days < 1

    done = jaxnuc("export", f"--workdir={trained}", "--output=exported", "--size=64,64")
    assert done.status == 0
    assert json.loads((tmp_path / "exported" / "model.json").read_text())["size"] == [64, 64]


@pytest.mark.slow
def test_predict_names_the_images_that_failed(jaxnuc, tmp_path, trained):
    (tmp_path / "a.png").write_bytes(b"no image")
    done = jaxnuc("predict", f"--workdir={trained}", "--input=a.png", "--output=out")
    assert (done.status, done.out) == (1, "")
    assert done.error.startswith("error: a.png: ")
    assert done.error.count("a.png: ") == 1

    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    arguments = [f"--workdir={trained}", "--input=a.png", "--output=out", "--model-mpp=0.25"]
    done = jaxnuc("predict", *arguments)
    assert done.error.startswith("error: a.png: its microns per pixel are unknown")


def test_score_and_compare(jaxnuc, tmp_path):
    for name in ("truth", "a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            labels = np.zeros((16, 16), np.int32)
            labels[2:6, 2:6], labels[9:14, 9 + (name == "b") : 14] = 1, 2
            np.save(tmp_path / name / f"{number}.npy", labels)
    for name in ("a", "b"):
        done = jaxnuc("score", "truth", name, f"--output=scores_{name}")
        assert done.status == 0
        assert "pq" in done.out
    done = jaxnuc("compare", "scores_a", "scores_b", "--resamples=100")
    assert done.status == 0
    assert done.out.startswith("scores_a -> scores_b, 3 images\n")
    done = jaxnuc("compare", "--seeds", "scores_a", "scores_b")
    assert done.status == 0
    assert " ± " in done.out


def test_inspect_and_pack(jaxnuc, tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / "train" / part).mkdir(parents=True)
        for number in range(3):
            pixels = np.zeros((32, 32, 3) if part == "images" else (32, 32), np.uint8)
            pixels[5:12, 5 + number : 12] = 1
            Image.fromarray(pixels).save(tmp_path / "data" / "train" / part / f"{number}.png")
    done = jaxnuc("inspect", "folder", "data", "--split=train")
    assert done.status == 0, done
    assert done.out.startswith("folder: 3 images, 3 nuclei\n")
    assert (tmp_path / "inspected" / "folder" / "sheet.png").exists()
    done = jaxnuc("pack", "folder", "data", "packed/train")
    assert done.status == 0, done
    assert done.out.startswith("packed/train: 3 samples, 3 nuclei, 1 shards")
    done = jaxnuc("inspect", "packed", "packed", "--split=train", "--output=again")
    assert done.out.startswith("packed: 3 images, 3 nuclei\n")


@pytest.mark.slow
def test_convert(jaxnuc, tmp_path):
    model = models.create("u2net", {"mask": 1}, variant="small")
    zeros = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, np.float32), initialization(model).shapes
    )
    np.savez(tmp_path / "u2netp.npz", **pretrained.export(zeros, "u2net"))
    network = ["--config=quickstart", "--config.model=u2net(variant='small')"]
    command = ["convert", "u2netp.npz", "--output=run", *network, "--config.representation=binary"]
    done = jaxnuc(*command)
    assert done.status == 0
    assert done.out == "jaxnuc predict --workdir=run --input=IMAGES --output=FOLDER\n"
    assert "network u2net: 1,131,181 parameters\nwritten to run\n" in done.err
    assert jaxnuc(*command).error == "error: run holds a run; give another --output"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    assert jaxnuc("predict", "--workdir=run", "--input=a.png", "--output=out").status == 0


@pytest.mark.usefixtures("no_curves")
@pytest.mark.slow
def test_a_run_as_a_file_predicts_the_same_and_is_trained_further(jaxnuc, tmp_path, trained):
    image = generate(0, size=96, style="he").image
    Image.fromarray(image).save(tmp_path / "a.png")
    assert jaxnuc("export", f"--workdir={trained}", "--output=run.npz").status == 0
    again = jaxnuc("export", f"--workdir={trained}", "--output=run.npz")
    assert (again.status, "--overwrite" in again.err) == (1, True)
    of_run, of_file = (load(path) for path in (trained, tmp_path / "run.npz"))
    for name, maps in of_run.maps(image).items():
        np.testing.assert_allclose(of_file.maps(image)[name], maps, atol=0.02)
    assert of_file.networks[0].origin.areas == of_run.networks[0].origin.areas
    given = ["--input=a.png", "--output=out", "--format=csv", "--no-report", "--workers=0"]
    assert jaxnuc("predict", "--model=run.npz", *given).status == 0
    assert (tmp_path / "out" / "a.csv").is_file()
    more = jaxnuc("train", "--workdir=more", "--config.weights.file=run.npz")
    assert more.status == 0
    assert re.search(r"all \d+ arrays are those of run\.npz", more.err)


def test_models_are_listed_and_a_card_is_shown(jaxnuc):
    listed = jaxnuc("models")
    assert listed.status == 0
    for line, name in zip(listed.out.splitlines(), shipped(), strict=True):
        assert line.startswith(f"{name} ")
    unknown = jaxnuc("models", "fluorescense")
    assert (unknown.status, "did you mean 'fluorescence'" in unknown.err) == (1, True)
    for name in shipped():
        assert "Weights" in jaxnuc("models", name).out


def test_predict_says_what_is_missing(jaxnuc):
    done = jaxnuc("predict", "--example", "--model=cytology")
    assert (done.status, "cytology comes without examples" in done.err) == (1, True)
    done = jaxnuc("predict", "--example", "--workdir=run")
    message = "--example is of a --model that comes with the library (cytology, fluorescence, "
    assert done.error.startswith(f"error: {message}")
    assert done.error.endswith("): run is none")
    nothing = jaxnuc("predict", "--input=a.png", "--output=out")
    assert (nothing.status, "--model=NAME" in nothing.err) == (2, True)
    for given, missing in (("--input=a.png", "--output=FOLDER"), ("--output=b", "--input=IMAGE")):
        done = jaxnuc("predict", "--workdir=none", given)
        assert done.status == 1
        assert done.err.startswith(f"error: {missing} is missing; or --example alone")
