"""The loss of the validation, against one that is computed crop by crop from a checkpoint."""

import jax
import numpy as np
import pytest

from jaxnuc import build
from jaxnuc.data import transforms
from jaxnuc.data.sources.folder import Source
from jaxnuc.prediction.predictor import load
from jaxnuc.run.checkpoints import find
from jaxnuc.run.log import read_log
from jaxnuc.training.loop import train_and_evaluate

TRANSFORMS = ("random_crop(24)", "flip_turn()", "color_jitter()")
CHANGES = {
    "data.transforms": TRANSFORMS,
    "batch_size": 2,
    "evaluation.loss": True,
    "evaluation.every": "2 steps",
    "evaluation.monitor": "loss",
    "ema_decay": 0.9,
    "seed": 5,
}


def test_is_that_of_the_same_crops_at_every_evaluation(tiny, cells, tmp_path):
    config = tiny(**CHANGES)
    figures = train_and_evaluate(config, tmp_path)
    lines = [line for line in read_log(tmp_path / "metrics.jsonl") if "validation/loss" in line]
    losses = {line["step"]: line["validation/loss"] for line in lines}
    assert list(losses) == [2, 4, 6, 8]
    assert figures["loss"] == losses[8]
    # By the same parts as in the training.
    (first, *_) = read_log(tmp_path / "metrics.jsonl")
    trained = {
        name.removeprefix("train/")
        for name in first
        if name.startswith("train/") and name.count("/") == 2
    }
    assert {name.removeprefix("loss/") for name in figures if name.startswith("loss/")} == trained

    # The best checkpoint has the lowest loss.
    assert find(tmp_path, "best").name == str(min(losses, key=losses.__getitem__))

    # Crop by crop: the first two images are a batch, the third is one of its own.
    predictor = load(tmp_path, "latest")
    model = build.make_model(config, predictor.representation)
    (variables,) = predictor.variables
    source, chain = Source(cells, "val"), transforms.parse(TRANSFORMS)
    crops = [transforms.apply(chain, source[i], np.random.default_rng((5, i))) for i in range(3)]
    total = 0.0
    for batch in (crops[:2], crops[2:]):
        images = np.stack([crop.image for crop in batch]).astype(np.float32) / 255
        targets = [predictor.representation.encode(c.instances, None, None) for c in batch]
        targets = jax.tree.map(lambda *x: np.stack(x), *targets)
        loss, _ = predictor.representation.loss(model.apply(variables, images), targets)
        total += len(batch) * float(loss)
    assert total / 3 == pytest.approx(losses[8], rel=1e-5)


def test_to_decide_it_has_to_be_computed(tiny, tmp_path):
    with pytest.raises(ValueError, match="'loss' needs the loss of the validation"):
        train_and_evaluate(tiny(**{"evaluation.monitor": "loss"}), tmp_path)
