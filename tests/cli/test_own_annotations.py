"""From annotations of one's own, at several levels of the label tree, to nuclei; and over folds."""

import csv
import json
import logging
import os
import re
import shutil
from collections import Counter

import pytest
from PIL import Image

from jaxnuc.cli.main import main
from jaxnuc.data.splits import open_split
from jaxnuc.data.synthetic import generate
from jaxnuc.evaluation.folds import _check_alike
from jaxnuc.outputs.outlines import rings
from jaxnuc.postprocess.masks import masks_of
from jaxnuc.run.digests import read_sealed, sealed

pytestmark = pytest.mark.slow

SECTION = {"name": "folder", "fractions": (0.5, 0.5, 0), "seed": 7}
CLASSES = """
classes:
  cell: {node: immune}
  lymphocyte: {node: lymphocyte}
  tumor: {node: tumoral epithelial}
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A folder in which some nuclei are annotated as any immune cell, some as lymphocytes."""
    root = tmp_path_factory.mktemp("own") / "cells"
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    for k in range(4):
        sample = generate(k, size=64)
        Image.fromarray(sample.image).save(root / "images" / f"{k}.png")
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": rings(mask)},
                "properties": {"classification": {"name": ("cell", "lymphocyte", "tumor")[n % 3]}},
            }
            for n, mask in enumerate(masks_of(sample.instances)[1])
        ]
        (root / "annotations" / f"{k}.geojson").write_text(json.dumps(features))
    (root / "classes.yaml").write_text(CLASSES)
    return root


@pytest.fixture(scope="module")
def folds(cells, tiny):
    """Trainings of both folds, by a root that is relative to where they ran.

    The second is a copy of the first under the name of its fold: a training takes long.
    """
    arguments = [*tiny, f"--config.data.source={SECTION}", "--config.classes=leaves"]
    before = os.getcwd()
    os.chdir(cells.parent)
    try:
        where = ["--config.data.root=cells", "--workdir=fold_0", "--fold=0/2"]
        assert main(["train", *arguments, *where]) == 0
    finally:
        os.chdir(before)
    first = cells.parent / "fold_0"
    return [first, altered(first, '"fold": "0/2"', '"fold": "1/2"', cells.parent / "fold_1")]


def altered(workdir, old, new, to):
    """A copy of a run, as if trained with another argument."""
    shutil.copytree(workdir, to)
    (path,) = (to / "checkpoints").glob("*/config/metadata")
    text = json.dumps(read_sealed(path))
    assert old in text
    path.write_text(json.dumps(sealed(json.loads(text.replace(old, new)))))
    return to


def kinds(cells, fold):
    """The numbers of nuclei by kind in the test images of a fold."""
    section = {**SECTION, "split_by": {"fold": f"{fold}/2"}}
    source = open_split(section, cells, "test")
    found = Counter()
    for sample in map(source.__getitem__, range(len(source))):
        pairs = {*zip(sample.instances.ravel(), sample.classes.ravel(), strict=True)}
        found.update(source.label_set.groups[group - 1] for _, group in pairs if group)
    return found


def per_class(folder):
    with open(folder / "per_class.csv", newline="") as file:
        return {row["class"]: int(row["true_nuclei"]) for row in csv.DictReader(file)}


@pytest.mark.usefixtures("blank_charts")
def test_nuclei_at_several_levels_are_trained_on_scored_and_predicted(
    jaxnuc, cells, folds, tmp_path
):
    truth = kinds(cells, 0)
    assert min(truth[name] for name in ("cell", "lymphocyte", "tumor")) > 0
    command = ("evaluate", f"--workdir={folds[0]}", f"--root={cells}", "--overlays=0")
    for options, expected in (
        (("--output=finest",), {name: truth[name] for name in ("lymphocyte", "tumor")}),
        (
            ("--output=cut", "--label-set=superclasses"),
            {"epithelial": truth["tumor"], "immune": truth["cell"] + truth["lymphocyte"]}
            | {"stromal": 0, "other": 0},
        ),
    ):
        done = jaxnuc(*command, *options)
        assert done.status == 0, done.err
        folder = tmp_path / options[0].partition("=")[2]
        assert per_class(folder) == expected
        with open(folder / "counts.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert sum(float(row["tp"]) + float(row["fn"]) for row in rows) == truth.total()

    small = ("--patch=64", "--overlap=32", "--tile=64", "--workers=0", "--no-stains")
    image = f"--input={cells / 'images' / '0.png'}"
    done = jaxnuc(
        "predict",
        f"--workdir={folds[0]}",
        image,
        "--output=out",
        "--label-set=superclasses",
        *small,
    )
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "out" / "0.geojson").read_text())["features"]
    assert {each["properties"]["classification"]["name"] for each in found} <= {
        *("epithelial", "immune", "stromal", "other")
    }

    # What cannot be read so is refused, not left out.
    done = jaxnuc(*command, "--label-set=imune")
    assert "unknown label set 'imune'" in done.error
    done = jaxnuc("evaluate", f"--workdir={folds[0]}", "--split=val")
    assert done.error.startswith("error: cells: no such folder or zip file; this is where")
    assert "(--root)" in done.error


@pytest.mark.usefixtures("blank_charts")
def test_folds_from_another_working_directory(jaxnuc, cells, folds, tmp_path):
    command = ["evaluate", "--folds", "--output=out", f"--root={cells}", "--overlays=0"]
    done = jaxnuc(*command, *(f"--workdir={each}" for each in reversed(folds)))
    assert done.status == 0, done.err
    counts = kinds(cells, 0) + kinds(cells, 1)
    with open(tmp_path / "out" / "counts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["name"] for row in rows) == ["0", "1", "2", "3"]
    assert sum(float(row["tp"]) + float(row["fn"]) for row in rows) == counts.total()
    header, *lines = (tmp_path / "out" / "folds.csv").read_text().splitlines()
    assert header == "figure,0/2,1/2,mean,std,pooled"
    assert any(line.startswith("pq_image_mean,") for line in lines)

    assert (
        "folds 0 of 2: give a workdir for each" in jaxnuc(*command, f"--workdir={folds[0]}").error
    )
    done = jaxnuc(*command, *(f"--workdir={each}" for each in (*folds, folds[0].parent / "gone")))
    assert "gone" in done.error


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"seed": 7',
            '"seed": 8',
            "with seed=7 of data.source, .*other with 8: .*different splits",
        ),
        ('"fold": "1/2"', '"fold": "0/2"', "are both of fold 0/2; leave one out"),
        ('"fold": "1/2"', '"fold": null', "other: trained without folds; train it with --fold=i/k"),
    ],
)
def test_folds_that_were_trained_with_other_arguments(jaxnuc, folds, tmp_path, old, new, message):
    other = altered(folds[1], old, new, tmp_path / "other")
    command = ["evaluate", "--folds", "--output=out", f"--workdir={folds[0]}"]
    assert re.search(message, jaxnuc(*command, f"--workdir={other}").error)


def test_other_networks_of_folds_are_warned_of(caplog):
    one = {"data": {"source": {"name": "folder", "split_by": {"fold": "0/2"}}}, "model": "unet"}
    other = {"data": {"source": {"name": "folder", "split_by": {"fold": "1/2"}}}, "model": "dcan"}
    with caplog.at_level(logging.WARNING):
        _check_alike({"a": one, "b": other})
    assert "a and b differ in model" in caplog.text
