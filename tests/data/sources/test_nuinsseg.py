import pickle
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.nuinsseg import Source

ORGANS = ("human bladder", "human brain", "mouse muscle_tibialis")
IMAGE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
LABELS = np.zeros((6, 7), np.uint16)
LABELS[1:3, 1:3], LABELS[2:5, 3:6] = 1, 300
VAGUE = np.zeros((6, 7), np.uint8)
VAGUE[4:, 4:] = 1


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path):
    """Every folder as distributed; the first organ's vague masks are 0 and 1, the others' 255."""
    data = tmp_path / "NuInsSeg"
    for k, organ in enumerate(ORGANS):
        for i in (1, 2, 10):
            stem = f"{organ.replace(' ', '_')}_{i}"
            folder = data / organ
            save(folder / "tissue images" / f"{stem}.png", IMAGE)
            save(folder / "label masks modify" / f"{stem}.tif", LABELS)
            save(folder / "label masks" / f"{stem}.tif", LABELS * 3)
            save(folder / "mask binary" / f"{stem}.png", np.uint8(LABELS > 0))
            save(folder / "overlay" / f"{stem}.png", IMAGE)
            # The areas were made with the same function, so they have label images of their own.
            save(folder / "vague areas" / "label masks modify" / f"{stem}.tif", LABELS * 0)
            if i != 2:
                vague = VAGUE * (255 if k else 1)
                save(folder / "vague areas" / "mask binary" / f"{stem}.png", vague)
    return tmp_path


@pytest.mark.parametrize("form", ["folder", "inner folder", "zip"])
def test_labels_tissue_and_vague_areas(root, form):
    if form == "zip":
        shutil.make_archive(str(root / "nuinsseg"), "zip", root, "NuInsSeg")
        shutil.rmtree(root / "NuInsSeg")
    path = root / "NuInsSeg" if form == "inner folder" else root
    source = pickle.loads(pickle.dumps(sources.create("nuinsseg", root=path, split="all")))
    assert source.ids[:3] == ["human_bladder_1", "human_bladder_2", "human_bladder_10"]
    assert len(source) == 9
    for i in range(9):
        sample = source[i]
        np.testing.assert_array_equal(sample.image, IMAGE)
        np.testing.assert_array_equal(sample.instances, LABELS)
        if i % 3 == 1:
            assert sample.ignore is None
        else:
            np.testing.assert_array_equal(sample.ignore, VAGUE > 0)
    assert source[8].meta == {
        "name": "mouse_muscle_tibialis_10",
        "source": "nuinsseg",
        "mpp": None,
        "tissue": "muscle_tibialis",
        "modality": "H&E",
        "species": "mouse",
    }
    assert Source(path, "all", ignore_vague=False)[0].ignore is None


@pytest.mark.parametrize(
    ("folder", "suffix"), [("vague areas/mask binary", ".png"), ("label masks modify", ".tif")]
)
def test_jpeg_has_neither_labels_nor_vague_areas(root, folder, suffix):
    file = root / "NuInsSeg" / ORGANS[0] / folder / f"human_bladder_1{suffix}"
    file.unlink()
    Image.fromarray(VAGUE * 255).save(file.with_suffix(".jpg"))
    source = Source(root, "all")
    assert source.ignores
    with pytest.raises(ValueError, match=r"human_bladder_1\.jpg: a JPEG, which blurs labels"):
        source[0]


def test_alpha_marks_no_vague_area(root):
    vague = root / "NuInsSeg" / ORGANS[0] / "vague areas" / "mask binary" / "human_bladder_1.png"
    blue = np.dstack([VAGUE * 0, VAGUE * 0, VAGUE * 255, np.full_like(VAGUE, 255)])
    save(vague, blue)
    np.testing.assert_array_equal(Source(root, "all")[0].ignore, VAGUE > 0)


def test_one_organ_alone(root):
    source = Source(root / "NuInsSeg" / "human bladder", "all")
    assert (source[0].meta["species"], source[0].meta["tissue"]) == ("human", "bladder")


def test_stems_that_organs_share(root):
    for organ in ORGANS:
        for path in list((root / "NuInsSeg" / organ).rglob("*_1.*")):
            path.rename(path.with_name(f"x{path.suffix}"))
    source = Source(root, "all")
    names = {source[i].meta["name"] for i in range(9)}
    assert {f"{organ}/x" for organ in ORGANS} < names
    assert len(names) == 9


def test_split_is_a_partition(root):
    parts = [Source(root, s).ids for s in ("train", "val", "test")]
    assert [len(part) for part in parts] == [7, 1, 1]
    assert len({name for part in parts for name in part}) == 9


def test_what_is_missing_is_named(root):
    organ = root / "NuInsSeg" / ORGANS[0]
    extra = organ / "vague areas" / "mask binary" / "z.png"
    save(extra, VAGUE)
    with pytest.raises(
        ValueError, match=r"vague areas/mask binary/z\.png: no image with this stem"
    ):
        Source(root)
    extra.unlink()
    save(organ / "vague areas" / "mask binary" / "human_bladder_1.png", VAGUE.T)
    with pytest.raises(ValueError, match=r"bladder_1\.png: vague areas of \(7, 6\) pixels"):
        Source(root, "all")[0]
    (organ / "label masks modify" / "human_bladder_1.tif").unlink()
    with pytest.raises(ValueError, match=r"bladder_1\.png: no label with this stem"):
        Source(root)
    for name in ORGANS:
        shutil.rmtree(root / "NuInsSeg" / name / "label masks modify")
    with pytest.raises(FileNotFoundError, match="no label in it; expected folders of organs"):
        Source(root)
    for path in (root / "absent", organ / "overlay"):
        with pytest.raises(FileNotFoundError, match=r"zenodo\.org"):
            Source(path)
