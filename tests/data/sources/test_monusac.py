import pickle
import struct
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.monusac import Source
from jaxnuc.io.image_files import _jpeg_2000_tiles, decode_colors

TRAIN, TEST = "MoNuSAC_images_and_annotations", "MoNuSAC Testing Data and Annotations"
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 24, 4), np.uint8)
LEFT, RIGHT = [(1, 1), (5, 1), (5, 6), (1, 6)], [(10, 2), (15, 2), (15, 8), (10, 8)]
VAGUE = [(4, 4), (12, 4), (12, 12), (4, 12)]


def box(points):
    (left, top), _, (right, bottom), _ = points
    mask = np.zeros((20, 24), bool)
    mask[top:bottom, left:right] = True
    return mask


def layer(kind, *regions, name=""):
    text = "".join(
        f'<Region Id="{k}" Type="0"><Vertices>'
        + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
        + "</Vertices></Region>"
        for k, points in enumerate(regions, 1)
    )
    attributes = f'<Attribute Name="{kind}" Id="0" Value=""/>' if kind else ""
    return (
        f'<Annotation Id="1" Name="{name}" Type="4"><Attributes>{attributes}</Attributes>'
        f"<Regions><RegionAttributeHeaders/>{text}</Regions></Annotation>"
    )


def xml(*layers):
    return f'<Annotations MicronsPerPixel="0.2508">{"".join(layers)}</Annotations>'


NUCLEI = xml(layer("Lymphocyte", LEFT, [(0, 0), (1, 1)]), layer("Epithelial", RIGHT))
TEST_NUCLEI = xml(layer("Ambiguous", VAGUE), layer("Neutrophil", LEFT), layer("", name="Layer 1"))


def write(root, top, patient, number, text, tif=True):
    folder = root / top / patient
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{patient}_{number}"
    (folder / f"{stem}.xml").write_text(text)
    if tif:
        Image.fromarray(IMAGE if number % 2 else IMAGE[..., :3]).save(folder / f"{stem}.tif")
    tifffile.imwrite(folder / f"{stem}.svs", IMAGE[..., :3], tile=(16, 16), photometric="rgb")
    (folder / f"._{stem}.tif").write_bytes(b"junk")
    return folder / stem


@pytest.fixture
def root(tmp_path):
    for slide in ("55-1594-01Z-00-DX1", "5P-A9K0-01Z-00-DX1", "55-1594-01Z-00-DX2"):
        for number in (2, 10):
            write(tmp_path, TRAIN, f"TCGA-{slide}", number, NUCLEI)
    write(tmp_path, TEST, "TCGA-2Z-A9JG-01Z-00-DX1", 1, TEST_NUCLEI)
    write(tmp_path, TEST, "TCGA-2Z-A9JG-01Z-00-DX1", 2, TEST_NUCLEI, tif=False)
    return tmp_path


def test_classes_and_instances(root):
    source = sources.create("monusac", root=root, split="all")
    assert source.ids[:2] == [f"TCGA-5P-A9K0-01Z-00-DX1_{k}" for k in (2, 10)]
    assert source.label_set.groups == ("Epithelial", "Lymphocyte", "Macrophage", "Neutrophil")
    sample = source[0]
    np.testing.assert_array_equal(sample.image, IMAGE[..., :3])
    np.testing.assert_array_equal(sample.instances, np.where(box(LEFT), 1, box(RIGHT) * 3))
    np.testing.assert_array_equal(sample.classes, np.where(box(LEFT), 2, box(RIGHT) * 1))
    assert (sample.classes.dtype, sample.instances.dtype) == (np.int32, np.int32)
    assert sample.ignore is None
    assert sample.meta == {
        "name": "TCGA-5P-A9K0-01Z-00-DX1_2",
        "source": "monusac",
        "patient": "TCGA-5P-A9K0",
        "modality": "H&E",
        "mpp": 0.2508,
        "regions": 3,
        "skipped_regions": 1,
        "hidden_regions": 0,
    }


def test_ambiguous_regions_are_ignored(root):
    source = Source(root, "test")
    assert source.ignores
    for sample in (source[0], source[1], source[0]):  # RGBA, only svs, kept
        np.testing.assert_array_equal(sample.image, IMAGE[..., :3])
        np.testing.assert_array_equal(sample.ignore, box(VAGUE))
        np.testing.assert_array_equal(sample.instances, box(LEFT))
        np.testing.assert_array_equal(sample.classes, box(LEFT) * 4)
        assert sample.meta["regions"] == 1


def test_splits_by_patient(root):
    splits = {s: Source(root, s, val_fraction=0.5).ids for s in ("train", "val", "test")}
    assert len(splits["test"]) == 2
    assert sorted(len(splits[s]) for s in ("train", "val")) == [2, 4]
    patients = [{name[:12] for name in splits[s]} for s in ("train", "val")]
    assert not set.intersection(*patients)
    with pytest.raises(ValueError, match="unknown split 'tset'"):
        Source(root, "tset")


def test_any_root(root):
    assert Source(root / TRAIN, "all").ids == Source(root, "all").ids[:6]
    assert len(Source(root / TEST, "test")) == 2
    zips = root / "zips"
    zips.mkdir()
    for top, inner in ((TRAIN, ""), (TEST, TEST + "/")):  # with and without a folder in it
        with zipfile.ZipFile(zips / f"{top}.zip", "w") as file:
            for path in (root / top).rglob("*"):
                file.write(path, inner + path.relative_to(root / top).as_posix())
    assert Source(zips, "all").ids == Source(root, "all").ids
    assert Source(zips / f"{TEST}.zip", "test").ids == Source(root, "test").ids
    with pytest.raises(FileNotFoundError, match="no images of split 'test'; expected"):
        Source(zips / f"{TRAIN}.zip", "test")
    source = Source(zips, "test")
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[1].ignore, source[1].ignore)
    (root / TRAIN).rename(root / "slides")
    with pytest.raises(ValueError, match="says whether it is a training or a test image"):
        Source(root / "slides", "all")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (xml(layer("Lymphocite", LEFT)), "did you mean 'Lymphocyte'"),
        (xml(layer("", LEFT)), "without one class"),
        (xml(layer("Lymphocyte", LEFT, name="Epithelial")), "without one class"),
        (xml(layer("Lymphocyte", [(1, 1), ("x", 1), (2, 2)])), "region '1'.*'x'"),
        (xml(layer("Lymphocyte", [(90, 90), (99, 90), (99, 99)])), "another image"),
        ("<!DOCTYPE a>" + NUCLEI, "document type"),
    ],
)
def test_bad_annotations_name_the_file(root, text, message):
    stem = write(root, TEST, "TCGA-2Z-A9JG-01Z-00-DX1", 1, text)
    with pytest.raises(ValueError, match=message) as error:
        Source(root, "test")[0]
    assert f"{stem.name}.xml" in str(error.value)


def test_unmatched_files(root):
    stem = write(root, TEST, "TCGA-2Z-A9JG-01Z-00-DX1", 2, NUCLEI, tif=False)
    stem.with_suffix(".svs").unlink()
    with pytest.raises(ValueError, match=r"DX1_2\.xml: no image of this stem"):
        Source(root)
    source = Source(root, "test", unmatched="skip")
    assert len(source) == len(source.unmatched) == 1


def test_a_damaged_slide_is_named(root):
    file = root / TEST / "TCGA-2Z-A9JG-01Z-00-DX1" / "TCGA-2Z-A9JG-01Z-00-DX1_2.svs"
    whole = file.read_bytes()
    for data in (b"", b"junk", whole[:30], whole[:900]):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=r"DX1_2\.svs"):
            Source(root, "test")[1]


def tiff(shape, compression, tiles):
    """A tiled TIFF of 8-bit RGB in tiles of 16x16, written by hand."""
    ends = np.cumsum([8, *map(len, tiles)])
    arrays = int(ends[-1]) + 2 + 12 * 11 + 4
    tags = [
        (256, 4, 1, shape[1]),
        (257, 4, 1, shape[0]),
        (258, 3, 3, arrays + 8 * len(tiles)),
        (259, 3, 1, compression),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
        (284, 3, 1, 1),
        (322, 3, 1, 16),
        (323, 3, 1, 16),
        (324, 4, len(tiles), arrays),
        (325, 4, len(tiles), arrays + 4 * len(tiles)),
    ]
    return (
        struct.pack("<2sHI", b"II", 42, ends[-1])
        + b"".join(tiles)
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        + bytes(4)
        + struct.pack(f"<{len(tiles)}I", *ends[:-1])
        + struct.pack(f"<{len(tiles)}I", *map(len, tiles))
        + struct.pack("<3H", 8, 8, 8)
    )


@pytest.mark.parametrize("ycbcr", [False, True])
def test_jpeg_2000_tiles(tmp_path, ycbcr):
    """Aperio's own kind of TIFF, tile by tile: compression 33005 is RGB, 33003 is YCbCr."""
    rows, columns = np.indices((20, 24))
    image = np.stack([rows * 9, columns * 8, rows + columns], -1).astype(np.uint8)
    padded = np.pad(image, ((0, 12), (0, 8), (0, 0)))
    if ycbcr:
        padded = np.asarray(Image.fromarray(padded).convert("YCbCr"))
    tiles = []
    for top, left in np.ndindex(2, 2):
        file = tmp_path / "tile.j2k"
        tile = padded[top * 16 : top * 16 + 16, left * 16 : left * 16 + 16]
        Image.fromarray(np.ascontiguousarray(tile)).save(file, no_jp2=True, mct=0)
        tiles.append(file.read_bytes())
    data = tiff(image.shape, 33003 if ycbcr else 33005, tiles)
    error = np.abs(decode_colors(data, "a.svs").astype(int) - image)
    assert error.max() <= (4 if ycbcr else 0)  # what the color space's rounding costs
    with pytest.raises(ValueError, match=r"a\.svs"):
        decode_colors(data.replace(tiles[3], tiles[3][:20] + bytes(len(tiles[3]) - 20)), "a.svs")


@pytest.mark.slow
def test_real_slides(shared_data):
    wsi = shared_data("wsi")
    jpeg, jpeg2000 = (wsi / f"{n}.svs" for n in ("cmu-1-small-region", "tcga-cr-7395-01a-01-ts1"))
    assert decode_colors(jpeg.read_bytes(), "jpeg.svs").shape == (2967, 2220, 3)
    slide = decode_colors(jpeg2000.read_bytes(), "jpeg2000.svs")
    assert slide.shape == (3567, 4443, 3)
    # The slide's own copy at half the size.
    with tifffile.TiffFile(jpeg2000) as file:
        half = _jpeg_2000_tiles(jpeg2000.read_bytes(), file.pages[2])
    mean = slide[:3566, :4442].reshape(1783, 2, 2221, 2, 3).mean(axis=(1, 3))
    assert np.abs(mean - half).mean() < 4
