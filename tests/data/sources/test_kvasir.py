"""Kvasir-SEG, and what all sets of binary masks have in common."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.kvasir import Source

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 48, 3), np.uint8)
POLYPS = np.zeros((40, 48), bool)
POLYPS[4:15, 5:19] = True
POLYPS[15:25, 19:30] = True  # touches the first at a corner: one component of eight neighbors
POLYPS[30:36, 8:14] = True
INSTANCES = np.where(np.arange(40)[:, None] < 28, 1, 2) * POLYPS


def save(path, array, **arguments):
    path.parent.mkdir(parents=True, exist_ok=True)
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(path, **arguments)


def noisy(path):
    """A JPEG of three channels, whose decoded values are all but black and white."""
    save(path, np.stack([np.uint8(POLYPS) * 255] * 3, -1), quality=60)
    values = np.unique(np.asarray(Image.open(path)))
    assert len(values) > 10


@pytest.fixture
def root(tmp_path):
    data = tmp_path / "Kvasir-SEG"
    for stem in ("a10", "a9", "b"):
        save(data / "images" / f"{stem}.jpg", IMAGE)
        noisy_path = data / "masks" / f"{stem}.jpg"
        noisy_path.parent.mkdir(exist_ok=True)
        noisy(noisy_path)
    (data / "kavsir_bboxes.json").write_text("{}")
    (data / "masks" / "._a9.jpg").write_bytes(b"junk")
    return tmp_path


@pytest.mark.parametrize("form", ["folder", "inner folder", "zip"])
def test_noisy_masks_are_thresholded(root, form):
    if form == "zip":
        shutil.make_archive(str(root / "kvasir-seg"), "zip", root, "Kvasir-SEG")
        shutil.rmtree(root / "Kvasir-SEG")
    path = root / "Kvasir-SEG" if form == "inner folder" else root
    source = pickle.loads(pickle.dumps(sources.create("kvasir", root=path, split="all")))
    assert (source.name, source.ids) == ("kvasir", ["a9", "a10", "b"])
    sample = source[0]
    assert sample.image.shape == (40, 48, 3)
    assert np.mean((sample.instances > 0) != POLYPS) < 0.005
    assert sample.instances.max() == 2
    np.testing.assert_array_equal(sample.instances[31:35, 9:13], 2)
    assert (sample.instances.dtype, sample.classes, sample.ignore) == (np.int32, None, None)
    assert sample.meta == {
        "name": "a9",
        "source": "kvasir",
        "mpp": None,
        "tissue": "colon",
        "modality": "endoscopy",
    }


def palette(colors):
    image = Image.fromarray(np.uint8(POLYPS)).convert("P")
    image.putpalette([value for color in colors for value in color])
    return image


@pytest.mark.parametrize(
    "mask",
    [
        np.uint8(POLYPS) * 255,
        np.uint8(POLYPS),
        POLYPS,
        np.dstack([np.uint8(POLYPS) * 255] * 3),
        np.dstack([np.uint8(POLYPS) * 255] * 3 + [np.full(POLYPS.shape, 255, np.uint8)]),
        palette([(0, 0, 0), (255, 255, 255)]),
        palette([(0, 0, 0), (250, 250, 250), (7, 7, 7)]),
    ],
    ids=["gray", "ones", "one bit", "rgb", "rgba", "palette", "pale palette"],
)
def test_lossless_masks_of_every_kind(root, mask):
    (root / "Kvasir-SEG" / "masks" / "b.jpg").unlink()
    save(root / "Kvasir-SEG" / "masks" / "b.png", mask)
    np.testing.assert_array_equal(Source(root, "all")[2].instances, INSTANCES)


def test_an_inverted_palette_is_read_by_its_colors(root):
    (root / "Kvasir-SEG" / "masks" / "b.jpg").unlink()
    save(root / "Kvasir-SEG" / "masks" / "b.png", palette([(255, 255, 255), (0, 0, 0)]))
    np.testing.assert_array_equal(Source(root, "all")[2].instances > 0, ~POLYPS)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.dstack([IMAGE, IMAGE[..., 0]]), IMAGE),
        (IMAGE[..., 0], np.dstack([IMAGE[..., 0]] * 3)),
        (palette([(9, 8, 7), (200, 100, 50)]), np.where(POLYPS[..., None], (200, 100, 50), 9)),
    ],
    ids=["rgba", "gray", "palette"],
)
def test_images_of_every_kind(root, image, expected):
    (root / "Kvasir-SEG" / "images" / "b.jpg").unlink()
    save(root / "Kvasir-SEG" / "images" / "b.png", image)
    sample = Source(root, "all")[2]
    np.testing.assert_array_equal(sample.image[..., 0], expected[..., 0])
    np.testing.assert_array_equal(sample.image[POLYPS], expected[POLYPS])


def test_an_empty_noisy_mask_has_no_instance(root):
    save(root / "Kvasir-SEG" / "masks" / "b.jpg", RNG.integers(0, 4, (40, 48), np.uint8))
    assert not Source(root, "all")[2].instances.any()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.uint8(POLYPS.T) * 255, r"b\.png: a mask of \(48, 40\) pixels for an image of \(40, 48"),
        (IMAGE, "colors, expected a mask"),
        (np.uint8(POLYPS) * 100, "values up to 100, expected 0 and 255, or 0 and 1"),
        (np.uint16(POLYPS) * 65535, "an image of uint16"),
    ],
)
def test_what_is_no_mask(root, mask, message):
    (root / "Kvasir-SEG" / "masks" / "b.jpg").unlink()
    save(root / "Kvasir-SEG" / "masks" / "b.png", mask)
    with pytest.raises(ValueError, match=message):
        Source(root, "all")[2]


def test_damaged_files_are_named(root):
    for name in ("images/a9.png", "masks/b.png"):
        path = root / "Kvasir-SEG" / name
        path.with_suffix(".jpg").unlink()
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    source = Source(root, "all")
    with pytest.raises(ValueError, match=r"images/a9\.png: cannot be decoded"):
        source[0]
    with pytest.raises(ValueError, match=r"masks/b\.png: cannot be decoded"):
        source[2]


def test_stems_must_match(root):
    data = root / "Kvasir-SEG"
    (data / "masks" / "b.jpg").rename(data / "masks" / "c.jpg")
    with pytest.raises(ValueError, match=r"b\.jpg: no label with this stem \(1 such"):
        Source(root)
    (data / "images" / "b.jpg").unlink()
    with pytest.raises(ValueError, match=r"masks/c\.jpg: no image with this stem"):
        Source(root)
    (data / "masks" / "c.jpg").unlink()
    shutil.copytree(data / "images", data / "copy" / "images")
    with pytest.raises(ValueError, match="are both the image of 'a9'; keep one, or give"):
        Source(root)
    shutil.rmtree(data / "copy")
    shutil.rmtree(data / "masks")
    with pytest.raises(FileNotFoundError, match=r"`images` and `masks`, as published at https://d"):
        Source(root)
    with pytest.raises(FileNotFoundError, match=r"absent: no such folder or zip file; expected"):
        Source(root / "absent")


def test_split_is_a_seeded_partition(root):
    parts = [Source(root, s, fractions=(0.4, 0.3, 0.3)).ids for s in ("train", "val", "test")]
    assert [len(part) for part in parts] == [1, 1, 1]
    assert {name for part in parts for name in part} == {"a9", "a10", "b"}
    with pytest.raises(ValueError, match="did you mean 'train'"):
        Source(root, "trian")
