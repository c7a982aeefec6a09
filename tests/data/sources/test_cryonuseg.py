import pickle
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.cryonuseg import ANNOTATORS, Source

STEMS = [f"Human_{organ}_{k:02}" for organ in ("AdrenalGland", "Larynx") for k in (1, 2, 3)]
IMAGE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
LABELS = np.zeros((6, 7), np.uint16)
LABELS[1:3, 1:3], LABELS[2:5, 3:6] = 400, 3


@pytest.fixture
def root(tmp_path):
    """Doubly nested folders for all but the first annotation, and maps that are not to be read."""
    data = tmp_path / "archive"
    (data / "tissue images").mkdir(parents=True)
    for i, stem in enumerate(STEMS):
        tifffile.imwrite(data / "tissue images" / f"{stem}.tif", IMAGE, photometric="rgb")
        for k, folder in enumerate(ANNOTATORS.values()):
            base = data / folder / folder if k else data / folder
            for kind in ("label masks", "label masks modify", "mask binary"):
                (base / kind).mkdir(parents=True, exist_ok=True)
                labels = np.roll(LABELS, (k, i % 2)) if "modify" in kind else LABELS * 7
                tifffile.imwrite(base / kind / f"{stem}.tif", labels)
    (data / "tissue images" / "Thumbs.db").write_bytes(b"junk")
    return tmp_path


@pytest.mark.parametrize("annotator", ANNOTATORS)
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_label_masks_modify_of_each_annotator(root, annotator, form):
    if form == "zip":
        shutil.make_archive(str(root / "data"), "zip", root / "archive")
        shutil.rmtree(root / "archive")
    source = sources.create("cryonuseg", root=root, split="all", annotator=annotator)
    source = pickle.loads(pickle.dumps(source))
    assert (source.name, source.ids) == ("cryonuseg", STEMS)
    k = list(ANNOTATORS).index(annotator)
    for i in range(2):
        np.testing.assert_array_equal(source[i].image, IMAGE)
        np.testing.assert_array_equal(source[i].instances, np.roll(LABELS, (k, i)))
    assert source[0].instances.dtype == np.int32
    assert source[5].meta == {
        "name": "Human_Larynx_03",
        "source": "cryonuseg",
        "mpp": 0.25,
        "tissue": "Larynx",
        "modality": "H&E, frozen",
        "annotator": annotator,
    }


def test_split_and_names(root):
    thirds = (0.5, 0.25, 0.25)
    parts = [Source(root, s, fractions=thirds).ids for s in ("train", "val", "test")]
    assert sorted(name for part in parts for name in part) == STEMS
    with pytest.raises(ValueError, match="did you mean 'biologist'"):
        Source(root, annotator="biologst")
    assert len(Source(root / "archive", "all")) == 6


def test_what_is_missing_is_named(root):
    data = root / "archive"
    shutil.rmtree(data / ANNOTATORS["bioinformatician"])
    with pytest.raises(FileNotFoundError, match=r"Annotator 2 \(bioinformatician\)/label masks"):
        Source(root, annotator="bioinformatician")
    labels = data / ANNOTATORS["biologist"] / "label masks modify"
    (labels / f"{STEMS[0]}.tif").unlink()
    with pytest.raises(ValueError, match=r"AdrenalGland_01\.tif: no label with this stem"):
        Source(root)
    (data / "tissue images" / f"{STEMS[0]}.tif").unlink()
    (data / "tissue images" / f"{STEMS[1]}.tif").unlink()
    with pytest.raises(ValueError, match=r"modify/.*_02\.tif: no image with this stem \(1 such"):
        Source(root)
    shutil.rmtree(data / "tissue images")
    for path in (root, root / "absent"):
        with pytest.raises(FileNotFoundError, match=r"kaggle\.com"):
            Source(path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS.T, r"labels of \(7, 6\) pixels for an image of \(6, 7\)"),
        (LABELS + 0.5, "fractions"),
        (LABELS.astype(np.int16) - 1, r"ids in -1 \.\. 399"),
        (np.stack([LABELS.astype(np.uint8)] * 3, -1), "one id per pixel"),
    ],
)
def test_bad_label_images(root, labels, message):
    path = root / "archive" / ANNOTATORS["biologist"] / "label masks modify" / f"{STEMS[0]}.tif"
    tifffile.imwrite(path, labels)
    with pytest.raises(ValueError, match=message):
        Source(root, "all")[0]
    assert Source(root, "all")[1].instances.max() == 400


def test_an_image_with_alpha(root):
    path = root / "archive" / "tissue images" / f"{STEMS[0]}.tif"
    Image.fromarray(np.dstack([IMAGE, IMAGE[..., 0]])).save(path)
    np.testing.assert_array_equal(Source(root, "all")[0].image, IMAGE)
