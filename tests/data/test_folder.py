import io
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.config import default, override
from jaxnuc.data import sources
from jaxnuc.data.pipeline import batches
from jaxnuc.data.sources.folder import Source
from jaxnuc.data.splits import open_split
from jaxnuc.io import Planes, open_image
from jaxnuc.registry import split

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
LABELS = np.arange(24).reshape(4, 6) // 5


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "cells"
    (path / "images").mkdir(parents=True)
    (path / "labels").mkdir()
    for stem in ("a2", "a10", "b"):
        Image.fromarray(IMAGE).save(path / "images" / f"{stem}.png")
    Image.fromarray(LABELS.astype(np.uint16)).save(path / "labels" / "a2.png")
    tifffile.imwrite(path / "labels" / "a10.tif", LABELS.astype(np.int32) * 100_000)
    np.save(path / "labels" / "b.npy", LABELS)
    (path / "labels" / ".DS_Store").write_bytes(b"")
    return path


def test_png_tif_and_npy_labels(root):
    source = sources.create("folder", root=root)
    assert (source.name, source.ids) == ("cells", ["a2", "a10", "b"])
    for i, factor in enumerate((1, 100_000, 1)):
        sample = source[i]
        np.testing.assert_array_equal(sample.image, IMAGE)
        np.testing.assert_array_equal(sample.instances, LABELS * factor)
        assert sample.instances.dtype == np.int32
        assert sample.meta == {"name": source.ids[i], "source": "cells", "mpp": None}


def test_zip_and_split_layout(root):
    train = root / "train"
    train.mkdir()
    shutil.move(root / "images", train / "pictures")
    shutil.move(root / "labels", train / "truth")
    shutil.make_archive(str(root), "zip", root)
    arguments = {"images": "pictures", "labels": "truth", "split": "train"}
    for path in (root, root.with_suffix(".zip")):
        source = pickle.loads(pickle.dumps(Source(path, **arguments)))
        assert source.name == "cells"
        np.testing.assert_array_equal(source[2].instances, LABELS)
    with pytest.raises(FileNotFoundError, match="test/pictures: no files here"):
        Source(root, **{**arguments, "split": "test"})


def test_stems_must_match(root):
    (root / "labels" / "b.npy").rename(root / "labels" / "c.npy")
    with pytest.raises(ValueError, match=r"images/b\.png: has no annotation; expected is b\."):
        Source(root)
    (root / "images" / "b.png").unlink()
    with pytest.raises(ValueError, match=r"labels/c\.npy: of no image by its name; "):
        Source(root)
    (root / "labels" / "c.npy").rename(root / "labels" / "a2.npy")
    with pytest.raises(ValueError, match="both annotate images"):
        Source(root)


def test_a_folder_of_another_name_is_named(root):
    (root / "labels").rename(root / "annotation")
    message = r"cells: no annotations in the folders .*; did you mean 'annotation'\? .* labels='an"
    with pytest.raises(FileNotFoundError, match=message):
        Source(root)
    assert len(Source(root, labels="annotation")) == len(list((root / "images").iterdir()))
    (root / "annotation").rename(root / "drawn")
    with pytest.raises(FileNotFoundError, match=r"give the folder .* such as labels='drawn'"):
        Source(root)
    with pytest.raises(FileNotFoundError, match=r"in the folder drwan; .*did you mean 'drawn'"):
        Source(root, labels="drwan")


def test_an_image_without_nuclei_has_a_label_image_of_zeros(root):
    (root / "labels" / "b.npy").unlink()
    with pytest.raises(ValueError, match="without nuclei too: a label image of zeros"):
        Source(root)
    np.save(root / "labels" / "b.npy", np.zeros_like(LABELS))
    assert [len(np.unique(each.instances)) for each in Source(root)].count(1) == 1


def test_empty_or_absent_folders(root):
    for path in (root / "labels").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="no annotations in the folders labels, masks and"):
        Source(root)
    with pytest.raises(FileNotFoundError, match="absent"):
        Source(root / "absent")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS.T, r"b\.npy: labels of \(6, 4\) pixels for an image of \(4, 6\)"),
        (LABELS + 0.5, r"b\.npy: float64 with values such as 0\.5"),
        (np.stack([LABELS] * 3, -1), r"b\.npy: shape \(4, 6, 3\), a color image"),
        (LABELS - 1, r"b\.npy: holds the negative id -1"),
        (LABELS * 2**40, "ids in 0"),
    ],
)
def test_bad_labels(root, labels, message):
    np.save(root / "labels" / "b.npy", labels)
    with pytest.raises(ValueError, match=message):
        Source(root)[2]


def test_a_seeded_split_where_the_data_have_none(root):
    thirds = (1 / 3, 1 / 3, 1 / 3)
    parts = [Source(root, split=s, fractions=thirds).ids for s in ("train", "val", "test")]
    assert sorted(map(len, parts)) == [1, 1, 1]
    assert sorted(name for part in parts for name in part) == ["a10", "a2", "b"]
    assert Source(root, split="all").ids == ["a2", "a10", "b"]
    trains = {tuple(Source(root, split="train", seed=s, fractions=thirds).ids) for s in range(20)}
    assert len(trains) == 3
    with pytest.raises(ValueError, match="did you mean 'test'"):
        Source(root, split="tset")
    shutil.copytree(root, root / "train", ignore=shutil.ignore_patterns("train"))
    with pytest.raises(FileNotFoundError, match="val/images"):  # a layout with splits, one missing
        Source(root, split="val")


def test_images_without_labels(root):
    source = Source(root, labels="")
    assert (source.ids, source.ignores) == (["a2", "a10", "b"], True)
    sample = source[0]
    np.testing.assert_array_equal(sample.image, IMAGE)
    assert not sample.instances.any()
    assert sample.ignore.all()
    flat = sources.create("folder", root=root / "images", images=".", labels="", split="all")
    assert flat.ids == source.ids
    assert not Source(root).ignores


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.bool])
def test_masks_are_trained_on_by_their_parts(tmp_path, dtype):
    mask = np.zeros((20, 30), np.uint8)
    mask[2:8, 2:8] = mask[10:18, 12:25] = 1
    for folder, array in (("images", mask * 200), ("labels", mask.astype(dtype))):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", array, photometric="minisblack")
    source = Source(tmp_path, annotations={"label_from": "components"})
    assert np.unique(source[0].instances).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(source[0].instances > 0, mask > 0)


def test_names_are_the_same_however_their_signs_are_composed(tmp_path):
    for folder, name in (("images", "Zelle \u00e4.png"), ("labels", "Zelle a\u0308.png")):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.ones((4, 5), np.uint8)).save(tmp_path / folder / name)
    assert Source(tmp_path)[0].instances.max() == 1


@pytest.mark.parametrize("above", ["", "cells/", "a/b/"])
@pytest.mark.parametrize("split", ["train/", ""])
def test_a_zip_may_have_folders_above(tmp_path, above, split):
    buffer = io.BytesIO()
    Image.fromarray(np.ones((4, 5), np.uint8)).save(buffer, "png")
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for folder in ("images", "labels"):
            archive.writestr(f"{above}{split}{folder}/x.png", buffer.getvalue())
    source = Source(tmp_path / "cells.zip", split="train" if split else None)
    assert source.ids == ["x"]
    assert source[0].instances.max() == 1


@pytest.mark.parametrize("kind", ["ome", "czi"])
def test_planes_are_seen_as_in_prediction(tmp_path, kind):
    """Of a stack (T, Z, C), the planes named on the command line: as `predict` sees them."""
    stack = np.random.default_rng(0).integers(200, 4000, (2, 3, 2, 20, 30), np.uint16)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    path = tmp_path / "images" / ("a.czi" if kind == "czi" else "a.ome.tif")
    if kind == "czi":
        czi = pytest.importorskip("pylibCZIrw.czi", reason="the extra microscopy is not installed")
        with czi.create_czi(str(path)) as file:
            for t, z, c in np.ndindex(stack.shape[:3]):
                file.write(stack[t, z, c][..., None], plane={"T": t, "Z": z, "C": c})
            file.write_metadata("a", channel_names={0: "actin", 1: "DAPI"})
    else:
        about = {"axes": "TZCYX", "Channel": {"Name": ["actin", "DAPI"]}}
        tifffile.imwrite(path, stack, ome=True, metadata=about)
    labels = np.zeros((20, 30), np.uint8)
    labels[3:9, 4:12] = 1
    Image.fromarray(labels).save(tmp_path / "labels" / path.with_suffix(".png").name)
    config = default()
    override(config, "data.source", 'folder(planes={"channel": "DAPI", "z": "max", "time": 1})')
    name, arguments = split(config.data.source)
    source = sources.create(name, root=tmp_path, **arguments)
    encode = lambda instances, *_: {"id": instances[..., None]}
    batch = next(batches(source, (), encode, 1, 0, shuffle=False))
    with open_image(path, planes=Planes(("DAPI",), "max", 1)) as image:
        seen = image.read(0, 0, 20, 30)
    np.testing.assert_array_equal(batch["image"][0], seen)
    brightest = stack[1, :, 1].max(axis=0).astype(float)
    low, high = brightest.min(), brightest.max()
    by_hand = np.rint((brightest - low) / (high - low) * 255)
    np.testing.assert_array_equal(batch["image"][0, ..., 2], by_hand)
    np.testing.assert_array_equal(batch["targets"]["id"][0, ..., 0], labels)
    listed = r"a\..*2 channels \(0 actin, 1 DAPI\).* 3 depths.* \(z=0 to 2\).* 2 times"
    instead = r'planes=\{"channel": 0, "z": 0, "time": 0\}$'
    with pytest.raises(ValueError, match=f"{listed}.*{instead}") as refused:
        sources.create("folder", root=tmp_path)[0]
    assert "--" not in str(refused.value)


def test_planes_in_a_zip_are_refused(root):
    shutil.make_archive(str(root), "zip", root)
    with pytest.raises(ValueError, match=r"a2\.png: planes=.* unzip cells\.zip, and give"):
        sources.create("folder", root=root.with_suffix(".zip"), planes={"z": 0})[0]
    with pytest.raises(
        ValueError, match=r"unknown argument of planes: 'zed'; known: channel, image, time, z"
    ):
        sources.create("folder", root=root, planes={"zed": 0})


def test_microns_per_pixel_of_the_images(root):
    """As their files state them, and in place of these what the annotations or the user say."""
    (root / "images" / "a10.png").unlink()
    about = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    tifffile.imwrite(root / "images" / "a10.ome.tif", IMAGE, ome=True, metadata=about)
    find = lambda **more: open_split({"name": "folder", **more}, root, "all")
    mpps = lambda source: {sample.meta["name"]: sample.meta["mpp"] for sample in source}
    assert mpps(find()) == {"a2": None, "a10": 0.25, "b": None}
    assert set(mpps(find(mpp=0.5)).values()) == {0.5}
    tifffile.imwrite(
        root / "images" / "a10.ome.tif", IMAGE, ome=True, metadata=about | {"PhysicalSizeX": 0.5}
    )
    assert mpps(find())["a10"] is None  # pixels that are not square
    assert set(mpps(find(mpp=0.5)).values()) == {0.5}
