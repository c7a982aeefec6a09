"""Lengths of time in a configuration."""

import pytest

from jaxnuc.durations import TrainingLength, steps


def test_lengths_of_time():
    assert steps("3000 steps", "duration", None) == 3000
    assert steps("1 step", "duration", 10) == 1
    assert steps("2.5 epochs", "duration", 10) == 25
    for epochs, expected in ((1, 300), (8, 320), (100, 3000)):
        assert steps("40 epochs, 300 to 3000 steps", "duration", epochs) == expected
    for text, message in (
        ("2 steps, 20 to 10 steps", "20 steps are more than 10"),
        ("2 steps, 20 steps", "not of the form"),
        ("3000", "duration='3000' is not of the form"),
        ("many steps", "not of the form"),
        ("-1 steps", "not of the form"),
        ("3 hours", "not of the form"),
        ("2 epochs", "endless source has no epochs"),
    ):
        with pytest.raises(ValueError, match=message):
            steps(text, "duration", None)


def test_a_training_knows_its_length():
    length = TrainingLength(600, 30)
    assert length.steps("1.5 epochs", "schedule.warmup") == 45
    with pytest.raises(ValueError, match=r"^every='2 epochs': an endless source"):
        TrainingLength(600).steps("2 epochs", "every")
    with pytest.raises(ValueError, match=r"^schedule.warmup='many' is not of the form"):
        length.steps("many", "schedule.warmup")
