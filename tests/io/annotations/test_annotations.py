"""Files of every format, in the form of their own writers."""

import base64
import io
import json
import re
import zipfile

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from jaxnuc.io.annotations import REGISTRY, Reader, read_annotations
from jaxnuc.io.polygons import rasterize
from jaxnuc.io.text_files import parse_xml

roifile = pytest.importorskip("roifile")

# A 6 x 5 nucleus with a hole of one pixel, and a triangle of fractional vertices.
OUTER, HOLE = [[2, 1], [7, 1], [7, 7], [2, 7]], [[4, 3], [5, 3], [5, 4], [4, 4]]
TRIANGLE = [[9.5, 2.5], [15.25, 2.5], [9.5, 9.75]]
SHAPE = (12, 18)


def truth(hole=True):
    """Pixels whose centers lie within, one by one."""
    found = np.zeros(SHAPE, int)
    for row, column in np.ndindex(SHAPE):
        x, y = column + 0.5, row + 0.5
        if 2 < x < 7 and 1 < y < 7 and not (hole and (row, column) == (3, 4)):
            found[row, column] = 1
        if x >= 9.5 and y >= 2.5 and (x - 9.5) / 5.75 + (y - 2.5) / 7.25 < 1:
            found[row, column] = 2
    return found


def closed(ring):
    return [*ring, ring[0]]


def qupath(*features, **more):
    return json.dumps({"type": "FeatureCollection", "features": list(features), **more})


def feature(geometry, kind="Polygon", name=None, **more):
    look = {"classification": {"name": name, "color": [200, 0, 0]}} if name else {}
    return {
        "type": "Feature",
        "id": "9f6f6d6c-0000-4c6e-9f0f-000000000000",
        "geometry": {"type": kind, "coordinates": geometry},
        "properties": {"objectType": "annotation", **look},
    } | more


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{name}.roi", data)
    return buffer.getvalue()


def roi(points, **more):
    made = roifile.ImagejRoi.frompoints(np.array(points, np.float32))
    for key, value in more.items():
        setattr(made, key, value)
    return made


def composite(*paths):
    """A ROI of several paths, as ImageJ's selections with holes are."""
    made = roifile.ImagejRoi()
    made.roitype = roifile.ROI_TYPE.RECT
    flat = []
    for path in paths:
        flat += [0, *path[0]]
        for point in path[1:]:
            flat += [1, *point]
        flat.append(4)
    made.multi_coordinates = np.array(flat, np.float32)
    made.shape_roi_size = len(flat)
    points = np.array([p for path in paths for p in path])
    made.left, made.top = map(int, points.min(axis=0))
    made.right, made.bottom = map(int, points.max(axis=0))
    return made


def hole_mask(shape=SHAPE):
    return truth()[: shape[0], : shape[1]] == 1


def coco(segmentations, **more):
    annotations = [
        {"id": k, "image_id": 7, "category_id": 3, "segmentation": each, "iscrowd": 0, **more}
        for k, each in enumerate(segmentations, 1)
    ]
    image = {"id": 7, "file_name": "slides\\a.png", "height": SHAPE[0], "width": SHAPE[1]}
    return {"images": [image], "annotations": annotations, "categories": [{"id": 3, "name": "b"}]}


def compressed(mask):
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def uncompressed(mask):
    flat = mask.T.ravel()
    cuts = np.flatnonzero(np.diff(flat.astype(int), prepend=0))
    return {"size": list(mask.shape), "counts": np.diff([0, *cuts, flat.size]).tolist()}


def labelme(*shapes, **more):
    found = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "..\\i\\a.png"}
    return found | {"imageData": None, "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]} | more


def shape_of(points, kind="polygon", label="b", **more):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind} | more


def png(mask):
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def runs(mask):
    """CVAT's: along the rows, background first."""
    flat = mask.ravel().astype(int)
    cuts = np.flatnonzero(np.diff(flat, prepend=0))
    return ",".join(map(str, np.diff([0, *cuts, flat.size])))


def points(ring):
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in ring)


def aperio(ring, number, **more):
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ring)
    attributes = "".join(f' {key}="{value}"' for key, value in more.items())
    return f'<Region Id="{number}" Type="0"{attributes}><Vertices>{vertices}</Vertices></Region>'


def ndpa(ring, number, title):
    listed = "".join(f"<point><x>{1000 * x}</x><y>{1000 * y}</y></point>" for x, y in ring)
    return (
        f'<ndpviewstate id="{number}"><title>{title}</title><coordformat>nanometers</coordformat>'
        f'<annotation type="freehand" displayname="AnnotateFreehand" color="#00ff00">'
        f"<measuretype>0</measuretype><closed>1</closed><pointlist>{listed}</pointlist>"
        "</annotation></ndpviewstate>"
    )


HOVERNET = {"mag": 40, "nuc": {}}
for number, ring in (("1", [[2, 1], [6, 1], [6, 6], [2, 6]]), ("2", [[9, 3], [12, 3]])):
    HOVERNET["nuc"][number] = {"contour": ring, "centroid": [1, 1], "bbox": [[1, 2], [7, 7]]}
HOVERNET["nuc"]["1"] |= {"type": 2, "type_prob": 0.5}
HOVERNET["nuc"]["2"] |= {"bbox": [[3, 9], [4, 13]], "type": None, "type_prob": None}

CVAT = (
    '<?xml version="1.0" encoding="utf-8"?>\r\n<annotations>\r\n <version>1.1</version><meta/>'
    f'<image id="0" name="x/a.png" width="{SHAPE[1]}" height="{SHAPE[0]}">'
    f'<mask label="b" source="manual" occluded="0" rle="{runs(hole_mask()[1:7, 2:7])}" left="2" '
    'top="1" width="5" height="6" z_order="0"></mask>'
    f'<polygon label="b" occluded="0" points="{points(TRIANGLE)}" z_order="0">'
    '<attribute name="sure">yes</attribute></polygon></image></annotations>'
)
APERIO = (
    '<Annotations MicronsPerPixel="0.25"><Annotation Id="1" Name="b" Type="4"><Regions>'
    + aperio(OUTER, 1)
    + aperio(HOLE, 2, NegativeROA=1, InputRegionId=1)
    + aperio(TRIANGLE, 3)
    + "</Regions></Annotation></Annotations>"
)
ROWS = truth(hole=False) * 0
ROWS[1:7, 2:7], ROWS[3, 9:13] = 1, 2
B = ["b", "b"]
FILES = {
    "geojson": (qupath(feature([closed(OUTER), HOLE], name="b"), feature([TRIANGLE], name="b")), B),
    "labelme": (
        json.dumps(
            labelme(
                shape_of([[2, 1], [6, 6]], "mask", mask=png(hole_mask()[1:7, 2:7])),
                shape_of(TRIANGLE),
            )
        ),
        B,
    ),
    "coco": (
        json.dumps(coco([compressed(hole_mask()), [np.ravel(closed(TRIANGLE)).tolist()]])),
        B,
    ),
    "cvat": (CVAT, B),
    "aperio": (APERIO, B),
    "ndpa": (
        f"<annotations>{ndpa(OUTER, 1, 'b')}{ndpa(TRIANGLE, 2, '')}</annotations>",
        ["b", None],
    ),
    "hovernet": (json.dumps(HOVERNET), ["2", None]),
    "imagej": (
        zipped(a=composite(OUTER, HOLE).tobytes(), b=roi(TRIANGLE, group=3, name="0002").tobytes()),
        [None, "group 3"],
    ),
}


@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_format(name):
    """Its file is accepted by it alone, gives the nuclei to the pixel, and names itself if cut."""
    content, names = FILES[name]
    data = content if isinstance(content, bytes) else content.encode()
    (found,) = read_annotations(data, "a/f")
    accepting = [each for each in REGISTRY.names() if REGISTRY.find(each)().accepts(parsed(data))]
    assert accepting == [name]
    assert [each.name for each in found.objects] == names
    assert not any(each.ignored for each in found.objects)
    expected = {"ndpa": truth(hole=False), "hovernet": ROWS}.get(name, truth())
    painted = rasterize([each.shape for each in found.objects], SHAPE, found.convention)
    np.testing.assert_array_equal(painted.instances, expected)
    images = {"labelme": "a.png", "coco": "slides/a.png", "cvat": "x/a.png"}
    assert found.image == images.get(name)
    assert found.size == (None if found.image is None else SHAPE)
    assert found.mpp == (0.25 if name == "aperio" else None)
    assert found.centered == (name == "ndpa")
    reader = REGISTRY.find(name)()
    assert isinstance(reader, Reader)
    with pytest.raises(ValueError, match=r"^a/f: "):
        read_annotations(data[: len(data) // 2], "a/f")
    other = FILES["aperio" if name != "aperio" else "cvat"][0]
    with pytest.raises(ValueError, match=rf"not of the format '{name}'; expected {reader.title}"):
        read_annotations(other.encode(), "a/f", name)


def parsed(data):
    return (
        data if data[:2] == b"PK" else parse_xml(data, "") if data[:1] == b"<" else json.loads(data)
    )


def painted(content, where="f"):
    data = content if isinstance(content, bytes | str) else json.dumps(content)
    (found,) = read_annotations(data.encode() if isinstance(data, str) else data, where)
    return rasterize([each.shape for each in found.objects], SHAPE).instances, found


def test_geojson_as_versions_of_qupath_write_it():
    old = feature([closed(OUTER)])
    old["properties"] = {
        "isLocked": False,
        "measurements": [{"name": "Area", "value": 3.5}],
        "classification": {"name": "b", "colorRGB": -3670016},
    }
    cell = feature([[[0, 0], [17, 0], [17, 11], [0, 11], [0, 0]]], id="PathCellObject")
    cell["nucleusGeometry"] = {"type": "Polygon", "coordinates": [closed(TRIANGLE)]}
    cell["properties"]["objectType"] = "cell"
    cell["properties"]["classification"] = {"names": ["b", "Positive"], "color": [1, 2, 3]}
    labels, found = painted(b"\xef\xbb\xbf" + json.dumps([old, cell]).encode())
    np.testing.assert_array_equal(labels, truth(hole=False))
    assert [each.name for each in found.objects] == ["b", "b: Positive"]

    pieces = feature([[closed(OUTER), closed(HOLE)], [TRIANGLE]], "MultiPolygon")
    np.testing.assert_array_equal(painted(pieces)[0] > 0, truth() > 0)
    assert painted(pieces)[0].max() == 1

    area = feature([OUTER])
    area["properties"]["name"] = "Region 3"
    assert painted(qupath(area))[1].objects[0].name == "Region 3"
    area["properties"]["name"] = "regional lymph 7"
    assert painted(qupath(area))[1].objects[0].name is None
    area["geometry"]["plane"] = {"c": -1, "z": 5, "t": 0}
    assert painted(qupath(area, area))[0].any()
    assert painted(qupath())[1].objects == () == painted("[]")[1].objects


def test_shapes_of_labelme():
    box = shape_of([[7, 7], [2, 1]], "rectangle", label="box")
    round_ = shape_of([[9, 6], [9, 2]], "circle", label="round")
    labels, found = painted(labelme(box, round_, imagePath=None))
    centers = np.indices(SHAPE) + 0.5
    disk = (centers[0] - 6) ** 2 + (centers[1] - 9) ** 2 < 16
    np.testing.assert_array_equal(labels == 1, (truth(hole=False) == 1))
    np.testing.assert_array_equal(labels == 2, disk & (labels != 1))
    assert (found.image, [each.name for each in found.objects]) == (None, ["box", "round"])
    parts = [shape_of(ring, group_id=4) for ring in (OUTER, TRIANGLE)]
    labels, _ = painted(labelme(*parts, shape_of(HOLE, label="c", group_id=4)))
    np.testing.assert_array_equal(labels > 0, truth(hole=False) > 0)
    assert (labels == 1).sum() == (truth() > 0).sum()


def test_run_lengths_of_coco():
    """pycocotools, which encoded them, counts the same pixels."""
    masks = [hole_mask(), truth() == 2, np.ones(SHAPE, bool), np.zeros(SHAPE, bool)]
    for made in (compressed, uncompressed):
        (found,) = read_annotations(json.dumps(coco(map(made, masks), iscrowd=1)).encode(), "f")
        for mask, each in zip(masks, found.objects, strict=True):
            labels = rasterize([each.shape], SHAPE).instances
            np.testing.assert_array_equal(labels > 0, mask)
            assert each.ignored
            assert coco_mask.area(compressed(mask)) == labels.sum()


def test_ellipses_of_cvat_are_turned_clockwise():
    """Of radii 6 and 2, by 30 degrees: the right end goes down, as y does."""
    ellipse = (
        '<annotations><image id="0" name="a.png" width="18" height="12"><ellipse label="b" '
        'cx="9" cy="6" rx="6" ry="2" rotation="30.00"/></image></annotations>'
    )
    y, x = np.indices(SHAPE) + 0.5 - np.array([6, 9])[:, None, None]
    cos, sin = np.sqrt(3) / 2, 0.5
    inside = ((x * cos + y * sin) / 6) ** 2 + ((y * cos - x * sin) / 2) ** 2 < 1
    np.testing.assert_array_equal(painted(ellipse)[0] > 0, inside)
    with pytest.raises(ValueError, match=r"^f: image 'a.png': ellipse 0 \(b\)"):
        painted(ellipse.replace("30.00", "steep"))


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ('<Attribute Name="Description" Value=""/>', "b"),
        ('<Attribute Name="Description" Value="mitosis"/>', "mitosis"),
        ('<Attribute Name="Macrophage" Value="" Id="0"/>', "Macrophage"),  # as MoNuSAC has it
    ],
)
def test_classes_of_imagescope(attribute, name):
    layer = APERIO.replace("<Regions>", f"<Attributes>{attribute}</Attributes><Regions>")
    assert {each.name for each in painted(layer)[1].objects} == {name}


def test_regions_of_imagej():
    oval = roifile.ImagejRoi()
    oval.roitype, oval.left, oval.top, oval.right, oval.bottom = roifile.ROI_TYPE.OVAL, 3, 2, 13, 8
    oval.properties = {"class": "round"}
    labels, found = painted(oval.tobytes(), "x/1.roi")
    centers = np.indices(SHAPE) + 0.5
    inside = ((centers[0] - 5) / 3) ** 2 + ((centers[1] - 8) / 5) ** 2 < 1
    np.testing.assert_array_equal(labels > 0, inside)
    assert found.objects[0].name == "round"
    box = roifile.ImagejRoi()
    box.roitype, box.left, box.top, box.right, box.bottom = roifile.ROI_TYPE.RECT, 2, 1, 7, 7
    np.testing.assert_array_equal(painted(box.tobytes())[0], truth(hole=False) == 1)
    island = composite([[0, 0], [9, 0], [9, 9], [0, 9]], OUTER, HOLE)  # a nucleus in a hole
    labels, _ = painted(island.tobytes())
    expected = np.zeros(SHAPE, bool)
    expected[:9, :9] = True
    expected[1:7, 2:7] = False
    expected[3, 4] = True
    np.testing.assert_array_equal(labels > 0, expected)

    twice = composite(OUTER, HOLE, OUTER[2:] + OUTER[:2])  # the outline, once more
    np.testing.assert_array_equal(painted(twice.tobytes())[0], truth() == 1)
    crossed = composite([[0, 0], [9, 0], [9, 9], [0, 9]], OUTER, HOLE, box_of(3, 2, 12, 11))
    assert painted(crossed.tobytes())[0].any()


def box_of(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


POINT = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
BOX = coco([[]])
POLYGON = {"type": "Polygon", "coordinates": [TRIANGLE]}
FAR = [[-900000, -900000], [900000, -900000], [900000, 900000]]
BAD = {
    "an empty file": "\r\n ",
    "of no known format": '{"a": 1}',
    "feature 1 is a 'Point', which has no area.*outline it": qupath(feature([OUTER]), POINT),
    "feature 0: vertex 1 at x, y = 5000000000": qupath(feature([[[1, 1], [5e9, 1], [2, 2]]])),
    "feature 1 is an annotation without a class among detections; give it the class Region": qupath(
        feature([OUTER], id="PathDetectionObject", properties={}), feature([OUTER])
    ),
    "objects on 2 planes, such as z=0, t=0 and z=5, t=0.*export each": qupath(
        feature([OUTER]),
        feature([TRIANGLE]) | {"geometry": POLYGON | {"plane": {"c": -1, "z": 5, "t": 0}}},
    ),
    "such as z=1, t=0 and z=2, t=0": zipped(
        a=roi(OUTER, position=1).tobytes(), b=roi(TRIANGLE, position=2).tobytes()
    ),
    "such as z=1, t=1 and z=1, t=3": zipped(
        a=roi(OUTER, c_position=1, z_position=1, t_position=1).tobytes(),
        b=roi(TRIANGLE, c_position=2, z_position=1, t_position=3).tobytes(),
    ),
    "nucleus 1: an outline over 1800001 x 1800001 pixels, more than": {
        "nuc": {"1": {"contour": FAR, "bbox": [[0, 0], [1, 1]]}}
    },
    "feature 0 is a tile and no nucleus": qupath(
        feature([OUTER], properties={"objectType": "tile"})
    ),
    "feature 0 has the class": qupath(feature([OUTER], name=[3])),
    r"shape 0 \(b\) is a 'line'": labelme(shape_of(OUTER, "line")),
    r"shape 0 \(b\) is a mask without": labelme(shape_of([[1, 1], [2, 2]], "mask", mask="???")),
    "annotation 1 has a box and no outline": BOX,
    "annotation 1 is of the image 8": BOX | {"annotations": [{"id": 1, "image_id": 8}]},
    "annotation 1 is of the category 9": BOX
    | {"annotations": [{"id": 1, "image_id": 7, "category_id": 9}]},
    "run lengths of size": coco([{"size": [3, 3], "counts": [9]}]),
    "a mask over 99999 columns": {"categories": BOX["categories"]}
    | {"images": [{"id": 7, "file_name": "a", "height": 99999, "width": 99999}]}
    | {"annotations": [coco([{"size": [99999] * 2, "counts": [0, 99999**2]}])["annotations"][0]]},
    "for a mask of 99999 x 99999": CVAT.replace('height="6"', 'height="99999"').replace(
        'width="5"', 'width="99999"'
    ),
    "add up to its 216 pixels": coco([{"size": list(SHAPE), "counts": [9]}]),
    "`images` holds .* an id of its own": BOX | {"images": [BOX["images"][0]] * 2},
    "box 0 .* which is no outline": CVAT.replace("<mask", "<box").replace("</mask", "</box"),
    "run lengths of 30 pixels for a mask of 7 x 5": CVAT.replace('height="6"', 'height="7"'),
    "declares a document type or entities": "<!DOCTYPE a [<!ENTITY b 'c'>]>" + APERIO,
    "ndpviewstate 1 is 'pointer'; draw": FILES["ndpa"][0].replace("freehand", "pointer"),
    "b.roi is a line, which has no area": zipped(
        b=roi(TRIANGLE, roitype=roifile.ROI_TYPE.LINE).tobytes()
    ),
    "a zip without a .roi": FILES["imagej"][0].replace(b".roi", b".txt"),
    "not a readable ROI": zipped(b=b"Iout"),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_no_nucleus_is_named(message):
    with pytest.raises(ValueError, match=message) as error:
        painted(BAD[message], "x/bad.file")
    assert str(error.value).startswith("x/bad.file: ")
    assert "\n" not in str(error.value)


def spoiled(content, values):
    """Copies of parsed JSON or XML with one value replaced or left out."""
    if isinstance(content, dict):
        for key in content:
            yield {k: v for k, v in content.items() if k != key}
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            inner = content[key]
            for changed in [*values, *spoiled(inner, values)]:
                copy = dict(content) if isinstance(content, dict) else list(content)
                copy[key] = changed
                yield copy


def spoiled_text(text):
    """Copies of XML with one attribute or text replaced."""
    for match in re.finditer(r'"[^"]*"|>[^<>]+<', text):
        for value in ("", "x", "-1", "1e999", "nan", "3.5", "9" * 30):
            start, end = match[0][0], match[0][-1]
            yield f"{text[: match.start()]}{start}{value}{end}{text[match.end() :]}"


@pytest.mark.parametrize("name", [name for name in FILES if name != "imagej"])
def test_damaged_files_are_refused_or_read(name):
    """Whatever a value is, the error names the file, or the nuclei can be drawn."""
    text = FILES[name][0]
    if text[0] == "<":
        files = [each.encode() for each in spoiled_text(text)]
    else:
        odd = [None, True, -1, 3.5, 1e999, 10**30, "x", [], {}, [[]], [None], {"x": 1}]
        files = [json.dumps(each).encode() for each in spoiled(json.loads(text), odd)]
    refused = 0
    for data in files[:: 1 + len(files) // 200]:
        try:
            found = read_annotations(data, "a/f")
        except ValueError as error:
            refused += str(error).startswith("a/f: ") or pytest.fail(str(error))
        else:
            for each in found:
                rasterize([one.shape for one in each.objects], SHAPE, each.convention)
    assert refused > 10
