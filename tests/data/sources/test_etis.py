import shutil

import numpy as np
import pytest
import tifffile

from jaxnuc.data import sources

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
MASK = np.zeros((9, 12), np.uint8)
MASK[2:6, 3:8] = 255


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_masks_with_a_prefix_in_the_ground_truth(tmp_path, form):
    top = tmp_path / "ETIS-LaribPolypDB"
    for stem in ("1", "2", "10"):
        for folder, name, array in (
            ("ETIS-LaribPolypDB", stem, IMAGE),
            ("Ground Truth", f"p{stem}", np.dstack([MASK] * 3)),
        ):
            (top / folder).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(top / folder / f"{name}.tif", array, photometric="rgb")
    if form == "zip":
        shutil.make_archive(str(tmp_path / "etis"), "zip", tmp_path, "ETIS-LaribPolypDB")
        shutil.rmtree(top)
    source = sources.create("etis", root=tmp_path, split="all")
    assert (source.name, source.ids) == ("etis", ["1", "2", "10"])
    np.testing.assert_array_equal(source[1].image, IMAGE)
    np.testing.assert_array_equal(source[1].instances, MASK > 0)
