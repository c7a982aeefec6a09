"""Small files that state, or unpack to, more than the memory: refused before anything is made."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from scipy.io import savemat

from jaxnuc.io import open_image, read_label_image
from jaxnuc.io.nifti import read_nifti
from jaxnuc.io.zarr import read_zarr_labels
from jaxnuc.outputs import NucleiTable

LABELS = np.arange(16, dtype=np.uint8).reshape(4, 4)


def test_numbers_of_a_mat_file_count_with_the_bytes_of_their_class(tmp_path):
    """8-bit data that become doubles: 2**28 of them are 2 GiB, one row more is refused."""
    savemat(tmp_path / "a.mat", {"inst_map": LABELS.astype(float)})
    data = (tmp_path / "a.mat").read_bytes()
    sides = struct.pack("<2i", 4, 4)
    assert data.count(sides) == 1
    for rows, message in (
        (2**14 + 1, "2.0 GiB, more than the 2.0"),
        (2**14, "is truncated|values"),
    ):
        path = tmp_path / f"{rows}.mat"
        path.write_bytes(data.replace(sides, struct.pack("<2i", rows, 2**14)))
        with pytest.raises(ValueError, match=rf"{rows}\.mat: .*({message})"):
            read_label_image(path)


@pytest.mark.parametrize("read", [read_label_image, NucleiTable.load])
def test_an_npz_file(tmp_path, read):
    np.savez_compressed(tmp_path / "a.npz", inst_map=LABELS)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + 24 : entry + 28] = struct.pack("<I", 3 * 2**30)  # its size when unpacked
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.npz: .*3\.0 GiB, more than the 2\.0"):
        read(tmp_path / "a.npz")


def test_a_nifti_file():
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 2**14, 2**14, 2, 1, 1, 1, 1)
    struct.pack_into("<h", header, 70, 64)  # float64
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    header[344:348] = b"n+1\0"
    with pytest.raises(ValueError, match=r"a\.nii: .*4\.0 GiB, more than the 2\.0"):
        read_nifti(bytes(header), "a.nii")


def test_a_tile(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.repeat(4, 0).repeat(4, 1), tile=(16, 16))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages[0].tags[name].overwrite(2**16 - 16)
    with pytest.raises(ValueError, match=r"a\.tif: a tile or strip of 65520 x 65520 pixels, more"):
        open_image(tmp_path / "a.tif")


def test_chunks_of_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    from numcodecs import Zlib

    arguments = {"dtype": "u1", "zarr_format": 2, "compressors": Zlib()}
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), chunks=(4, 4), **arguments)
    array[:] = LABELS
    np.testing.assert_array_equal(read_zarr_labels(tmp_path / "a.zarr"), LABELS)
    packer = zlib.compressobj()
    unpacked = b"".join(packer.compress(bytes(2**20)) for _ in range(80)) + packer.flush()
    (tmp_path / "a.zarr" / "0.0").write_bytes(unpacked)
    for read in (read_zarr_labels, lambda path: open_image(path).read(0, 0, 4, 4)):
        with pytest.raises(ValueError, match=r"a\.zarr: .*0\.0: \d+ bytes for a chunk of at most"):
            read(tmp_path / "a.zarr")

    sides = 60000, 60000
    zarr.create_array(tmp_path / "b.zarr", shape=sides, chunks=sides, **arguments)
    with pytest.raises(ValueError, match=r"b\.zarr: .*a chunk: .* is 3\.4 GiB, more than the 2\.0"):
        open_image(tmp_path / "b.zarr")
