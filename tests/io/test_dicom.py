"""Slides in DICOM, written with pydicom (DICOM PS3.3, A.32.8, VL Whole Slide Microscopy)."""

import numpy as np
import pytest

from jaxnuc.io import Planes, list_images, open_image

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("openslide")
SIDE = 64  # of a tile
SLIDE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)


def write_level(path, pixels, mpp, series):
    """A level of a slide, in tiles."""
    height, width, _ = pixels.shape
    rows, cols = -(-height // SIDE), -(-width // SIDE)
    padded = np.pad(pixels, ((0, rows * SIDE - height), (0, cols * SIDE - width), (0, 0)))
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.Modality, data.StudyInstanceUID, data.SeriesInstanceUID = "SM", series, series
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.DimensionOrganizationType = "TILED_FULL"
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.Rows = data.Columns = SIDE
    data.NumberOfFrames = rows * cols
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = height, width
    measures, shared = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [mpp / 1000, mpp / 1000]  # in millimeters
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PixelData = padded.reshape(rows, SIDE, cols, SIDE, 3).swapaxes(1, 2).tobytes()
    data.save_as(path, enforce_file_format=True)


def write_slide(folder, pixels, name=""):
    series = pydicom.uid.generate_uid()
    folder.mkdir(exist_ok=True)
    write_level(folder / f"{name}1.dcm", pixels, 0.5, series)
    write_level(folder / f"{name}0.dcm", pixels[::4, ::4], 2, series)


def test_a_slide_is_a_file_or_a_folder(tmp_path):
    write_slide(tmp_path / "a", SLIDE)
    for path in (tmp_path / "a", tmp_path / "a" / "0.dcm", tmp_path / "a" / "1.dcm"):
        with open_image(path) as image:
            assert [level.shape for level in image.levels] == [(300, 400), (75, 100)]
            assert image.mpp == pytest.approx(0.5)
            np.testing.assert_array_equal(image.read(0, 0, 300, 400), SLIDE)
            np.testing.assert_array_equal(image.read(37, 41, 90, 150), SLIDE[37:127, 41:191])
            small = image.read(3, 5, 60, 70, level=1)
            np.testing.assert_array_equal(small, SLIDE[::4, ::4][3:63, 5:75])
    assert list_images([tmp_path / "a"]) == list_images([tmp_path]) == [tmp_path / "a"]
    with open_image(tmp_path / "a", planes=Planes(("green",))) as image:
        green = np.repeat(SLIDE[..., 1:2], 3, axis=2)
        np.testing.assert_array_equal(image.read(0, 0, 300, 400), green)
    with pytest.raises(ValueError, match=r"z=1 \(--z\), but there is one depth; leave it out"):
        open_image(tmp_path / "a", planes=Planes(z=1))


def test_several_slides_in_a_folder_are_listed(tmp_path):
    for name, pixels in (("x", SLIDE), ("y", SLIDE[:200])):
        write_slide(tmp_path, pixels, name)
    with pytest.raises(ValueError, match=r"2 images \(0: x0\.dcm; 1: y0\.dcm\); choose one"):
        open_image(tmp_path)
    with open_image(tmp_path, series=1) as image:
        assert image.shape == (200, 400)


def test_what_is_no_slide_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(ValueError, match=r"a\.dcm: not a slide that OpenSlide reads"):
        open_image(tmp_path / "a.dcm")
    with pytest.raises(ValueError, match="no slide among the DICOM files in it"):
        open_image(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "openslide", None)
    for path in (tmp_path, tmp_path / "a.dcm"):
        with pytest.raises(ImportError, match=r"pip install jaxnuc\[slides\]"):
            open_image(path)
