"""Episodes: which images a step reads, when an episode ends, and that a restart changes nothing."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxnuc.data import pipeline, transforms
from jaxnuc.data.splits import open_split
from jaxnuc.run.checkpoints import find
from jaxnuc.run.log import read_log
from jaxnuc.training import episodes, loop
from jaxnuc.training.reporting import Reporter

SOURCES = [
    {"name": "synthetic", "size": 32, "length": 12},
    {"name": "synthetic", "size": 32, "length": 8, "seed": 5},
]
FIRST, SECOND = "synthetic-1", "synthetic-2"
FIGURE = "dice_image_mean"


@pytest.fixture
def settings(tiny):
    """`settings(*episodes)`: a training of these episodes on a mixture of two data sets."""

    def make(*sections, **changes):
        config = tiny(duration="", **changes)
        config.data.source = ConfigDict({"name": "mixture", "sources": SOURCES})
        config.data.root = ""
        config.episodes = sections
        if "schedule" not in changes:
            config.schedule = ConfigDict({"name": "constant"})
        return config

    return make


def events(workdir):
    return {x["event"]: x["step"] for x in read_log(workdir / "metrics.jsonl") if "event" in x}


@pytest.mark.usefixtures("drawn_curves")
def test_each_episode_reads_its_own_data_sets(settings, tmp_path, monkeypatch):
    config = settings(
        {"sources": (FIRST,), "duration": "3 steps"},
        {"sources": (SECOND,), "duration": "1 epoch"},  # of 8 images
        {"duration": "2 steps"},
        {"sources": (FIRST,), "duration": "1 steps"},
    )
    read = []
    compiled = loop.devices.compile_step

    def recording(step):
        run = compiled(step)
        return lambda state, batch, rng: (read.append(batch["image"]), run(state, batch, rng))[1]

    monkeypatch.setattr(loop.devices, "compile_step", recording)
    figures = loop.train_and_evaluate(config, tmp_path)

    whole = open_split(config.data.source, "", "train")
    encode = lambda instances, *_: {"mask": instances[..., None]}
    chain = transforms.parse(config.data.transforms)
    streams = {}
    for name, source in {"both": whole, **{n: whole.only([n]) for n in (FIRST, SECOND)}}.items():
        batches = pipeline.batches(source, chain, encode, 4, config.seed)
        streams[name] = [next(batches)["image"] for _ in range(8)]
        batches.close()
    order = [FIRST] * 3 + [SECOND] * 2 + ["both"] * 2 + [FIRST]
    assert len(read) == len(order) == 8
    for step, name in enumerate(order):
        np.testing.assert_array_equal(read[step], streams[name][step])

    assert events(tmp_path) == {
        "episode 1: synthetic-1": 0,
        "episode 2: synthetic-2": 3,
        "episode 3": 5,
        "episode 4: synthetic-1": 7,
    }
    lines = read_log(tmp_path / "metrics.jsonl")
    evaluated = [x["step"] for x in lines if f"validation/{FIRST}/{FIGURE}" in x]
    assert evaluated == [3, 4, 5, 7, 8]  # every 4 steps, and at the end of each
    assert {f"{FIRST}/{FIGURE}", f"{SECOND}/{FIGURE}", FIGURE} <= figures.keys()
    assert (tmp_path / "curves.png").is_file()


def test_patience_ends_an_episode_and_the_next_one_begins_anew(settings, tmp_path, monkeypatch):
    config = settings(
        {"duration": "12 steps", "patience": 2, "monitor": f"{FIRST}/{FIGURE}"},
        {"duration": "12 steps", "patience": 3, "monitor": f"{SECOND}/{FIGURE}"},
        **{
            "evaluation.every": "1 steps",
            "optimizer": {"name": "sgd", "learning_rate": 1e-3},
            "schedule": {"name": "plateau", "factor": 0.5, "patience": 0},
        },
    )
    # The best is at step 2 of the first episode, at step 6 in the second: lower, of another set.
    of_first = [0.5, 0.9, 0.8, 0.8] + [1.0] * 9
    of_second = [0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.2, 0.2, 0.25]
    scripted = zip(of_first, of_second, strict=False)

    def evaluate(*_):
        a, b = next(scripted)
        return {f"{FIRST}/{FIGURE}": a, f"{SECOND}/{FIGURE}": b}

    monkeypatch.setattr(loop, "_figures", evaluate)
    loop.train_and_evaluate(config, tmp_path)
    assert events(tmp_path) == {"episode 1": 0, "episode 2": 4}
    lines = [x for x in read_log(tmp_path / "metrics.jsonl") if "learning_rate" in x]
    assert lines[-1]["step"] == 9
    assert find(tmp_path, "best").name == "6"
    # The rate is halved after each evaluation that is not better, and whole again in the second.
    halves = [0, 0, 0, 1, 0, 0, 0, 1, 2]
    found = [x["learning_rate"] for x in lines]
    np.testing.assert_allclose(found, [1e-3 / 2**k for k in halves], rtol=1e-6)


def test_a_run_that_is_stopped_anywhere_goes_on_as_if_it_had_not(settings, tmp_path, same_run):
    def config():
        return settings(
            {"sources": (FIRST,), "duration": "4 steps"},
            {"sources": (SECOND,), "duration": "3 steps"},
            {"sources": (FIRST,), "duration": "2 steps"},
            **{"checkpoint_every": "3 steps", "evaluation.every": "0 steps"},
        )

    loop.train_and_evaluate(config(), tmp_path / "whole")
    original = Reporter.step
    for stop in (4, 8):  # saved at 3, and where the second episode ends
        workdir = tmp_path / f"stopped at {stop}"

        def step(self, number, metrics, images, stop=stop):
            if number == stop:
                raise KeyboardInterrupt
            original(self, number, metrics, images)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Reporter, "step", step)
            with pytest.raises(KeyboardInterrupt):
                loop.train_and_evaluate(config(), workdir)
        loop.train_and_evaluate(config(), workdir)
        same_run(tmp_path / "whole", workdir)
        assert events(workdir) == events(tmp_path / "whole")
        kinds = [x.get("event") for x in read_log(workdir / "metrics.jsonl")]
        assert len(list(filter(None, kinds))) == 3
    before = (tmp_path / "whole" / "metrics.jsonl").read_text()
    loop.train_and_evaluate(config(), tmp_path / "whole")  # is finished
    assert (tmp_path / "whole" / "metrics.jsonl").read_text() == before


def test_thresholds_are_those_of_the_last_data_sets(settings, tmp_path, monkeypatch):
    config = settings(
        {"sources": (FIRST,), "duration": "1 steps"},
        {"sources": (SECOND,), "duration": "1 steps"},
        **{
            "representation": {"name": "stardist", "n_rays": 8},
            "evaluation.optimize_thresholds": True,
            "evaluation.threshold_choices": ConfigDict({"nms_thresh": (0.1, 0.2)}),
        },
    )
    loop.train_and_evaluate(config, tmp_path)
    stored = json.loads((find(tmp_path, "best") / "thresholds.json").read_text())
    given = {}
    monkeypatch.setattr(
        loop, "optimize_checkpoint", lambda workdir, **arguments: given.update(arguments) or {}
    )
    loop.train_and_evaluate(config, tmp_path)
    assert list(given["source"].sets) == [SECOND]
    assert given["choices"].to_dict() == {"nms_thresh": (0.1, 0.2)}
    from jaxnuc.evaluation.checkpoint import optimize_checkpoint

    assert optimize_checkpoint(tmp_path) == stored["thresholds"]


@pytest.mark.parametrize(
    ("sections", "changes", "message"),
    [
        ([{"duration": "3 steps"}], {"duration": "8 steps"}, "'8 steps', but each of the 1 epi"),
        ([{"length": "3 steps"}], {}, r"key of episodes\[0\]: 'length'; known: duration, mon"),
        ([{}], {}, r"episodes\[0\]\.duration='' is not of the form"),
        ([{"duration": "0 steps"}], {}, r"episodes\[0\]\.duration='0 steps' must be at least one"),
        (
            [{"duration": "1 steps"}, {"duration": "1 steps", "sources": ("synthetic",)}],
            {},
            "unknown data set of the mixture 'synthetic'; known: synthetic-1, synthetic-2",
        ),
        (
            [{"duration": "1 steps", "monitor": "a/loss"}],
            {},
            "'a/loss': the data sets of the validation are synthetic-1, synthetic-2",
        ),
    ],
)
def test_refuses(settings, tmp_path, sections, changes, message):
    config = settings(*sections)
    for key, value in changes.items():
        config[key] = value
    with pytest.raises(ValueError, match=message):
        loop.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_of_a_source_that_is_no_mixture(tiny, cells):
    config = tiny(duration="")
    source = open_split(config.data.source, str(cells), "train")
    config.episodes = ({"duration": "2 epochs", "patience": 3}, {"duration": "1 epoch"})
    planned = episodes.plan(config, source, None)
    assert [(e.steps, e.patience) for e in planned] == [(2 * (10 // 4), 3), (10 // 4, 0)]
    config.episodes = ({"duration": "2 epochs", "sources": ("a",)},)
    with pytest.raises(ValueError, match="is no mixture that has data sets a"):
        episodes.plan(config, source, None)
