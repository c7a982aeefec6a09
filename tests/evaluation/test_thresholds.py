"""Chosen thresholds against every one of a grid, decoded and scored by itself."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, special

from jaxnuc import representations
from jaxnuc.evaluation.thresholds import _gains, optimize_thresholds
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.detection import aggregate_detections, detections
from jaxnuc.metrics.matching import pairs_above
from jaxnuc.representations import stardist

NMS = (0.3, 0.4, 0.5)
IOUS = (0.3, 0.5, 0.7)


def logits(probability):
    return special.logit(np.clip(probability, 1e-4, 1 - 1e-4)).astype(np.float32)


def discs(seed, shape=(63, 70), n=9):
    """Nuclei of 80 to 250 pixels, of which the later ones cover the earlier ones."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for i in range(1, n + 1):
        row, col, radius = rng.uniform(8, shape[0] - 8), rng.uniform(8, shape[1] - 8), 5 + i % 4
        labels[np.hypot(rows - row, cols - col) <= radius] = i
    return labels


def perfect(representation, n=3):
    for seed in range(n):
        truth = discs(seed)
        targets = representation.encode(truth)
        yield {"prob": logits(targets["prob"]), "dist": targets["dist"]}, truth


def noisy(representation, n=3):
    """Every third nucleus is none, and most of these are fainter; outlines are ragged."""
    rng = np.random.default_rng(0)
    for maps, truth in perfect(representation, n):
        h, w, _ = maps["prob"].shape
        on_grid = truth[:: representation.grid, :: representation.grid]
        ids = np.arange(truth.max() + 1)
        height = rng.uniform(0.6, 0.9, len(ids)) - 0.2 * (ids % 3 == 0)
        noise = ndimage.gaussian_filter(rng.normal(0, 1, (h, w)), 2) / 0.14
        probability = height[on_grid] * special.expit(maps["prob"][..., 0]) + 0.04 * noise
        ragged = np.exp(ndimage.gaussian_filter(rng.normal(0, 0.5, maps["dist"].shape), (1, 1, 0)))
        dist = (maps["dist"] + np.where(maps["dist"] > 0, 0, 4)) * ragged
        yield {"prob": logits(probability[..., None]), "dist": dist}, np.where(truth % 3, truth, 0)


def figure(pairs, representation):
    images = [
        detections(
            contingency_table(truth, representation.decode(maps, truth.shape).instances), IOUS
        )
        for maps, truth in pairs
    ]
    return np.mean([found.accuracy for found in aggregate_detections(images, empty="zero")])


def of_grid(pairs, representation, number=50):
    highest = max(special.expit(maps["prob"]).max() for maps, _ in pairs)
    return {
        (t, nms): figure(
            pairs, representation.with_thresholds({"prob_thresh": t, "nms_thresh": nms})
        )
        for t in np.linspace(highest / 2, highest, number).tolist()
        for nms in NMS
    }


@pytest.mark.parametrize(
    ("images", "arguments"),
    [(perfect, {}), (noisy, {}), (noisy, {"grid": 2, "decoder": {"min_size": 60}})],
)
def test_no_threshold_of_a_grid_is_better(images, arguments):
    representation = representations.create("stardist", n_rays=16, **arguments)
    pairs = list(images(representation))
    found = optimize_thresholds(iter(pairs), representation)
    chosen = representation.with_thresholds(found.thresholds)
    np.testing.assert_allclose(figure(pairs, chosen), found.figure, rtol=1e-12)
    grid = of_grid(pairs, representation)
    assert found.figure >= max(grid.values()) > 0
    if images is noisy:
        assert found.figure > min(grid.values()) + 0.2  # it matters which
        assert found.figure > figure(pairs, representation)
        assert 0.6 < found.figure < 0.95
    else:
        assert found.figure > 0.9


def test_the_suppression_is_chosen_as_well():
    """Two nuclei that share 39 % are both true."""
    prob, dist = np.zeros((40, 48, 1)), np.full((40, 48, 32), 8.0)
    prob[14, 16], prob[14, 24], prob[26, 38] = 0.9, 0.8, 0.3
    maps = {"prob": logits(prob), "dist": dist}
    representation = representations.create("stardist", decoder={"nms_thresh": 0.5})
    truth = representation.decode(maps).instances
    found = optimize_thresholds([(maps, truth)], representation)
    assert found.figure == 1
    assert found.thresholds["nms_thresh"] == 0.4  # the first one that parts them
    assert 0.45 <= found.thresholds["prob_thresh"] < 0.8
    low = optimize_thresholds(
        [(maps, truth)], representation, choices={"nms_thresh": (0.1, 0.2, 0.3)}
    )
    assert low == ({"prob_thresh": pytest.approx(0.675, abs=1e-3), "nms_thresh": 0.1}, 0.5)


def test_what_no_threshold_can_part_or_reach():
    representation = representations.create("stardist")

    def image(*scores):
        prob, dist = np.zeros((40, 80, 1)), np.full((40, 80, 32), 6.0)
        prob[20, 12 : 12 + 20 * len(scores) : 20, 0] = scores
        return {"prob": logits(prob), "dist": dist}

    lowest = representation.with_thresholds({"prob_thresh": 0.1})
    # The first of two equal scores is true, the second is not.
    maps = image(0.9, 0.9)
    truth = lowest.decode(maps).instances == 1
    assert optimize_thresholds([(maps, truth)], representation).figure == 0.5
    # 0.4 would be right for the first image, but is below half the highest probability of the set.
    pairs = [(maps, lowest.decode(maps).instances) for maps in (image(0.5, 0.4), image(0.9))]
    for some in (pairs, pairs[::-1]):
        found = optimize_thresholds(some, representation)
        np.testing.assert_allclose(found.figure, 2 / 3)
        np.testing.assert_allclose(found.thresholds["prob_thresh"], 0.475, atol=1e-6)


def test_thresholds_that_change_nuclei_are_searched():
    """The refined shape of a nucleus depends on what is suppressed, and thus on the threshold."""
    calls = []

    class Counted(stardist.Representation):
        def decode(self, maps, shape=None):
            calls.append(tuple(self.thresholds.values()))
            return super().decode(maps, shape)

    representation = Counted(n_rays=16, decoder=stardist.Suppression(refine=True))
    assert not representation.filters_by_score
    pairs = list(noisy(representation))
    found = optimize_thresholds(pairs, representation)
    searched = list(calls)
    assert 3 <= len(set(searched)) <= 60
    assert len(searched) == len(pairs) * len(set(searched))
    highest = max(special.expit(maps["prob"]).max() for maps, _ in pairs)
    assert all(highest / 2 <= t <= highest for t, _ in searched)
    chosen = representation.with_thresholds(found.thresholds)
    np.testing.assert_allclose(figure(pairs, chosen), found.figure, rtol=1e-12)
    every = [
        figure(pairs, representation.with_thresholds({"prob_thresh": t, "nms_thresh": nms}))
        for t, nms in set(searched)
    ]
    assert found.figure == max(every)
    grid = sorted(of_grid(pairs, representation, 12).values())
    assert found.figure > grid[-1] - 0.03  # accuracy has many peaks
    assert found.figure > np.median(grid)


def test_all_combinations_of_the_values_that_a_decoder_names():
    labels = np.zeros((20, 60), np.int32)
    labels[4:14, 4:14], labels[4:14, 24:34], labels[4:14, 44:54] = 1, 2, 3
    probability = np.where(labels, 0.8, 0.1)
    probability[8:10, 14:24] = probability[8:10, 34:44] = 0.6  # bridges
    probability[17:19] = 0.5
    maps = {"mask": special.logit(probability)[..., None]}
    representation = representations.create("binary")
    assert len(representation.decode(maps).scores) == 1
    found = optimize_thresholds([(maps, labels)], representation)
    assert found == ({"threshold": 0.6}, 1.0)  # the first that parts them
    given = {"threshold": (0.2, 0.7)}
    assert (
        optimize_thresholds([(maps, labels)], representation, choices=given)[0]["threshold"] == 0.7
    )
    necks = representations.create("binary", decoder={"name": "necks", "neck": 0.1})
    values = {"threshold": (0.55, 0.9), "neck": (0.1, 0.8)}
    found = optimize_thresholds([(maps, labels)], necks, choices=values)
    assert found.thresholds == {"threshold": 0.55, "neck": 0.8}  # 0.9 leaves nothing
    assert figure([(maps, labels)], necks.with_thresholds(found.thresholds)) == found.figure > 0.9
    wrapped = representations.Wrapper(necks)
    assert optimize_thresholds([(maps, labels)], wrapped, choices=values) == found


labels = st.integers(0, 2**32).map(
    lambda seed: np.random.default_rng(seed).integers(0, 5, (2, 4, 5))
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(labels, st.sampled_from([0.1, 0.2, 0.3, 0.5]), st.integers(0, 100))
def test_gains_add_up_to_the_largest_match(maps, iou, seed):
    truth, prediction = maps
    table = contingency_table(truth, prediction)
    order = np.random.default_rng(seed).permutation(len(table.prediction_ids))
    gains = _gains(table, order, iou)
    for number in range(len(order) + 1):
        kept = np.isin(prediction, table.prediction_ids[order[:number]])
        left = contingency_table(truth, np.where(kept, prediction, 0))
        pairs = pairs_above(left, iou, inclusive=True, matching="count")
        assert gains[:number].sum() == len(pairs)


def test_images_are_read_one_by_one_and_their_order_does_not_matter():
    events = []

    class Noted(stardist.Representation):
        def decode(self, maps, shape=None):
            events.append("decode")
            return super().decode(maps, shape)

    representation = Noted(n_rays=8)
    pairs = list(noisy(representation, 3))

    def one_by_one():
        for pair in pairs:
            events.append("read")
            yield pair

    found = optimize_thresholds(one_by_one(), representation)
    assert events == ["read", "decode", "decode", "decode"] * 3
    assert optimize_thresholds(pairs[::-1], representation) == found


def test_nothing_to_find():
    representation = representations.create(
        "stardist", n_rays=8, decoder={"prob_thresh": 0.6, "nms_thresh": 0.2}
    )
    maps = {"prob": np.full((20, 20, 1), -9.0), "dist": np.ones((20, 20, 8))}
    blank = np.zeros((20, 20), np.int32)
    refine = dataclasses.replace(representation.decoder, refine=True)
    for bridge in (representation, dataclasses.replace(representation, decoder=refine)):
        found = optimize_thresholds([(maps, blank)], bridge)
        assert found == ({"prob_thresh": 0.6, "nms_thresh": 0.2}, 0.0)
        with pytest.raises(ValueError, match="no images to choose thresholds by"):
            optimize_thresholds([], bridge)
    with pytest.raises(ValueError, match=r"the decoder .* names no thresholds"):
        optimize_thresholds([(maps, blank)], representations.create("distance"))
    with pytest.raises(ValueError, match="no values for nms_thresh; give at least one"):
        optimize_thresholds([(maps, blank)], representation, choices={"nms_thresh": ()})
    with pytest.raises(ValueError, match=r"unknown threshold of the decoder: 'nms'; .*nms_thresh"):
        optimize_thresholds([(maps, blank)], representation, choices={"nms": (0.1,)})
