import shutil

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.cpm17 import Source

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 5, 4), np.uint8)
LABELS = np.arange(15).reshape(3, 5) // 4


def redistributed(root):
    """As redistributed with HoVer-Net; train and test use the same names."""
    for side in ("train", "test"):
        for kind in ("Images", "Labels", "Overlay"):
            (root / "cpm17" / side / kind).mkdir(parents=True)
        for k in range(2):
            folder = root / "cpm17" / side
            for kind in ("Images", "Overlay"):
                Image.fromarray(IMAGE).save(folder / kind / f"image_0{k}.png")
            variables = {"inst_map": LABELS * (k + 1.0)}
            scipy.io.savemat(folder / "Labels" / f"image_0{k}.mat", variables)


def published(root):
    for side in ("training", "testing"):
        folder = root / f"segmentation_{side}_set"
        folder.mkdir()
        for k in range(2):
            Image.fromarray(IMAGE).save(folder / f"image0{k}.png")
            numbers = " \n".join(map(str, LABELS.ravel() * (k + 1)))
            (folder / f"image0{k}_mask.txt").write_text(f"5 3\n{numbers}\n")


@pytest.mark.parametrize("form", [redistributed, published])
@pytest.mark.parametrize("zipped", [False, True])
def test_both_distributions(tmp_path, form, zipped):
    form(tmp_path)
    path = tmp_path
    if zipped:
        path = tmp_path.parent / f"{tmp_path.name}.zip"
        shutil.make_archive(str(path.with_suffix("")), "zip", tmp_path)
    source = sources.create("cpm17", root=path, split="all")
    stems = ["image_00", "image_01"] if form is redistributed else ["image00", "image01"]
    assert source.ids == [f"{side}/{stem}" for side in ("test", "train") for stem in stems]
    for k in range(4):
        sample = source[k]
        np.testing.assert_array_equal(sample.image, IMAGE[..., :3])
        np.testing.assert_array_equal(sample.instances, LABELS * (k % 2 + 1))
        assert sample.meta == {"name": source.ids[k], "source": "cpm17", "mpp": None}
    assert Source(path, "test").ids == source.ids[:2]
    assert Source(path, "train", val_fraction=0.5).ids != Source(path, "val", val_fraction=0.5).ids
    assert Source(path, "val", val_fraction=0.5, mpp=0.25)[0].meta["mpp"] == 0.25


def test_zip_in_a_folder_beside_another_set(tmp_path):
    redistributed(tmp_path)
    shutil.make_archive(str(tmp_path / "cpm17"), "zip", tmp_path, "cpm17")
    shutil.rmtree(tmp_path / "cpm17")
    shutil.copy(tmp_path / "cpm17.zip", tmp_path / "consep.zip")
    assert len(Source(tmp_path, "test")) == 2


def test_size_and_label_errors_name_the_file(tmp_path):
    redistributed(tmp_path)
    labels = tmp_path / "cpm17" / "test" / "Labels"
    scipy.io.savemat(labels / "image_00.mat", {"inst_map": LABELS.T})
    scipy.io.savemat(labels / "image_01.mat", {"instance_map": LABELS})
    source = Source(tmp_path, "test")
    with pytest.raises(ValueError, match=r"image_00\.mat: labels of \(5, 3\).*image of \(3, 5\)"):
        source[0]
    with pytest.raises(ValueError, match=r"image_01\.mat: no variable 'inst_map'.*instance_map"):
        source[1]
