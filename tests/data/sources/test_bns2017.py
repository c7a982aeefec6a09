import gzip
import pickle
import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.bns2017 import ORIENTATIONS, Source
from jaxnuc.io.nifti import read_nifti

LABELS = np.zeros((8, 8), np.int32)  # rows and columns; no two orientations look alike
LABELS[0:2, 0:3] = 1
LABELS[2:4, 0:2] = 5  # touches the first
LABELS[6:, 5:7] = 1
EXPECTED = np.where(LABELS == 5, 3, np.where(np.arange(8)[:, None] > 5, LABELS * 2, LABELS))
IMAGE = np.full((8, 8, 4), 230, np.uint8)
IMAGE[LABELS > 0, :3] = 90
CODES = {"u1": 2, "i1": 256, "i2": 4, "u2": 512, "i4": 8, "u4": 768, "f4": 16, "f8": 64}


def nifti(voxels, order="<", dtype="u2", sides=None, scale=(1, 0), gap=4, magic=b"n+1\0"):
    """A NIfTI-1 file as the standard lays it out."""
    sides = sides or voxels.shape
    header = bytearray(348)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, len(sides), *sides, *[1] * (7 - len(sides)))
    struct.pack_into(f"{order}2h", header, 70, CODES[dtype], np.dtype(dtype).itemsize * 8)
    struct.pack_into(f"{order}3f", header, 108, 348 + gap, *scale)
    header[344:348] = magic
    return bytes(header) + bytes(gap) + voxels.astype(order + dtype).tobytes(order="F")


@pytest.fixture
def root(tmp_path):
    for slide in range(1, 6):
        for kind in ("Slide", "GT"):
            (tmp_path / "BNS" / f"{kind}_{slide:02}").mkdir(parents=True)
        for k in (1, 2):
            name = f"{slide:02}_{k}"
            Image.fromarray(IMAGE).save(tmp_path / "BNS" / f"Slide_{slide:02}" / f"{name}.png")
            data = gzip.compress(nifti(LABELS.T, sides=(8, 8, 1)))
            (tmp_path / "BNS" / f"GT_{slide:02}" / f"{name}.nii.gz").write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("form", ["folders", "zip", "two folders"])
def test_reads_nuclei_of_equal_label(root, form):
    if form == "zip":
        shutil.make_archive(str(root / "BNS"), "zip", root, "BNS")
        shutil.rmtree(root / "BNS")
    if form == "two folders":
        for kind in ("Slide", "GT"):
            (root / kind).mkdir()
            for path in (root / "BNS").glob(f"{kind}_*/*"):
                shutil.move(path, root / kind)
    source = pickle.loads(pickle.dumps(sources.create("bns2017", root=root, split="all")))
    assert source.ids == [f"{slide:02}_{k}" for slide in range(1, 6) for k in (1, 2)]
    sample = source[3]
    np.testing.assert_array_equal(sample.image, IMAGE[..., :3])
    np.testing.assert_array_equal(sample.instances, EXPECTED)
    assert sample.instances.dtype == np.int32
    assert sample.meta == {
        "name": "02_2",
        "source": "bns2017",
        "mpp": 0.25,
        "tissue": "Breast",
        "patient": "02",
    }
    parts = [Source(root, s).ids for s in ("train", "val", "test")]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert [len({n[:2] for n in part}) for part in parts] == [3, 1, 1]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_only_the_orientation_in_which_nuclei_are_dark_is_accepted(root, orientation):
    stored = next(
        voxels
        for turns in range(4)
        for voxels in (np.rot90(LABELS, turns), np.rot90(LABELS.T, turns))
        if np.array_equal(ORIENTATIONS[orientation](voxels), LABELS)
    )
    for path in (root / "BNS").glob("GT_*/*"):
        path.write_bytes(gzip.compress(nifti(stored)))
    np.testing.assert_array_equal(
        Source(root, "all", orientation=orientation)[0].instances, EXPECTED
    )
    other = "as stored" if orientation != "as stored" else "transpose"
    with pytest.raises(
        ValueError, match=rf"orientation='{other}'.*with orientation='{orientation}'"
    ):
        Source(root, orientation=other)


def test_unknown_orientation_and_other_sizes(root):
    with pytest.raises(ValueError, match=r"unknown orientation 'transposed'.*mean 'transpose'"):
        Source(root, orientation="transposed")
    path = root / "BNS" / "GT_05" / "05_2.nii.gz"
    path.write_bytes(gzip.compress(nifti(LABELS.T[:7])))
    with pytest.raises(ValueError, match=r"05_2\.nii\.gz: labels of \(8, 7\).*image of \(8, 8\)"):
        Source(root, "all")[9]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", CODES)
def test_nifti_of_every_dtype_and_byte_order(order, dtype):
    voxels = np.random.default_rng(0).integers(0, 100, (3, 5))
    data = nifti(voxels, order, dtype, gap=36, scale=(0, 0))
    for form in (data, gzip.compress(data)):
        found = read_nifti(form, "f")
        np.testing.assert_array_equal(found, voxels)
        assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read_nifti(nifti(voxels, sides=(3, 5, 1, 1)), "f"), voxels)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a NIfTI-1 file"),
        (nifti(LABELS, magic=b"ni1\0"), "not a NIfTI-1 file with header and voxels in one"),
        (nifti(LABELS)[:-1], r"127 bytes are too few for \[8, 8\] uint16: truncated"),
        (gzip.compress(nifti(LABELS), mtime=0)[:-9], "cannot be unpacked|too few"),
        (nifti(LABELS, scale=(2, 0)), r"scaled by 2\.0"),
        (nifti(LABELS, sides=(8, -8)), "2 dimensions of sides"),
        (nifti(LABELS, sides=(30000, 30000, 30000)), r"GiB, more than the 2\.0 that are read"),
        (nifti(LABELS)[:70] + b"\x80\0" + nifti(LABELS)[72:], "NIfTI datatype 128; known"),
        (nifti(LABELS)[:108] + b"\0\0\xc0\x7f" + nifti(LABELS)[112:], "voxels from byte nan"),
    ],
)
def test_damaged_nifti(data, message):
    with pytest.raises(ValueError, match=f"^f: .*({message})"):
        read_nifti(data, "f")
