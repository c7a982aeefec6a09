"""Distances against their definition, and nuclei from them."""

import jax
import numpy as np
import pytest

from jaxnuc import representations
from jaxnuc.data.synthetic import generate
from jaxnuc.metrics import score
from jaxnuc.representations.distance import chessboard_distance


def literally(labels, of):
    outside = labels[:, :, None, None] != labels if of == "instance" else labels == 0
    rows, cols = np.indices(labels.shape)
    steps = np.maximum(abs(rows[:, :, None, None] - rows), abs(cols[:, :, None, None] - cols))
    nearest = np.where(outside, steps, 99).min(axis=(2, 3))
    return np.where(labels > 0, nearest, 0)


@pytest.mark.parametrize("of", ["instance", "foreground"])
def test_distances_equal_their_definition(of):
    labels = np.zeros((20, 24), np.int32)
    labels[3:14, 2:11], labels[3:12, 11:19], labels[16:, 18:] = 3, 1, 2
    labels[6, 6], labels[18, 2], labels[19, 3] = 0, 5, 6
    for each in (labels, generate(2, size=32).instances, labels[:1], labels[:, 5:6]):
        found = chessboard_distance(each, of)
        np.testing.assert_array_equal(found, literally(each, of))
        assert found.dtype == np.float32


def test_around_a_nucleus_that_fills_the_image_is_outside():
    expected = [[1, 1, 1, 1], [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(chessboard_distance(np.full((4, 4), 7)), expected)
    two = np.repeat([[1, 2]], 4, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(chessboard_distance(two, "foreground"), expected)
    np.testing.assert_array_equal(chessboard_distance(two), [[2, 1, 1, 2]] * 4)
    np.testing.assert_array_equal(chessboard_distance(np.ones((1, 1), int)), [[1]])
    np.testing.assert_array_equal(chessboard_distance(np.zeros((2, 3), int)), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("arguments", "least"),
    [({}, 0.85), ({"decoder": {"lines": False}}, 0.95), ({"of": "foreground"}, 0.8)],
)
def test_decodes_what_it_encodes(arguments, least):
    representation = representations.create("distance", **arguments)
    for seed in (1, 2, 3):
        sample = generate(seed, size=192)
        found = representation.decode(representation.encode(sample.instances))
        assert score(sample.instances, found.instances).pq > least
        assert len(found.scores) == found.instances.max()


def test_touching_nuclei_come_back_without_lines():
    labels = np.zeros((15, 30), np.int32)
    labels[2:13, 3:14], labels[2:13, 14:27] = 1, 2
    apart = representations.create("distance", decoder={"lines": False})
    np.testing.assert_array_equal(apart.decode(apart.encode(labels)).instances, labels)
    together = representations.create("distance", of="foreground")
    assert together.decode(together.encode(labels)).instances.max() == 1


def test_arguments_reach_the_decoding():
    maps = {"distance": np.array([1, 2, 3, 2, 1, 2, 1, 0, 0.4], np.float32)[None, :, None]}

    def found(**arguments):
        decoder = {"lines": False, **arguments}
        return representations.create("distance", decoder=decoder).decode(maps)

    np.testing.assert_array_equal(found().instances, [[1, 1, 1, 1, 2, 2, 2, 0, 0]])
    assert found(depth=1).instances.max() == 1
    assert found(min_size=4).instances.max() == 1
    assert found(threshold=1.5).instances.tolist() == [[0, 1, 1, 1, 0, 2, 0, 0, 0]]
    lines = representations.create("distance").decode(maps).instances
    np.testing.assert_array_equal(lines, [[1, 1, 1, 0, 0, 2, 2, 0, 0]])


def test_a_score_is_the_mean_distance_up_to_1():
    maps = {"distance": np.array([0.6, 0.8, 3, 0.6, 0, 2], np.float32)[None, :, None]}
    found = representations.create("distance", decoder={"threshold": 0.5}).decode(maps)
    np.testing.assert_allclose(found.scores, [0.75, 1], rtol=1e-6)


def test_the_loss_is_the_mean_squared_error():
    representation = representations.create("distance", loss={"side_weight": 0.5})
    labels = np.zeros((1, 9, 12), np.int32)
    labels[0, 2:8, 3:9] = 1
    targets = {k: v[None] for k, v in representation.encode(labels[0]).items()}
    rng = np.random.default_rng(0)
    near, side = rng.normal(0, 2, (2, 1, 9, 12, 1)).astype(np.float32)
    maps = {"distance": near, "side": {"distance": [side]}}
    loss, parts = representation.loss(maps, targets, None, {"side": 0.2})
    mse = ((near - targets["distance"]) ** 2).mean()
    np.testing.assert_allclose(parts["distance/mse"], mse, rtol=1e-6)
    of_side = 0.1 * ((side - targets["distance"]) ** 2).mean()
    np.testing.assert_allclose(parts["side"], of_side, rtol=1e-6)
    np.testing.assert_allclose(loss, mse + of_side, rtol=1e-6)


def test_ignored_pixels_do_not_count():
    representation = representations.create("distance")
    labels = np.zeros((8, 10), np.int32)
    labels[2:6, 1:9] = 1
    ignore = np.zeros(labels.shape, bool)
    ignore[:, 5:] = True
    targets = {k: v[None] for k, v in representation.encode(labels, None, ignore).items()}
    distance = np.random.default_rng(0).normal(0, 2, (1, 8, 10, 1)).astype(np.float32)

    def loss(distance):
        return representation.loss({"distance": distance}, targets)[0]

    value, gradient = jax.value_and_grad(loss)(distance)
    expected = ((distance - targets["distance"])[:, :, :5] ** 2).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert np.abs(gradient[:, :, :5]).min() > 0
    assert not np.abs(gradient[:, :, 5:]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"of": "nucleus"}, "of='nucleus'; known: instance, foreground"),
        ({"decoder": {"threshold": -1.0}}, "threshold -1.0 is negative"),
        ({"decoder": {"depth": 0.5}}, "must be int, got 0.5"),
        ({"decoder": {"deep": 1}}, "did you mean 'depth'"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        representations.create("distance", **arguments)


def test_maps_that_are_no_numbers_are_refused():
    maps = {"distance": np.full((4, 5, 1), np.nan)}
    with pytest.raises(ValueError, match="map 'distance' holds 20 NaN"):
        representations.create("distance").decode(maps)
