import numpy as np
import pytest
from PIL import Image

from jaxnuc.io.npy import decode_npz


def test_npz(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", inst_map=[[1]], pickled=np.array([{}], object))

    def read(*keys):
        return decode_npz((tmp_path / "a.npz").read_bytes(), "a.npz", keys)

    assert read("inst_map")["inst_map"].tolist() == [[1]]
    with pytest.raises(ValueError, match=r"a\.npz: no array 'type_map' in it; there are: inst_map"):
        read("inst_map", "type_map")
    with pytest.raises(ValueError, match=r"a\.npz/pickled\.npy: holds pickled"):
        read("pickled")
    data = (tmp_path / "a.npz").read_bytes()
    for k in range(0, len(data), 40):
        (tmp_path / "a.npz").write_bytes(data[:k])
        with pytest.raises(ValueError, match=r"a\.npz: cannot be read as npz"):
            read("inst_map")
    Image.new("L", (2, 2)).save(tmp_path / "a.npz", format="png")
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read as npz"):
        read("inst_map")
