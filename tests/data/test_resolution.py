import numpy as np
import pytest

from jaxnuc.data import resolution
from jaxnuc.data.resolution import Resample, SetMpp, resampled
from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.splits import open_split


def disc(mpp, size=96, radius=24.0):
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    instances = (np.hypot(row - 3, column + 7) < radius).astype(np.int32) * 7
    image = np.repeat((instances > 0)[..., None] * np.uint8(255), 3, -1)
    ignore = column > 20
    return Sample(
        image, instances, instances * 2, {"name": "disc", "source": "s", "mpp": mpp}, ignore
    )


class Listed(Source):
    name = "listed"

    def __init__(self, samples):
        self.samples, self.ids, self.label_set = samples, list(range(len(samples))), "label_set"

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


@pytest.mark.parametrize(("mpp", "target"), [(0.25, 0.5), (0.5, 0.25), (0.2456, 0.25), (0.5, 0.4)])
def test_a_disc_keeps_its_size_in_micrometers(mpp, target):
    sample = disc(mpp)
    result = Resample(target)(sample)
    assert result.meta == {**sample.meta, "mpp": target}
    assert result.instances.shape == (round(96 * mpp / target),) * 2
    area = np.pi * 24**2 * mpp**2
    np.testing.assert_allclose((result.instances == 7).sum() * target**2, area, rtol=0.03)
    np.testing.assert_allclose((result.image[..., 0] > 127).sum() * target**2, area, rtol=0.03)
    np.testing.assert_array_equal(result.classes, result.instances * 2)
    # The ignored region ends at the same place in micrometers: column 48 + 20 of 96.
    edge = np.flatnonzero(result.ignore[0])[0] * target
    np.testing.assert_allclose(edge, 68.5 * mpp, atol=max(mpp, target))
    for a, b in ((result.image, np.uint8), (result.instances, np.int32), (result.ignore, bool)):
        assert a.dtype == b


def test_the_same_resolution_keeps_the_pixels():
    sample = disc(0.25)
    result = Resample(0.25)(sample)
    assert result.image is sample.image
    tiny = Resample(100.0)(sample)
    assert tiny.instances.shape == (1, 1)


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    sample = Sample(stripes, np.zeros((64, 64), np.int32), None, {"mpp": 0.25})
    np.testing.assert_allclose(Resample(1.0)(sample).image[2:-2, 2:-2], 100, atol=5)


def test_set_mpp_overrides():
    sample = disc(0.25)
    assert SetMpp(1)(sample).meta == {**sample.meta, "mpp": 1.0}
    assert sample.meta["mpp"] == 0.25
    assert SetMpp(0.5)(disc(None)).meta["mpp"] == 0.5


def test_resampled_keeps_what_a_source_says():
    source = resampled(Listed([disc(0.25), disc(0.5)]), 0.5)
    assert (source.name, source.ids, source.label_set, len(source)) == (
        "listed",
        [0, 1],
        "label_set",
        2,
    )
    assert [s.instances.shape[0] for s in source] == [48, 96]
    assert not source.endless


@pytest.mark.parametrize("unknown", [0, 2])
def test_unknown_resolution_is_refused_with_the_way_out(unknown):
    samples = [disc(None if i == unknown else 0.25) for i in range(3)]
    with pytest.raises(ValueError, match=r"'s' \(image 'disc'\).*unknown; give \"mpp\" in its sec"):
        resampled(Listed(samples), 0.5)


def test_an_unknown_one_in_between_raises_on_reading():
    source = resampled(Listed([disc(0.25), disc(None), disc(0.25)]), 0.5)
    with pytest.raises(ValueError, match="unknown"):
        source[1]


def test_an_endless_source_is_probed_once():
    source = Listed([disc(0.25), None])
    source.endless = True
    assert len(list(resolution.probes(source))) == 1


def test_open_split_resamples_what_a_section_tells():
    section = {"name": "synthetic", "size": 64, "mpp": 0.5}
    sample = open_split(section, "", "val", mpp=1.0)[3]
    assert (sample.instances.shape, sample.meta["mpp"]) == ((32, 32), 1.0)
    assert open_split(section, "", "val")[0].meta["mpp"] == 0.5
    with pytest.raises(ValueError, match='unknown; give "mpp"'):
        open_split({"name": "synthetic", "size": 64}, "", "val", mpp=1.0)


@pytest.mark.parametrize("mpp", [0, -1.0, float("inf"), float("nan"), "0.25", True])
def test_refuses_what_is_no_resolution(mpp):
    for make in (Resample, SetMpp, lambda m: open_split({"name": "synthetic"}, "", "val", mpp=m)):
        with pytest.raises(ValueError, match="microns per pixel are a positive number"):
            make(mpp)


def test_comparison():
    def check(a, b):
        first, second = ({"source": k, "name": "n", "mpp": m} for k, m in (("a", a), ("b", b)))
        resolution.check_same(first, second)

    check(0.25, 0.274)
    check(0.274, 0.25)
    check(None, None)
    for a, b in ((0.25, 0.28), (0.28, 0.25)):
        with pytest.raises(ValueError, match=f"'a'.*has {a} microns.*'b'.*has {b}"):
            check(a, b)
    with pytest.raises(ValueError, match=r"'b'.*has 0\.5.*'a'.*unknown"):
        check(None, 0.5)
