"""Average precision against COCO's own evaluation."""

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxnuc.metrics.average_precision import COCO_THRESHOLDS, average_precision
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.overlapping import overlapping_table

SHAPE = (40, 50)


def _discs(rng, n):
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    r, c, size = rng.integers(0, 40, n), rng.integers(0, 50, n), rng.integers(1, 8, n)
    return (rows - r[:, None, None]) ** 2 + (cols - c[:, None, None]) ** 2 < size[
        :, None, None
    ] ** 2


def _data_set(rng, n_images=6, n_classes=3):
    """Overlapping discs, predicted with shifts, copies and inventions; many equal scores."""
    images = []
    for n in range(n_images):
        truth = _discs(rng, 0 if n == 4 else rng.integers(1, 25))
        shifted = [np.roll(m, rng.integers(-1, 2, 2), (0, 1)) for m in truth]
        again = [truth[i] for i in rng.integers(0, len(truth), 6)] if len(truth) else []
        prediction = np.array([*shifted, *again, *_discs(rng, 4)]).reshape(-1, *SHAPE)
        prediction = prediction[rng.permutation(len(prediction))]
        if n == 5:
            prediction = prediction[:0]
        classes = (
            rng.integers(0, n_classes, len(truth)),
            rng.integers(0, n_classes, len(prediction)),
        )
        images.append((truth, prediction, rng.integers(0, 12, len(prediction)) / 12, *classes))
    return images


def _coco(images, classes):
    """Runs COCO's evaluation; the figures as `average_precision` names them."""

    def encoded(mask):
        return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))

    truths, results = [], []
    for n, (truth, prediction, scores, of_truth, of_prediction) in enumerate(images):
        for mask, c in zip(truth, of_truth, strict=True):
            rle = encoded(mask)
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": n,
                    "category_id": int(c),
                    "segmentation": rle,
                    "area": float(coco_mask.area(rle)),
                    "iscrowd": 0,
                }
            )
        for mask, score, c in zip(prediction, scores, of_prediction, strict=True):
            result = {"image_id": n, "category_id": int(c), "score": float(score)}
            results.append(result | {"segmentation": encoded(mask)})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [
                {"id": n, "height": SHAPE[0], "width": SHAPE[1]} for n in range(len(images))
            ],
            "categories": [{"id": int(c)} for c in classes],
            "annotations": truths,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "segm")
        evaluation.params.maxDets = [10**6]
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = (
        np.where(evaluation.eval[name] < 0, np.nan, evaluation.eval[name])[..., 0, 0]
        for name in ("precision", "recall")
    )
    return precision.transpose(2, 0, 1), recall.T


def _tables(images):
    return [overlapping_table(truth, prediction) for truth, prediction, *_ in images]


def test_equals_coco_on_masks_that_overlap():
    for seed in range(3):
        images = _data_set(np.random.default_rng(seed))
        found = average_precision(
            _tables(images),
            [image[2] for image in images],
            truth_classes=[image[3] for image in images],
            prediction_classes=[image[4] for image in images],
        )
        precision, recall = _coco(images, found.classes)
        np.testing.assert_allclose(found.precision, precision, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.recall, recall, rtol=0, atol=1e-12)
        assert found.ap == pytest.approx(np.nanmean(precision), abs=1e-12)
        assert found.ar == pytest.approx(np.nanmean(recall), abs=1e-12)
        assert found.ap50 == pytest.approx(np.nanmean(precision[:, 0]), abs=1e-12)
        assert found.ap75 == pytest.approx(np.nanmean(precision[:, 5]), abs=1e-12)


def test_equals_coco_on_label_maps():
    rng = np.random.default_rng(3)
    images, tables = [], []
    for _ in range(4):
        truth = np.kron(rng.integers(0, 30, (8, 10)), np.ones((5, 5), int))
        prediction = np.roll(truth, 1, 0) * (rng.random(SHAPE) < 0.9)
        masks = [
            labels == np.setdiff1d(labels, [0])[:, None, None] for labels in (truth, prediction)
        ]
        tables.append(contingency_table(truth, prediction))
        images.append((*masks, rng.random(len(masks[1])), *(np.zeros(len(m), int) for m in masks)))
    found = average_precision(tables, [image[2] for image in images])
    precision, recall = _coco(images, [0])
    np.testing.assert_allclose(found.precision, precision, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.recall, recall, rtol=0, atol=1e-12)


def test_equals_coco_at_equal_ious_and_exact_thresholds():
    # Three copies and halves of one square: IoU 1/2 of both halves, 9/10 of a part of the other.
    truth = np.zeros((4, *SHAPE), bool)
    truth[0, :10, :2] = truth[1, :10, :2] = truth[2, :10, :1] = truth[3, 20:30, 20:21] = True
    prediction = np.zeros((4, *SHAPE), bool)
    prediction[0, :10, :1] = prediction[1, :10, 1:2] = prediction[2, :10, :2] = True
    prediction[3, 20:29, 20:21] = True
    for scores in np.random.default_rng(0).permuted(np.tile([0.1, 0.2, 0.2, 0.3], (20, 1)), axis=1):
        image = (truth, prediction, scores, np.zeros(4, int), np.zeros(4, int))
        found = average_precision(_tables([image]), [scores])
        np.testing.assert_allclose(found.precision, _coco([image], [0])[0], rtol=0, atol=1e-12)


def test_perfect_and_hopeless():
    truth = np.kron(np.arange(9).reshape(3, 3), np.ones((4, 4), int))
    table = contingency_table(truth, truth)
    found = average_precision([table], [np.linspace(0, 1, 8)])
    assert (found.ap, found.ap50, found.ap75, found.ar) == (1, 1, 1, 1)
    assert found.precision.shape == (1, len(COCO_THRESHOLDS), 101)
    away = contingency_table(truth, np.where(truth == 0, 5, 0))
    assert average_precision([away], [[0.5]]).ap == 0


def test_images_without_nuclei():
    nothing, one = np.zeros((3, 3), int), np.ones((3, 3), int)
    empty = contingency_table(nothing, nothing)
    assert math.isnan(average_precision([empty], [[]]).ap)
    assert average_precision([contingency_table(one, nothing)], [[]]).ap == 0
    false = contingency_table(nothing, one)
    assert math.isnan(average_precision([false], [[1]]).ap)
    # But it counts against the data set, where its score is the higher.
    both = [false, contingency_table(one, one)]
    assert average_precision(both, [[1], [0]]).ap == pytest.approx(0.5)
    assert average_precision(both, [[0], [1]]).ap == 1
    assert average_precision(both, [np.uint8([1]), np.uint8([0])]).ap == pytest.approx(0.5)


def test_a_flood_of_nuclei():
    truth = np.zeros((700, 1400), int)
    truth[::3, ::3] = np.arange(234 * 467).reshape(234, 467) + 1
    table = contingency_table(truth, truth[:, ::-1][:, ::-1])
    assert average_precision([table], [np.arange(len(table.prediction_ids))]).ap == 1


def test_mistakes_are_named():
    table = contingency_table(np.eye(3, dtype=int), np.eye(3, dtype=int))
    with pytest.raises(ValueError, match="scores of 2 images for 1 tables"):
        average_precision([table], [[1], [1]])
    with pytest.raises(ValueError, match=r"scores of image 0 have shape \(2,\) for 1 instances"):
        average_precision([table], [[1, 2]])
    with pytest.raises(ValueError, match="scores of image 0 hold a number that is not finite"):
        average_precision([table], [[math.nan]])
    with pytest.raises(ValueError, match="both truth_classes and prediction_classes"):
        average_precision([table], [[1]], truth_classes=[[1]])
    with pytest.raises(ValueError, match="the data set has no images"):
        average_precision([], [])
