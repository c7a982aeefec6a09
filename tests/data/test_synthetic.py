"""The synthetic stream: reproducible, endless, disjoint, and true to its own labels."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.data.sources.synthetic import Source
from jaxnuc.data.synthetic import STYLES, generate
from jaxnuc.data.synthetic.shapes import MIN_AREA, Population, outline, populate
from jaxnuc.data.synthetic.texture import diffuse, fibers, noise


def digest(sample):
    return hashlib.sha256(sample.image.tobytes() + sample.instances.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def samples():
    return {style: [generate(i, style=style) for i in range(20)] for style in STYLES}


@pytest.mark.slow
def test_same_index_same_bytes_in_another_process():
    program = (
        "import hashlib; from jaxnuc.data.synthetic import generate\n"
        "for i in (11, 3):\n"
        "    s = generate(i, seed=5, size=96)\n"
        "    print(hashlib.sha256(s.image.tobytes() + s.instances.tobytes()).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert there == [digest(generate(i, seed=5, size=96)) for i in (11, 3)]


def test_indexes_seeds_and_splits_share_no_picture():
    streams = [
        Source(split, size=48, seed=seed) for split in ("train", "val", "test") for seed in (0, 1)
    ]
    digests = [digest(stream[i]) for stream in streams for i in range(12)]
    assert len(set(digests)) == len(digests)


def test_random_access_and_workers():
    source = Source("val", size=64)
    forward = [digest(source[i]) for i in range(6)]
    assert [digest(source[i]) for i in reversed(range(6))] == forward[::-1]
    assert digest(pickle.loads(pickle.dumps(source))[4]) == forward[4]
    assert source[np.int64(4)].meta["name"] == "synthetic-4"


def test_lengths():
    assert (len(Source()), len(Source("val")), len(Source("test"))) == (2**31 - 1, 32, 32)
    assert Source().endless
    assert Source().name == "synthetic"
    Source(size=32)[2**31 - 2]
    short = Source(length=3, size=32)
    assert len(list(short)) == 3
    for index in (3, -1):
        with pytest.raises(IndexError, match="length 3"):
            short[index]
    with pytest.raises(IndexError, match="first is 0"):
        generate(-1)


@pytest.mark.parametrize("size", [8, 33, 100, 256])
def test_types_and_shapes(size):
    for style in STYLES:
        sample = generate(1, size=size, style=style)
        assert sample.image.shape == (size, size, 3)
        assert sample.image.dtype == np.uint8
        assert sample.instances.shape == (size, size)
        assert sample.instances.dtype == np.int32
        assert sample.classes is None
        assert sample.meta == {"name": "synthetic-1", "style": style}


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_instances_are_contiguous_whole_and_not_tiny(samples, style):
    for sample in samples[style]:
        areas = np.bincount(sample.instances.ravel())[1:]
        assert (areas >= MIN_AREA).all()
        for k, window in enumerate(ndimage.find_objects(sample.instances), start=1):
            assert ndimage.label(sample.instances[window] == k)[1] == 1


@pytest.mark.parametrize(("style", "sign"), [("fluorescence", 1), ("he", -1), ("pap", -1)])
def test_nuclei_stand_out_with_the_sign_of_the_style(samples, style, sign):
    differences = []
    for sample in samples[style]:
        inside = sample.instances > 0
        if inside.any():
            # Against the surroundings only: haze and stroma vary over the picture.
            ring = ndimage.binary_dilation(inside, iterations=10) & ~inside
            gray = sample.image.mean(axis=2)
            differences.append(sign * (gray[inside].mean() - gray[ring].mean()))
    assert len(differences) >= 15
    assert min(differences) > 1
    assert np.median(differences) > 10


def touching(instances):
    pairs = [(instances[1:], instances[:-1]), (instances[:, 1:], instances[:, :-1])]
    return any(((a != b) & (a > 0) & (b > 0)).any() for a, b in pairs)


@pytest.mark.parametrize("style", STYLES)
def test_many_pictures_have_touching_nuclei(samples, style):
    assert np.mean([touching(sample.instances) for sample in samples[style]]) > 0.2


def test_density_and_size_vary_widely(samples):
    counts = [sample.instances.max() for sample in samples["fluorescence"]]
    areas = [np.median(np.bincount(s.instances.ravel())[1:]) for s in samples["he"]]
    assert min(counts) < 10
    assert max(counts) > 40
    assert max(areas) > 4 * min(areas)


@pytest.mark.slow
def test_styles_as_asked():
    source = Source(size=32, styles=("pap", "he", "he", "he"))
    drawn = [source[i].meta["style"] for i in range(80)]
    assert set(drawn) == {"pap", "he"}
    assert 0.6 < np.mean([style == "he" for style in drawn]) < 0.9
    assert generate(0, size=32, style="pap").meta["style"] == "pap"
    assert {generate(i, size=32).meta["style"] for i in range(30)} == set(STYLES)


def test_errors_name_the_way_out():
    with pytest.raises(ValueError, match="did you mean 'fluorescence'"):
        Source(styles=("fluoresence",))
    with pytest.raises(ValueError, match="unknown style 'ihc'; known: fluorescence, he, pap"):
        generate(0, style="ihc")
    with pytest.raises(ValueError, match="known: test, train, val"):
        Source("validation")
    with pytest.raises(ValueError, match="unknown split"):
        generate(0, split="dev")
    with pytest.raises(ValueError, match="no style given"):
        Source(styles=())
    with pytest.raises(ValueError, match="size=0"):
        Source(size=0)
    with pytest.raises(ValueError, match="length=0"):
        Source(length=0)


def test_outline_of_a_plain_ellipse_is_its_distance():
    """Without bumps and bend, the area and the depth on the axes are those of an ellipse."""

    class Two:  # the exponent of an ellipse, and no bumps
        uniform = staticmethod(lambda low, high, n=None: 2.0 if n is None else np.zeros(n))
        normal = staticmethod(lambda mean, std, n: np.zeros(n))

    nucleus = outline(Two(), 100, (50.0, 50.0), 15.0, 2.0, 0.0, 0.0, 0.0)
    rows, columns = nucleus.window
    assert (nucleus.depth > 0).sum() == pytest.approx(np.pi * 15**2, rel=0.02)
    long, short = 15 * 2**0.5, 15 / 2**0.5
    along = nucleus.depth[50 - rows.start, 60 - columns.start :]
    offsets = np.arange(10, 10 + len(along))
    near = np.abs(offsets - long) < 4
    np.testing.assert_allclose(along[near], (long - offsets)[near], atol=0.05)
    across = nucleus.depth[58 - rows.start :, 50 - columns.start]
    offsets = np.arange(8, 8 + len(across))
    near = np.abs(offsets - short) < 3
    np.testing.assert_allclose(across[near], (short - offsets)[near], atol=0.05)


def test_the_label_map_shows_the_later_nucleus_on_top():
    rng = np.random.default_rng(0)
    crowd = Population(60, 9.0, packing=0.5, cling=0.5)
    nuclei, instances = populate(rng, 128, [crowd])
    painted = np.zeros((128, 128), np.int32)
    for k, nucleus in enumerate(nuclei, start=1):
        painted[nucleus.window][nucleus.depth > 0] = k
    np.testing.assert_array_equal(painted, instances)
    assert sum((n.depth > 0).sum() for n in nuclei) > 1.02 * (instances > 0).sum()


def test_nuclei_stay_where_they_are_allowed():
    allowed = np.zeros((128, 128), bool)
    allowed[:, :40] = True
    _, instances = populate(np.random.default_rng(1), 128, [Population(50, 5.0, 0.0)], allowed)
    assert (instances[:, :40] > 0).any()
    assert not instances[:, 55:].any()


def test_noise_is_smooth_and_of_unit_variance():
    rng = np.random.default_rng(2)
    fields = np.stack([noise(rng, 64, 4.0) for _ in range(200)])
    assert fields.mean() == pytest.approx(0, abs=0.02)
    assert fields.var() == pytest.approx(1, abs=0.06)
    assert np.abs(np.diff(fields, axis=1)).mean() < 0.3


def test_diffusion_keeps_a_flat_field_and_spreads_a_point():
    np.testing.assert_allclose(diffuse(np.ones((64, 64), np.float32), 5.0), 1, rtol=1e-5)
    point = np.zeros((65, 65), np.float32)
    point[32, 32] = 1
    spread = diffuse(point, 4.0)
    profile = spread.sum(0) / spread.sum()
    deviation = np.sqrt((profile * (np.arange(65) - 32) ** 2).sum())
    assert 3 < deviation < 5


def test_fibers_run_in_the_unit_interval():
    strands = fibers(np.random.default_rng(3), 80, 4.0, 8.0, 2.0)
    assert strands.shape == (80, 80)
    assert 0 <= strands.min() < strands.max() <= 1
