import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.splits import open_split
from jaxnuc.data.transforms.geometry import Pad
from jaxnuc.data.windows import Windows, windows


class Sheets(Source):
    """Images whose pixels hold their own position; counts the reads of each."""

    name = "sheets"

    def __init__(self, *shapes):
        self.shapes, self.reads = shapes, [0] * len(shapes)

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, index):
        self.reads[index] += 1
        h, w = self.shapes[index]
        instances = np.arange(1, h * w + 1, dtype=np.int32).reshape(h, w)
        image = np.stack([instances % 256] * 3, -1).astype(np.uint8)
        meta = {"name": f"sheet {index}", "patient": index}
        return Sample(image, instances, instances % 5, meta, instances % 2 == 0)


def origin(window, width):
    return divmod(int(window.instances[0, 0]) - 1, width)


def test_windows_by_hand():
    source = Windows(Sheets((10, 7), (4, 9)), 4, 3)
    names = [f"sheet 0/{r}_{c}" for r in (0, 3, 6) for c in (0, 3)]
    names += [f"sheet 1/0_{c}" for c in (0, 3, 5)]
    assert [window.meta["name"] for window in source] == names
    assert len(source) == 9
    assert source[8].meta["patient"] == 1
    with pytest.raises(IndexError, match="window 9 of 9"):
        source[9]
    with pytest.raises(IndexError):
        source[-1]


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=3),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.data(),
)
def test_windows_are_crops_that_cover_every_pixel(shapes, size, data):
    stride = tuple(data.draw(st.integers(1, side)) for side in size)
    sheets = Sheets(*shapes)
    source = Windows(sheets, size, stride)
    padded = [Pad(size)(sheets[i], np.random.default_rng(0)) for i in range(len(shapes))]
    covered = [np.zeros(sample.instances.shape, int) for sample in padded]
    seen = []
    for window in source:
        assert window.instances.shape == size
        name, _, place = window.meta["name"].partition("/")
        k = int(name.split()[1])
        row, column = map(int, place.split("_"))
        inside = np.s_[row : row + size[0], column : column + size[1]]
        for key in ("image", "instances", "classes", "ignore"):
            np.testing.assert_array_equal(getattr(window, key), getattr(padded[k], key)[inside])
        covered[k][inside] += 1
        seen.append((k, row, column))
    assert seen == sorted(set(seen))
    assert all((count > 0).all() for count in covered)


def test_reads_each_image_once_in_order_and_keeps_as_many_as_asked():
    sheets = Sheets((8, 8), (8, 8), (8, 8))
    source = Windows(sheets, 4)
    assert sheets.reads == [1, 1, 1]
    assert len(list(source)) == 12
    assert sheets.reads == [2, 2, 2]
    source = Windows(sheets, 4, cache=3)
    for _ in range(4):
        list(source)
    assert sheets.reads == [4, 4, 4]
    assert pickle.loads(pickle.dumps(source))._recent == {}


def test_without_stride_windows_lie_side_by_side():
    assert [w.meta["name"][8:] for w in Windows(Sheets((6, 8)), (3, 4))] == [
        "0_0", "0_4", "3_0", "3_4"]  # fmt: skip


def test_from_a_configuration():
    assert len(windows(Sheets((8, 8)), 4)) == 4
    assert len(windows(Sheets((8, 8)), {"size": [4, 8], "stride": [2, 8], "cache": 2})) == 3
    section = {"name": "synthetic", "size": 64, "length": 2, "windows": {"size": 32}}
    assert len(open_split(section, "", "train")) == 8
    assert len(open_split(section, "", "val")) == 2  # evaluation reads whole images


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (0, "size of windows=0"),
        ({"size": 4, "stride": 0}, "stride of windows=0"),
        ({"size": 4, "stride": 5}, r"stride \(5, 5\) is larger than the window \(4, 4\)"),
        ({"size": 4, "cache": 0}, "cache=0"),
        ({"size": 4, "cache": "all"}, "cache='all'"),
        ("4", "windows='4': a size or a mapping"),
        ({"size": 4, "step": 2}, "unknown argument of windows: 'step'"),
        ({"stride": 4}, "windows need a size"),
    ],
)
def test_refuses(section, message):
    with pytest.raises(ValueError, match=message):
        windows(Sheets((8, 8)), section)


def test_refuses_endless_sources():
    sheets = Sheets((8, 8))
    sheets.endless = True
    with pytest.raises(ValueError, match="'sheets' is endless"):
        Windows(sheets, 4)
