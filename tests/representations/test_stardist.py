"""StarDist's representation: targets, the loss' structure, decoding, overfitting."""

import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from jaxnuc import metrics, models, optim, representations
from jaxnuc.data.synthetic import generate
from jaxnuc.durations import TrainingLength
from jaxnuc.postprocess import fill_holes
from jaxnuc.training import state
from jaxnuc.training.step import as_input, make_train_step

CASES = ("touching", "border_gap_ids", "small_and_holes", "one_object_fills_the_image", "empty")


def as_maps(targets):
    """The network's output that says what the targets say."""
    p = np.clip(targets["prob"], 1e-6, 1 - 1e-6)
    return {"prob": np.log(p) - np.log1p(-p), "dist": targets["dist"]}


def discs(*circles, shape=(40, 48)):
    rows, cols = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for i, (row, col, radius) in enumerate(circles, start=1):
        labels[np.hypot(rows - row, cols - col) <= radius] = i
    return labels


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("grid", [1, 2])
def test_targets_of_the_reference(golden, case, grid):
    arrays, _ = golden("stardist")
    labels = arrays[f"target__{case}__label"].astype(np.int32)
    ignore = np.random.default_rng(0).random(labels.shape) < 0.3
    representation = representations.create("stardist", grid=grid, fill_holes=False)
    targets = representation.encode(labels, None, ignore)
    h, w = -(-np.array(labels.shape) // grid)
    assert {k: (v.shape, v.dtype) for k, v in targets.items()} == {
        "prob": ((h, w, 1), np.float32),
        "dist": ((h, w, 32), np.float32),
        "valid": ((h, w, 1), np.uint8),
    }
    expected = arrays[f"target__{case}__prob_grid{grid}"]
    np.testing.assert_allclose(targets["prob"][..., 0], expected, atol=1e-6)
    expected = arrays[f"target__{case}__dist32_grid{grid}"]
    np.testing.assert_allclose(targets["dist"], expected, atol=1e-5)
    np.testing.assert_array_equal(targets["valid"][..., 0], ~ignore[::grid, ::grid])


def test_holes_are_filled_unless_they_are_to_stay():
    ring = discs((20, 24, 12))
    whole = representations.create("stardist").encode(ring)
    ring[18:23, 22:27] = 0
    filled = representations.create("stardist").encode(ring)
    np.testing.assert_array_equal(filled["dist"], whole["dist"])
    np.testing.assert_array_equal(filled["prob"], whole["prob"])
    hollow = representations.create("stardist", fill_holes=False).encode(ring)
    assert not hollow["dist"][20, 24].any()
    assert hollow["dist"][20, 30, 16] == 3.5  # leftwards, to the hole


@pytest.mark.parametrize("grid", [2, 4])
@pytest.mark.parametrize("shape", [(192, 192), (189, 191)])
def test_decodes_at_full_resolution_what_it_encodes_on_a_grid(grid, shape):
    instances = fill_holes(generate(3, size=192).instances)[: shape[0], : shape[1]]
    representation = representations.create("stardist", grid=grid)
    maps = as_maps(representation.encode(instances))
    assert maps["prob"].shape == (*-(-np.array(shape) // grid), 1)
    found = representation.decode(maps, shape)
    assert found.instances.shape == shape
    scores = metrics.score(instances, found.instances)
    # Nuclei at the border lie in the outer points of the grid, which hold no candidates.
    inner = (slice(4 * grid, -4 * grid),) * 2
    assert metrics.score(instances[inner], found.instances[inner]).dice > 0.9
    assert scores.pq > (0.8 if grid == 2 else 0.6), scores
    larger = representation.decode(maps)
    assert larger.instances.shape == tuple(-(-np.array(shape) // grid) * grid)
    np.testing.assert_array_equal(larger.instances[: shape[0], : shape[1]] > 0, found.instances > 0)


def test_points_are_centers_in_pixels_of_the_image():
    labels = discs((12, 14, 7), (28, 34, 8))
    for grid in (1, 2, 4):
        representation = representations.create("stardist", grid=grid)
        found = representation.decode(as_maps(representation.encode(labels)), labels.shape)
        assert found.points.dtype == np.float32
        assert found.points.shape == (2, 2)
        for point, number in zip(found.points.astype(int), (1, 2), strict=True):
            assert found.instances[tuple(point)] == number
            assert not (point % grid).any()
        expected = [(12, 14), (28, 34)]
        away = np.abs(found.points[:, None] - expected).max(axis=-1).min(axis=1)
        assert (away < grid).all()


def test_maps_of_another_image_are_refused():
    maps = {"prob": np.zeros((10, 12, 1)), "dist": np.zeros((10, 12, 32))}
    representation = representations.create("stardist", grid=2)
    assert representation.decode(maps, (19, 24)).instances.shape == (19, 24)
    with pytest.raises(ValueError, match=r"image of \(18, 24\) has maps of \(9, 12\) on a grid"):
        representation.decode(maps, (18, 24))


def test_refinement_reaches_the_decoding():
    """One candidate with a bulge is outvoted by those it suppresses; they have none."""
    prob, dist = np.zeros((40, 48, 1)), np.full((40, 48, 32), 8.0)
    prob[20, 20:25, 0] = 0.7, 0.8, 0.9, 0.8, 0.7
    dist[20, 22, 4:6] = 14
    maps = as_maps({"prob": prob, "dist": dist})
    plain, refined = (
        representations.create("stardist", decoder={"refine": refine}).decode(maps)
        for refine in (False, True)
    )
    assert plain.instances[29, 27] == 1
    assert refined.instances[29, 27] == 0
    np.testing.assert_array_equal(refined.scores, plain.scores)
    np.testing.assert_array_equal(refined.points, [[20, 22]])
    circle = representations.create("stardist").decode({**maps, "dist": np.full_like(dist, 8.0)})
    assert metrics.score(circle.instances, refined.instances).dice > 0.97


@pytest.mark.parametrize("n_rays", [32, 64])
def test_decodes_what_it_encodes(n_rays):
    sample = generate(3, size=192)
    representation = representations.create("stardist", n_rays=n_rays)
    instances = fill_holes(sample.instances)
    found = representation.decode(as_maps(representation.encode(instances)))
    scores = metrics.score(instances, found.instances)
    assert scores.pq > 0.9, scores
    assert found.instances.dtype == np.int32
    assert found.classes is None
    assert found.scores.shape == (found.instances.max(),)


@pytest.mark.parametrize("threshold", ["0.3", "0.4"])
@pytest.mark.parametrize("case", ["robust_grid1_rays32", "robust_sparse_rays32", "no_candidate"])
def test_decodes_as_the_reference(golden, case, threshold):
    arrays, _ = golden("stardist")
    nms = {k.removeprefix(f"nms__{case}__"): v for k, v in arrays.items() if case in k}
    dist = nms["dist_f16"].astype(np.float32)
    representation = representations.create("stardist", decoder={"nms_thresh": float(threshold)})
    maps = as_maps({"prob": nms["prob"].astype(np.float64)[..., None], "dist": dist})
    found = representation.decode(maps)
    expected = nms[f"label_{threshold}"]
    assert (found.instances > 0).any() == expected.any()
    assert np.mean(found.instances != expected) < 0.02  # of how outlines are filled
    np.testing.assert_allclose(found.scores, nms[f"scores_{threshold}"], rtol=1e-5)


def test_scores_follow_the_ids():
    """The small nucleus is dropped, the one under another has no pixel, the rest moves up."""
    labels = discs((10, 10, 6), (10, 30, 2), (28, 12, 7), (28, 34, 8))
    representation = representations.create("stardist", decoder={"min_size": 30, "nms_thresh": 1.0})
    targets = representation.encode(labels)
    prob = np.zeros((*labels.shape, 1))
    for (row, col), p in {
        (10, 10): 0.7,
        (10, 30): 0.9,  # of 13 pixels
        (28, 12): 0.8,
        (28, 34): 0.95,
        (28, 35): 0.6,  # the same nucleus again
    }.items():
        prob[row, col] = p
    found = representation.decode(as_maps({"prob": prob, "dist": targets["dist"]}))
    np.testing.assert_allclose(found.scores, [0.95, 0.8, 0.7], rtol=1e-5)
    assert found.scores.dtype == np.float32
    assert [found.instances[p] for p in ((28, 34), (28, 12), (10, 10), (10, 30))] == [1, 2, 3, 0]
    np.testing.assert_array_equal(found.points, [(28, 34), (28, 12), (10, 10)])
    assert len(representations.create("stardist").decode(as_maps(targets)).scores) == 4


def test_thresholds_reach_the_decoding():
    prob, dist = np.zeros((40, 48, 1)), np.full((40, 48, 32), 8.0)
    prob[14, 16], prob[14, 24], prob[26, 38] = 0.9, 0.8, 0.3  # the first two share 39 %
    maps = as_maps({"prob": prob, "dist": dist})

    def count(**arguments):
        return len(representations.create("stardist", decoder=arguments).decode(maps).scores)

    assert count() == 2
    assert count(nms_thresh=0.3) == 1
    assert count(prob_thresh=0.2) == 3
    assert count(prob_thresh=0.85) == 1
    assert count(min_size=150) == 1  # what the first leaves of the second has fewer pixels


def test_negative_distances_are_no_polygon():
    maps = {"prob": np.full((9, 9, 1), 3.0), "dist": np.full((9, 9, 8), -5.0)}
    found = representations.create("stardist", n_rays=8).decode(maps)
    # Clipped to a thousandth of a pixel: what is left of each is its center.
    np.testing.assert_array_equal(found.instances > 0, np.pad(np.ones((5, 5), bool), 2))


@pytest.mark.parametrize("arguments", [{}, {"loss": {"name": "mse", "background": 0.01}}])
def test_ignored_pixels_are_as_if_they_were_not_there(arguments):
    representation = representations.create("stardist", n_rays=8, **arguments)
    labels = discs((5, 4, 3), (8, 11, 3), shape=(14, 16))
    ignore = np.zeros(labels.shape, bool)
    ignore[:, 8:] = True
    whole = {k: v[None] for k, v in representation.encode(labels, None, ignore).items()}
    assert whole["valid"].dtype == np.uint8
    left = {k: v[:, :, :8] for k, v in whole.items() if k != "valid"}
    rng = np.random.default_rng(0)
    maps = {
        k: rng.normal(1, 2, (1, 14, 16, c)).astype(np.float32)
        for k, c in representation.outputs.items()
    }

    def total(maps, targets):
        return representation.loss(maps, targets)[0]

    expected = total({k: v[:, :, :8] for k, v in maps.items()}, left)
    found, gradients = jax.jit(jax.value_and_grad(total))(maps, whole)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for gradient in gradients.values():
        assert np.abs(gradient[:, :, :8]).max() > 0
        assert not np.abs(gradient[:, :, 8:]).any()
    everything = total(maps, {k: v for k, v in whole.items() if k != "valid"})
    assert abs(everything - expected) > 1e-4


def test_side_maps_and_weights():
    rng = np.random.default_rng(0)
    plain = representations.create("stardist", n_rays=8)
    targets = {k: v[None] for k, v in plain.encode(discs((9, 9, 5), shape=(16, 16))).items()}
    maps, side = (
        {k: rng.normal(0, 2, (1, 16, 16, c)).astype(np.float32) for k, c in plain.outputs.items()}
        for _ in range(2)
    )
    total, parts = plain.loss(maps, targets)
    np.testing.assert_allclose(total, parts["prob/bce"] + 0.2 * parts["dist/mae"], rtol=1e-6)
    other, _ = plain.loss(side, targets)
    supervised = representations.create("stardist", n_rays=8, loss={"side_weight": 0.5})
    both, named = supervised.loss({**maps, "side": {k: [m] for k, m in side.items()}}, targets)
    np.testing.assert_allclose(both, total + 0.5 * other, rtol=1e-6)
    np.testing.assert_allclose(named["side"], 0.5 * other, rtol=1e-6)
    assert {k: named[k] for k in parts} == parts
    heavy = representations.create(
        "stardist", n_rays=8, loss={"prob_weight": 3.0, "dist_weight": 0.5}
    )
    weighted, same = heavy.loss(maps, targets)
    expected = 3 * parts["prob/bce"] + 0.5 * parts["dist/mae"]
    np.testing.assert_allclose(weighted, expected, rtol=1e-6)
    assert same == parts


@pytest.mark.parametrize("broken", ["prob", "dist"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_no_numbers_are_refused(broken, value):
    representation = representations.create("stardist")
    maps = {m: np.zeros((5, 6, c), np.float32) for m, c in representation.outputs.items()}
    maps[broken][2, 3, 0] = value
    with pytest.raises(ValueError, match=rf"map '{broken}' holds \d NaN and \d infinite numbers"):
        representation.decode(maps)


def test_maps_of_other_rays_are_refused():
    maps = {"prob": np.zeros((5, 6, 1)), "dist": np.zeros((5, 6, 16))}
    with pytest.raises(ValueError, match=r"map 'dist' must be \(H, W, 32\), got shape \(5, 6, 16"):
        representations.create("stardist").decode(maps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_rays": 2}, "n_rays=2 make no polygon; at least 3"),
        ({"grid": 3}, "grid=3; known: 1, 2, 4"),
        ({"loss": {"name": "l1"}}, "loss of stardist 'l1'; known: mae, mse"),
        ({"decoder": {"prob_thresh": 1.5}}, r"prob_thresh 1.5 is not within \[0, 1\]"),
        ({"decoder": {"nms_thresh": -1}}, r"nms_thresh -1 is not within \[0, 1\]"),
        ({"rays": 32}, "did you mean 'n_rays'"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        representations.create("stardist", **arguments)


def test_encoding_and_decoding_do_not_import_jax():
    code = (
        "import sys, numpy as np; from jaxnuc import representations as r\n"
        "s = r.create('stardist'); s.decode(s.encode(np.eye(8, dtype=np.int32)))\n"
        "assert not {'jax', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_image_is_overfitted():
    instances = discs((12, 13, 9), (12, 36, 10), (33, 15, 10), (34, 37, 8), shape=(46, 50))
    noise = np.random.default_rng(0).integers(-20, 20, (46, 50, 3))
    image = (np.where(instances, 170, 60)[..., None] + noise).astype(np.uint8)[None]

    representation = representations.create("stardist")
    model = models.create(
        "flexible_unet", representation.outputs, variant="small", layers=3, base_filters=8
    )
    rate = optax.cosine_decay_schedule(2e-2, 300)
    optimizer = optim.make({"name": "adam", "learning_rate": 2e-2}, rate, TrainingLength(300))
    current = state.create(model, optimizer, seed=0)
    targets = {name: m[None] for name, m in representation.encode(instances).items()}
    step = jax.jit(make_train_step(model, representation, optimizer), donate_argnums=0)
    for _ in range(300):
        current, _ = step(current, {"image": image, "targets": targets}, jax.random.key(0))

    apply = jax.jit(lambda v, x: model.apply(v, as_input(x), train=False))
    maps = {name: np.asarray(m[0]) for name, m in apply(current.variables(), image).items()}
    assert metrics.score(instances, representation.decode(maps).instances).pq > 0.9
