import pickle
import shutil

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.cpm15 import Source

SIZES = {1: (3, 4), 4: (5, 7), 5: (6, 4), 8: (3, 4)}
RNG = np.random.default_rng(0)
IMAGES = {k: RNG.integers(0, 256, (*size, 4), np.uint8) for k, size in SIZES.items()}
LABELS = {k: RNG.integers(0, 4, size) for k, size in SIZES.items()}


def text(labels, end="\n"):
    height, width = labels.shape
    return end.join([f"{width} {height}", *map(str, labels.ravel())]) + end


@pytest.fixture
def root(tmp_path):
    """The published form, in which the labels of images 4 and 5 are exchanged."""
    data = tmp_path / "cpm15"
    data.mkdir()
    for k in SIZES:
        Image.fromarray(IMAGES[k]).save(data / f"image{k:02}.png")
        Image.fromarray(IMAGES[k]).save(data / f"image{k:02}_poly.png")
        labels = LABELS[{4: 5, 5: 4}.get(k, k)]
        (data / f"image{k:02}_mask.txt").write_text(text(labels, "\r\n" if k == 8 else "\n"))
    (data / "README").write_text("x")
    return tmp_path


def redistribute(root, start=1):
    """HoVer-Net's form of the same, which may count from 0."""
    new = root / "new"
    for kind in ("Images", "Labels"):
        (new / kind).mkdir(parents=True)
    for k in SIZES:
        name = f"image_{k - 1 + start:02}"
        Image.fromarray(IMAGES[k]).save(new / "Images" / f"{name}.png")
        variables = {"inst_map": LABELS[{4: 5, 5: 4}.get(k, k)] * 1.0}
        scipy.io.savemat(new / "Labels" / f"{name}.mat", variables)
    shutil.rmtree(root / "cpm15")
    return new


def check(source):
    mpp = []
    for sample, k in zip((source[i] for i in range(4)), SIZES, strict=True):
        np.testing.assert_array_equal(sample.image, IMAGES[k][..., :3])
        np.testing.assert_array_equal(sample.instances, LABELS[k])
        assert (sample.instances.dtype, sample.classes) == (np.int32, None)
        mpp.append(sample.meta["mpp"])
    assert mpp == [0.5, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("zipped", [False, True])
def test_published_form_with_exchanged_labels(root, zipped):
    if zipped:
        shutil.make_archive(str(root / "CPM15"), "zip", root, "cpm15")
        shutil.rmtree(root / "cpm15")
    source = pickle.loads(pickle.dumps(sources.create("cpm15", root=root, split="all")))
    assert source.ids == ["image01", "image04", "image05", "image08"]
    assert source[0].meta["name"] == "image01"
    check(source)


@pytest.mark.parametrize("start", [0, 1])
def test_redistributed_form(root, start):
    redistribute(root, start)
    check(Source(root, "all"))


def test_sizes_that_do_not_tell_are_an_error(root):
    (root / "cpm15" / "image08_mask.txt").write_text(text(LABELS[4]))
    with pytest.raises(ValueError, match=r"image04_mask\.txt: labels of \(6, 4\) pixels for an im"):
        Source(root, "all")
    Image.fromarray(IMAGES[4]).save(root / "cpm15" / "image08.png")  # two images of this size
    (root / "cpm15" / "image08_mask.txt").write_text(text(LABELS[1]))
    with pytest.raises(ValueError, match="and sizes do not tell which labels"):
        Source(root, "all")


def test_an_image_without_labels_of_its_size_is_an_error(root):
    (root / "cpm15" / "image04_mask.txt").write_text(text(LABELS[1]))
    with pytest.raises(ValueError, match=r"image05_mask\.txt: .*of 2 images the labels do not fit"):
        Source(root, "all")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("4 3\n1\n2\n", "2 labels for 4 x 3 pixels; it is truncated"),
        ("4 3\n" + "1\n" * 11 + "-1\n", "holds something else than label numbers"),
        ("4 3\n" + "1\n" * 11 + "x\n", "holds something else than label numbers"),
        ("4 3\n" + "1\n" * 11 + f"{2**40}\n", r"1 \.\. 1099511627776|0 \.\. 1099511627776"),
        ("4 3\n", "0 labels for 4 x 3 pixels"),
    ],
)
def test_damaged_text(root, content, message):
    (root / "cpm15" / "image01_mask.txt").write_text(content)
    with pytest.raises(ValueError, match=rf"image01_mask\.txt: .*({message})"):
        Source(root, "all")[0]


def test_damaged_headers_and_images(root):
    (root / "cpm15" / "image01_mask.txt").write_text("4\n3\n")
    with pytest.raises(ValueError, match=r"image01_mask\.txt: the first line is b'4'; expected"):
        Source(root)
    (root / "cpm15" / "image01.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"image01\.png: cannot be decoded"):
        Source(root)
    new = redistribute(root, 0)
    scipy.io.savemat(new / "Labels" / "image_00.mat", {"other": LABELS[1]})
    with pytest.raises(ValueError, match=r"image_00\.mat: no variable 'inst_map'.*are: other"):
        Source(root)


def test_seeded_split(root):
    parts = [Source(root, s, fractions=(0.5, 0.25, 0.25)).ids for s in ("train", "val", "test")]
    assert [len(part) for part in parts] == [2, 1, 1]
    assert len({name for part in parts for name in part}) == 4
