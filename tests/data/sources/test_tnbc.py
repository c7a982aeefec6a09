import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.tnbc import Source

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
MASK = np.zeros((5, 6), np.uint8)
MASK[0, 0] = MASK[1, 1] = 255  # joined at a corner
MASK[3:, 3:] = 128


@pytest.fixture
def root(tmp_path):
    data = tmp_path / "TNBC_NucleiSegmentation"
    for slide in range(1, 13):
        for k in (1, 2):
            for kind, array in (("Slide", IMAGE), ("GT", MASK)):
                path = data / f"{kind}_{slide:02}" / f"{slide:02}_{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    rgba = np.stack([MASK, MASK, MASK, np.full_like(MASK, 255)], -1)
    Image.fromarray(rgba).save(data / "GT_01" / "01_1.png")
    junk = tmp_path / "__MACOSX" / "TNBC_NucleiSegmentation" / "GT_01" / "._01_1.png"
    junk.parent.mkdir(parents=True)
    junk.write_bytes(b"junk")
    return tmp_path


@pytest.mark.parametrize("zipped", [False, True])
def test_nuclei_are_the_components_of_the_masks(root, zipped):
    if zipped:
        path = root.parent / f"{root.name}_TNBC.zip"
        shutil.make_archive(str(path.with_suffix("")), "zip", root)
        root = path
    source = pickle.loads(pickle.dumps(sources.create("tnbc", root=root, split="all")))
    assert source.ids == [f"{slide:02}_{k}" for slide in range(1, 12) for k in (1, 2)]
    for k in (0, 1, 21):  # the first mask is RGBA with an opaque background
        sample = source[k]
        np.testing.assert_array_equal(sample.image, IMAGE[..., :3])
        np.testing.assert_array_equal(sample.instances, (MASK == 255) * 1 + (MASK == 128) * 2)
        assert sample.instances.dtype == np.int32
    assert source[20].meta == {
        "name": "11_1",
        "source": "tnbc",
        "mpp": 0.25,
        "tissue": "Breast",
        "patient": "11",
    }
    assert Source(root, "all", connectivity=1)[0].instances.max() == 3
    with pytest.raises(ValueError, match="connectivity 8 is neither"):
        Source(root, connectivity=8)


def test_splits_by_patient(root):
    parts = [Source(root, s).ids for s in ("train", "val", "test")]
    assert [len(part) for part in parts] == [14, 4, 4]
    assert sorted(n for part in parts for n in part) == sorted(Source(root, "all").ids)
    assert not {n[:2] for n in parts[0]} & {n[:2] for n in parts[1] + parts[2]}
    assert parts[0] != Source(root, "train", seed=1).ids


def test_other_slides_of_the_later_release(root):
    source = Source(root, "all", others=True)
    assert len(source) == 24
    assert source[23].meta["tissue"] == "Brain"


def test_mismatches_name_the_file(root):
    folder = root / "TNBC_NucleiSegmentation" / "GT_03"
    Image.fromarray(MASK.T).save(folder / "03_1.png")
    source = Source(root, "all")
    with pytest.raises(ValueError, match=r"GT_03/03_1\.png: labels of \(6, 5\).*of \(5, 6\)"):
        source[source.ids.index("03_1")]
    (folder / "03_1.png").unlink()
    with pytest.raises(ValueError, match=r"Slide_03/03_1\.png: no label with this stem"):
        Source(root)
    for path in (root / "TNBC_NucleiSegmentation").glob("GT_*"):
        shutil.rmtree(path)
    with pytest.raises(FileNotFoundError, match=r"no label in it; expected folders Slide_NN"):
        Source(root)
