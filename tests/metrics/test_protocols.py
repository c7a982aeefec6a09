import math

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.metrics.class_counts import ClassCounts, binary_counts, class_counts
from jaxnuc.metrics.panoptic import pooled_pq
from jaxnuc.metrics.protocols.conic import conic_scores
from jaxnuc.metrics.protocols.monusac import Protocol, challenge_pq, corrected_counts
from jaxnuc.metrics.protocols.pannuke import pannuke_scores
from jaxnuc.postprocess.regions import relabel


def slow_pq(truth, prediction):
    """(TP, FP, FN, sum of IoU) by masks."""
    true = [truth == i for i in np.unique(truth) if i]
    predicted = [prediction == i for i in np.unique(prediction) if i]
    ious = [(a & b).sum() / (a | b).sum() for a in true for b in predicted]
    matched = [iou for iou in ious if iou > 0.5]
    return len(matched), len(predicted) - len(matched), len(true) - len(matched), sum(matched)


def numbers(values):
    return np.array([[float(v) for v in row] for row in values])


# --- PanNuke


def merged_channels(masks):
    """One map of the five class channels of `masks.npy`; later channels overwrite earlier ones."""
    merged, n = np.zeros(masks.shape[:2], np.int32), 0
    for channel in np.moveaxis(masks[..., :5], -1, 0):
        ids = relabel(channel)
        merged = np.where(ids > 0, ids + n, merged)
        n += int(ids.max(initial=0))
    return merged


def pannuke_counts(truth, prediction):
    """The counts of the 5 classes, each in its own channel, and those of all nuclei in one map."""
    channels = [binary_counts(truth[..., k], prediction[..., k]) for k in range(5)]
    counts = ClassCounts(*map(np.concatenate, zip(*channels, strict=True)))
    return counts, binary_counts(merged_channels(truth), merged_channels(prediction))


@pytest.fixture
def pannuke(golden):
    arrays, values = golden("metrics")
    truth, prediction = arrays["pannuke__gt"], arrays["pannuke__pred"]
    counts = [pannuke_counts(t, p) for t, p in zip(truth, prediction, strict=True)]
    return arrays, values["pannuke"], counts


def test_pannuke_reproduces_the_reference(pannuke):
    arrays, expected, counts = pannuke
    scores = pannuke_scores(counts, arrays["pannuke__tissue"])
    images = expected["per_image"]
    tolerance = {"rtol": 1e-6, "atol": 1e-12}
    assert [image["tissue"] for image in images] == arrays["pannuke__tissue"].tolist()
    per_class = numbers([image["pq_per_class"] for image in images])
    np.testing.assert_allclose(scores.image_pq, per_class, **tolerance)
    tp = np.array([by_class.tp for by_class, _ in counts])
    as_divided = scores.image_pq * tp / (tp + 1e-6)
    np.testing.assert_allclose(as_divided, per_class, rtol=1e-12)
    binary = [float(image["bpq"]) for image in images]
    np.testing.assert_allclose(scores.image_bpq, binary, **tolerance)
    summary = expected["summary"]
    of_classes = [summary[f"class_{k}_pq"] for k in range(5)]
    np.testing.assert_allclose(scores.class_pq, of_classes, **tolerance)
    for tissue, figures in summary["tissue"].items():
        np.testing.assert_allclose(scores.tissue_mpq[tissue], figures["mpq"], **tolerance)
        np.testing.assert_allclose(scores.tissue_bpq[tissue], figures["bpq"], **tolerance)
    assert list(scores.tissue_mpq) == sorted(summary["tissue"])
    np.testing.assert_allclose(
        [scores.mpq, scores.bpq], [summary["mPQ"], summary["bPQ"]], **tolerance
    )


def test_pannuke_merges_channels_like_the_reference(pannuke):
    arrays, _, _ = pannuke
    for side in ("gt", "pred"):
        merged = merged_channels(arrays[f"pannuke__{side}"][8])
        np.testing.assert_array_equal(merged, arrays[f"pannuke__binarized_{side}_last"])


def test_pannuke_skips_classes_that_the_truth_lacks(pannuke):
    arrays, _, counts = pannuke
    scores = pannuke_scores(counts, arrays["pannuke__tissue"])
    for image, (by_class, _) in enumerate(counts):
        for k in range(5):
            tp, fp, fn, iou_sum = (part[k] for part in by_class)
            if tp + fn:
                expected = pytest.approx(iou_sum / (tp + fp / 2 + fn / 2))
                assert scores.image_pq[image, k] == expected
            else:
                assert math.isnan(scores.image_pq[image, k])


def test_pannuke_without_anything_to_score():
    nothing = np.zeros((8, 8, 6), np.uint16)
    scores = pannuke_scores([pannuke_counts(nothing, nothing)], ["Skin"])
    assert math.isnan(scores.mpq)
    assert math.isnan(scores.tissue_bpq["Skin"])


def test_pannuke_refuses_other_numbers_of_tissues():
    masks = np.zeros((4, 4, 6), int)
    with pytest.raises(ValueError, match="1 tissues for 2 images"):
        pannuke_scores(2 * [pannuke_counts(masks, masks)], ["Skin"])


# --- CoNIC


def conic_counts(truth, prediction):
    """The counts of the 6 classes of `labels.npy`, (H, W, 2) ids and classes, and of all in one."""
    (ids, classes), (found, found_classes) = (np.moveaxis(x, -1, 0) for x in (truth, prediction))
    return class_counts(ids, found, classes, found_classes, 6), binary_counts(ids, found)


def test_conic_reproduces_the_reference(golden):
    arrays, values = golden("metrics")
    expected = values["conic"]
    counts = [
        conic_counts(t, p) for t, p in zip(arrays["conic__gt"], arrays["conic__pred"], strict=True)
    ]
    per_image = np.array([np.stack(by_class, axis=-1) for by_class, _ in counts])
    np.testing.assert_allclose(per_image, expected["per_image_tp_fp_fn_iousum"], rtol=1e-12)
    np.testing.assert_allclose(per_image.sum(axis=0), expected["totals"], rtol=1e-12)
    scores = conic_scores(iter(counts))
    np.testing.assert_allclose(scores.class_pq, expected["pq_plus_per_class"], rtol=1e-6)
    np.testing.assert_allclose(scores.mpq_plus, expected["mpq_plus"], rtol=1e-6)
    np.testing.assert_allclose(scores.image_bpq, expected["bpq_per_image"], rtol=1e-6)
    np.testing.assert_allclose(scores.bpq, expected["bpq_mean"], rtol=1e-6)

    skipping = conic_scores(counts, empty="skip")  # image 4 has nothing on both sides
    assert skipping.bpq == pytest.approx(scores.bpq * 6 / 5)


def test_conic_refuses_a_data_set_without_images():
    with pytest.raises(ValueError, match="no counts"):
        conic_scores([])


# --- MoNuSAC


def random_monusac(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = np.zeros((2, 24, 27), int)
    blocks = np.kron(rng.integers(0, 30, (6, 7)) % 12, np.ones((4, 4), int))[:, :27]
    if rng.random() < 0.8:
        truth = blocks
    if rng.random() < 0.8:
        moved = np.roll(blocks, rng.integers(0, 2, 2), (0, 1))
        prediction = (moved > 6).astype(np.uint8) if rng.random() < 0.3 else moved
    ambiguous = np.zeros(truth.shape, bool)
    ambiguous[4:17, 9:21] = rng.random() < 0.8
    return truth, prediction, ambiguous


@pytest.mark.parametrize("seed", range(80))
def test_monusac_challenge_rules(seed):
    truth, prediction, ambiguous = random_monusac(seed)
    found = challenge_pq(truth, prediction, ambiguous)
    if not truth.any():  # false positives of an absent class go unpunished
        assert math.isnan(found)
        return
    predicted = prediction.copy()
    if predicted.max() == 1:
        predicted = ndimage.label(predicted, np.ones((3, 3)))[0]
    predicted[ambiguous] = 0
    tp, fp, fn, iou_sum = slow_pq(truth, predicted)
    assert found == pytest.approx(iou_sum / (tp + fp / 2 + fn / 2))


@pytest.mark.parametrize("seed", range(80))
def test_monusac_corrected_rules(seed):
    truth, whole, ambiguous = random_monusac(seed)
    counts = corrected_counts(truth, whole, ambiguous)
    true, predicted = np.where(ambiguous, 0, truth), np.where(ambiguous, 0, whole)
    tp, fp, fn, iou_sum = slow_pq(true, predicted)
    matched = {
        j
        for i in np.unique(true[true > 0])
        for j in np.unique(predicted[predicted > 0])
        if ((true == i) & (predicted == j)).sum() > ((true == i) | (predicted == j)).sum() / 2
    }
    for j in np.unique(whole[whole > 0]):
        inside = ambiguous[whole == j].mean()
        # A prediction all inside is gone already; one mostly inside is left out as well.
        fp -= j not in matched and 0.5 < inside < 1
    assert [int(part[0]) for part in counts[:3]] == [tp, fp, fn]
    assert counts.iou_sum[0] == pytest.approx(iou_sum)


def test_monusac_forms_differ_where_they_are_said_to():
    truth, nothing = np.array([[1, 1, 0, 0, 0, 0]]), np.zeros((1, 6), int)
    # False positives of a class that the truth lacks count by the corrected rules only.
    false = np.array([[0, 0, 0, 4, 4, 4]])
    assert math.isnan(challenge_pq(nothing, false, nothing > 0))
    assert pooled_pq([corrected_counts(nothing, false, nothing > 0)])[0] == 0
    assert np.isnan(pooled_pq([corrected_counts(nothing, nothing, nothing > 0)])[0])
    # A remainder outside of the ambiguous region is a false positive in the challenge only.
    ambiguous = np.array([[0, 0, 0, 1, 1, 0]], bool)
    prediction = np.array([[3, 3, 0, 4, 4, 4]])
    assert challenge_pq(truth, prediction, ambiguous) == 1 / 1.5
    assert pooled_pq([corrected_counts(truth, prediction, ambiguous)])[0] == 1


def test_monusac_means():
    nan = np.nan
    nothing = ClassCounts(*np.zeros((4, 2)))
    states = [([0.5, 1.0], nothing), ([0.0, nan], nothing), ([nan, nan], nothing)]
    figures = {f.name: f.value for f in Protocol().figures(states, ("a", "b"))}
    assert (figures["challenge_pq/a"], figures["challenge_pq/b"]) == (0.25, 1)
    assert (figures["challenge_pq"], figures["challenge_pq_images"]) == (0.625, 0.375)


def test_monusac_takes_ids_of_64_bits():
    truth = np.zeros((8, 8), int)
    truth[:4, :4], truth[5:, 5:] = 1, 2
    large = np.where(truth > 0, np.uint64(2**64 - 1) - truth.astype(np.uint64), np.uint64(0))
    counts = corrected_counts(large, large, truth == 2)
    assert [part[0] for part in counts] == [1, 0, 0, 1.0]
