import pickle
import shutil

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.isbi2014 import Source

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 14), np.uint8)
# Outlines in gray levels: a ring, and two more that touch at a corner.
OUTLINES = np.zeros((12, 14), np.uint8)
OUTLINES[1:5, 1:5] = 91
OUTLINES[2:4, 2:4] = 0
OUTLINES[5:8, 7:10] = 101
OUTLINES[6, 8] = 0
OUTLINES[8:11, 10:13] = 111
OUTLINES[9, 11] = 0
FILLED = np.zeros((12, 14), np.uint16)
FILLED[2:5, 2:6] = FILLED[7:9, 7:9] = 32896


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "ISBI2014" / "EDF"
    folder.mkdir(parents=True)
    cells = np.empty((4, 1), object)
    for k in range(4):
        cells[k, 0] = OUTLINES if k < 2 else FILLED
        Image.fromarray(IMAGE + np.uint8(k)).save(folder / f"EDF00{k}.png")
        Image.fromarray(cells[k, 0]).save(folder / f"EDF00{k}_GT.png")
    scipy.io.savemat(folder / "edfsetnuclei.mat", {"edfsetnuclei": cells})
    return tmp_path


@pytest.mark.parametrize("zipped", [False, True])
def test_outlines_are_filled_and_nuclei_labeled(root, zipped):
    if zipped:
        shutil.make_archive(str(root / "isbi2014_cervical"), "zip", root, "ISBI2014")
        shutil.rmtree(root / "ISBI2014")
    source = pickle.loads(pickle.dumps(sources.create("isbi2014", root=root, split="all", mpp=0.2)))
    assert source.ids == ["EDF000", "EDF001", "EDF002", "EDF003"]
    ring, touching = np.zeros((2, 12, 14), bool)
    ring[1:5, 1:5] = True
    touching[5:8, 7:10] = touching[8:11, 10:13] = True
    np.testing.assert_array_equal(source[1].instances, ring * 1 + touching * 2)
    np.testing.assert_array_equal(source[1].image, np.stack([IMAGE + np.uint8(1)] * 3, -1))
    second = np.zeros_like(FILLED)
    second[7:9, 7:9] = 1
    np.testing.assert_array_equal(source[3].instances, (FILLED > 0) * 1 + second)
    assert source[3].instances.dtype == np.int32
    meta = {"name": "EDF003", "source": "isbi2014", "mpp": 0.2, "tissue": "Cervix"}
    assert source[3].meta == meta

    apart = Source(root, "all", separate=True)[0].instances
    expected = ring * 1 + touching * 2
    expected[8:11, 10:13] = 3
    np.testing.assert_array_equal(apart, expected)


def test_seeded_split(root):
    parts = [Source(root, s).ids for s in ("train", "val", "test")]
    assert [len(part) for part in parts] == [2, 1, 1]
    assert len({name for part in parts for name in part}) == 4


def test_images_and_masks_must_agree(root):
    folder = root / "ISBI2014" / "EDF"
    Image.fromarray(IMAGE[:, :5]).save(folder / "EDF003.png")
    message = r"edfsetnuclei\.mat: labels of \(12, 14\) .* an image of \(12, 5\) \(.*EDF003\.png\)"
    with pytest.raises(ValueError, match=message):
        Source(root, "all")[3]
    (folder / "EDF001.png").unlink()
    with pytest.raises(ValueError, match=r"4 masks for the 3 images EDF000 to EDF003"):
        Source(root)
    scipy.io.savemat(folder / "edfsetnuclei.mat", {"edfsetnuclei": FILLED})
    with pytest.raises(ValueError, match=r"edfsetnuclei is uint16 \(12, 14\); expected cells"):
        Source(root)
    (folder / "edfsetnuclei.mat").unlink()
    with pytest.raises(FileNotFoundError, match="no label in it; expected the folder `EDF/`"):
        Source(root)


@pytest.mark.slow
@pytest.mark.parametrize(("separate", "count"), [(False, 645), (True, 647)])
def test_real_counts(shared_data, separate, count):
    source = Source(shared_data("isbi2014_cervical.zip"), "all", separate=separate)
    instances = [source[k].instances for k in range(len(source))]
    assert len(instances) == 16
    assert sum(int(each.max()) for each in instances) == count
    # Nuclei are darker than the rest: the masks lie on their images, in their order.
    for k, each in enumerate(instances):
        gray = source[k].image[..., 0]
        assert gray[each > 0].mean() < gray[each == 0].mean() - 80
