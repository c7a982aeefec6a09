import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.data import sources

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
MASK = np.zeros((9, 12), np.uint8)
MASK[2:6, 3:8] = 255


def test_original_and_ground_truth(tmp_path):
    for stem in ("1", "2", "10"):
        for folder, array in (("Original", IMAGE), ("Ground Truth", MASK)):
            path = tmp_path / "CVC-ClinicDB" / folder
            path.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path / f"{stem}.tif", array)
    source = sources.create("cvc_clinicdb", root=tmp_path, split="all")
    assert (source.name, source.ids) == ("cvc_clinicdb", ["1", "2", "10"])
    np.testing.assert_array_equal(source[2].image, IMAGE)
    np.testing.assert_array_equal(source[2].instances, MASK > 0)


def test_copies_in_two_formats_are_not_mixed(tmp_path):
    for kind in ("PNG", "TIF"):
        for folder, array in (("Original", IMAGE), ("Ground Truth", MASK)):
            path = tmp_path / kind / folder
            path.mkdir(parents=True)
            Image.fromarray(array).save(path / f"1.{kind.lower()}")
    with pytest.raises(ValueError, match=r"PNG/Original/1\.png and .*TIF/Original/1\.tif are both"):
        sources.create("cvc_clinicdb", root=tmp_path)
    assert len(sources.create("cvc_clinicdb", root=tmp_path / "TIF", split="all")) == 1


def test_the_redistributed_layout(tmp_path):
    for folder, array in (("images", IMAGE), ("masks", MASK)):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / "1.png")
    assert sources.create("cvc_clinicdb", root=tmp_path, split="all").ids == ["1"]
