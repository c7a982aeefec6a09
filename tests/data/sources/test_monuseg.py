import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.monuseg import TEST, Source
from jaxnuc.io.aperio import read_aperio

TRAIN = [f"TCGA-{k}-5784-01Z-00-DX1" for k in (2, 10, 21, 38, 50)]
IMAGE = np.random.default_rng(0).integers(0, 256, (12, 14, 3), np.uint8)
SQUARE, CORNER = [(2, 2), (8, 2), (8, 8), (2, 8)], [(-2.9, -2.9), (3, -1), (3, 3), (-2.9, 3)]


def region(points, number=1, **attributes):
    attributes = {"Id": number, "Type": 0, "NegativeROA": 0, "InputRegionId": 0} | attributes
    stated = "".join(f' {key}="{value}"' for key, value in attributes.items())
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in points)
    return f"<Region{stated}><Attributes/><Vertices>{vertices}</Vertices></Region>"


def xml(*regions, mpp='MicronsPerPixel="0.252700"', head=""):
    return (
        f'{head}<Annotations {mpp}>\n<Annotation Id="1" Name="" Type="4"><Attributes>'
        '<Attribute Name="Description" Id="0" Value=""/></Attributes><Regions>'
        '<RegionAttributeHeaders><AttributeHeader Id="9999" Name="Region"/>'
        f"</RegionAttributeHeaders>{''.join(regions)}</Regions><Plots/></Annotation></Annotations>"
    )


NUCLEI = xml(region(SQUARE, 7), region([(1, 1), (5, 5)], 8), region(CORNER, 9))


def write_training(root, names=TRAIN, text=NUCLEI):
    for name in names:
        image = root / "MoNuSeg 2018 Training Data" / "Tissue Images" / f"{name}.tif"
        label = root / "MoNuSeg 2018 Training Data" / "Annotations" / f"{name}.xml"
        image.parent.mkdir(parents=True, exist_ok=True)
        label.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGE).save(image, compression="tiff_lzw")
        label.write_text(text)
    (image.parent / f"._{name}.tif").write_bytes(b"junk")


def write_test(root):
    (root / "MoNuSegTestData").mkdir(parents=True)
    for name in sorted(TEST)[:2]:
        Image.fromarray(IMAGE).save(
            root / "MoNuSegTestData" / f"{name}.tif", compression="packbits"
        )
        (root / "MoNuSegTestData" / f"{name}.xml").write_text(NUCLEI)


def zipped(folder, to):
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder.parent).as_posix())
            if path.is_file():
                file.writestr(f"__MACOSX/{path.name}", b"junk")


@pytest.fixture
def root(tmp_path):
    write_training(tmp_path)
    write_test(tmp_path)
    return tmp_path


def test_reads_the_published_layout(root):
    source = sources.create("monuseg", root=root, split="all")
    assert source.ids == TRAIN + sorted(TEST)[:2]  # natural order, training first
    expected = np.zeros((12, 14), np.int32)
    expected[2:8, 2:8] = 1
    expected[:3, :3] = 3  # the smaller lies on top; the third region, one was skipped
    for sample in (source[0], source[5], source[0]):
        np.testing.assert_array_equal(sample.image, IMAGE)
        np.testing.assert_array_equal(sample.instances, expected)
        assert (sample.image.dtype, sample.instances.dtype) == (np.uint8, np.int32)
        assert sample.classes is None
        assert sample.ignore is None
        sample.instances[:] = 0  # must not reach what the source keeps
    assert source[1].meta == {
        "name": TRAIN[1],
        "source": "monuseg",
        "patient": "TCGA-10-5784",
        "modality": "H&E",
        "mpp": 0.2527,
        "regions": 3,
        "skipped_regions": 1,
        "hidden_regions": 0,
    }


def test_any_root(root):
    train, test = root / "MoNuSeg 2018 Training Data", root / "MoNuSegTestData"
    assert len(Source(train, "all")) == len(Source(root, "all")) - 2 == 5
    assert Source(test, "test").ids == Source(root, "test").ids == sorted(TEST)[:2]
    zips = root / "zips"
    zips.mkdir()
    zipped(train, zips / "MoNuSeg 2018 Training Data.zip")
    zipped(test, zips / "monuseg_test.zip")
    (zips / "other.tif").write_bytes(b"of another set")
    assert Source(zips, "all").ids == Source(root, "all").ids
    assert Source(str(zips / "monuseg_test.zip"), "all").ids == sorted(TEST)[:2]
    np.testing.assert_array_equal(
        Source(zips, "train")[0].instances, Source(root, "train")[0].instances
    )
    zipped(train, root / "MoNuSeg 2018 Training Data.zip")  # beside what is unpacked from it
    assert Source(root, "all").ids == TRAIN + sorted(TEST)[:2]


def test_splits(root):
    splits = {name: Source(root, name, val_fraction=0.4).ids for name in ("train", "val", "test")}
    assert [len(ids) for ids in splits.values()] == [3, 2, 2]
    assert sorted(splits["train"] + splits["val"]) == sorted(TRAIN)
    assert Source(root, "val", val_fraction=0.4).ids == splits["val"]
    assert any(Source(root, "val", seed=s, val_fraction=0.4).ids != splits["val"] for s in (1, 2))
    assert Source(root, "train", val_fraction=0).ids == TRAIN
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        Source(root, "valid")
    with pytest.raises(ValueError, match=r"val_fraction=1\.5"):
        Source(root, val_fraction=1.5)
    with pytest.raises(FileNotFoundError, match=r"no images of split 'test'; expected .*\.zip"):
        Source(root / "MoNuSeg 2018 Training Data", "test")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        Source(root / "nowhere")


def test_one_patient_is_on_one_side(tmp_path):
    names = [f"TCGA-{p}-1-{k}" for p in range(6) for k in range(3)]
    write_training(tmp_path, names)
    val = Source(tmp_path, "val", val_fraction=0.34).ids
    assert len(val) == 6
    assert len({name[:8] for name in val}) == 2


def test_unmatched_files_are_named(root):
    images = root / "MoNuSeg 2018 Training Data" / "Tissue Images"
    Image.fromarray(IMAGE).save(images / "TCGA-99.tif")
    (root / "MoNuSegTestData" / "b.xml").write_text(NUCLEI)
    with pytest.raises(ValueError, match=r"TCGA-99\.tif: no annotation.*\(2: TCGA-99.tif, b.xml\)"):
        Source(root)
    source = Source(root, "all", unmatched="skip")
    assert len(source) == 7
    assert [Path(name).name for name in source.unmatched] == ["TCGA-99.tif", "b.xml"]
    with pytest.raises(ValueError, match="did you mean 'skip'"):
        Source(root, unmatched="skipp")
    (root / "MoNuSegTestData" / "more").mkdir()
    (root / "MoNuSegTestData" / "more" / "b.xml").write_text(NUCLEI)
    with pytest.raises(ValueError, match="same stem"):
        Source(root, unmatched="skip")


def test_pickled_source_reads_the_same(root):
    source = Source(root, "all")
    before = len(pickle.dumps(source))
    first = source[0]
    assert len(pickle.dumps(source)) == before
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[0].instances, first.instances)
    kept = Source(root, "all", cache=False)[0]
    np.testing.assert_array_equal(kept.instances, first.instances)


def test_conventions(root):
    haru = Source(root, "all", convention="haru")[0].instances
    assert haru[8, 8] == 1
    assert haru[3, 3] == 3
    with pytest.raises(ValueError, match="unknown rasterization convention"):
        Source(root, convention="opencv")


def test_resolution_and_holes():
    no_mpp = read_aperio(xml(region(SQUARE), mpp="").encode(), "a.xml")
    assert no_mpp.mpp is None
    hole = [(4, 4), (6, 4), (6, 6)]
    text = xml(
        region(SQUARE, 1), region(CORNER, 2), region(hole, 3, NegativeROA=1, InputRegionId=1)
    )
    one, two = read_aperio(text.encode(), "a.xml").polygons
    np.testing.assert_array_equal(one.holes, [hole])
    assert two.holes == ()
    text = xml(region(SQUARE, 1), region(CORNER, 2), region(hole, 3, NegativeROA=1))
    assert [len(p.holes) for p in read_aperio(text.encode(), "a.xml").polygons] == [1, 1]
    nothing = read_aperio(b"<Annotations><Annotation/></Annotations>", "a.xml")
    assert nothing.polygons == []


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{k} "{"&a;" * 10}">' for k in range(9))
    + "]>"
)
DECLARED = '<?xml version="1.0" encoding="utf-16"?>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (xml(region(SQUARE), head=BOMB).encode(), "document type or entities"),
        (xml(head="<!doctype html>").encode(), "document type or entities"),
        (xml(head=DECLARED + BOMB).encode("utf-16"), "document type or entities"),
        (xml(head=BOMB).encode("utf-16-be"), "document type or entities"),
        (xml(head='<!DOCTYPE a SYSTEM "file:///etc/hosts">').encode(), "document type"),
        (xml(head='<?xml version="1.0" encoding="cp037"?>').encode(), "encoding b'cp037'"),
        (NUCLEI.encode()[:-30], "not well-formed"),
        (b"", "not well-formed"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not well-formed"),
        (b"<html></html>", "root element is <html>"),
        (xml(region([(1, 1), ("NaN", 2), (3, 3)], 17)).encode(), "region '17': vertex 1"),
        (xml(region([(1, 1), ("inf", 2), (3, 3)], 17)).encode(), "region '17': vertex 1"),
        (xml(region([(1, 1), ("1,5", 2), (3, 3)], 17)).encode(), "region '17': vert.*'1,5'"),
        (xml(region([(1, 1), (1e9, 2), (3, 3)], 17)).encode(), "region '17': vertex 1"),
        (NUCLEI.replace(' Y="8"', "").encode(), "region '7': vertex 2"),
        (xml(region(SQUARE, 3, Type=2)).encode(), "region '3' has Type='2'"),
        (xml(mpp='MicronsPerPixel="big"').encode(), "MicronsPerPixel='big'"),
        (xml(mpp='MicronsPerPixel="0"').encode(), "MicronsPerPixel='0'"),
        (xml(region([(50, 50), (60, 50), (60, 60)])).encode(), "belongs to another image"),
    ],
)
def test_bad_annotations_name_the_file(root, data, message):
    name = TRAIN[2]
    file = root / "MoNuSeg 2018 Training Data" / "Annotations" / f"{name}.xml"
    file.write_bytes(data)
    source = Source(root, "all")
    with pytest.raises(ValueError, match=message) as error:
        source[2]
    assert f"{name}.xml" in str(error.value)
    source[1]


def test_encodings_are_read():
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        head = "" if encoding == "utf-8-sig" else f'<?xml version="1.0" encoding="{encoding}"?>'
        data = xml(region(SQUARE), head=head).encode(encoding)
        assert len(read_aperio(data, "a.xml").polygons) == 1


def test_a_damaged_image_is_named(root):
    file = root / "MoNuSeg 2018 Training Data" / "Tissue Images" / f"{TRAIN[0]}.tif"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(ValueError, match=f"{TRAIN[0]}.tif"):
        Source(root, "all")[0]


@pytest.mark.slow
def test_real_files(shared_data):
    train, test = shared_data("monuseg_train.zip"), shared_data("monuseg_test.zip")
    source = Source(train.parent, "all")
    assert len(source) == 27
    assert set(Source(test, "all").ids) == TEST == set(Source(test.parent, "test").ids)
    assert [len(Source(train, split)) for split in ("train", "val", "all")] == [10, 3, 13]
    counts = {"train": np.zeros(4, int), "test": np.zeros(4, int)}
    for k, name in enumerate(source.ids):
        sample = source[k]
        meta = sample.meta
        assert sample.image.shape == (1000, 1000, 3)
        assert (meta["mpp"] is None) == (name == "TCGA-NH-A8F7-01A-01-TS1")
        assert meta["mpp"] is None or 0.245 < meta["mpp"] < 0.253
        found = np.count_nonzero(np.bincount(sample.instances.ravel())[1:])
        counts["test" if name in TEST else "train"] += [
            *(meta[f"{kind}regions"] for kind in ("", "skipped_", "hidden_")),
            found,
        ]
    # One outline of the training images is thinner than a pixel.
    assert counts["train"].tolist() == [4951, 2, 1, 4948]
    assert counts["test"].tolist() == [6697, 0, 0, 6697]
