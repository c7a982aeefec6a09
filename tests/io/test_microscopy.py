"""Files of microscopes, against the values that they were written with.

CZI is written by Zeiss's library; ND2, LIF and DV by hand, after descriptions of their formats.
"""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxnuc.io import Planes, list_images, open_image, separate_image
from jaxnuc.io.czi import CziImage
from jaxnuc.io.microscopy import MicroscopyImage

pytestmark = pytest.mark.slow  # to import bioio takes seconds

# Times, channels, depths: a stack (T, C, Z, H, W) of which every value says where it lies.
STACK = (
    np.arange(2)[:, None, None, None, None] * 4000
    + np.arange(2)[:, None, None, None] * 1500
    + np.arange(3)[:, None, None] * 400
    + np.random.default_rng(0).integers(0, 200, (2, 2, 3, 20, 30))
).astype(np.uint16)
STACK[:, :, 1] = STACK[:, :, 1] // 100 * 100 + STACK[:, :, 1] % 100 * 4  # in focus


def stretched(array):
    """From its lowest to its highest value, by hand."""
    low, high = float(array.min()), float(array.max())
    return np.rint((array - low) / (high - low) * 255).astype(np.uint8)


def write_czi(path, scenes):
    """Scenes of (T, C, Z, H, W), or (H, W, 3) in color, each at a place of its own."""
    czi = pytest.importorskip("pylibCZIrw.czi", reason="the extra microscopy is not installed")
    with czi.create_czi(str(path)) as file:
        for number, array in enumerate(scenes):
            place = {"scene": number} if len(scenes) > 1 else {}
            corner = {"location": (7 + 1000 * number, 3)}
            if array.ndim == 3:
                file.write(np.ascontiguousarray(array[..., ::-1]), **corner, **place)
                continue
            for t, c, z in np.ndindex(array.shape[:3]):
                plane = {"T": t, "C": c, "Z": z}
                file.write(array[t, c, z][..., None], plane=plane, **corner, **place)
        names = {0: "DAPI", 1: "GFP"} if scenes[0].ndim == 5 else None
        file.write_metadata("a", channel_names=names, scale_x=0.5e-6, scale_y=0.5e-6)


def write_lif(path, images):
    """Images of (C, Z, H, W) uint16, half a micron per pixel; Leica's XML and memory blocks."""
    pytest.importorskip("bioio_lif", reason="the extra microscopy is not installed")
    elements, blocks = [], b""
    for number, array in enumerate(images):
        (c, z, h, w), size = array.shape, array.itemsize
        channels = "".join(
            '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" Unit="" Min="0" '
            'Max="1" NameOfMeasuredQuantity="" IsLUTInverted="0" BitInc="0" '
            f'LUTName="{name}" BytesInc="{k * z * h * w * size}"/>'
            for k, name in enumerate(("DAPI", "GFP")[:c])
        )
        axes = ((1, w, size), (2, h, w * size), (3, z, h * w * size))
        dimensions = "".join(
            f'<DimensionDescription DimID="{axis}" NumberOfElements="{count}" Origin="0" '
            f'Length="{(count - 1) * 0.5e-6:.9e}" Unit="m" BitInc="0" BytesInc="{step}"/>'
            for axis, count, step in axes
            if count > 1
        )
        elements.append(
            f'<Element Name="field {number}"><Data><Image><ImageDescription><Channels>{channels}'
            f"</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        name, data = f"MemBlock_{number}", array.tobytes()
        head = struct.pack("<IIBQBI", 0x70, 14 + 2 * len(name), 0x2A, len(data), 0x2A, len(name))
        blocks += head + name.encode("utf-16-le") + data
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="all"><Children>'
        f"{''.join(elements)}</Children></Element></LMSDataContainerHeader>"
    )
    head = struct.pack("<IIBI", 0x70, 5 + 2 * len(xml), 0x2A, len(xml))
    path.write_bytes(head + xml.encode("utf-16-le") + blocks)


def nd2_value(name, value):
    """A named value, or a tree of them, as ND2 stores its metadata: kind, name, value."""
    text = (name + "\0").encode("utf-16-le")
    head = lambda kind: struct.pack("<BB", kind, len(name) + 1) + text
    if isinstance(value, bool):
        return head(1) + struct.pack("<B", value)
    if isinstance(value, int):
        return head(3) + struct.pack("<I", value)
    if isinstance(value, float):
        return head(6) + struct.pack("<d", value)
    if isinstance(value, str):
        return head(8) + (value + "\0").encode("utf-16-le")
    inside, start = b"".join(nd2_value(*each) for each in value.items()), head(11)
    length = len(start) + 12 + len(inside)
    return start + struct.pack("<IQ", len(value), length) + inside + bytes(8 * len(value))


def write_nd2(path, array, mpp=0.5):
    """A stack (C, Z, H, W) uint16, a page for each depth; Nikon's chunks and the map of them."""
    pytest.importorskip("bioio_nd2", reason="the extra microscopy is not installed")
    c, z, h, w = array.shape
    size = {"uiWidth": w, "uiWidthBytes": 2 * w * c, "uiHeight": h, "uiComp": c}
    bits = {"uiBpcInMemory": 16, "uiBpcSignificant": 16}
    channels = {
        f"a{k}": {"uiSampleIndex": k, "sDescription": name, "pFluorescentProbe": {"m_sName": name}}
        for k, name in enumerate(("DAPI", "GFP")[:c])
    }
    picture = {"dCalibration": mpp, "bCalibrated": True}
    picture["sPicturePlanes"] = {"uiCount": c, "uiCompCount": c, "sPlaneNew": channels}
    stack = {"eType": 4, "uLoopPars": {"uiCount": z, "dZStep": 0.3}}
    chunks = {
        "ImageAttributesLV!": nd2_value("SLxImageAttributes", size | bits | {"uiSequenceCount": z}),
        "ImageMetadataSeqLV|0!": nd2_value("SLxPictureMetadata", picture),
        "ImageMetadataLV!": nd2_value("SLxExperiment", stack),
        "CustomData|AcqTimesCache!": bytes(8 * z),
    }
    for k in range(z):  # a time and the pixels
        chunks[f"ImageDataSeq|{k}!"] = bytes(8) + np.moveaxis(array[:, k], 0, -1).tobytes()
    magic = 0x0ABECEDA
    head = (magic, 32, 64, b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0")
    content, places = struct.pack("<IIQ32s64s", *head), b""
    for name, data in chunks.items():
        content += bytes(-len(content) % 4096)
        places += name.encode() + struct.pack("<QQ", len(content), len(data))
        content += struct.pack("<IIQ4072s", magic, 4072, len(data), name.encode()) + data
    places += b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(content))
    content += struct.pack("<IIQ", magic, 32, len(places)) + b"ND2 FILEMAP SIGNATURE NAME 0001!"
    path.write_bytes(content + places)


def write_dv(path, array):
    """(T, C, Z, H, W) uint16, half a micron per pixel, channels first; DeltaVision's header."""
    pytest.importorskip("bioio_dv", reason="the extra microscopy is not installed")
    array = array.swapaxes(1, 2)
    t, z, c, h, w = array.shape
    header = bytearray(1024)
    for place, kind, *values in (
        (0, "4i", w, h, t * z * c, 6),  # unsigned, of 16 bits
        (40, "3f", 0.5, 0.5, 0.3),
        (92, "i", t * z * c * 160),  # bytes of the headers of the planes
        (96, "h", -16224),
        (128, "2h", 8, 32),  # integers and floats in each of these
        (180, "2h", t, 1),
        (196, "h", c),
    ):
        struct.pack_into(f"<{kind}", header, place, *values)
    waves = ((360, 457), (490, 528))
    planes = b"".join(
        struct.pack("<8i32f", *[0] * 18, *waves[k % c], *[0] * 20) for k in range(t * z * c)
    )
    path.write_bytes(bytes(header) + planes + array.tobytes())


@pytest.mark.parametrize("kind", ["czi", "nd2", "lif", "dv"])
def test_planes_of_a_microscope_are_chosen(tmp_path, kind):
    path, times = tmp_path / f"a.{kind}", 2 if kind in ("czi", "dv") else 1
    if kind == "czi":
        write_czi(path, [STACK])
    elif kind == "lif":
        write_lif(path, [STACK[0]])
    elif kind == "nd2":
        write_nd2(path, STACK[0])
    else:
        write_dv(path, STACK)
    names = ("360/457", "490/528") if kind == "dv" else ("DAPI", "GFP")
    last = times - 1
    for planes, expected in (
        (Planes((0,), 2, last), STACK[last, 0, 2]),
        (Planes((names[1],), "max", last), STACK[last, 1].max(axis=0)),
        (Planes((1,), "best", 0), STACK[0, 1, 1]),
        (Planes((1, 0, 1), 0, 0), np.moveaxis(STACK[0, [1, 0, 1], 0], 0, -1)),
    ):
        with open_image(path, planes=planes) as image:
            assert image.dtype == np.uint16
            assert image.mpp == pytest.approx(0.5)
            seen = np.broadcast_to(stretched(expected).reshape(20, 30, -1), (20, 30, 3))
            np.testing.assert_array_equal(image.read(0, 0, 20, 30), seen)
            np.testing.assert_array_equal(image.read(4, 5, 6, 7), seen[4:10, 5:12])
    several = f"2 channels \\(0 {names[0]}, 1 {names[1]}\\); .*and 3 depths; .*"
    with pytest.raises(ValueError, match=several + ("2 times" if times == 2 else "")):
        open_image(path)
    assert list_images([tmp_path]) == [path]


def test_scenes_are_listed_and_chosen(tmp_path):
    scenes = [STACK[:1, :1, :1], STACK[1:, 1:, 1:2, :15]]
    write_czi(tmp_path / "a.czi", scenes)
    write_lif(tmp_path / "b.lif", [each[0] for each in scenes])
    for name, listed in (("a.czi", "0: 20 x 30; 1: 15 x 30"), ("b.lif", "0: field 0; 1: field 1")):
        with pytest.raises(ValueError, match=rf"{name}: 2 images \({listed}\); .*--image=0"):
            open_image(tmp_path / name)
        for number, scene in enumerate(scenes):
            with open_image(tmp_path / name, series=number) as image:
                assert image.shape == scene.shape[-2:]
                seen = image.read(0, 0, *image.shape)
                np.testing.assert_array_equal(seen[..., 1], stretched(scene[0, 0, 0]))
        with pytest.raises(ValueError, match=r"image 2 \(--image\), but it has 2 from 0"):
            open_image(tmp_path / name, series=2)


def test_colors_of_czi_are_red_green_and_blue_and_glass_is_white(tmp_path):
    tissue = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_czi(tmp_path / "a.czi", [tissue])
    with open_image(tmp_path / "a.czi") as image:
        np.testing.assert_array_equal(image.read(0, 0, 20, 30), tissue)
        assert image.contents.in_color
    with open_image(tmp_path / "a.czi", planes=Planes(("blue",))) as image:
        blue = np.repeat(tissue[..., 2:], 3, axis=2)
        np.testing.assert_array_equal(image.read(0, 0, 20, 30), blue)
    with pytest.raises(ValueError, match=r"a\.czi: no channel 'DAPI'; there are 0 red, 1 green"):
        open_image(tmp_path / "a.czi", planes=Planes(("DAPI",)))
    czi = pytest.importorskip("pylibCZIrw.czi")
    with czi.create_czi(str(tmp_path / "b.czi")) as file:  # two tiles, corner to corner
        for place in (0, 20):
            file.write(np.ascontiguousarray(tissue[:20, :20, ::-1]), location=(place, place))
    expected = np.full((40, 40, 3), 255, np.uint8)
    expected[:20, :20] = expected[20:, 20:] = tissue[:, :20]
    with open_image(tmp_path / "b.czi") as image:
        np.testing.assert_array_equal(image.read(0, 0, 40, 40), expected)


def test_pixels_of_a_microscope_without_calibration(tmp_path):
    write_nd2(tmp_path / "a.nd2", STACK[0], 1.0)
    with open_image(tmp_path / "a.nd2", planes=Planes((0,), 0)) as image:
        assert image.mpp is None


def test_large_planes_and_damaged_files_are_refused(tmp_path):
    write_dv(tmp_path / "a.dv", STACK[:1, :1, :1])
    with pytest.raises(ValueError, match=r"20 x 30 pixels are read at once, .*--most-pixels"):
        open_image(tmp_path / "a.dv", most_pixels=599)
    for name, content in (("b.czi", b"ZISRAWFILE" + bytes(50)), ("c.lif", b"p"), ("d.dv", b"ab")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises((ValueError, ImportError), match=rf"{name}: n"):
            open_image(tmp_path / name)


@pytest.mark.parametrize(
    ("reader", "package"), [(CziImage, "pylibCZIrw"), (MicroscopyImage, "bioio")]
)
def test_a_missing_package_is_named(monkeypatch, reader, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"a\.b: reading it needs {package}: pip install jaxnuc\[microscopy\]"
    with pytest.raises(ImportError, match=message):
        reader(Path("a.b"))


# In place of Zeiss's library: 9 x 9 gray pixels, and the end of the process at what is damaged.
ABORTING = """
import os
from types import SimpleNamespace

import numpy as np

class CziReader:
    total_bounding_box = {"C": (0, 1), "Z": (0, 1), "T": (0, 1)}
    total_bounding_rectangle_no_pyramid = SimpleNamespace(x=0, y=0, w=2000, h=9)
    scenes_bounding_rectangle_no_pyramid = {}
    raw_metadata = "<a/>"
    pixel_types = {0: "Gray8"}

    def __init__(self, path):
        print("what a library prints")
        with open(path, "rb") as file:
            self.damage = file.read()[10:]
        if self.damage == b"header":
            os.abort()

    def read(self, roi, **others):
        left, top, width, height = roi
        if self.damage == b"pixels" and left > 0:
            os.abort()
        return np.full((height, width, 1), left // 1024 + 5, np.uint8)

    def close(self):
        pass
"""


def test_a_library_that_ends_the_process(tmp_path, monkeypatch):
    package = tmp_path / "packages" / "pylibCZIrw"
    package.mkdir(parents=True)
    (package / "czi.py").write_text(ABORTING)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent)
    separate_image._child.cache_clear()
    for damage in ("", "header", "pixels"):
        (tmp_path / f"{damage}.czi").write_bytes(b"ZISRAWFILE" + damage.encode())
    ended = r"czi: damaged; the library .* ended its process \(status -6\)"
    with open_image(tmp_path / ".czi") as whole, open_image(tmp_path / "pixels.czi") as half:
        assert (half.read(0, 0, 9, 1000) == 5).all()
        with pytest.raises(ValueError, match=f"/header.{ended}"):
            open_image(tmp_path / "header.czi")
        assert (half.read(0, 0, 9, 1000) == 5).all()
        with pytest.raises(ValueError, match=f"/pixels.{ended}"):
            half.read(0, 1000, 9, 1000)
        assert (whole.read(0, 1024, 9, 900) == 6).all()
    separate_image._child.cache_clear()
