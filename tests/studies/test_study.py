"""What a study may be, and which of its rows belong together."""

import json

import pytest

from jaxnuc.config.pages import STUDIES
from jaxnuc.studies import Row, Study, seeds
from jaxnuc.studies.runs import FINISHED
from jaxnuc.studies.runs import plan as make_plan
from jaxnuc.training.preemption import Stopped

A, B = Row("a", "quickstart"), Row("b", "quickstart")


def study(*rows, **changes):
    return Study(**{"title": "t", "rows": rows, "data": {"d": {}}, "baseline": "a", **changes})


WRONG = {
    "no rows": ({}, (), "rows, data, repeats or figures are empty"),
    "no data": ({"data": {}}, (A,), "rows, data, repeats or figures are empty"),
    "same name": ({}, (A, A), "rows 'a' and 'a' would both lie in the folder 'a'; rename one"),
    "same folder": (
        {"baseline": "a b"},
        (Row("a b", "quickstart"), Row("a/b", "quickstart")),
        "rows 'a b' and 'a/b' would both lie in the folder 'a_b'; rename one",
    ),
    "nothing": ({}, (A, Row("c")), "row 'c' needs either a config, to train, or network_of"),
    "both": ({}, (A, Row("c", "quickstart", network_of="a")), "row 'c' needs either a config"),
    "trains nothing": ({}, (A, Row("c", network_of="a", start_from="a")), "'c' trains nothing"),
    "order": ({}, (Row("c", network_of="a"), A), "unknown row above 'c': 'a'; known: none"),
    "chain": (
        {},
        (A, Row("c", network_of="a"), Row("d", network_of="c")),
        "row 'd': 'c' has no network of its own; name the row 'a'",
    ),
    "baseline": ({"baseline": "z"}, (A, B), "unknown row 'z'; known: a, b"),
    "figure": ({"figures": ("pq",)}, (A,), "figure 'pq' ends in none of image_mean"),
    "metric": ({"figures": ("aij_image_mean",)}, (A,), "unknown metric 'aij'.*did you mean 'aji'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case):
    changes, rows, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        study(*rows, **changes)


def test_parts_keep_rows_together_that_need_each_other():
    rows = (
        A,
        B,
        Row("a decoded", network_of="a"),
        Row("from b", "quickstart", start_from="b"),
        Row("from that", "quickstart", start_from="from b"),
        Row("c", "quickstart"),
    )
    whole = study(*rows)
    names = lambda index, count: [row.name for row in whole.part(index, count)]
    assert names(1, 3) == ["a", "a decoded"]
    assert names(2, 3) == ["b", "from b", "from that"]
    assert names(3, 3) == ["c"]
    assert names(1, 2) == ["a", "a decoded", "c"]
    assert names(1, 1) == [row.name for row in rows]
    for index, count in ((0, 2), (3, 2), (1, 4)):
        with pytest.raises(ValueError, match=f"--row={index}/{count}: .* N at most 3"):
            whole.part(index, count)


def test_a_mistake_in_a_row_is_found_before_anything_is_trained(tmp_path):
    wrong = study(A, Row("b", "quickstart", {"batch_sice": "3"}))
    with pytest.raises(ValueError, match=r"row 'b' of 't': .*batch_sice.*batch_size"):
        make_plan(wrong, tmp_path)
    assert not any(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder of a study"):
        make_plan(study(A), tmp_path, [tmp_path / "nowhere"])


def test_overrides_of_the_row_the_repeat_and_the_command_in_this_order(tmp_path):
    row = Row("a", "quickstart", {"batch_size": "3", "log_every": "5", "seed": "9"})
    made = make_plan(study(row, repeats=seeds(2)), tmp_path, (), {"log_every": "7"})
    configs = [run.config for run in made.runs.values()]
    assert [c.seed for c in configs] == [0, 1]
    assert {(c.batch_size, c.log_every) for c in configs} == {(3, 7)}


def test_a_training_is_finished_with_the_duration_that_it_was_to_have(tmp_path):
    make = lambda **more: make_plan(study(A, repeats=seeds(1)), tmp_path, (), more)
    (run,) = make().runs.values()
    assert not run.finished
    run.workdir.mkdir(parents=True)
    about = {"duration": run.config.duration, "seconds": 1.0}
    (run.workdir / FINISHED).write_text(json.dumps(about))
    assert run.finished
    (longer,) = make(duration="9000 steps").runs.values()
    assert longer.workdir == run.workdir
    assert not longer.finished


def test_a_training_that_is_stopped_ends_the_study_and_is_not_finished(tmp_path, monkeypatch):
    def stop(config, workdir):
        raise Stopped("SIGTERM")

    monkeypatch.setattr("jaxnuc.studies.runs.train_and_evaluate", stop)
    made = make_plan(study(A, repeats=seeds(2)), tmp_path)
    with pytest.raises(Stopped):
        made.complete(made.study.rows)
    assert not any(run.finished for run in made.runs.values())


@pytest.mark.parametrize("name", STUDIES.paths())
def test_pages_of_the_library_can_be_planned(name, tmp_path):
    for arguments in ("", ":small", ":small,seeds=1"):
        found = STUDIES.make(name + arguments)
        plan = make_plan(found, tmp_path)
        trained = [row for row in found.rows if row.config]
        assert len(plan.runs) == len(trained) * len(found.repeats)
    with pytest.raises(ValueError, match="unknown argument"):
        STUDIES.make(f"{name}:nonsense=1")
