"""What is written is read again; the command line says the same as the functions."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxnuc.cli.main import main
from jaxnuc.metrics import Conventions, Evaluation, ImagePair, score_image, summarize
from jaxnuc.metrics.base import make
from jaxnuc.metrics.folders import score_folders

CONVENTIONS = Conventions(0.4, inclusive=True, matching="count", empty="one", border=0, tolerance=1)


def score_with(conventions, truth, prediction):
    return score_image(ImagePair.of(truth, prediction, conventions))


def squares(n):
    """n of nine squares in one image."""
    labels = np.zeros((24, 24), np.uint16)
    for i in range(n):
        labels[8 * (i // 3) + 1 : 8 * (i // 3) + 7, 8 * (i % 3) + 1 : 8 * (i % 3) + 7] = i + 1
    return labels


@pytest.fixture
def evaluation():
    counts = [(9, 7), (5, 5), (0, 0), (3, 4)]
    return Evaluation(
        [f"folder/{i}" for i in range(4)],
        [score_with(CONVENTIONS, squares(t), squares(p)) for t, p in counts],
        [{"tissue": "skin, scalp"}, {"tissue": "breast"}, {"tissue": "breast", "slide": "s"}, {}],
    )


def test_what_is_written_is_read_again_to_the_bit(evaluation, tmp_path):
    evaluation.write(tmp_path, evaluation.summary(level=0.9), {"checkpoint": "7"})
    again = Evaluation.read(tmp_path)
    assert list(again.names) == list(evaluation.names)
    assert list(again.scores) == list(evaluation.scores)
    assert list(again.groups) == list(evaluation.groups)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["checkpoint"] == "7"
    arguments = report["arguments"]
    assert arguments.pop("metrics") == list(evaluation.scores[0].values)
    assert arguments == dataclasses.asdict(CONVENTIONS)
    assert report["conventions"]["match"] == "one to one, IoU >= 0.4"


def test_images_that_are_no_number_survive(tmp_path):
    nothing = score_with(Conventions(), squares(0), squares(0))
    evaluation = Evaluation(["a"], [nothing], [{}])
    evaluation.write(tmp_path, evaluation.summary(), {})
    again = Evaluation.read(tmp_path).scores[0]
    assert math.isnan(again.pq)
    assert again.tp == 0


def test_what_is_no_evaluation_is_refused(evaluation, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.json: no such file; give a folder"):
        Evaluation.read(tmp_path)
    evaluation.write(tmp_path, evaluation.summary(), {})
    text = (tmp_path / "per_image.csv").read_text()
    (tmp_path / "per_image.csv").write_text(text.replace("dice2", "dice3"))
    with pytest.raises(ValueError, match=r"not an evaluation of this version.*dice2.*again"):
        Evaluation.read(tmp_path)


def test_groups_that_some_images_lack_are_refused(evaluation):
    with pytest.raises(ValueError, match="not every image has a 'tissue'"):
        evaluation.summary("tissue")


@pytest.mark.slow
def test_comparison_finds_images_by_name(evaluation):
    worse = [score_with(CONVENTIONS, squares(t), squares(2)) for t in (9, 5, 0, 3)]
    order = [2, 0, 3, 1]
    other = Evaluation(
        [evaluation.names[i] for i in order],
        [worse[i] for i in order],
        [evaluation.groups[i] for i in order],
    )
    compared = evaluation.compare(other)
    for name in ("recall_image_mean", "dice_pooled"):
        expected = summarize(worse)[name] - evaluation.summary()[name]
        assert compared[name].difference == pytest.approx(expected, rel=1e-12)
    assert compared["dice_image_mean"].images == 4
    assert compared["recall_image_mean"].low <= compared["recall_image_mean"].difference < 0
    with pytest.raises(ValueError, match="different conventions"):
        evaluation.compare(
            dataclasses.replace(other, scores=[score_with(Conventions(), *[squares(1)] * 2)] * 4)
        )


def test_an_image_without_scores_leaves_no_means_to_compare():
    conventions = Conventions(empty="nan")
    scores = [score_with(conventions, squares(n), squares(n)) for n in (0, 3, 5)]
    evaluation = Evaluation(["a", "b", "c"], scores, [{}] * 3)
    compared = evaluation.compare(evaluation)
    assert math.isnan(evaluation.summary()["pq_image_mean"])
    for figure in ("first", "second", "difference", "low", "high", "p_value"):
        assert math.isnan(getattr(compared["pq_image_mean"], figure))
    assert compared["pq_pooled"].difference == 0


@pytest.fixture
def folders(tmp_path):
    """Truth as PNG, predictions as NPY, and what they score."""
    counts = {"a1": (9, 7), "a2": (5, 5), "a10": (3, 4)}
    for name in ("truth", "prediction"):
        (tmp_path / name).mkdir()
    for name, (t, p) in counts.items():
        Image.fromarray(squares(t)).save(tmp_path / "truth" / f"{name}.png")
        np.save(tmp_path / "prediction" / f"{name}_pred.npy", squares(p).astype(np.int64) * 10**12)
    scores = [score_with(CONVENTIONS, squares(t), squares(p)) for t, p in counts.values()]
    return tmp_path, scores


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_command_line_scores_folders(folders, capsys, workers):
    folder, scores = folders
    arguments = ["--threshold=0.4", "--inclusive", "--matching=count", "--empty=one", "--border=0"]
    out = folder / f"out{workers}"
    places = [str(folder / "truth"), str(folder / "prediction")]
    options = ["--tolerance=1", f"--output={out}", f"--workers={workers}", "--level=0.9"]
    assert main(["score", *places, *arguments, *options]) == 0
    assert capsys.readouterr().out == f"{summarize(scores, level=0.9)}\n"
    read = Evaluation.read(out)
    assert list(read.names) == ["a1", "a2", "a10"]
    assert list(read.scores) == scores


def test_the_command_line_compares_and_spreads(folders, capsys):
    folder, scores = folders
    names, groups = ["a1", "a2", "a10"], [{}] * 3
    for place, own in {"a": scores, "b": scores[:2] + scores[1:2]}.items():
        (folder / place).mkdir()
        one = Evaluation(names, own, groups)
        one.write(folder / place, one.summary(), {})
    assert main(["compare", str(folder / "a"), str(folder / "b")]) == 0
    assert "recall_pooled: " in capsys.readouterr().out
    assert main(["compare", "--seeds", str(folder / "a"), str(folder / "b")]) == 0
    recall = np.mean([summarize(s)["recall_pooled"] for s in (scores, scores[:2] + scores[1:2])])
    assert f"recall pooled: {recall:.3f} ± " in capsys.readouterr().out


def test_seeds_of_different_conventions_are_refused(folders, capsys):
    folder, _ = folders
    for place, conventions in (("a", CONVENTIONS), ("b", Conventions())):
        (folder / place).mkdir()
        one = Evaluation(["x"], [score_with(conventions, squares(2), squares(2))], [{}])
        one.write(folder / place, one.summary(), {})
    assert main(["compare", "--seeds", str(folder / "a"), str(folder / "b")]) == 1
    assert "different conventions" in capsys.readouterr().err


DETECTION = {"name": "detection", "thresholds": (0.5, 0.9)}
NSD = {"name": "nucleus_nsd", "tolerance": 0.0}
DISTANCES = ["nucleus_hd", "nucleus_hd95", "nucleus_assd", "nucleus_nsd", NSD]


def test_detections_and_distances_of_folders(folders, capsys):
    folder, _ = folders
    conventions = Conventions(inclusive=True, mpp=0.5)
    places = folder / "truth", folder / "prediction"
    result = score_folders(*places, conventions, metrics=DISTANCES, protocols=[DETECTION])
    # Every square found is found exactly: 7 of 9, 5 of 5, 3 of 3 and one false.
    (detection,) = result.protocols
    for threshold in ("0.5", "0.9"):
        assert [detection[f"{name}/{threshold}"] for name in ("tp", "fp", "fn")] == [15, 1, 2]
        assert detection[f"mean_matched_score/{threshold}"] == 1
    summary = result.summary(level=0.95)
    figures = [summary[f"{metric.name}_pooled"] for metric in make(DISTANCES)]
    assert figures == [0, 0, 0, 1, 1]
    assert summary["nucleus_nsd_0_image_mean"] == 1
    assert result.counts()["nucleus_pairs"] == 15
    (folder / "out").mkdir()
    result.write(folder / "out", summary, {"tool": "squares"})
    report = json.loads((folder / "out" / "metrics.json").read_text())
    assert report["tool"] == "squares"
    assert report["definitions"]["nucleus_hd"]["unit"] == "µm"
    assert report["definitions"]["nucleus_hd"]["higher_is_better"] is False
    found = report["protocols"]["detection"]
    assert [found["figures"][f"recall/{t}"] for t in ("0.5", "0.9")] == [15 / 17] * 2
    assert found["meaning"]["recall/0.9"] == "tp / (tp + fn) at this IoU"
    assert list(Evaluation.read(folder / "out").scores) == list(result.scores)
    arguments = ["--inclusive", "--thresholds=0.5,0.9", "--mpp=0.5"]
    names = f"--metrics={','.join(DISTANCES[:4])}"
    assert main(["score", *map(str, places), *arguments, names]) == 0
    result = score_folders(*places, conventions, metrics=DISTANCES[:4], protocols=[DETECTION])
    summary = result.summary(level=0.95)
    assert capsys.readouterr().out == f"{summary}\n"


def test_detections_and_distances_leave_out_what_the_scores_do(tmp_path):
    truth = squares(5)
    truth[0, 0] = 6  # cut by the border
    prediction = np.where(truth == 1, 0, truth)
    prediction[9:15, 9] = 0  # a column of the fifth square, of which a tolerance takes two
    for name, labels in (("truth", truth), ("prediction", prediction)):
        (tmp_path / name).mkdir()
        Image.fromarray(labels).save(tmp_path / name / "a.png")
    places = tmp_path / "truth", tmp_path / "prediction"
    conventions, metrics = Conventions(border=0, tolerance=1), ["standard", "nucleus_hd"]
    result = score_folders(*places, conventions, metrics=metrics, protocols=[DETECTION])
    (scores,), (detection,) = result.scores, result.protocols
    assert (scores.tp, scores.fp, scores.fn) == (4, 0, 1)
    for threshold in ("0.5", "0.9"):
        assert [detection[f"{name}/{threshold}"] for name in ("tp", "fp", "fn")] == [4, 0, 1]
    assert scores.nucleus_pairs == 4
    assert scores.nucleus_hd == 1 / 4  # whole outlines
    with pytest.raises(ValueError, match="protocol 'stardist' scores whole images; leave border=0"):
        score_folders(*places, conventions, protocols=["stardist"])
    for what in ({"metrics": ["mpq"]}, {"protocols": ["pannuke"]}, {"protocols": ["coco"]}):
        with pytest.raises(ValueError, match=r"needs .*which this data set or network lacks"):
            score_folders(*places, **what)


def test_wrong_input_is_one_line_and_a_status(folders, capsys):
    folder, _ = folders
    np.save(folder / "prediction" / "a2_pred.npy", np.zeros((3, 3), int))
    assert main(["score", str(folder / "truth"), str(folder / "prediction")]) == 1
    error = capsys.readouterr().err
    assert "a2.png" in error
    assert "(24, 24)" in error
    assert "(3, 3)" in error
    assert main(["compare", str(folder), str(folder)]) == 1
    assert "metrics.json: no such file" in capsys.readouterr().err


@pytest.mark.slow
def test_the_module_runs_without_jax(folders):
    folder, _ = folders
    code = "import runpy, sys\n"
    code += (
        f"sys.argv = ['m', 'score', {str(folder / 'truth')!r}, {str(folder / 'prediction')!r}]\n"
    )
    code += "try: runpy.run_module('jaxnuc', run_name='__main__')\n"
    code += "except SystemExit as end: assert not end.code and 'jax' not in sys.modules\n"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert "IoU > 0.5" in result.stdout
