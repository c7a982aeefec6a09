import math

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.metrics.panoptic import pooled_pq
from jaxnuc.metrics.protocols.conic import conic_counts, conic_scores
from jaxnuc.metrics.protocols.monusac import (
    CLASSES,
    monusac_challenge_pq,
    monusac_challenge_scores,
    monusac_counts,
)
from jaxnuc.metrics.protocols.pannuke import merged_channels, pannuke_counts, pannuke_scores


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


def test_pannuke_takes_whole_floats_and_five_channels(pannuke):
    arrays, _, counts = pannuke
    truth, prediction = arrays["pannuke__gt"][8], arrays["pannuke__pred"][8]
    found = pannuke_counts(truth.astype(np.float64), prediction[..., :5])
    for part, expected in zip(found, counts[8], strict=True):
        np.testing.assert_array_equal(np.stack(part), np.stack(expected))


def test_pannuke_punishes_false_positives_of_absent_classes_if_told_to(pannuke):
    arrays, _, counts = pannuke
    skip = pannuke_scores(counts, arrays["pannuke__tissue"])
    punish = pannuke_scores(counts, arrays["pannuke__tissue"], absent="punish")
    for image, (by_class, binary) in enumerate(counts):
        for k in range(5):
            tp, fp, fn, iou_sum = (part[k] for part in by_class)
            if tp + fn:
                assert punish.image_pq[image, k] == skip.image_pq[image, k]
                assert skip.image_pq[image, k] == pytest.approx(iou_sum / (tp + fp / 2 + fn / 2))
            else:
                assert math.isnan(skip.image_pq[image, k])
                assert (
                    (punish.image_pq[image, k] == 0)
                    if fp
                    else math.isnan(punish.image_pq[image, k])
                )
        assert math.isnan(punish.image_bpq[image]) == (sum(part[0] for part in binary[:3]) == 0)
    assert punish.mpq < skip.mpq


def test_pannuke_without_anything_to_score():
    nothing = np.zeros((8, 8, 6), np.uint16)
    scores = pannuke_scores([pannuke_counts(nothing, nothing)], ["Skin"])
    assert math.isnan(scores.mpq)
    assert math.isnan(scores.tissue_bpq["Skin"])


def test_pannuke_refuses_what_it_cannot_read():
    masks = np.zeros((4, 4, 6))
    with pytest.raises(ValueError, match=r"prediction must be .* got shape \(4, 4, 4\)"):
        pannuke_counts(masks, masks[..., :4])
    with pytest.raises(ValueError, match="truth holds ids that are no whole numbers"):
        pannuke_counts(masks + 0.5, masks)
    with pytest.raises(ValueError, match="truth holds ids that are no whole numbers"):
        pannuke_counts(np.full_like(masks, np.nan), masks)
    with pytest.raises(ValueError, match="1 tissues for 2 images"):
        pannuke_scores(2 * [pannuke_counts(masks, masks)], ["Skin"])
    with pytest.raises(ValueError, match="rule for absent classes 'ignore'"):
        pannuke_scores([pannuke_counts(masks, masks)], ["Skin"], absent="ignore")


# --- CoNIC


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


def test_conic_refuses_what_it_cannot_read():
    labels = np.zeros((4, 4, 2), np.uint8)
    with pytest.raises(ValueError, match=r"prediction must be \(H, W, 2\), got shape \(4, 4\)"):
        conic_counts(labels, labels[..., 0])
    with pytest.raises(ValueError, match="classes reach from 7 to 7"):
        conic_counts(labels, labels + 7)
    with pytest.raises(ValueError, match="no counts"):
        conic_scores([])


# --- MoNuSAC


def random_monusac(seed):
    rng = np.random.default_rng(seed)
    shape = (24, 27)
    truth, prediction = {}, {}
    for name in CLASSES:
        blocks = np.kron(rng.integers(0, 30, (6, 7)) % 12, np.ones((4, 4), int))[:, :27]
        if rng.random() < 0.8:
            truth[name] = blocks
        if rng.random() < 0.8:
            moved = np.roll(blocks, rng.integers(0, 2, 2), (0, 1))
            masked = rng.random() < 0.3
            prediction[name] = (moved > 6).astype(np.uint8) if masked else moved
    ambiguous = np.zeros(shape, bool)
    ambiguous[4:17, 9:21] = rng.random() < 0.8
    return truth, prediction, ambiguous


@pytest.mark.parametrize("seed", range(20))
def test_monusac_challenge_rules(seed):
    truth, prediction, ambiguous = random_monusac(seed)
    expected = {}
    for name in CLASSES:
        if name not in truth or not truth[name].any():
            continue  # false positives of an absent class go unpunished
        if name not in prediction:
            expected[name] = 0.0
            continue
        predicted = prediction[name].copy()
        if predicted.max() == 1:
            predicted = ndimage.label(predicted, np.ones((3, 3)))[0]
        predicted[ambiguous] = 0
        tp, fp, fn, iou_sum = slow_pq(truth[name], predicted)
        expected[name] = iou_sum / (tp + fp / 2 + fn / 2)
    assert monusac_challenge_pq(truth, prediction, ambiguous) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_monusac_corrected_rules(seed):
    truth, prediction, ambiguous = random_monusac(seed)
    counts = monusac_counts(truth, prediction, ambiguous)
    nothing = np.zeros(ambiguous.shape, int)
    for k, name in enumerate(CLASSES):
        true = np.where(ambiguous, 0, truth.get(name, nothing))
        whole = prediction.get(name, nothing)
        predicted = np.where(ambiguous, 0, whole)
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
        assert [int(part[k]) for part in counts[:3]] == [tp, fp, fn], name
        assert counts.iou_sum[k] == pytest.approx(iou_sum)


def test_monusac_forms_differ_where_they_are_said_to():
    truth = {"Epithelial": np.array([[1, 1, 0, 0, 0, 0]])}
    prediction = {
        "Epithelial": np.array([[3, 3, 0, 0, 0, 0]]),
        "Neutrophil": np.array([[0, 0, 0, 4, 4, 4]]),
    }
    assert monusac_challenge_pq(truth, prediction) == {"Epithelial": 1.0}
    corrected = pooled_pq([monusac_counts(truth, prediction)])
    np.testing.assert_array_equal(corrected.pq, [1, np.nan, np.nan, 0])
    # A remainder outside of the ambiguous region is a false positive in the challenge only.
    ambiguous = np.array([[0, 0, 0, 1, 1, 0]])
    prediction = {"Epithelial": np.array([[3, 3, 0, 4, 4, 4]])}
    assert monusac_challenge_pq(truth, prediction, ambiguous) == {"Epithelial": 1 / 1.5}
    assert pooled_pq([monusac_counts(truth, prediction, ambiguous)]).pq[0] == 1


def test_monusac_means():
    images = [{"Epithelial": 0.5, "Lymphocyte": 1.0}, {"Epithelial": 0.0}, {}]
    scores = monusac_challenge_scores(images)
    np.testing.assert_array_equal(scores.class_pq, [0.25, 1, np.nan, np.nan])
    assert (scores.mean_over_classes, scores.mean_over_images) == (0.625, 0.375)
    with pytest.raises(ValueError, match="no scores to average"):
        monusac_challenge_scores([])


def test_monusac_images_without_anything():
    assert monusac_challenge_pq({}, {}) == {}
    assert monusac_challenge_pq({"Neutrophil": np.zeros((3, 3), int)}, {}) == {}
    assert np.stack(monusac_counts({}, {})).sum() == 0


def test_monusac_refuses_unknown_classes_and_unequal_sizes():
    labels = np.ones((3, 4), np.uint8)
    for function in (monusac_challenge_pq, monusac_counts):
        with pytest.raises(ValueError, match="class of MoNuSAC 'Ambiguous'"):
            function({"Ambiguous": labels}, {})
        with pytest.raises(ValueError, match=r"\(3, 4\), prediction \(4, 3\)"):
            function({"Neutrophil": labels}, {"Neutrophil": labels.T})
        with pytest.raises(ValueError, match=r"ambiguous has shape \(4, 3\), the label maps \(3"):
            function({"Neutrophil": labels}, {"Neutrophil": labels}, labels.T)


def test_monusac_takes_ids_of_64_bits():
    truth = np.zeros((8, 8), int)
    truth[:4, :4], truth[5:, 5:] = 1, 2
    large = np.where(truth > 0, np.uint64(2**64 - 1) - truth.astype(np.uint64), np.uint64(0))
    counts = monusac_counts({"Epithelial": large}, {"Epithelial": large}, truth == 2)
    assert [part[0] for part in counts] == [1, 0, 0, 1.0]
