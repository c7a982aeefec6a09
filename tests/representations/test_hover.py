"""HoVer-Net's maps: targets, decoding as the inverse of encoding, overfitting one image."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxnuc import metrics, models, optim, representations
from jaxnuc.data.synthetic import generate
from jaxnuc.durations import TrainingLength
from jaxnuc.postprocess import hover_watershed
from jaxnuc.representations.targets.hover import hover_maps, separate_components
from jaxnuc.training import state
from jaxnuc.training.step import as_input, make_train_step

CASES = (
    "crop80_of_160",
    "small_objects_gap_ids",
    "mirrored_duplicates",
    "at_the_border",
    "odd_shapes_area_29_30",
    "empty",
)


@pytest.mark.parametrize("case", CASES)
def test_encode_gives_the_reference_targets(golden, case):
    arrays, _ = golden("hover_targets")
    label, expected = arrays[f"{case}__label"].astype(np.int32), arrays[f"{case}__hv"]
    maps = representations.create("hover").encode(label)
    assert {k: (v.shape, v.dtype) for k, v in maps.items()} == {
        "np": ((*label.shape, 1), np.uint8),
        "hv": ((*label.shape, 2), np.float32),
    }
    h, w = expected.shape[:2]
    top, left = (label.shape[0] - h) // 2, (label.shape[1] - w) // 2
    window = slice(top, top + h), slice(left, left + w)
    np.testing.assert_array_equal(maps["np"][..., 0][window], arrays[f"{case}__np"])
    # The reference loses nuclei at its annotation's border and those of which its crop shows
    # fewer than 30 pixels; all that it keeps are the same.
    same = (expected != 0).any(-1)
    np.testing.assert_array_equal(maps["hv"][window][same], expected[same])
    theirs = hover_maps(separate_components(label), (h, w), border="reference")
    np.testing.assert_array_equal(theirs, expected)


def as_maps(targets):
    foreground = np.where(targets["np"], 8.0, -8.0).astype(np.float32)
    return {"np": np.concatenate([-foreground, foreground], axis=-1), "hv": targets["hv"]}


@pytest.mark.parametrize("index", [1, 4])
def test_decodes_what_it_encodes(index):
    sample = generate(index, size=192)  # nuclei of 175 to 335 pixels
    representation = representations.create("hover")
    found = representation.decode(as_maps(representation.encode(sample.instances)))
    scores = metrics.score(sample.instances, found.instances)
    assert scores.dice > 0.99
    assert scores.pq > 0.9
    assert found.classes is None
    assert len(found.scores) == found.instances.max() > 2
    np.testing.assert_allclose(found.scores, 1, atol=1e-3)


def test_decode_is_the_watershed_of_the_reference(golden):
    arrays, _ = golden("hover_postprocess")
    probability = arrays["s164__np_u8"].astype(np.float32) / 255
    hv = arrays["s164__hv_i8"].astype(np.float32) / 127
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(probability) - np.log1p(-probability), -30, 30)
    maps = {"np": np.stack([np.zeros_like(logits), logits], axis=-1), "hv": hv}
    found = representations.create("hover").decode(maps)
    expected = hover_watershed(probability, hv)
    np.testing.assert_array_equal(found.instances, expected)
    inst = arrays["s164__inst"]
    assert metrics.score(inst.astype(np.int32), found.instances).pq > 0.99
    means = [probability[expected == i].mean() for i in range(1, expected.max() + 1)]
    np.testing.assert_allclose(found.scores, means, rtol=1e-4)


def test_arguments_reach_the_decoding_and_the_targets():
    labels = np.zeros((50, 60), np.int32)
    labels[5:25, 5:25], labels[5:25, 25:45] = 1, 2  # touching
    labels[32:44, 40:52] = 3  # 144 pixels
    targets = representations.create("hover", min_area=144).encode(labels)
    assert targets["hv"][labels == 3].any()
    without = representations.create("hover", min_area=145).encode(labels)
    assert not without["hv"][labels == 3].any()
    np.testing.assert_array_equal(without["np"], targets["np"])
    maps = as_maps(targets)

    def count(maps=maps, **arguments):
        created = representations.create("hover", decoder={"kernel": 5, **arguments})
        return len(created.decode(maps).scores)

    assert count() == 3
    assert count(min_size=145) == 2
    assert count(min_size=200, kernel=21) == 0  # a wide filter leaves small markers
    assert count(marker_threshold=0) == 0
    fainter = {**maps, "np": maps["np"] * np.where(labels == 3, 0.05, 1)[..., None]}
    assert count(fainter) == 3
    assert count(fainter, threshold=0.8) == 2
    flat = {**maps, "hv": np.zeros_like(maps["hv"])}
    assert count(flat) == 2
    assert count(flat, constant="reference") == 0


def test_a_marker_in_a_hole_is_no_nucleus():
    """Every id has pixels, so that every score is a number."""
    labels = np.zeros((30, 30), np.int32)
    labels[5:20, 5:20] = 1
    labels[7:18, 7:18] = 0
    maps = as_maps({"np": (labels > 0)[..., None], "hv": np.zeros((30, 30, 2))})
    found = representations.create("hover", decoder={"kernel": 5}).decode(maps)
    assert len(found.scores) == found.instances.max()
    assert np.isfinite(found.scores).all()


def test_an_empty_image_has_no_nuclei():
    representation = representations.create("hover")
    targets = representation.encode(np.zeros((24, 30), np.int32))
    found = representation.decode(as_maps(targets))
    assert not found.instances.any()
    assert found.scores.shape == (0,)


def test_ignored_pixels_are_as_if_they_were_not_there():
    representation = representations.create("hover", min_area=10)
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 16), np.int32)
    labels[2:6, 1:6], labels[4:11, 7:14] = 1, 2  # the second lies across the border
    ignore = np.zeros(labels.shape, bool)
    ignore[:, 8:] = True
    whole = {k: v[None] for k, v in representation.encode(labels, None, ignore).items()}
    left = {k: v[:, :, :8] for k, v in whole.items() if k != "valid"}
    maps = {k: rng.normal(0, 1, (1, 12, 16, 2)).astype(np.float32) for k in ("np", "hv")}
    maps["side"] = {"hv": [maps["hv"] / 2]}

    def total(maps, targets):
        return representation.loss(maps, targets)

    label_set = jax.tree.map(lambda x: x[:, :, :8], maps)
    differentiate = jax.jit(jax.value_and_grad(total, has_aux=True))
    (expected, expected_parts), wanted = differentiate(label_set, left)
    (found, parts), gradients = differentiate(maps, whole)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for name, value in expected_parts.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-5, err_msg=name)
    for gradient, want in zip(jax.tree.leaves(gradients), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(gradient[:, :, :8], want, rtol=1e-4, atol=1e-8)
        assert not np.asarray(gradient[:, :, 8:]).any()
    everything = total(maps, {k: v for k, v in whole.items() if k != "valid"})[0]
    assert abs(everything - expected) > 1e-3


def test_a_batch_with_nothing_annotated_costs_nothing():
    representation = representations.create("hover")
    targets = representation.encode(np.ones((8, 8), np.int32), None, np.ones((8, 8), bool))
    maps = {k: np.ones((1, 8, 8, 2), np.float32) for k in representation.outputs}
    loss = lambda maps: representation.loss(maps, {k: v[None] for k, v in targets.items()})[0]
    value, gradients = jax.jit(jax.value_and_grad(loss))(maps)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert not any(np.asarray(g).any() for g in gradients.values())


def test_side_maps_add_their_losses():
    representation = representations.create("hover", loss={"side_weight": 0.5, "mse_weight": 3})
    key = jax.random.key(0)
    maps = {k: jax.random.normal(key, (2, 16, 16, 2)) for k in representation.outputs}
    encoded = representation.encode(generate(1, size=16).instances)
    targets = {k: np.stack([v, v]) for k, v in encoded.items()}
    plain, parts = representation.loss(maps, targets)
    assert parts.keys() == {"np/ce", "np/dice", "hv/mse", "hv/msge"}
    weighted = sum(parts.values()) + 2 * parts["hv/mse"]
    np.testing.assert_allclose(plain, weighted, rtol=1e-6)
    doubled, parts = representation.loss(
        {**maps, "side": {k: [m] for k, m in maps.items()}}, targets
    )
    np.testing.assert_allclose(doubled, 1.5 * plain, rtol=1e-6)
    np.testing.assert_allclose(parts["side"], 0.5 * plain, rtol=1e-6)


@pytest.mark.parametrize("msge_axis", ["compat", "paper"])
def test_loss_falls_towards_the_truth(msge_axis):
    representation = representations.create("hover", loss={"msge_axis": msge_axis})
    targets = {k: v[None] for k, v in representation.encode(generate(1, size=64).instances).items()}
    right = as_maps(targets)
    values = [
        float(representation.loss({k: s * v for k, v in right.items()}, targets)[0])
        for s in (-1.0, 0.0, 0.3, 1.0)
    ]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-2


@pytest.mark.parametrize("broken", ["np", "hv"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_no_numbers_are_refused(broken, value):
    maps = {m: np.zeros((5, 6, 2), np.float32) for m in ("np", "hv")}
    maps[broken][2, 3, 1] = value
    with pytest.raises(ValueError, match=rf"map '{broken}' holds \d NaN and \d infinite numbers"):
        representations.create("hover").decode(maps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": {"msge_axis": "code"}}, "msge_axis='code'; known: compat, paper"),
        ({"decoder": {"kernel": 20}}, "kernel 20 is not an odd number"),
        ({"decoder": {"threshold": 1.5}}, "threshold 1.5 is not within"),
        ({"decoder": {"marker_threshold": -1}}, "marker_threshold -1 is not within"),
        ({"decoder": {"constant": "drop"}}, "'drop'"),
        ({"decoder": {"kernels": 21}}, "did you mean 'kernel'"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        representations.create("hover", **arguments)


def test_every_allowed_limit_can_be_made():
    representations.create("hover", decoder={"threshold": 0, "min_size": 0, "marker_threshold": 1})


def test_encoding_does_not_import_jax():
    code = (
        "import sys, numpy as np; from jaxnuc import representations as r\n"
        "r.create('hover').encode(np.eye(8, dtype=np.int32))\n"
        "assert not {'jax', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_image_with_touching_nuclei_is_overfitted():
    row, column = np.indices((48, 48))
    labels = np.zeros((48, 48), np.int32)
    for number, (r, c) in enumerate(((13, 11), (13, 28), (34, 17), (35, 35)), start=1):
        labels[((row - r) ** 2 + (column - c) ** 2 <= 81) & (labels == 0)] = number
    rng = np.random.default_rng(0)
    shade = np.array([40, 150, 200, 170, 120])[labels]
    image = (shade[..., None] + rng.integers(-10, 11, (48, 48, 3))).astype(np.uint8)[None]

    representation = representations.create("hover", decoder={"kernel": 9})
    model = models.create(
        "flexible_unet", representation.outputs, variant="small", layers=3, base_filters=8
    )
    optimizer = optim.make(
        {"name": "adam", "learning_rate": 2e-3}, lambda step: 2e-3, TrainingLength(300)
    )
    current = state.create(model, optimizer, seed=0)
    targets = {name: m[None] for name, m in representation.encode(labels).items()}
    step = jax.jit(make_train_step(model, representation, optimizer), donate_argnums=0)
    for _ in range(300):
        current, _ = step(current, {"image": image, "targets": targets}, jax.random.key(0))

    apply = jax.jit(lambda v, x: model.apply(v, as_input(x), train=False))
    maps = {name: np.asarray(m[0]) for name, m in apply(current.variables(), image).items()}
    assert metrics.score(labels, representation.decode(maps).instances).pq > 0.9
    components = representations.create("binary").decode({"mask": np.diff(maps["np"])})
    assert metrics.score(labels, components.instances).pq < 0.6  # the mask alone joins them
