"""When a training evaluates, stops, lowers its rate, or breaks."""

import shutil

import jax
import pytest

from jaxnuc.run import devices
from jaxnuc.run.checkpoints import find
from jaxnuc.training import loop
from jaxnuc.training.loop import train_and_evaluate
from jaxnuc.training.reporting import Reporter


@pytest.fixture
def figures(monkeypatch):
    """Replaces validation: `figures([0.1, 0.2])` are the figures of the evaluations."""

    def use(values):
        left = iter(values)
        monkeypatch.setattr(loop, "validate", lambda *_, **__: {"dice_image_mean": next(left)})

    return use


def steps_with(lines, prefix):
    return [line["step"] for line in lines if any(key.startswith(prefix) for key in line)]


@pytest.mark.usefixtures("drawn_curves")
def test_evaluates_at_intervals_and_at_the_end(tmp_path, tiny, lines):
    config = tiny(duration="5 steps", log_every=2, **{"evaluation.every": "3 steps"})
    result = train_and_evaluate(config, tmp_path)
    found = lines(tmp_path)
    assert steps_with(found, "validation/") == [3, 5]
    assert steps_with(found, "train/") == [2, 4, 5]
    assert found[-1]["validation/pq_image_mean"] == result["pq_image_mean"]
    assert (tmp_path / "curves.png").stat().st_size > 0
    assert list((tmp_path / "tensorboard").iterdir())


def test_compiles_once_and_moves_only_batches(tmp_path, tiny, compilations, monkeypatch):
    compile_step, log, numbers = devices.compile_step, Reporter.log, {}

    def guarded(step):
        run = compile_step(step)

        def guarded_run(*given):
            with jax.transfer_guard("disallow"):  # what is moved explicitly is allowed
                return run(*given)

        return guarded_run

    def counted(self, step, values):
        log(self, step, values)
        numbers[step] = len(compilations)

    monkeypatch.setattr(devices, "compile_step", guarded)
    monkeypatch.setattr(Reporter, "log", counted)
    train_and_evaluate(tiny(duration="6 steps", **{"evaluation.every": "2 steps"}), tmp_path)
    # The step, as pmap names it; JAX before 0.8 lets it its own name.
    assert compilations.count("jit(_fun)") + compilations.count("step") == 1
    assert numbers[6] == numbers[4] == numbers[2] < 10  # nothing new after the first evaluation


def test_validation_in_workers_gives_the_same_figures(tmp_path, tiny, lines):
    for workers in (0, 1):
        config = tiny(duration="4 steps", **{"evaluation.workers": workers})
        train_and_evaluate(config, tmp_path / str(workers))
    assert lines(tmp_path / "0") == lines(tmp_path / "1")


def test_epochs_count_whole_passes(tmp_path, tiny, lines):
    # ten images in batches of four: two steps an epoch
    config = tiny(duration="3 epochs", **{"evaluation.every": "1 epoch"})
    train_and_evaluate(config, tmp_path)
    assert steps_with(lines(tmp_path), "validation/") == [2, 4, 6]
    assert lines(tmp_path)[-1]["epoch"] == 3


def test_an_endless_source_has_no_epochs(tmp_path, tiny):
    config = tiny(duration="2 epochs", **{"data.source": {"name": "synthetic", "size": 32}})
    with pytest.raises(ValueError, match="duration='2 epochs': an endless source has no epochs"):
        train_and_evaluate(config, tmp_path)


def test_patience(tmp_path, tiny, figures, lines):
    figures([0.5, 0.4, 0.6, 0.6, 0.1, 0.9])
    config = tiny(**{"evaluation.every": "1 step", "evaluation.patience": 2})
    train_and_evaluate(config, tmp_path)
    assert steps_with(lines(tmp_path), "validation/") == [1, 2, 3, 4, 5]
    # it stays stopped
    train_and_evaluate(config, tmp_path)
    assert lines(tmp_path)[-1]["step"] == 5


@pytest.mark.parametrize(("at_start", "best"), [(0.7, 0), (0.55, 8)])
def test_the_start_may_stay_the_best(tmp_path, tiny, figures, lines, at_start, best):
    figures([at_start, 0.5, 0.6])
    train_and_evaluate(tiny(**{"evaluation.at_start": True}), tmp_path)
    assert steps_with(lines(tmp_path), "validation/") == [0, 4, 8]
    assert find(tmp_path).name == str(best)
    assert find(tmp_path, "latest").name == "8"


@pytest.mark.parametrize(("drop", "best"), [("", 0), (".*_head.*", 8)])
def test_a_start_with_fresh_layers_is_not_ranked(
    tmp_path, tiny, figures, lines, caplog, drop, best
):
    figures([0.3, 0.2])
    train_and_evaluate(tiny(), tmp_path / "first")
    figures([0.7, 0.5, 0.6])
    weights = {"weights.file": str(tmp_path / "first"), "weights.drop": drop}
    with caplog.at_level("INFO"):
        train_and_evaluate(tiny(**{"evaluation.at_start": True, **weights}), tmp_path / "second")
    assert steps_with(lines(tmp_path / "second"), "validation/") == [0, 4, 8]
    assert find(tmp_path / "second").name == str(best)
    unchanged = ", the network as it began, which the training did not improve"
    what, figure = {0: (unchanged, 0.7), 8: ("", 0.6)}[best]
    assert f"the best checkpoint is step {best}{what}: dice_image_mean {figure}" in caplog.messages


def test_what_is_saved_before_the_first_step_leads_to_the_same_training(
    tmp_path, tiny, figures, lines
):
    figures([0.7, 0.5, 0.6])
    train_and_evaluate(tiny(**{"evaluation.at_start": True}), tmp_path)
    shutil.copytree(tmp_path / "checkpoints" / "0", tmp_path / "again" / "checkpoints" / "0")
    shutil.copy(tmp_path / "metrics.jsonl", tmp_path / "again")
    figures([0.5, 0.6])
    train_and_evaluate(tiny(**{"evaluation.at_start": True}), tmp_path / "again")
    assert lines(tmp_path)[0]["step"] == 0
    assert lines(tmp_path / "again") == lines(tmp_path)


def test_a_plateau_lowers_the_rate_also_over_a_restart(tmp_path, tiny, figures, lines):
    schedule = {"name": "plateau", "patience": 1, "factor": 0.5}
    values = [0.5, 0.4, 0.4, 0.4, 0.4, 0.4]
    config = tiny(schedule=schedule, duration="6 steps", **{"evaluation.every": "1 step"})
    figures(values)
    train_and_evaluate(config, tmp_path / "one")
    rates = [x["learning_rate"] for x in lines(tmp_path / "one") if "learning_rate" in x]
    assert [round(r / rates[0], 6) for r in rates] == [1, 1, 1, 0.5, 0.5, 0.25]

    figures(values)
    for duration in ("3 steps", "6 steps"):
        config.duration = duration
        train_and_evaluate(config, tmp_path / "two")
    assert lines(tmp_path / "two") == lines(tmp_path / "one")


def test_a_loss_that_is_no_number_stops(tmp_path, tiny, saved):
    config = tiny(
        optimizer={"name": "sgd", "learning_rate": 1e20},
        schedule={"name": "constant", "warmup": "3 steps"},
        checkpoint_every="1 steps",
    )
    with pytest.raises(FloatingPointError, match=r"at step \d: gradient norm .* parameter norm"):
        train_and_evaluate(config, tmp_path)
    kept = [p for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()]
    for folder in kept:
        values = saved(tmp_path, int(folder.name))
        assert values["['step']"] == int(folder.name)
        assert all((abs(v) < 1e30).all() for k, v in values.items() if "params" in k)


def test_a_step_that_overflows_is_not_saved(tmp_path, tiny):
    """The loss of the first step is sound, its update is not."""
    config = tiny(
        optimizer={"name": "sgd", "learning_rate": 3e38, "weight_decay": 100.0},
        schedule={"name": "constant"},
        checkpoint_every="1 steps",
    )
    with pytest.raises(FloatingPointError, match=r"step 1 leads to parameters .* not finite"):
        train_and_evaluate(config, tmp_path)
    assert not list((tmp_path / "checkpoints").iterdir())
