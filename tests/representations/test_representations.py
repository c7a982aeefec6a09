"""Targets against reference values, decoding as the inverse of encoding, losses' parts."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnuc import losses, representations
from jaxnuc.data.synthetic import generate
from jaxnuc.metrics import score

CASES = (
    "touching",
    "border_cut",
    "empty",
    "full",
    "small_objects",
    "ids_above_255",
    "ids_equal_mod_256",
)


@pytest.mark.parametrize("case", CASES)
def test_contour_targets(golden, case):
    arrays, _ = golden("haru_targets")
    maps = representations.create("contour").encode(arrays[f"{case}__label"].astype(np.int32))
    np.testing.assert_array_equal(maps["mask"][..., 0], arrays[f"{case}__mask"])
    np.testing.assert_array_equal(maps["contour"][..., 0], arrays[f"{case}__contour"])


def as_logits(targets, channels):
    maps = {
        k: np.where(v, 8.0, -8.0).astype(np.float32)
        for k, v in targets.items()
        if k in ("mask", "contour")
    }
    if channels == 2:
        maps = {k: np.concatenate([-v, v], axis=-1) for k, v in maps.items()}
    return maps


BACK = [
    ("contour", {"channels": 1}),
    ("contour", {"channels": 2}),
    ("contour", {"targets": {"name": "alnet", "simplified": False}}),
    ("contour", {"decoder": {"name": "watershed"}}),
    (
        "contour",
        {"targets": {"name": "alnet"}, "decoder": {"name": "overlaps", "min_area_share": 0.0}},
    ),
    (
        "contour",
        {
            "targets": {"name": "alnet", "canny": True},
            "decoder": {"name": "overlaps", "min_area_share": 0.0},
        },
    ),
    ("binary", {"targets": {"erode": True}, "decoder": {"name": "fill", "radius": 1}}),
    (
        "binary",
        {"channels": 2, "targets": {"erode": True}, "decoder": {"name": "fill", "radius": 1}},
    ),
]


@pytest.mark.parametrize(("name", "arguments"), BACK)
def test_decodes_what_it_encodes(name, arguments):
    """From perfect maps all but nuclei too small to hold a seed come back."""
    representation = representations.create(name, **arguments)
    # The third image has small nuclei: after CNSeg's opening nothing is left of their seeds.
    for seed in (1, 2, 4) if "decoder" in arguments else (1, 2, 3, 4):
        sample = generate(seed, size=192)
        maps = as_logits(representation.encode(sample.instances), arguments.get("channels", 1))
        found = representation.decode(maps)
        scores = score(sample.instances, found.instances)
        assert scores.pq > 0.9
        assert scores.dice > (0.96 if arguments.keys() - {"channels"} else 1 - 1e-9)
        assert len(found.scores) == found.instances.max()
        grown = "radius" in arguments.get("decoder", {})  # into the background
        assert found.scores.min() > (0.4 if grown else 0.99)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("binary", {"decoder": {"name": "distance"}}),
        ("contour", {"targets": {"name": "dcan"}, "decoder": {"name": "subtract"}}),
    ],
)
def test_large_nuclei_come_back_where_small_ones_have_no_seed(name, arguments):
    labels = np.zeros((80, 100), np.int32)
    rows, cols = np.mgrid[:80, :100]
    for k, (row, col) in enumerate([(20, 25), (20, 53), (55, 40), (60, 80)], start=1):
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= 13.6**2] = k
    representation = representations.create(name, **arguments)
    found = representation.decode(as_logits(representation.encode(labels), 1))
    assert score(labels, found.instances).pq > 0.9
    assert len(found.scores) == 4


IGNORING = [
    ("binary", {"loss": {"name": "bce"}}),
    ("binary", {"loss": {"name": "bce_iou"}}),
    ("binary", {"loss": {"name": "bce_dice"}}),
    ("binary", {"loss": {"name": "dice_boundary"}}),
    ("binary", {"channels": 2}),
    ("binary", {"targets": {"name": "weighted_mask", "erode": True}, "loss": {"name": "bce"}}),
    ("binary", {"channels": 2, "targets": {"name": "weighted_mask"}}),
    ("contour", {}),
    ("contour", {"channels": 2}),
    ("contour", {"channels": 2, "loss": {"dice_per_class": True}}),
    ("contour", {"loss": {"name": "pixel_sum"}}),
    ("contour", {"targets": {"name": "alnet"}, "loss": {"name": "ce"}}),
    ("contour", {"loss": {"name": "ce_dice", "dice_weight": 0.5}}),
    ("contour", {"channels": 2, "targets": {"name": "dcan"}, "loss": {"name": "ce"}}),
]


@pytest.mark.parametrize(("name", "arguments"), IGNORING)
def test_ignored_pixels_are_as_if_they_were_not_there(name, arguments):
    representation = representations.create(name, **arguments)
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 16), np.int32)
    labels[2:6, 1:6], labels[4:11, 9:14] = 1, 2
    ignore = np.zeros(labels.shape, bool)
    ignore[:, 8:] = True
    whole = {k: v[None] for k, v in representation.encode(labels, None, ignore).items()}
    left = {k: v[:, :, :8] for k, v in whole.items() if k != "valid"}
    maps = {
        k: rng.normal(0, 2, (1, 12, 16, c)).astype(np.float32)
        for k, c in representation.outputs.items()
    }

    @jax.jit
    def total(maps, targets):
        return representation.loss(maps, targets)[0]

    expected = total({k: v[:, :, :8] for k, v in maps.items()}, left)
    found, gradients = jax.jit(jax.value_and_grad(total))(maps, whole)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for gradient in jax.device_get(gradients).values():
        assert np.abs(gradient[:, :, :8]).max() > 0
        assert not np.abs(gradient[:, :, 8:]).any()
    everything = total(maps, {k: v for k, v in whole.items() if k != "valid"})
    assert abs(everything - expected) > 1e-4


def test_ssim_takes_ignored_pixels_for_right():
    representation = representations.create("binary", loss={"name": "bce_ssim_iou"})
    labels = np.zeros((16, 16), np.int32)
    labels[4:9, 4:12] = 1
    ignore = np.zeros(labels.shape, bool)
    ignore[:, :6] = True
    targets = {k: v[None] for k, v in representation.encode(labels, None, ignore).items()}
    logits = np.where(labels, 40, -40).astype(np.float32)[None, ..., None]
    wrong = np.where(ignore[None, ..., None], -logits, logits)
    for maps in (logits, wrong):
        loss, parts = representation.loss({"mask": maps}, targets)
        np.testing.assert_allclose(loss, 0, atol=1e-6)
        np.testing.assert_allclose(parts["mask/ssim"], 0, atol=1e-6)


@pytest.mark.parametrize("name", ["binary", "contour"])
def test_a_batch_with_nothing_annotated_has_no_entropy(name):
    representation = representations.create(name)
    targets = representation.encode(np.zeros((8, 8), np.int32), None, np.ones((8, 8), bool))
    maps = {k: np.ones((1, 8, 8, c), np.float32) for k, c in representation.outputs.items()}
    loss, _ = representation.loss(maps, {k: v[None] for k, v in targets.items()})
    np.testing.assert_allclose(loss, 0, atol=1e-6)


@pytest.mark.parametrize(("name", "broken"), [("binary", "mask"), ("contour", "contour")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_no_numbers_are_refused(name, broken, value):
    representation = representations.create(name)
    maps = {m: np.zeros((5, 6, 1), np.float32) for m in representation.outputs}
    maps[broken][2, 3] = value
    with pytest.raises(ValueError, match=rf"map '{broken}' holds \d NaN and \d infinite numbers"):
        representation.decode(maps)


def test_a_score_is_the_mean_probability_of_its_nucleus():
    logits = np.random.default_rng(0).normal(0, 2, (20, 30, 1))
    found = representations.create("binary").decode({"mask": logits})
    probability = 1 / (1 + np.exp(-logits[..., 0]))
    expected = [probability[found.instances == i].mean() for i in range(1, len(found.scores) + 1)]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    assert len(found.scores) == found.instances.max() > 5


def test_binary_decodes_components_above_the_threshold():
    p = np.zeros((8, 8))
    p[:2, :2], p[4:, 4:], p[0, 6] = 0.9, 0.7, 0.9
    logits = np.log((p + 1e-9) / (1 - p + 1e-9))[..., None]
    found = representations.create("binary", decoder={"min_size": 2}).decode({"mask": logits})
    expected = np.zeros((8, 8), int)
    expected[:2, :2], expected[4:, 4:] = 1, 2  # the single pixel is under the minimum
    np.testing.assert_array_equal(found.instances, expected)
    np.testing.assert_allclose(found.scores, [0.9, 0.7], rtol=1e-5)
    higher = representations.create("binary", decoder={"threshold": 0.8, "min_size": 2})
    assert higher.decode({"mask": logits}).instances.max() == 1


def test_decoding_a_mask_by_each_name():
    p = np.full((12, 30), 0.1)
    p[2:10, 2:10], p[4:7, 4:7] = 0.9, 0.1  # with a hole
    p[10, 10], p[2, 20:22] = 0.9, 0.9  # over a corner; and a small one
    p[8, 20] = 0.6
    maps = {"mask": np.log(p / (1 - p))[..., None]}

    def found(name="components", **arguments):
        decoder = {"name": name, **arguments}
        return representations.create("binary", decoder=decoder).decode(maps).instances

    assert found().max() == 3
    assert found()[5, 5] == 0
    filled = found("fill")
    assert filled.max() == 1
    assert filled.sum() == 64
    assert found("fill", radius=1).sum() == 64 + 32
    assert found("fill", min_size=0).max() == 4
    assert found("fill", threshold=0.7, min_size=0).max() == 3
    seeds = found("distance", seed_share=0.0, lines=False)
    np.testing.assert_array_equal(seeds > 0, p > 0.5)
    assert found("distance", seed_share=0.0, threshold=0.7).max() == 3


def test_overlapping_nuclei_have_masks_of_their_own():
    mask, contour = np.zeros((2, 40, 50), bool)
    mask[5:30, 5:30] = True  # open to the right, with a small nucleus in it
    mask[12:23, 12:30] = False
    mask[15:20, 15:20] = True
    mask[5:15, 36:46] = True  # with a hole
    mask[8:12, 39:43] = False
    maps = as_logits({"mask": mask[..., None], "contour": contour[..., None]}, 1)

    def decode(**arguments):
        decoder = {"name": "overlaps", "min_area_share": 0.0, **arguments}
        return representations.create("contour", decoder=decoder).decode(maps)

    found = decode(outline="columns")
    assert [m.mask.sum() for m in found.masks] == [625, 100, 25]
    assert found.instances[17, 17] == 3
    assert found.instances[17, 25] == 1
    outside = 1 / (1 + np.exp(8))
    shares = [1 - (11 * 18 - 25) / 625, 1 - 16 / 100, 1]  # of the mask in the nuclei
    expected = [share * (1 - outside) + (1 - share) * outside for share in shares]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)
    assert found.scores.dtype == np.float32

    few = decode(max_instances=1)
    assert len(few.masks) == len(few.scores) == few.instances.max() == 1
    assert [m.mask.sum() for m in decode().masks] == [427, 100, 25]
    assert [m.mask.sum() for m in decode(outline="exact").masks] == [427, 84, 25]
    assert len(decode(min_area_share=0.2).masks) == 2
    assert not decode(threshold=1.0).masks


def test_seedless_erosion_and_min_size_reach_the_decoding():
    mask = np.zeros((12, 20), bool)
    mask[2:10, 2:10] = True  # 64 px with a seed of 6 x 6
    mask[5, 13:19] = True  # all contour: no seed
    contour = mask.copy()
    contour[3:9, 3:9] = False
    maps = as_logits({"mask": mask[..., None], "contour": contour[..., None]}, 1)

    def count(**arguments):
        return len(representations.create("contour", decoder=arguments).decode(maps).scores)

    assert count() == 2
    assert count(seedless="drop") == 1
    assert count(min_size=7) == 1
    assert count(erosion=3, seedless="drop") == 0  # 6 x 6 vanishes in three erosions


def test_subtraction_takes_its_arguments():
    mask, contour = np.full((2, 9, 20), -8.0)
    mask[2:7, 2:7], mask[2:7, 10:19] = 8, 8
    contour[2:7, 14], contour[2:7, 2:7] = 8, -0.5  # 0.62 is left of the first nucleus
    maps = {"mask": mask[..., None], "contour": contour[..., None]}

    def count(**arguments):
        decoder = {"name": "subtract", **arguments}
        created = representations.create("contour", decoder=decoder)
        return created.decode(maps).instances.max()

    assert count() == 3
    assert count(threshold=0.7) == 2
    assert count(min_size=21) == 1
    found = representations.create("contour", decoder={"name": "subtract", "radius": 0}).decode(
        maps
    )
    np.testing.assert_array_equal(found.instances[4] > 0, (mask[4] > 0) & (contour[4] < 0))


@pytest.mark.parametrize("name", ["binary", "contour"])
def test_side_maps_add_their_losses(name):
    representation = representations.create(name, loss={"side_weight": 0.5})
    key = jax.random.key(0)
    outputs = representation.outputs
    maps = {k: jax.random.normal(key, (2, 16, 16, c)) for k, c in outputs.items()}
    targets = {k: jnp.ones((2, 16, 16, 1), jnp.uint8) for k in outputs}
    plain, parts = representation.loss(maps, targets)
    assert not any("side" in k for k in parts)
    doubled, parts = representation.loss(
        {**maps, "side": {k: [m] for k, m in maps.items()}}, targets
    )
    np.testing.assert_allclose(doubled, 1.5 * plain, rtol=1e-6)
    np.testing.assert_allclose(parts["side"], 0.5 * plain, rtol=1e-6)


def test_contour_loss_is_its_parts():
    key = jax.random.key(0)
    maps = {k: jax.random.normal(key, (2, 8, 8, 1)) for k in ("mask", "contour")}
    target = (jax.random.uniform(key, (2, 8, 8, 1)) > 0.5).astype(jnp.uint8)
    targets = {"mask": target, "contour": 1 - target}
    for form in ("ce_dice", "pixel_sum"):
        loss, parts = representations.create("contour", loss={"name": form}).loss(maps, targets)
        np.testing.assert_allclose(loss, sum(parts.values()), rtol=1e-6)
    p = np.asarray(jax.nn.sigmoid(maps["mask"]), np.float64)
    t = np.asarray(target, np.float64)
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum() / 2
    np.testing.assert_allclose(parts["mask/ce"], entropy, rtol=1e-5)
    ratio = 1 - (2 * p * t / (p**2 + t**2)).sum() / 2
    np.testing.assert_allclose(parts["mask/dice"], ratio, rtol=1e-5)


def test_alnet_loss_is_two_cross_entropies(golden):
    arrays, scalars = golden("losses")
    expected = scalars["alnet"]["float64"]
    p, target = arrays["seg__prob7"][1].astype(np.float64), arrays["seg__target"]
    logits = (np.log(p) - np.log1p(-p)).astype(np.float32)[..., None]
    target = target[..., None]
    maps, targets = {"mask": logits, "contour": logits}, {"mask": target, "contour": target}
    loss, parts = representations.create("contour", loss={"name": "ce"}).loss(maps, targets)
    np.testing.assert_allclose(parts["mask/ce"], expected["bce"], rtol=1e-6)
    np.testing.assert_allclose(loss, 2 * expected["bce"], rtol=1e-6)
    assert set(parts) == {"mask/ce", "contour/ce"}
    weighted = representations.create("contour", loss={"name": "ce_dice", "dice_weight": 0.3})
    loss, parts = weighted.loss(maps, targets)
    np.testing.assert_allclose(parts["contour/dice"], expected["dice"], rtol=1e-6)
    np.testing.assert_allclose(loss, 2 * (expected["bce"] + 0.3 * expected["dice"]), rtol=1e-6)


def batch_of(representation, seeds=(0, 1), size=24):
    """Targets and random maps of a batch."""
    encoded = [representation.encode(generate(s, size=size).instances) for s in seeds]
    targets = {k: np.stack([e[k] for e in encoded]) for k in encoded[0]}
    rng = np.random.default_rng(0)
    maps = {
        k: rng.normal(0, 2, (len(seeds), size, size, c)).astype(np.float32)
        for k, c in representation.outputs.items()
    }
    return maps, targets


@pytest.mark.parametrize("loss_name", ["bce", "bce_iou", "bce_dice", "dice_boundary"])
def test_a_softmax_of_two_is_a_sigmoid_of_the_difference(loss_name):
    two = representations.create("binary", channels=2, loss={"name": loss_name})
    one = representations.create("binary", loss={"name": loss_name})
    maps, targets = batch_of(two)
    assert two.outputs == {"mask": 2}
    difference = {"mask": maps["mask"][..., 1:] - maps["mask"][..., :1]}
    np.testing.assert_allclose(two.loss(maps, targets)[0], one.loss(difference, targets)[0])
    entropy = losses.cross_entropy(maps["mask"], targets["mask"][..., 0])
    if loss_name == "bce":
        np.testing.assert_allclose(two.loss(maps, targets)[0], entropy, rtol=1e-6)
    image = {"mask": maps["mask"][0]}
    np.testing.assert_array_equal(
        two.decode(image).instances, one.decode({"mask": difference["mask"][0]}).instances
    )


def test_weighted_cross_entropy_is_the_mean_of_the_products():
    representation = representations.create(
        "binary", targets={"name": "weighted_mask"}, loss={"name": "bce"}
    )
    maps, targets = batch_of(representation, seeds=(2, 3), size=64)
    assert targets["weight"].max() > 2
    entropy = optax.sigmoid_binary_cross_entropy(maps["mask"], targets["mask"])
    loss, parts = representation.loss(maps, targets)
    np.testing.assert_allclose(loss, (targets["weight"] * entropy).mean(), rtol=1e-5)
    np.testing.assert_allclose(parts["mask/bce"], loss)


def test_dice_and_boundary_are_weighed_by_a_factor():
    representation = representations.create("binary", loss={"name": "dice_boundary"})
    maps, targets = batch_of(representation, seeds=(2, 3), size=48)
    assert representation.factors == ("boundary",)
    assert representations.create("binary").factors == ()
    assert representations.create("binary", loss={"name": "bce"}).factors == ()
    p, t = jax.nn.sigmoid(maps["mask"]), targets["mask"].astype(np.float32)
    dice = np.mean(
        [1 - (2 * (a * b).sum() + 1) / ((a + b).sum() + 1) for a, b in zip(p, t, strict=True)]
    )
    band = losses.band_cross_entropy(maps["mask"], t)
    gradient = losses.gradient_manifold(p, t)
    for factors, a in (
        (None, 0.5),
        ({}, 0.5),
        ({"side": 3.0}, 0.5),
        ({"boundary": 0.0}, 0.0),
        ({"boundary": jnp.float32(0.3)}, 0.3),
    ):
        loss, parts = representation.loss(maps, targets, None, factors)
        np.testing.assert_allclose(parts["mask/dice"], dice, rtol=1e-5)
        np.testing.assert_allclose(parts["mask/band"], band, rtol=1e-6)
        np.testing.assert_allclose(parts["mask/gradient"], gradient, rtol=1e-6)
        np.testing.assert_allclose(loss, (1 - a) * dice + a * (band + gradient), rtol=1e-5)
    third = representations.create("binary", loss={"name": "dice_boundary", "boundary_weight": 0.3})
    np.testing.assert_allclose(third.loss(maps, targets)[0], loss, rtol=1e-6)


EVERYWHERE = [
    ("binary", {}),
    (
        "binary",
        {
            "channels": 2,
            "targets": {"name": "weighted_mask", "erode": True},
            "loss": {"name": "bce"},
        },
    ),
    ("binary", {"loss": {"name": "bce_ssim_iou"}}),
    ("binary", {"loss": {"name": "dice_boundary"}}),
    ("contour", {}),
    ("contour", {"channels": 2, "loss": {"name": "pixel_sum"}}),
    ("contour", {"targets": {"name": "alnet"}, "loss": {"name": "ce_dice", "dice_weight": 1.0}}),
    ("contour", {"targets": {"name": "dcan"}, "loss": {"name": "ce"}}),
    ("distance", {}),
]


@pytest.mark.parametrize(("name", "arguments"), EVERYWHERE)
def test_gradients_are_finite_on_unusual_images(name, arguments):
    representation = representations.create(name, **arguments)
    labels = np.zeros((4, 16, 16), np.int32)
    labels[1] = 1
    labels[2, 5, 6] = labels[3, 0, 0] = 1
    labels[3, 0, 1] = 2
    rng = np.random.default_rng(0)
    total = jax.jit(jax.value_and_grad(lambda maps, targets: representation.loss(maps, targets)[0]))
    for scale in (1.0, 200.0):  # of ordinary and of saturated maps
        for x in labels:
            targets = {k: v[None] for k, v in representation.encode(x, None, x == 2).items()}
            maps = {
                k: scale * rng.normal(size=(1, 16, 16, c)).astype(np.float32)
                for k, c in representation.outputs.items()
            }
            value, gradients = total(maps, targets)
            assert np.isfinite(value)
            assert all(np.isfinite(g).all() for g in gradients.values())


def test_losses_fall_towards_the_truth():
    instances = generate(1, size=64).instances
    for name, arguments in (
        ("binary", {"loss": {"name": "bce"}}),
        ("binary", {"loss": {"name": "bce_iou"}}),
        ("binary", {"loss": {"name": "bce_dice"}}),
        ("binary", {"loss": {"name": "bce_ssim_iou"}}),
        ("binary", {"channels": 2, "targets": {"name": "weighted_mask"}, "loss": {"name": "bce"}}),
        ("contour", {"channels": 1}),
        ("contour", {"targets": {"name": "alnet"}, "loss": {"name": "ce"}}),
        ("contour", {"channels": 2, "targets": {"name": "dcan"}, "loss": {"name": "ce"}}),
        ("contour", {"channels": 2}),
        ("contour", {"channels": 2, "loss": {"dice_per_class": True}}),
        ("contour", {"channels": 2, "loss": {"name": "pixel_sum"}}),
    ):
        representation = representations.create(name, **arguments)
        targets = representation.encode(instances)
        batch = {k: v[None] for k, v in targets.items()}
        right = as_logits(targets, arguments.get("channels", 1))
        values = [
            float(representation.loss({k: s * v[None] for k, v in right.items()}, batch)[0])
            for s in (-1.0, 0.0, 0.3, 1.0)
        ]
        assert values == sorted(values, reverse=True), (name, arguments)


def test_encoding_does_not_import_jax():
    code = (
        "import sys, numpy as np; from jaxnuc import representations as r\n"
        "labels = np.eye(8, dtype=np.int32)\n"
        "for n in ('binary', 'contour', 'distance'): r.create(n).encode(labels)\n"
        "assert not {'jax', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def growth(**arguments):
    return {"decoder": {"name": "growth", **arguments}}


def overlaps(**arguments):
    return {"decoder": {"name": "overlaps", **arguments}}


REFUSED = [
    ("contours", {}, "did you mean 'contour'"),
    ("contour", {"channel": 2}, "did you mean 'channels'"),
    ("contour", {"channels": 3}, "channels=3; known: 1, 2"),
    ("contour", {"channels": "1"}, "channels of representation 'contour' must be int, got '1'"),
    ("contour", {"loss": {"name": "book"}}, "unknown loss of contour 'book'; known: ce, ce_dice"),
    ("contour", {"loss": "ce"}, "loss of representation 'contour' must be a section with a name"),
    ("contour", {"targets": {"name": "hed"}}, "known: alnet, dcan, harunet"),
    ("contour", {"targets": {"max_instances": 9}}, "targets of contour 'harunet': 'max_instances'"),
    ("contour", {"targets": {"name": "alnet", "max_instances": 0}}, "must be at least 1"),
    ("contour", growth(seedless="no"), "known: drop, keep"),
    ("contour", growth(threshold=1.5), r"threshold 1.5 is not within \[0, 1\]"),
    ("contour", growth(threshold="otsu"), "threshold of .*'growth' must be float, got 'otsu'"),
    ("contour", growth(erosion=-1), "erosion -1 is negative"),
    ("contour", growth(min_area_share=0.1), "known: erosion, min_size, seedless, threshold$"),
    (
        "contour",
        {"decoder": {"name": "grow"}},
        "known: growth, necks, overlaps, subtract, watershed",
    ),
    ("contour", overlaps(threshold="mean"), "unknown threshold 'mean'"),
    ("contour", overlaps(outline="smooth"), "unknown outline 'smooth'"),
    ("contour", overlaps(min_size=3), "decoder of contour 'overlaps': 'min_size'"),
    ("contour", overlaps(lines=1), "lines of decoder of contour 'overlaps' must be bool, got 1"),
    ("contour", {"decoder": {"name": "watershed", "erosion": 1}}, "known: min_size, threshold$"),
    ("contour", {"decoder": {"name": "subtract", "lines": False}}, "min_size, radius, threshold"),
    ("contour", {"loss": {"name": "ce", "dice_weight": 1.0}}, "known: side_weight"),
    ("contour", {"loss": {"dice_per_class": True}}, "no effect with channels=1"),
    ("binary", {"loss": {"name": "dice"}}, "did you mean 'bce_dice'"),
    ("binary", {"channels": 3}, "channels=3; known: 1, 2"),
    ("binary", {"decoder": {"name": "holes"}}, "known: components, distance, fill"),
    ("binary", {"decoder": {"radius": 1}}, "decoder of binary 'components': 'radius'"),
    ("binary", {"decoder": {"name": "distance", "seed_share": 1.0}}, "seed_share is 1.0"),
    ("binary", {"decoder": {"threshold": -0.1}}, "threshold -0.1"),
    ("binary", {"targets": {"w0": 5.0}}, "targets of binary 'mask': 'w0'; known: erode"),
    ("binary", {"targets": {"name": "weighted_mask", "sigma": 0.0}}, "sigma=0.0 px above 0"),
    ("binary", {"loss": {"boundary_weight": 0.1}}, "loss of binary 'bce_iou': 'boundary_weight'"),
    ("binary", {"loss": {"name": "dice_boundary", "boundary_weight": 2.0}}, "boundary_weight 2.0"),
    (
        "binary",
        {"loss": {"name": "dice_boundary"}, "targets": {"name": "weighted_mask"}},
        "'dice_boundary' takes no weights; take the targets 'mask'",
    ),
]


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED)
def test_what_does_not_exist_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        representations.create(name, **arguments)


def test_necks_drops_nuclei_of_which_the_mean_probability_is_low():
    logits = np.full((20, 40, 1), -9.0, np.float32)
    logits[2:12, 2:12], logits[2:12, 22:32] = 4.0, 1.0  # probabilities 0.98 and 0.73
    maps = {"mask": logits, "contour": np.full_like(logits, -9.0)}
    for given in ("binary", "contour"):
        found = {
            least: representations.create(
                given, decoder={"name": "necks", "min_score": least}
            ).decode({name: maps[name] for name in ("mask", "contour")[: 1 + (given == "contour")]})
            for least in (0.0, 0.7, 0.8, 0.99)
        }
        assert [each.instances.max() for each in found.values()] == [2, 2, 1, 0]
        assert found[0.8].instances[5, 5] == 1
        np.testing.assert_allclose(found[0.8].scores, [1 / (1 + np.exp(-4))], rtol=1e-5)
    with pytest.raises(ValueError, match="min_score"):
        representations.create("binary", decoder={"name": "necks", "min_score": 2})
