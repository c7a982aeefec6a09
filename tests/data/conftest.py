"""What a data set of which one file was damaged may do; images with annotations of one's own."""

import time

import numpy as np
import pytest
from annotated_images import IMAGE, save, write

from jaxnuc.data import sources
from jaxnuc.data.sources.folder import Source

SLOWEST = 3.0  # seconds of this process; reading these sets takes milliseconds


def read_all(source, root, arguments):
    opened = sources.create(source, root=root, **arguments)
    samples = [opened[index] for index in range(len(opened))]
    groups = 0 if opened.label_set is None else len(opened.label_set.groups)
    for sample in samples:
        check_form(sample, groups, opened.ignores)
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


@pytest.fixture(scope="module")
def valid_sets(request, tmp_path_factory):
    """`valid_sets(name)`: a set of the test file's `SETS`, written and read once.

    `SETS` has by name a function that writes the set below a folder, the source and its arguments,
    which may be functions of the folder.
    """
    kept = {}

    def get(name):
        if name not in kept:
            write, source, arguments = request.module.SETS[name]
            root = tmp_path_factory.mktemp(name)
            write(root)
            arguments = {k: v(root) if callable(v) else v for k, v in arguments.items()}
            kept[name] = root, source, arguments, read_all(source, root, arguments)
        return kept[name]

    return get


@pytest.fixture
def judge(valid_sets):
    """`judge(name, change, files, outcome)` changes a set, reads it, and changes it back.

    `change(root)` writes, moves or deletes `files`, given by their paths below the root. Outcomes:
    `"refused"`, an error that names one of the files; `"same"`, the samples as before; `"safe"`,
    either of these; `"valid"`, such an error, or samples of which each is what a `Sample` is.
    """

    def run(name, change, files, outcome):
        root, source, arguments, before = valid_sets(name)
        whole = {
            path: path.read_bytes() if path.exists() else None for path in map(root.joinpath, files)
        }
        change(root)
        start = time.process_time()
        try:
            samples = read_all(source, root, arguments)
        except (ValueError, FileNotFoundError) as error:
            assert outcome != "same", error  # noqa: PT017
            text = str(error)
            assert any(path.name in text for path in whole), text
            assert len(text) < 2000
        else:
            assert outcome != "refused"
            if outcome in ("same", "safe"):
                assert_same(samples, before)
        finally:
            for path, data in whole.items():
                path.unlink(missing_ok=True)
                if data is not None:
                    path.write_bytes(data)
        assert time.process_time() - start < SLOWEST

    return run


@pytest.fixture
def annotated(tmp_path):
    """Writes an annotation file of image `a` and opens the source."""
    save(tmp_path / "images" / "a.png", IMAGE)

    def opened(features, classes=None, **arguments):
        write(tmp_path / "labels" / "a.geojson", features)
        if classes is not None:
            write(tmp_path / "classes.yaml", classes)
        return Source(tmp_path, annotations=arguments or None)

    return opened
