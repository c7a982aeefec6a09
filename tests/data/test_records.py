import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.data import records
from jaxnuc.data.sample import Sample

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def samples(draw):
    shape = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    if draw(st.booleans()):
        image[:] = image[..., :1]
    highest = draw(st.sampled_from([0, 3, 300, 70_000, 2**31 - 1]))
    instances = rng.integers(0, highest, shape, np.int32, endpoint=True)
    classes = ignore = None
    kind = draw(st.sampled_from(["none", "by instance", "by pixel"]))
    if kind == "by instance":
        classes = np.where(instances > 0, instances % 7 - 1, 0).astype(np.int32)
    elif kind == "by pixel":
        classes = rng.integers(-1, 400, shape, np.int32)
    if draw(st.booleans()):
        ignore = rng.random(shape) < draw(st.sampled_from([0, 0.5, 1]))
    covered = None
    if draw(st.booleans()):
        depth = draw(st.integers(1, 3))
        covered = rng.integers(0, highest, (*shape, depth), np.int32, endpoint=True)
        covered[(covered == instances[..., None]) | (instances == 0)[..., None]] = 0
    meta = {"name": draw(st.text()), **draw(st.dictionaries(st.text(), json_values, max_size=3))}
    return Sample(image, instances, classes, meta, ignore, covered)


def small(**changes):
    instances = np.zeros((9, 12), np.int32)
    instances[2:5, 3:8], instances[6:, :2] = 7, 40
    image = (np.indices((9, 12)).sum(0)[..., None] * [3, 5, 7]).astype(np.uint8)
    values = {
        "image": image,
        "instances": instances,
        "classes": (instances > 0) * np.int32(2),
        "meta": {"name": "a"},
    }
    return Sample(**{**values, **changes})


def assert_same(a, b):
    for key in ("image", "instances", "classes", "ignore", "covered"):
        left, right = getattr(a, key), getattr(b, key)
        assert (left is None) == (right is None)
        if left is not None:
            np.testing.assert_array_equal(left, right, strict=True)
    assert a.meta == b.meta


def ids_of(sample):
    layers = [sample.instances] + ([] if sample.covered is None else [sample.covered])
    return {i for layer in layers for i in layer.ravel().tolist()} - {0}


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(samples())
def test_a_sample_comes_back_as_it_was(sample):
    record = records.encode(sample)
    found = records.decode(record)
    assert_same(found, sample)
    assert records.encode(found) == record
    assert found.image.flags.writeable
    assert found.instances.flags.writeable
    assert records.summary(record) == {
        "meta": sample.meta,
        "nuclei": len(ids_of(sample)),
        "ignores": sample.ignore is not None,
    }


def test_views_are_read_as_the_arrays_they_show():
    wide = small()
    turned = Sample(
        wide.image[::-1, ::2], wide.instances[::-1, ::2], wide.classes[::-1, ::2], wide.meta
    )
    assert_same(records.decode(records.encode(turned)), turned)


def test_every_flipped_bit_and_every_missing_end_is_found():
    record = records.encode(small(ignore=small().instances == 7))
    for position in range(len(record)):
        damaged = bytearray(record)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(ValueError, match=r"a shard: .*(damaged|of version)"):
            records.decode(bytes(damaged), "a shard")
        with pytest.raises(ValueError, match=r"a shard: .*(damaged|of version)"):
            records.summary(record[:position], "a shard")
    with pytest.raises(ValueError, match="damaged"):
        records.decode(record + b"\0")


def test_the_frame_is_a_version_and_the_crc32_of_the_rest():
    record = records.encode(small())
    assert struct.unpack("<BI", record[:5]) == (1, zlib.crc32(record[5:]))
    with pytest.raises(ValueError, match="record of version 2, this program reads 1; pack"):
        records.decode(b"\2" + record[1:])


def test_classes_of_whole_nuclei_take_hardly_any_room():
    rng = np.random.default_rng(0)
    instances = np.kron(np.arange(64).reshape(8, 8), np.ones((16, 16))).astype(np.int32)
    classes = np.append(0, rng.integers(1, 8, 63)).astype(np.int32)[instances]
    image = np.zeros((128, 128, 3), np.uint8)
    bare = len(records.encode(Sample(image, instances)))
    assert len(records.encode(Sample(image, instances, classes))) < bare + 90
    classes[0, 20] += 1  # one pixel of a nucleus
    mixed = Sample(image, instances, classes)
    assert_same(records.decode(records.encode(mixed)), mixed)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ((1, 2), r"meta\['x'\]: JSON cannot hold \(1, 2\) \(tuple\)"),
        (np.int64(3), r"JSON cannot hold np.int64\(3\)"),
        (np.zeros(2), "ndarray"),
        (float("nan"), "cannot hold nan"),
        ([0, {"y": float("inf")}], r"meta\['x'\]\[1\]\['y'\]: JSON cannot hold inf"),
        ({1: 2}, r"cannot hold the key 1"),
        (b"a", "bytes"),
    ],
)
def test_refuses_a_meta_that_json_would_change(value, what):
    with pytest.raises(ValueError, match=f"sample 'a': .*{what}"):
        records.encode(small(meta={"name": "a", "x": value}))


@pytest.mark.parametrize(
    "changes",
    [
        {"image": np.zeros((9, 12), np.uint8)},
        {"image": np.zeros((9, 12, 3), np.float32)},
        {"image": np.zeros((9, 11, 3), np.uint8)},
        {"instances": np.zeros((9, 12), np.int64)},
        {"classes": np.zeros((9, 12), np.uint8)},
        {"classes": np.zeros((12, 9), np.int32)},
        {"ignore": np.zeros((9, 12), np.uint8)},
        {"instances": np.zeros((9, 12, 1), np.int32)},
        {"covered": np.zeros((9, 12), np.int32)},
        {"covered": np.zeros((9, 12, 1), np.int64)},
        {"covered": np.zeros((9, 11, 1), np.int32)},
    ],
)
def test_refuses_arrays_of_another_form(changes):
    with pytest.raises(ValueError, match=r"sample 'a': .*(; expected|sizes differ)"):
        records.encode(small(**changes))


@pytest.mark.parametrize("shape", [(0, 4), (1, 16384)])
def test_refuses_sizes_that_it_cannot_hold(shape):
    with pytest.raises(ValueError, match=f"{shape[0]} x {shape[1]} pixels.* windows"):
        records.encode(Sample(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.int32)))
