import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import sources

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
MASK = np.zeros((9, 12), np.uint8)
MASK[2:6, 3:8] = 255


def test_first_release_of_four_kinds_of_files_in_one_folder(tmp_path):
    for stem in ("1", "2", "10"):
        for prefix, array in (("", IMAGE), ("p", MASK), ("s", 255 - MASK), ("c", MASK)):
            Image.fromarray(array).save(tmp_path / f"{prefix}{stem}.bmp")
    source = sources.create("cvc_colondb", root=tmp_path, split="all")
    assert (source.name, source.ids) == ("cvc_colondb", ["1", "2", "10"])
    np.testing.assert_array_equal(source[0].image, IMAGE)
    np.testing.assert_array_equal(source[0].instances, MASK > 0)
    (tmp_path / "p2.bmp").unlink()
    with pytest.raises(ValueError, match=r"2\.bmp: no label with this stem"):
        sources.create("cvc_colondb", root=tmp_path)


def test_the_redistributed_layout(tmp_path):
    for folder, array in (("images", IMAGE), ("masks", MASK)):
        (tmp_path / "CVC-ColonDB" / folder).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "CVC-ColonDB" / folder / "1.png")
    assert sources.create("cvc_colondb", root=tmp_path, split="all").ids == ["1"]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`masks`, or `1\.bmp` beside `p1\.bmp`, as publ"):
        sources.create("cvc_colondb", root=tmp_path)
