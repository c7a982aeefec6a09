import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import generate
from jaxnuc.data.transforms.cut_paste import CutPaste
from jaxnuc.postprocess.regions import regions

ALWAYS = CutPaste(p=1)


def rng(seed=0):
    return np.random.default_rng(seed)


def discs(at=((20, 20, 6), (60, 30, 8), (0, 80, 9)), size=(100, 110)):
    """Nuclei of one color each; the third is cut by the border."""
    row, column = np.indices(size)
    instances = np.zeros(size, np.int32)
    image = np.full((*size, 3), 200, np.uint8)
    for number, (r, c, radius) in enumerate(at, 1):
        inside = np.hypot(row - r, column - c) < radius
        instances[inside] = 10 * number
        image[inside] = (30 * number, 10, 100)
    return Sample(image, instances, (instances // 10).astype(np.int32), {"name": "x"})


def new(result, sample):
    return [i for i in np.unique(result.instances) if i > sample.instances.max()]


@pytest.mark.parametrize("seed", range(8))
def test_pastes_whole_nuclei_on_background(seed):
    sample = discs()
    before = sample.instances.copy()
    result = ALWAYS(sample, rng(seed))
    fresh = new(result, sample)
    assert fresh == list(range(31, 31 + len(fresh)))
    assert 1 <= len(fresh) <= 10
    np.testing.assert_array_equal(sample.instances, before)
    # What was there stays, to the pixel.
    old = before > 0
    np.testing.assert_array_equal(result.instances[old], before[old])
    np.testing.assert_array_equal(result.image[old], sample.image[old])
    areas = {1: (before == 10).sum(), 2: (before == 20).sum()}
    for number in fresh:
        mask = result.instances == number
        (kind,) = np.unique(result.classes[mask])  # classes move along
        assert kind in areas  # and not the nucleus that the border cuts
        assert mask.sum() == areas[kind]
        assert (result.image[mask] == (30 * kind, 10, 100)).all()  # as do the pixels
        around = ndimage.binary_dilation(mask, np.ones((3, 3))) & ~mask
        assert (result.instances[around] == 0).all()  # touching nothing
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1


def test_dtypes_and_the_rest_of_the_sample():
    sample = replace(discs(), ignore=np.zeros((100, 110), bool))
    result = ALWAYS(sample, rng(1))
    assert (result.image.dtype, result.instances.dtype) == (np.uint8, np.int32)
    assert result.classes.dtype == np.int32
    assert result.ignore is sample.ignore
    assert result.meta is sample.meta
    assert ALWAYS(replace(discs(), classes=None), rng(1)).classes is None


def test_a_copy_covers_whatever_overlaps_below_it():
    sample = discs(((20, 20, 6), (50, 60, 25)))
    covered = np.zeros((*sample.instances.shape, 1), np.int32)
    covered[sample.instances == 20] = 35  # a nucleus that has no pixel of its own
    sample = replace(sample, covered=covered)
    result = CutPaste(30, overlap=0.9, p=1)(sample, rng(3))
    assert min(new(result, sample)) == 36
    pasted = result.instances > 35
    assert (pasted & (sample.instances == 20)).any()
    assert not result.covered[pasted].any()
    np.testing.assert_array_equal(result.covered[~pasted], covered[~pasted])
    assert (covered[sample.instances == 20] == 35).all()


def test_far_from_what_is_pasted_nothing_changes():
    sample = discs()
    other = discs(((50, 50, 9),))
    background = (other.instances == 0)[..., None]
    other = replace(other, image=np.where(background, 100, other.image).astype(np.uint8))
    result = CutPaste(1, p=1, pool=[other])(sample, rng(2))
    near = ndimage.binary_dilation(result.instances > 30, np.ones((3, 3)), iterations=2)
    np.testing.assert_array_equal(result.image[~near], sample.image[~near])
    rim = near & (result.instances == 0)
    # It fades into its surroundings, 100 on 200: by two thirds a pixel away, beyond by less.
    assert result.image[rim].min() == 133
    assert 140 < result.image[rim].mean() < 190


def test_nothing_is_pasted_on_what_is_ignored():
    ignore = np.zeros((100, 110), bool)
    ignore[:, 50:] = True
    for seed in range(5):
        result = ALWAYS(replace(discs(), ignore=ignore), rng(seed))
        assert not (result.instances[ignore] > 30).any()
        assert (result.instances > 30).any()


def test_overlap_covers_no_more_than_its_share():
    sample = generate(5, size=128, style="he")
    areas = regions(sample.instances)
    crowded = CutPaste(60, overlap=0.3, tries=50, p=1)
    covered = 0
    for seed in range(4):
        result = crowded(sample, rng(seed))
        left = np.bincount(result.instances.ravel(), minlength=areas.ids.max() + 1)[areas.ids]
        assert (left >= 0.7 * areas.areas).all()
        covered += (left < areas.areas).sum()
    assert covered > 5


def test_copies_nothing_that_is_ignored_in_part():
    sample = discs()
    ignore = np.zeros((100, 110), bool)
    ignore[20, 20] = True
    sample = replace(sample, ignore=ignore)
    for seed in range(10):
        result = ALWAYS(sample, rng(seed))
        assert {result.classes[result.instances == i].max() for i in new(result, sample)} == {2}
    bare = replace(sample, instances=np.zeros_like(sample.instances), ignore=None)
    pasted = CutPaste(p=1, pool=[replace(sample, ignore=~ignore)])
    assert pasted(bare, rng()) is bare


def test_copies_only_the_classes_wanted():
    for seed in range(5):
        result = CutPaste(5, only=[2], p=1)(discs(), rng(seed))
        assert (result.classes[result.instances > 30] == 2).all()
        assert (result.instances > 30).any()
    sample = discs()
    assert CutPaste(only=[3], p=1)(sample, rng()) is sample  # there it is cut by the border


def test_nuclei_that_touch_are_not_copied():
    """The second hides a part of the first; the third stands alone."""
    sample = discs(((20, 20, 8), (20, 33, 8), (60, 60, 6)))
    for seed in range(5):
        result = ALWAYS(sample, rng(seed))
        assert (result.classes[result.instances > 30] == 3).all()
    # Corner to corner is touching too.
    instances = np.zeros((30, 30), np.int32)
    instances[5:10, 5:10], instances[10:15, 10:15] = 1, 2
    corner = Sample(np.zeros((30, 30, 3), np.uint8), instances)
    assert ALWAYS(corner, rng()) is corner


def test_a_pool_gives_nuclei_to_an_empty_image():
    empty = Sample(
        np.full((64, 64, 3), 250, np.uint8), np.zeros((64, 64), np.int32), np.zeros((64, 64), int)
    )
    result = CutPaste(6, p=1, pool=[discs()])(empty, rng(3))
    assert set(np.unique(result.classes)) <= {0, 1, 2}
    assert result.instances.max() >= 1
    np.testing.assert_array_equal(result.classes > 0, result.instances > 0)
    assert ALWAYS(empty, rng()) is empty


def test_where_there_is_no_place_nothing_happens():
    sample = discs()
    full = replace(sample, instances=np.where(sample.instances, sample.instances, 5))
    assert ALWAYS(full, rng()) is full
    small = Sample(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32))
    assert CutPaste(p=1, pool=[discs()])(small, rng()) is small


def test_synthetic_tissue_keeps_its_nuclei():
    for index in range(4):
        sample = generate(index, size=128)
        result = ALWAYS(sample, rng(index))
        old = sample.instances > 0
        np.testing.assert_array_equal(result.instances[old], sample.instances[old])
        np.testing.assert_array_equal(result.image[old], sample.image[old])


def test_is_a_function_of_sample_and_rng():
    assert CutPaste(p=0)(sample := discs(), rng()) is sample
    transform = pickle.loads(pickle.dumps(ALWAYS))
    assert transform == ALWAYS
    first, again = ALWAYS(discs(), rng(4)), transform(discs(), rng(4))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.instances, again.instances)
    assert (ALWAYS(discs(), rng(5)).instances != first.instances).any()


def test_refuses():
    for arguments, message in [
        ({"count": 0}, "count=0"),
        ({"tries": 1.5}, r"tries=1\.5"),
        ({"overlap": 2}, "overlap=2"),
        ({"p": -1}, "p=-1"),
    ]:
        with pytest.raises(ValueError, match=message):
            CutPaste(**arguments)
    bare = replace(discs(), classes=None)
    with pytest.raises(ValueError, match="sample 'x' has no classes"):
        CutPaste(only=[1], p=1)(bare, rng())
    with pytest.raises(ValueError, match="sample 'x' has no classes"):
        CutPaste(p=1, pool=[bare])(discs(), rng())
    near, far = (replace(discs(), meta={"name": str(m), "mpp": m}) for m in (0.25, 0.5))
    with pytest.raises(ValueError, match=r"nuclei of '0.5' \(0.5 .* on '0.25' \(0.25\)"):
        CutPaste(p=1, pool=[far])(near, rng())


@pytest.mark.parametrize("only", [3, "rare", ("rare",), (0,), (-1,)])
def test_refuses_what_is_no_class(only):
    with pytest.raises(ValueError, match="a tuple of class groups, from 1, is expected"):
        CutPaste(only=only)
