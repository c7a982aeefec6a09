"""What a data set of which one file was damaged may do, for the tests that damage files."""

import time
from pathlib import Path

import numpy as np
import pytest

from jaxnuc.data import sources

SLOWEST = 3.0  # seconds; reading these sets takes milliseconds


def read_all(source, root, arguments):
    opened = sources.create(source, root=root, **arguments)
    samples = [opened[index] for index in range(len(opened))]
    groups = 0 if getattr(opened, "cut", None) is None else len(opened.cut.groups)
    for sample in samples:
        check_form(sample, groups, getattr(opened, "ignores", False))
    return samples


def check_form(sample, groups, ignores):
    shape = sample.instances.shape
    assert (sample.image.dtype, sample.image.shape) == (np.uint8, (*shape, 3))
    assert len(shape) == 2
    assert min(shape) > 0
    assert sample.instances.dtype == np.int32
    assert sample.instances.min() >= 0
    assert (sample.classes is None) == (groups == 0)
    if sample.classes is not None:
        assert (sample.classes.dtype, sample.classes.shape) == (np.int32, shape)
        assert -1 <= sample.classes.min() <= sample.classes.max() <= groups
        # Maps of classes that come with the ids, not by them, are not compared pixel by pixel.
        if sample.meta["source"] != "conic":
            np.testing.assert_array_equal(sample.instances > 0, sample.classes != 0)
    if sample.ignore is not None:
        assert ignores
        assert (sample.ignore.dtype, sample.ignore.shape) == (bool, shape)
    mpp = sample.meta.get("mpp")
    assert mpp is None or 0 < mpp < np.inf


def assert_same(samples, expected):
    assert len(samples) == len(expected)
    for sample, other in zip(samples, expected, strict=True):
        for key in ("image", "instances", "classes", "ignore"):
            np.testing.assert_array_equal(getattr(sample, key), getattr(other, key))
        assert sample.meta == other.meta


@pytest.fixture
def judge():
    """`judge(source, root, arguments, named, outcome, before)` reads a set and asserts `outcome`.

    `"refused"`: an error that names the file `named`; `"same"`: the samples of `before`;
    `"safe"`: either of these; `"valid"`: an error, or samples that are what a `Sample` is.
    """

    def run(source, root, arguments, named, outcome, before):
        start = time.perf_counter()
        try:
            samples = read_all(source, Path(root), arguments)
        except (ValueError, FileNotFoundError) as error:
            assert outcome != "same", error
            assert named in str(error), error
            assert len(str(error)) < 2000
        else:
            assert outcome != "refused"
            if outcome in ("same", "safe"):
                assert_same(samples, before)
        assert time.perf_counter() - start < SLOWEST

    return run
