"""Distances between outlines against reference values, brute force, closed forms and symmetries."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as array_strategy
from scipy.spatial.distance import cdist
from skimage.measure import find_contours

from jaxnuc.metrics.boundary import CONVENTIONS, boundary_scores, matched_distances
from jaxnuc.metrics.matching import match
from jaxnuc.metrics.surface import surfaces
from jaxnuc.metrics.surface_distance import surface_distances

FILLED = (
    "touching_perturbed",
    "border_cut_gaps",
    "disjoint",
    "one_pixel_objects",
    "two_ellipses",
    "square_shifted_2_3",
    "identical_square",
    "hole_and_far_pixel",
    "touching_the_border",
)
EMPTY = ("gt_empty", "pred_empty", "both_empty")


def label_maps(top=3):
    """Two maps of one shape, crowded: ids touch, break apart and lie at the border."""
    shape = st.tuples(st.integers(1, 9), st.integers(1, 9))
    ids = st.integers(0, top)
    return shape.flatmap(
        lambda s: st.tuples(
            array_strategy(np.uint8, s, elements=ids), array_strategy(np.uint8, s, elements=ids)
        )
    )


def quick(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


# ---- The literal version: isolated masks, loops over pixels, all pairs of points.


def literal_surface(mask, convention, mpp):
    mask = np.pad(np.asarray(mask, bool), 1)
    points, weights = [], []
    h, w = mask.shape
    for r in range(h - 1):
        for c in range(w - 1):
            if convention != "surface_distance":
                outside = [not mask[r + i, c + j] for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1))]
                if mask[r, c] and any(outside):
                    points.append((r, c))
                    weights.append(1.0)
                continue
            (a, b), (d, e) = mask[r : r + 2, c : c + 2]
            n = int(a) + b + d + e
            if n in (0, 4):
                continue
            diagonal = math.hypot(mpp[0] / 2, mpp[1] / 2)
            if n != 2:
                length = diagonal
            elif a == b:
                length = mpp[1]
            elif a == d:
                length = mpp[0]
            else:
                length = 2 * diagonal
            points.append((r, c))
            weights.append(length)
    return np.array(points, float).reshape(-1, 2) * mpp, np.array(weights)


def literal_percentile(distances, weights, share):
    total = 0.0
    for k in np.argsort(distances, kind="stable"):
        total += weights[k]
        if total >= share * weights.sum() - 1e-6:
            return distances[k]
    raise AssertionError


def literal_scores(truth, prediction, convention, tolerances, mpp=(1.0, 1.0), q=95):
    p, v = literal_surface(truth, convention, mpp)
    s, w = literal_surface(prediction, convention, mpp)
    between = cdist(p, s)
    there, back = between.min(1), between.min(0)
    both, weights = np.concatenate([there, back]), np.concatenate([v, w])
    hd95 = {
        "monai": lambda: max(np.percentile(there, q), np.percentile(back, q)),
        "medpy": lambda: np.percentile(both, q),
        "surface_distance": lambda: max(
            literal_percentile(there, v, q / 100), literal_percentile(back, w, q / 100)
        ),
    }[convention]()
    nsd = [weights[both <= t].sum() / weights.sum() for t in tolerances]
    averages = [np.average(d, weights=x) for d, x in ((both, weights), (there, v), (back, w))]
    return [both.max(), hd95, *averages, *nsd]


def flat(scores):
    return [*scores[:5], *scores.nsd]


def scores_of_pairs(truth, prediction, found, convention="monai", mpp=1.0):
    """(M, 7) of matched pairs in the order of `flat`, with tolerances of 1 and 2."""
    pairs = found.truth, found.prediction
    d = matched_distances(truth, prediction, *pairs, convention=convention, mpp=mpp)
    hd95 = d.hausdorff(95, CONVENTIONS[convention][1])
    averages = d.average(), d.truth.mean(), d.prediction.mean()
    nsd = d.surface_dice(1), d.surface_dice(2)
    return np.stack([d.hausdorff(), hd95, *averages, *nsd], axis=1)


# ---- Reference values


@pytest.mark.parametrize("case", FILLED)
def test_reference_values(golden, case):
    arrays, scalars = golden("metrics")
    pair = arrays[f"surface__{case}__gt"], arrays[f"surface__{case}__pred"]
    expected = scalars["surface"][case]
    found = {c: boundary_scores(*pair, convention=c, tolerances=(1, 2, 3)) for c in CONVENTIONS}
    close = lambda figure, value: figure == pytest.approx(float(value), rel=1e-6, abs=1e-12)

    monai, scores = expected["monai"], found["monai"]
    assert close(scores.hd, monai["hd"])
    assert close(scores.hd95, monai["hd95"])
    assert close(scores.assd, monai["assd"])
    assert close(scores.asd_prediction_to_truth, monai["asd_pred_to_gt"])
    for k in range(3):
        assert close(scores.nsd[k], monai[f"nsd_tol{k + 1}"])
        assert close(found["surface_distance"].nsd[k], monai[f"nsd_tol{k + 1}_subvoxels"])

    medpy, scores = expected["medpy"], found["medpy"]
    assert close(scores.hd, medpy["hd"])
    assert close(scores.hd95, medpy["hd95"])
    assert close(scores.assd, medpy["assd"])
    assert close(scores.asd_truth_to_prediction, medpy["asd_gt_to_pred"])
    assert close(scores.asd_prediction_to_truth, medpy["asd_pred_to_gt"])

    contour, scores = expected["surface_distance"], found["surface_distance"]
    assert close(scores.hd, contour["hd100"])
    assert close(scores.hd95, contour["hd95"])
    assert close(scores.assd, contour["assd_pooled_weighted"])
    assert close(scores.asd_truth_to_prediction, contour["asd_gt_to_pred"])
    assert close(scores.asd_prediction_to_truth, contour["asd_pred_to_gt"])
    for k in range(3):
        assert close(scores.nsd[k], contour[f"nsd_tol{k + 1}"])
    for mask, side in zip(pair, ("gt", "pred"), strict=True):
        assert close(surfaces(mask, "contour").weights.sum(), contour[f"perimeter_{side}"])


@pytest.mark.parametrize("case", EMPTY)
def test_empty_sides_as_in_the_reference(golden, case):
    arrays, scalars = golden("metrics")
    pair = arrays[f"surface__{case}__gt"], arrays[f"surface__{case}__pred"]
    contour, medpy, monai = (scalars["surface"][case][c] for c in reversed(CONVENTIONS))
    distances = ("hd100", "hd95", "assd_pooled_weighted", "asd_gt_to_pred", "asd_pred_to_gt")
    shares = [f"nsd_tol{t}" for t in (1, 2, 3)]
    expected = np.array([float(contour[name]) for name in (*distances, *shares)])
    if case == "both_empty":  # their Hausdorff distances are infinite even then; here all is NaN
        np.testing.assert_array_equal(expected, [math.inf] * 2 + [math.nan] * 6)
        expected[:2] = math.nan
    for convention in CONVENTIONS:
        scores = boundary_scores(*pair, convention=convention, tolerances=(1, 2, 3))
        np.testing.assert_array_equal(flat(scores), expected)
    for mask, side in zip(pair, ("gt", "pred"), strict=True):
        length = surfaces(mask, "contour").weights.sum()
        assert length == pytest.approx(contour[f"perimeter_{side}"], rel=1e-12)

    # The others differ from this in what a distance of or to nothing is.
    assert all(figure["exception"] == "RuntimeError" for figure in medpy.values())
    for name, k in {"hd": 0, "assd": 2}.items():
        np.testing.assert_equal(float(monai[name]), expected[k])
    assert monai["hd95"] == "nan"
    assert monai["asd_pred_to_gt"] == ("nan" if case == "both_empty" else "inf")
    for k, name in enumerate(shares):
        np.testing.assert_equal(float(monai[name]), expected[5 + k])
        np.testing.assert_equal(float(monai[f"{name}_subvoxels"]), expected[5 + k])


def test_every_case_of_the_reference_is_covered(golden):
    _, scalars = golden("metrics")
    assert set(scalars["surface"]) == {*FILLED, *EMPTY}


def test_both_sides_empty():
    for shape in ((4, 5), (0, 0), (0, 7)):
        nothing = np.zeros(shape, np.uint8)
        for convention in CONVENTIONS:
            scores = boundary_scores(nothing, nothing, convention=convention)
            assert all(map(math.isnan, flat(scores)))
            found = match(nothing, nothing)
            assert scores_of_pairs(nothing, nothing, found, convention).shape == (0, 7)


# ---- Brute force


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(maps=label_maps(top=1), mpp=st.sampled_from([(1.0, 1.0), (0.5, 0.5), (0.25, 1.5)]))
@quick(60)
def test_masks_against_all_pairs_of_points(convention, maps, mpp):
    if not all(m.any() for m in maps):
        return
    tolerances = (0.6, 1.1)
    found = boundary_scores(*maps, convention=convention, tolerances=tolerances, mpp=mpp)
    expected = literal_scores(*maps, convention, tolerances, mpp)
    np.testing.assert_allclose(flat(found), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(maps=label_maps(), threshold=st.sampled_from([0, 0.2]))
@quick(60)
def test_each_matched_pair_is_scored_as_if_alone(convention, maps, threshold):
    truth, prediction = maps
    found = match(*maps, threshold)
    rows = scores_of_pairs(*maps, found, convention)
    for t, p, row in zip(found.truth, found.prediction, rows, strict=True):
        expected = literal_scores(truth == t, prediction == p, convention, (1, 2))
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-12)


@given(maps=label_maps(top=1), mpp=st.sampled_from([(1.0, 1.0), (0.3, 1.7)]))
@quick(60)
def test_contour_length_is_that_of_marching_squares(maps, mpp):
    mask = np.pad(maps[0], 1).astype(float)
    lines = find_contours(mask, 0.5) if mask.shape > (2, 2) else []
    length = sum(np.hypot(*(np.diff(line, axis=0) * mpp).T).sum() for line in lines)
    assert surfaces(maps[0], "contour", mpp).weights.sum() == pytest.approx(length)


# ---- Closed forms


@pytest.mark.parametrize("shift", [1, 2, 5])
def test_shifted_squares(shift):
    n = 12
    truth, prediction = np.zeros((2, 30, 30), int)
    truth[5 : 5 + n, 5 : 5 + n] = prediction[5 : 5 + n, 5 + shift : 5 + shift + n] = 1
    far_side = (n - 2) * shift
    inner_side = sum(min(r, n - 1 - r, shift, n - 1 - shift) for r in range(1, n - 1))
    corners = 2 * sum(range(1, shift + 1))
    for convention in ("monai", "medpy"):
        scores = boundary_scores(truth, prediction, convention=convention, tolerances=[shift - 1])
        assert scores.hd == scores.hd95 == shift
        assert scores.assd == pytest.approx((far_side + inner_side + corners) / (4 * n - 4))
        assert scores.nsd[0] < 1
    for convention in CONVENTIONS:
        scores = boundary_scores(truth, prediction, convention=convention, tolerances=[shift])
        assert scores.hd == shift
        assert scores.nsd == (1.0,)


def test_a_tolerance_is_inclusive_in_any_unit():
    truth, prediction = np.zeros((2, 9, 9), bool)
    truth[2, 2] = prediction[2, 5] = True  # 3 * 0.1 is more than 0.3 in floating point
    scores = boundary_scores(truth, prediction, mpp=0.1, tolerances=(0.3, 0.2999))
    assert scores.nsd == (1.0, 0.0)


def test_percentiles_differ_between_the_conventions():
    truth, prediction = np.zeros((2, 3, 60), int)
    truth[1, :50] = 1
    prediction[1, :50] = prediction[1, 55:] = 1  # 5 of 105 pixels are far, at distances 6 to 10
    assert boundary_scores(truth, prediction).hd95 == pytest.approx(
        np.percentile([0] * 50 + [6, 7, 8, 9, 10], 95)
    )
    assert boundary_scores(truth, prediction, convention="medpy").hd95 == pytest.approx(
        np.percentile([0] * 100 + [6, 7, 8, 9, 10], 95)
    )


# ---- Symmetries


@pytest.mark.slow
@pytest.mark.parametrize("convention", CONVENTIONS)
@given(maps=label_maps(top=1))
@quick(50)
def test_symmetries(convention, maps):
    def scores(truth, prediction, unit=1, **arguments):
        arguments |= {"tolerances": (unit, 2 * unit)}
        return np.array(
            flat(boundary_scores(truth, prediction, convention=convention, **arguments))
        )

    truth, prediction = maps
    found = scores(truth, prediction)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    close(scores(prediction, truth), found[[0, 1, 2, 4, 3, 5, 6]])
    close(scores(truth[::-1], prediction[::-1]), found)
    close(scores(truth[:, ::-1], prediction[:, ::-1]), found)
    close(scores(truth.T, prediction.T), found)
    close(scores(np.pad(truth, ((3, 0), (1, 4))), np.pad(prediction, ((3, 0), (1, 4)))), found)

    scaled = scores(truth, prediction, unit=0.3, mpp=0.3)
    close(scaled, found * [0.3, 0.3, 0.3, 0.3, 0.3, 1, 1])
    close(scores(truth, prediction, mpp=(2, 0.7)), scores(truth.T, prediction.T, mpp=(0.7, 2)))
    if truth.any():
        close(scores(truth, truth), [0, 0, 0, 0, 0, 1, 1])
        if prediction.any():
            hd, hd95, assd, there, back, nsd, wider = found
            assert hd >= hd95 >= 0
            assert hd + 1e-9 >= max(there, back)
            assert min(there, back) - 1e-9 <= assd <= max(there, back) + 1e-9
            assert 0 <= nsd <= wider <= 1


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_ids_and_dtypes_do_not_matter(golden, convention):
    arrays, _ = golden("metrics")
    truth, prediction = arrays["border_cut_gaps__gt"], arrays["border_cut_gaps__pred"]
    pairs = match(truth, prediction)
    expected = scores_of_pairs(truth, prediction, pairs, convention)
    assert len(expected) > 3
    for dtype, offset in ((np.uint16, 65000), (np.int64, 2**62), (np.uint64, 2**63)):
        large = [np.where(m > 0, m + dtype(offset), dtype(0)) for m in (truth, prediction)]
        found = match(*large)
        np.testing.assert_array_equal(found.truth, pairs.truth + dtype(offset))
        np.testing.assert_array_equal(scores_of_pairs(*large, found, convention), expected)


def test_mixed_dtypes_and_memory_layouts():
    truth = np.array([[0, 1, 1, 0], [300, 1, 1, 0]], np.int64)
    prediction = np.array([[0, 1, 0, 0], [44, 1, 1, 0]], np.uint8)
    pairs = match(truth, prediction)
    assert pairs.truth.tolist() == [1, 300]
    assert pairs.prediction.tolist() == [1, 44]
    expected = scores_of_pairs(truth, prediction, pairs)
    assert expected[:, 0].tolist() == [1, 0]
    strided = np.zeros((4, 8), np.int64)
    strided[::2, ::2] = truth
    strided.flags.writeable = False
    found = scores_of_pairs(strided[::2, ::2], np.asfortranarray(prediction), pairs)
    np.testing.assert_array_equal(found, expected)
    assert boundary_scores(truth > 0, prediction) == boundary_scores(truth, prediction)


# ---- Extremes


def test_a_hundred_thousand_nuclei():
    truth, prediction = np.zeros((2, 648, 648), np.int32)
    ids = np.arange(1, 324**2 + 1).reshape(324, 324)
    assert ids.size > 10**5
    truth[::2, ::2] = truth[::2, 1::2] = ids
    prediction[::2, ::2] = prediction[1::2, ::2] = ids
    found = match(truth, prediction, 0.3)
    assert len(found.truth) == ids.size
    scores = scores_of_pairs(truth, prediction, found)
    assert (scores[:, [0, 2, 5, 6]] == [1, 0.5, 1, 1]).all()


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_one_nucleus_over_the_whole_image(convention):
    truth = np.ones((700, 500), bool)
    prediction = np.pad(np.ones((698, 498), np.uint8), 1)
    (found,) = scores_of_pairs(truth, prediction, match(truth, prediction), convention)
    assert found[0] == pytest.approx(math.sqrt(2))
    assert found[1] == 1
    assert 1 < found[2] < 1.002
    assert boundary_scores(truth, prediction, convention=convention).assd == found[2]


# ---- Refusals


def test_refusals():
    mask = np.ones((3, 3), int)
    with pytest.raises(ValueError, match=r"\(3, 3\).*\(2, 3\)"):
        boundary_scores(mask, mask[:2])
    pairs = lambda *maps, **options: matched_distances(*maps, [1], [1], **options)
    for function in (boundary_scores, pairs):
        with pytest.raises(ValueError, match="float64"):
            function(mask, np.full((3, 3), np.nan))
        with pytest.raises(ValueError, match=r"\(9,\)"):
            function(mask.ravel(), mask.ravel())
        with pytest.raises(ValueError, match="did you mean 'medpy'"):
            function(mask, mask, convention="medpie")
        with pytest.raises(ValueError, match="negative id -1"):
            function(-mask, mask)
        for mpp in (0, -1, math.nan, math.inf, (1, 2, 3), (1, 0)):
            with pytest.raises(ValueError, match="mpp"):
                function(mask, mask, mpp=mpp)
    for tolerance in (-1, math.nan):
        with pytest.raises(ValueError, match="tolerances"):
            boundary_scores(mask, mask, tolerances=(1, tolerance))
    with pytest.raises(ValueError, match="negative id -1"):
        surfaces(-mask)
    with pytest.raises(ValueError, match="percentile 101"):
        pairs(mask, mask).hausdorff(101)
    with pytest.raises(ValueError, match="known: contour, pixels"):
        surfaces(mask, "edge")

    pixels, contour = surfaces(mask), surfaces(mask, "contour")
    with pytest.raises(ValueError, match="same for both"):
        surface_distances(pixels, contour, [1], [1])
    with pytest.raises(ValueError, match="2 true ids and 1 predicted"):
        surface_distances(pixels, pixels, [1, 1], [1])
    with pytest.raises(ValueError, match="known: max, pooled"):
        surface_distances(pixels, pixels, [1], [1]).hausdorff(95, "min")
