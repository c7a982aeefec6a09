"""A study from beginning to end: interrupted, in parts on two machines, joined."""

import csv
import re
import shutil

import pytest

from jaxnuc.studies import runs

PAGE = """
from jaxnuc.config import arguments
from jaxnuc.studies import Row, Study, seeds

TINY = {
    "duration": "2 steps", "evaluation.every": "2 steps", "schedule.warmup": "1 step",
    "batch_size": "2", "model.layers": "1", "model.base_filters": "2", "data.source.size": "32",
    "data.source.length": "6",
}

def get_study(text=""):
    arg = arguments(text, seeds=1)
    return Study(
        "Tiny",
        [
            Row("plain", "quickstart", TINY),
            Row("decoded otherwise", network_of="plain", decoder={"name": "subtract"}),
            Row("other", "quickstart", {**TINY, "optimizer.learning_rate": "1e-4"}),
            Row("and on", "quickstart", TINY, start_from="other"),
        ],
        {"pictures": {"name": "synthetic", "size": 48, "length": 8}},
        "plain",
        seeds(arg.seeds),
    )
"""


def figures(folder):
    """The lines of the table but for their times."""
    with (folder / "study.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


@pytest.mark.slow
@pytest.mark.usefixtures("no_curves")
def test_interrupted_or_in_parts_it_gives_the_same_table(jaxnuc, tmp_path, monkeypatch):
    (tmp_path / "page.py").write_text(PAGE)
    study = ("study", "page.py")
    # At once, but for a crash in the second evaluation.
    evaluate, calls = runs.evaluate_checkpoint, []

    def crash(*arguments, **options):
        calls.append(options["output"])
        if len(calls) == 2:
            raise OSError("disk full")
        return evaluate(*arguments, **options)

    monkeypatch.setattr(runs, "evaluate_checkpoint", crash)
    done = jaxnuc(*study, "--output=whole")
    assert done.error == "error: disk full"
    done = jaxnuc(*study, "--output=whole")
    assert done.status == 0
    assert "trainings: 3, of which 1 are finished" in done.err
    assert len(calls) == 1 + 4  # each evaluation once, but for the one that failed
    assert done.out == (tmp_path / "whole" / "study.md").read_text()
    whole = figures(tmp_path / "whole")
    assert len(whole) == 4 * 3
    assert all(row["runs"] == "1" for row in whole)
    means = {tuple(row["mean"] for row in whole[i : i + 3]) for i in range(0, 12, 3)}
    assert len(means) == 4  # rows differ

    # Nothing is done again.
    done = jaxnuc(*study, "--output=whole")
    assert (done.status, len(calls)) == (0, 5)
    assert figures(tmp_path / "whole") == whole

    # Two machines did their parts; both folders together are the study.
    for folder, rows in (("here", ("plain", "decoded_otherwise")), ("there", ("other", "and_on"))):
        for row in rows:
            shutil.copytree(tmp_path / "whole" / row, tmp_path / folder / row)
    for folder, part, trainings in (("here", "1/2", 1), ("there", "2/2", 2)):
        done = jaxnuc(*study, f"--output={folder}", f"--row={part}")
        assert (done.status, done.out) == (0, "")
        assert f"trainings: {trainings}, of which {trainings} are finished" in done.err
    done = jaxnuc(*study, "--output=here", "--table")
    assert re.search(r"\| other \| 0 \| – \|", done.out)
    done = jaxnuc(*study, "--output=here", "--merge=there")
    assert "trainings: 3, of which 3 are finished" in done.err
    assert figures(tmp_path / "here") == whole
    assert len(calls) == 5
    assert not (tmp_path / "here" / "other").exists()

    # Another configuration is refused.
    done = jaxnuc(*study, "--output=whole", "--config.batch_size=4", "--row=1/2")
    assert "batch_size: 2 there, 4 now" in done.err


def test_mistakes_are_one_line(jaxnuc, tmp_path):
    (tmp_path / "page.py").write_text("def get_study():\n    return 1\n")
    done = jaxnuc("study", "page.py", "--output=w")
    assert done.error == "error: page.py: get_study returns 1, not a Study"
    (tmp_path / "page.py").write_text(PAGE)
    done = jaxnuc("study", "page.py", "--output=w", "--row=1/2", "--table")
    assert done.error == "error: --row=1/2 trains and --table does not; give one of them"
    done = jaxnuc("study", "page.py", "--output=w", "--row=3/3")
    assert done.error.startswith("error: --row=3/3: parts go from 1/N to N/N, with N at most 2")
    done = jaxnuc("study", "nothing", "--output=w")
    assert done.error.startswith("error: unknown study 'nothing'; known: alnet_adaptive_optimizers")
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_studies_are_listed(jaxnuc):
    done = jaxnuc("study", "--list")
    assert done.status == 0
    assert "harunet_ablation" in done.out
    assert all(len(line.split()) > 4 for line in done.out.splitlines())
