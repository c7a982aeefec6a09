"""Stitching against the label map from which the tiles were cut."""

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask, paint
from jaxnuc.prediction.stitching import Stitcher, gather, stitch
from jaxnuc.prediction.tiles import Tiling


def blobs(shape, seed, radii=(2, 12), count=150, long=6):
    """Dense ellipses that touch, each connected, and some longer than the overlaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, cols = np.indices(shape)
    for i in range(count):
        row, col = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        a, b = rng.uniform(*radii, 2)
        if i < long:
            a = rng.uniform(20, 30)
        angle = rng.uniform(0, np.pi)
        y, x = rows - row, cols - col
        u, v = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
        labels[((u / a) ** 2 + (v / b) ** 2 <= 1) & (labels == 0)] = labels.max() + 1
    parts = np.zeros_like(labels)
    for label in range(1, labels.max() + 1):
        pieces, _ = ndimage.label(labels == label, np.ones((3, 3)))
        if pieces.any():
            largest = np.bincount(pieces[pieces > 0]).argmax()
            if (pieces == largest).sum() >= 12:
                parts[pieces == largest] = label
    return parts


def table(masks, **columns):
    return NucleiTable(tuple(masks), np.ones(len(masks), np.float32), **columns)


def label_set(labels, origin=(0, 0)):
    """The nuclei of a label map one by one."""
    masks = []
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None:
            row, col = (side.start + at for side, at in zip(box, origin, strict=True))
            masks.append(Mask(row, col, labels[box] == label))
    return table(masks)


def found(tiling, labels, disturb=lambda labels, tile: labels):
    """What decoders see in each tile on its own."""
    for row in map(tiling.row, range(tiling.grid[0])):
        for tile in row:
            top, left, bottom, right = tile.box
            inside = disturb(labels[top:bottom, left:right], tile)
            yield tile, label_set(inside, (top, left))


def contents(nuclei):
    """Masks, scores and classes, without their order."""
    extra = [] if nuclei.classes is None else [nuclei.classes.tolist()]
    columns = zip(nuclei.masks, nuclei.scores.tolist(), *extra, strict=True)
    return sorted((m.row, m.col, m.mask.shape, m.mask.tobytes(), *rest) for m, *rest in columns)


def streamed(tiling, candidates):
    stitcher = Stitcher(tiling)
    parts = [
        stitcher.add(gather([each for each in candidates if each[0].row == row]))
        for row in range(tiling.grid[0])
    ]
    return NucleiTable.concatenated([*parts, stitcher.finish()])


def iou_of_best(truth, masks, shape):
    """For each nucleus the number of masks above an IoU of 0.5, and the pixels they share."""
    matched = []
    for label in np.unique(truth[truth > 0]):
        nucleus = truth == label
        ious = []
        for mask in masks:
            other = np.zeros(shape, bool)
            other[mask.row :, mask.col :][: mask.mask.shape[0], : mask.mask.shape[1]] = mask.mask
            ious.append((nucleus & other).sum() / (nucleus | other).sum())
        matched.append(sum(iou > 0.5 for iou in ious))
    return matched


@pytest.mark.parametrize(
    ("tile", "overlap", "step"), [(32, 8, 5), (48, 24, 6), (40, 3, 9), (64, 1, 15), (16, 8, 3)]
)
def test_cutting_and_stitching_gives_the_same_nuclei_at_every_offset(tile, overlap, step):
    truth = blobs((90, 110), seed=tile)
    expected = contents(label_set(truth))
    assert len(expected) > 40
    offsets = range(0, tile - overlap, step)
    for offset in [(row, col) for row in offsets for col in offsets]:
        tiling = Tiling(truth.shape, tile, overlap, offset)
        candidates = list(found(tiling, truth))
        assert sum(len(nuclei) for _, nuclei in candidates) > len(expected)
        assert contents(stitch(tiling, gather(candidates))) == expected
        assert contents(streamed(tiling, candidates)) == expected


def noisy(seed):
    """Dilates or erodes each nucleus near a cut side of its tile by a pixel."""
    rng = np.random.default_rng(seed)

    def disturb(labels, tile):
        near = np.zeros(labels.shape, bool)
        for side, inner in enumerate(tile.edges):
            if inner:
                index = [slice(None), slice(None)]
                index[side % 2] = slice(None, 24) if side < 2 else slice(-24, None)
                near[tuple(index)] = True
        result = labels.copy()
        for label in np.unique(labels[near & (labels > 0)]):
            nucleus = labels == label
            change = rng.integers(3)
            if change == 0:
                result[ndimage.binary_dilation(nucleus) & (result == 0)] = label
            elif change == 1:
                gone = nucleus & ~ndimage.binary_erosion(nucleus, border_value=rng.integers(2))
                result[gone & (result == label)] = 0
        return result

    return disturb


@pytest.mark.parametrize("seed", range(8))
def test_tiles_that_disagree_by_a_pixel_lose_and_double_nothing(seed):
    truth = blobs((140, 150), seed, radii=(6, 13), count=60, long=3)
    for label in range(1, truth.max() + 1):  # what an erosion would all but remove is left out
        nucleus = np.pad(truth == label, 1)
        if ndimage.binary_erosion(nucleus).sum() < 0.65 * nucleus.sum():
            truth[truth == label] = 0
    tiling = Tiling(truth.shape, 56, 20, offset=(3 * seed, 30 - 4 * seed))
    candidates = list(found(tiling, truth, noisy(seed)))
    nuclei = stitch(tiling, gather(candidates))
    areas = np.bincount(truth.ravel())[1:]
    assert len(nuclei) == (areas > 0).sum()
    assert iou_of_best(truth, nuclei.masks, truth.shape) == [1] * len(nuclei)
    assert contents(streamed(tiling, candidates)) == contents(nuclei)


def test_the_order_of_tiles_does_not_matter():
    truth = blobs((120, 120), seed=5)
    tiling = Tiling(truth.shape, 40, 16, offset=(7, 11))
    candidates = list(found(tiling, truth, noisy(1)))
    nuclei = stitch(tiling, gather(candidates))
    shuffled = [candidates[i] for i in np.random.default_rng(0).permutation(len(candidates))]
    again = stitch(tiling, gather(shuffled))
    assert [m[:2] for m in nuclei.masks] == [m[:2] for m in again.masks]
    assert contents(again) == contents(nuclei) == contents(streamed(tiling, shuffled))


def test_candidates_kept_on_disk_give_the_same(tmp_path):
    truth = blobs((100, 90), seed=8)
    tiling = Tiling(truth.shape, 40, 12)
    candidates = list(found(tiling, truth, noisy(2)))
    stitcher, parts = Stitcher(tiling), []
    for row in range(tiling.grid[0]):
        path = tmp_path / f"{row}.npz"
        gather(each for each in candidates if each[0].row == row).save(path)
        parts.append(stitcher.add(NucleiTable.load(path)))
    result = NucleiTable.concatenated([*parts, stitcher.finish()])
    assert contents(result) == contents(stitch(tiling, gather(candidates)))
    assert result.measurements == {}


def test_a_row_is_final_as_far_as_no_later_row_sees_it():
    tiling = Tiling((60, 20), tile=20, overlap=8)  # rows of tiles begin at 0, 12, 24, 36, 48
    high, low = Mask(2, 2, np.ones((5, 5), bool)), Mask(9, 9, np.ones((5, 5), bool))
    stitcher = Stitcher(tiling)
    assert stitcher.add(gather([(tiling.at(0, 0), table([high, low]))])).masks == (high,)
    cut_off = Mask(12, 9, np.ones((2, 5), bool))
    assert stitcher.add(gather([(tiling.at(1, 0), table([cut_off]))])).masks == (low,)
    assert len(stitcher.add(gather([]))) == len(stitcher.finish()) == 0


def test_merged_pieces_weigh_by_area():
    tiling = Tiling((12, 20), tile=12, overlap=4)  # tiles 0:12 and 8:20
    pieces = [
        NucleiTable(
            (Mask(3, col, np.ones((2, width), bool)),),
            np.float32([score]),
            np.int32([label]),
            np.float32([probabilities]),
            {"area": np.zeros(1)},
            np.float32([score / 2]),
        )
        for col, width, score, label, probabilities in [
            (2, 10, 0.5, 1, (0.1, 0.7, 0.2)),
            (8, 5, 0.8, 2, (0.5, 0.0, 0.5)),
        ]
    ]
    tiles = [tiling.at(0, 0), tiling.at(0, 1)]
    result = stitch(tiling, gather(zip(tiles, pieces, strict=True)))
    assert len(result) == 1
    assert result.masks[0][:2] == (3, 2)
    assert result.masks[0].mask.shape == (2, 11)
    np.testing.assert_allclose(result.scores, [0.6])
    np.testing.assert_allclose(result.agreement, [0.3])
    np.testing.assert_allclose(result.class_probabilities, [[7 / 30, 14 / 30, 9 / 30]], rtol=1e-6)
    assert result.classes.tolist() == [1]  # 14 to 9, the background set aside
    assert result.measurements == {}
    for column in (result.scores, result.agreement, result.class_probabilities):
        assert column.dtype == np.float32
    assert pieces[0].scores[0] == np.float32(0.5)
    assert pieces[0].agreement[0] == np.float32(0.25)


def test_the_core_with_the_centroid_decides():
    tiling = Tiling((20, 32), tile=20, overlap=8)  # tiles 0:20 and 12:32, cores meet at 16
    tiles = tiling.row(0)
    left, right = Mask(5, 13, np.ones((4, 4), bool)), Mask(5, 14, np.ones((4, 4), bool))
    # Both versions have their centroid in the left core, 1 and 0 pixels from its side.
    result = stitch(tiling, gather([(tiles[0], table([left])), (tiles[1], table([right]))]))
    assert [m[:2] for m in result.masks] == [left[:2]]
    # The other way round each would leave it to the other: one stays.
    result = stitch(tiling, gather([(tiles[0], table([right])), (tiles[1], table([left]))]))
    assert len(result) == 1
    # What only the tile sees that is not responsible is no nucleus.
    alone = table([Mask(5, 13, np.ones((3, 3), bool))])
    assert len(stitch(tiling, gather([(tiles[1], alone)]))) == 0
    assert len(stitch(tiling, gather([(tiles[0], alone)]))) == 1


def test_different_nuclei_that_overlap_across_tiles_keep_their_pixels():
    tiling = Tiling((20, 32), tile=20, overlap=8)
    one, other = Mask(5, 11, np.ones((4, 5), bool)), Mask(5, 15, np.ones((4, 4), bool))
    tiles = tiling.row(0)
    result = stitch(tiling, gather([(tiles[0], table([one])), (tiles[1], table([other]))]))
    assert [m[:2] for m in result.masks] == [one[:2], other[:2]]
    assert (paint(result.masks, (20, 32)) > 0).sum() == 20 + 16 - 4


def test_nothing_gives_nothing():
    tiling = Tiling((50, 50), 20, 5)
    assert len(stitch(tiling, gather([]))) == 0
    assert len(stitch(tiling, gather((tile, table([])) for tile in tiling.row(0)))) == 0


def test_errors_say_what_is_wrong():
    tiling = Tiling((50, 50), 20, 5)
    nuclei = table([Mask(2, 2, np.ones((3, 3), bool))])
    with pytest.raises(ValueError, match=r"leaves its tile in \(15, 0, 35, 20\)"):
        stitch(tiling, gather([(tiling.at(1, 0), nuclei)]))
    with pytest.raises(ValueError, match=r"tile_col and tile_row.*use gather"):
        stitch(tiling, nuclei)
    with pytest.raises(ValueError, match=r"row of tiles 0, got rows \[1\]"):
        Stitcher(tiling).add(gather([(tiling.at(1, 0), nuclei.moved(15, 0))]))
    with pytest.raises(IndexError, match=r"no tile \(3, 0\)"):
        stitch(tiling, gather([(Tiling((90, 50), 20, 5).at(3, 0), nuclei.moved(45, 0))]))
