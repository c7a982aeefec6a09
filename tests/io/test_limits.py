"""Small files that state, or unpack to, more than the memory: refused before anything is made."""

import json
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


BOMB = bytes(80 * 2**20)


def zstd_frame(*blocks):
    """A frame that does not state its size, of blocks (kind, size, content); RFC 8878, 3.1.1."""
    data = b"\x28\xb5\x2f\xfd" + bytes([0, 7 << 3])  # a window of 128 KiB
    for number, (kind, size, content) in enumerate(blocks, 1):
        header = (number == len(blocks)) | kind << 1 | size << 3
        data += header.to_bytes(3, "little") + content
    return data


@pytest.fixture
def stored(tmp_path):
    """`stored(codec, **options)` writes an array of one chunk or shard; gives it and its file."""
    zarr = pytest.importorskip("zarr")

    def write(codec, number=0, **options):
        folder = tmp_path / f"{number}.zarr"
        array = zarr.create_array(
            folder,
            shape=(64, 64),
            dtype="u1",
            compressors=codec,
            **({"zarr_format": 2, "chunks": (64, 64)} | options),
        )
        array[:] = PIXELS
        (file,) = [p for p in folder.rglob("*") if p.is_file() and p.name in ("0.0", "0")]
        return folder, file

    return write


PIXELS = np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8)


def refused(folder, file, message):
    """Whether both readers refuse it, by name."""
    for read in (read_zarr_labels, lambda path: open_image(path).read(0, 0, 64, 64)):
        with pytest.raises(ValueError, match=rf"{folder.name}: .*{file.name}: .*{message}"):
            read(folder)


@pytest.mark.parametrize("name", ["Zlib", "GZip", "BZ2", "LZMA", "Blosc", "Zstd", "LZ4"])
def test_chunks_of_zarr(stored, name):
    """What a chunk becomes is known before: 80 MiB in place of 4 KiB are refused."""
    import numcodecs

    codec = getattr(numcodecs, name)()
    folder, file = stored(codec)
    np.testing.assert_array_equal(read_zarr_labels(folder), PIXELS)
    bomb = codec.encode(BOMB)
    if len(bomb) > 2**16:  # it is refused for that
        bomb = codec.encode(BOMB[: 2**20])
    file.write_bytes(bomb)
    refused(folder, file, "unpacks to more than the 4096 bytes of a chunk")
    file.write_bytes(codec.encode(PIXELS.tobytes()) + bomb)  # one stream behind another
    if name in ("GZip", "BZ2", "LZMA"):
        refused(folder, file, "unpacks to more than the 4096 bytes of a chunk")


def test_frames_of_zstd_without_a_size(stored):
    import numcodecs

    folder, file = stored(numcodecs.Zstd())
    half = PIXELS[:32].tobytes(), PIXELS[32:].tobytes()
    whole = zstd_frame(*[(0, len(part), part) for part in half])
    file.write_bytes(whole)
    np.testing.assert_array_equal(read_zarr_labels(folder), PIXELS)
    bomb = zstd_frame(*[(1, 2**17, b"\0")] * 640)
    for content in (bomb, whole + bomb):
        file.write_bytes(content)
        refused(folder, file, "unpacks to more than the 4096 bytes of a chunk")


@pytest.mark.parametrize("place", ["start", "end"])
def test_shards_of_zarr(stored, place):
    import google_crc32c  # zarr needs it
    from zarr.codecs import GzipCodec

    options = {"zarr_format": 3, "chunks": (16, 16), "shards": (64, 64)}
    sharding = {"shards": {"shape": (64, 64), "index_location": place}}
    folder, file = stored(GzipCodec(), **(options | sharding))
    np.testing.assert_array_equal(read_zarr_labels(folder), PIXELS)
    with open_image(folder) as image:
        np.testing.assert_array_equal(image.read(5, 6, 20, 30)[..., 0], PIXELS[5:25, 6:36])
    data = bytearray(file.read_bytes())
    size = 16 * 16 + 4
    begin = 0 if place == "start" else len(data) - size
    bomb = zlib.compressobj(wbits=31)
    bomb = bomb.compress(BOMB[: 2**23]) + bomb.flush()
    index = np.frombuffer(data[begin : begin + size - 4], "<u8").reshape(16, 2).copy()
    index[0] = (len(data) if place == "start" else begin), len(bomb)
    packed = index.tobytes() + struct.pack("<I", google_crc32c.value(index.tobytes()))
    inside = data[size:] if place == "start" else data[:begin]
    file.write_bytes(bytes(packed + inside + bomb if place == "start" else inside + bomb + packed))
    refused(folder, file, "unpacks to more than the 256 bytes of a chunk")
    with open_image(folder) as image, pytest.raises(ValueError, match="unpacks to more than"):
        image.read(0, 0, 5, 5)  # without the rest of the shard


def test_what_is_unknown_of_a_zarr_array(stored):
    import numcodecs

    folder, file = stored(numcodecs.Zlib())
    metadata = json.loads((folder / ".zarray").read_text())
    for change, message in (
        ({"compressor": {"id": "packbits"}}, "packed by packbits; .* save it with one of these"),
        ({"filters": [{"id": "gzip"}]}, "packed by gzip, zlib"),
        ({"chunks": [60000, 60000]}, r"a chunk: .* is 3\.4 GiB, more than the 2\.0"),
    ):
        (folder / ".zarray").write_text(json.dumps(metadata | change))
        with pytest.raises(ValueError, match=rf"0\.zarr: .*{message}"):
            open_image(folder)
    (folder / ".zarray").write_text(json.dumps(metadata))
    file.write_bytes(file.read_bytes() + bytes(2**17))
    refused(folder, file, "bytes, more than the ")
