"""The loss of the validation, against one that is computed crop by crop from a checkpoint."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from jaxnuc import build, models, representations
from jaxnuc.data import transforms
from jaxnuc.data.sources.folder import Source
from jaxnuc.evaluation.validate import Monitor, plan_validation
from jaxnuc.prediction.predictor import load, make_predictor
from jaxnuc.run.checkpoints import find
from jaxnuc.run.log import read_log
from jaxnuc.training.loop import train_and_evaluate
from jaxnuc.training.state import TrainState
from jaxnuc.training.validation_loss import make_validation_loss

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
    total, ious = 0.0, []
    for batch in (crops[:2], crops[2:]):
        images = np.stack([crop.image for crop in batch]).astype(np.float32) / 255
        targets = [predictor.representation.encode(c.instances, None, None) for c in batch]
        targets = jax.tree.map(lambda *x: np.stack(x), *targets)
        maps = model.apply(variables, images)
        loss, _ = predictor.representation.loss(maps, targets)
        total += len(batch) * float(loss)
        p, t = 1 / (1 + np.exp(-np.asarray(maps["mask"], float))), targets["mask"].astype(float)
        ious.append(np.sum(p * t) / np.sum(p + t - p * t))
    assert total / 3 == pytest.approx(losses[8], rel=1e-5)
    assert figures["soft_iou"] == pytest.approx((2 * ious[0] + ious[1]) / 3, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("contour", {"channels": 2}), ("hover", {"min_area": 1}), ("stardist", {"n_rays": 4})],
)
def test_soft_iou_is_of_the_foreground_where_it_is_annotated(name, arguments, cells):
    """Of maps that are the same everywhere, of which one corner does not count."""
    representation = representations.create(name, **arguments)

    class Constant(nn.Module):
        margin = 0

        @nn.compact
        def __call__(self, images):
            shape = images.shape[:3]
            bias = self.param("bias", nn.initializers.constant(0.7), ())
            values = {1: [bias], 2: [-bias, bias]}
            return {
                key: jnp.broadcast_to(jnp.array(values.get(c, [bias] * c)), (*shape, c))
                for key, c in representation.outputs.items()
            }

    class Hidden(Source):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            ignore = np.zeros(sample.instances.shape, bool)
            ignore[:20, :20] = True
            return dataclasses.replace(sample, ignore=ignore)

    source = Hidden(cells, "val")
    source.ignores = True
    compute = make_validation_loss(Constant(), representation, source, [], 3, 0)
    figures = compute(TrainState(jnp.int32(0), {"bias": jnp.float32(0.7)}, {}, ()))
    if name == "stardist":
        assert "soft_iou" not in figures
        return
    p = 1 / (1 + np.exp(-1.4 if representation.outputs[representation.foreground] == 2 else -0.7))
    known = np.stack([~source[i].ignore for i in range(3)])
    t = np.stack([source[i].instances > 0 for i in range(3)])[known]
    assert figures["soft_iou"] == pytest.approx(p * t.sum() / (p * (~t).sum() + t.sum()), rel=1e-4)


def test_to_decide_it_has_to_be_computed(tiny, tmp_path):
    for name in ("loss", "soft_iou"):
        with pytest.raises(ValueError, match=f"'{name}' needs the loss of the validation"):
            train_and_evaluate(tiny(**{"evaluation.monitor": name}), tmp_path)


def test_soft_iou_decides_upwards_where_there_is_a_foreground(tiny, cells):
    def plan(name):
        config = tiny(**{"evaluation.monitor": "soft_iou", "evaluation.loss": True})
        config.representation = ConfigDict({"name": name})
        representation = build.make_representation(config, [])
        predictor = make_predictor(config, models.create("unet", {"mask": 1}), representation, None)
        return plan_validation(config, predictor, Source(cells, "val"))[1]

    assert plan("binary") == Monitor("soft_iou", higher_is_better=True)
    with pytest.raises(ValueError, match="representation 'stardist' lacks; take 'loss'"):
        plan("stardist")
