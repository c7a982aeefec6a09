"""What is written of real nuclei is read back to the same pixels and classes."""

import base64
import io
import json
from itertools import islice

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from scipy import ndimage

from jaxnuc.data import sources
from jaxnuc.data.pipeline import batches
from jaxnuc.data.sources.folder import Source
from jaxnuc.outputs import NucleiTable, Scene, write
from jaxnuc.outputs.outlines import largest_piece, rings
from jaxnuc.postprocess.masks import Mask, masks_of
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.representations import create


def nuclei(instances, classes):
    """The masks of an image and the class of each."""
    ids, masks = masks_of(instances)
    return masks, ndimage.maximum(classes, instances, ids).astype(np.int32)


def painted(masks):
    """The ids of masks, the smaller on top, as the reader has them; without overlaps, ids."""
    found = np.zeros((1000, 1000), int)
    for k in sorted(range(len(masks)), key=lambda k: -masks[k].mask.sum()):
        row, col, mask = masks[k]
        found[row : row + mask.shape[0], col : col + mask.shape[1]][mask] = k + 1
    return found


@pytest.fixture
def consep(shared_data):
    return sources.create("consep", root=shared_data("consep_train.zip"), split="all", merge=True)


PIECE = lambda mask: Mask(*mask[:2], largest_piece(mask.mask))
FILLED = lambda mask: Mask(*mask[:2], ndimage.binary_fill_holes(largest_piece(mask.mask)))
KEPT = {  # what a format keeps of a nucleus, and the suffix of its file
    "geojson": PIECE,
    "coco": lambda mask: mask,
    "tiff": lambda mask: mask,
    "ome_zarr": lambda mask: mask,
    "imagej_rois": PIECE,
    "hovernet_json": FILLED,
}


@pytest.mark.slow
def test_formats_of_real_nuclei(consep, tmp_path):
    """Of 1000 x 1000 pixels with touching nuclei, and with nuclei at every border."""
    sample = consep[0]
    masks, classes = nuclei(sample.instances, sample.classes)
    assert len(masks) > 300
    edges = [sample.instances[0], sample.instances[-1], *sample.instances[:, [0, -1]].T]
    assert all(edge.any() for edge in edges)
    both = sample.instances[:, 1:] > 0, sample.instances[:, :-1] > 0
    assert ((sample.instances[:, 1:] != sample.instances[:, :-1]) & both[0] & both[1]).any()
    groups = consep.label_set.groups
    table = NucleiTable(masks, np.ones(len(masks), np.float32), classes)
    scene = Scene("a.png", sample.instances.shape, 0.25, class_names=("background", *groups))
    for name, kept in KEPT.items():
        root = tmp_path / name
        (root / "images").mkdir(parents=True)
        Image.fromarray(sample.image).save(root / "images" / "a.bmp")
        write(root / "labels", "a", [name], [table], scene)
        source = Source(root)
        found = source[0]
        expected = painted([kept(mask) for mask in masks])
        np.testing.assert_array_equal(found.instances, expected, err_msg=name)
        if name in ("geojson", "coco", "imagej_rois"):
            present = [groups[k - 1] for k in np.unique(classes)]
            assert source.label_set.groups == tuple(sorted(present))
            lookup = [0, *(sorted(present).index(g) + 1 if g in present else 0 for g in groups)]
            at_nuclei = np.array([0, *classes])[expected]
            np.testing.assert_array_equal(found.classes, np.array(lookup)[at_nuclei])


OWN = """
classes:
  epithelium: {from: [epithelial], color: [1, 2, 3]}
  inflammation: {from: [inflammatory]}
  others: {from: [other, spindle]}
"""


def labelme(image, masks, names):
    """Outlines, and masks of what an outline cannot hold."""
    shapes = []
    for mask, name in zip(masks, names, strict=True):
        outer, *holes = rings(mask)
        if holes or ndimage.label(mask.mask)[1] > 1:
            buffer = io.BytesIO()
            Image.fromarray(mask.mask.astype(np.uint8)).save(buffer, "png")
            low, high = (mask.col, mask.row), np.add((mask.col, mask.row), mask.mask.shape[::-1])
            more = {"shape_type": "mask", "mask": base64.b64encode(buffer.getvalue()).decode()}
            shapes.append({"label": name, "points": [low, (high - 1).tolist()], **more})
        else:
            shapes.append({"label": name, "points": outer[:-1], "shape_type": "polygon"})
    size = {"imageHeight": 500, "imageWidth": 500}
    return {"shapes": shapes, "imagePath": image, "imageData": None, **size}


def geojson(masks, names):
    features = []
    for mask, name in zip(masks, names, strict=True):
        parts, n = ndimage.label(mask.mask)
        pieces = [rings(Mask(mask.row, mask.col, parts == k)) for k in range(1, n + 1)]
        kind, coordinates = ("Polygon", pieces[0]) if n == 1 else ("MultiPolygon", pieces)
        properties = {"objectType": "annotation", "classification": {"name": name}}
        geometry = {"type": kind, "coordinates": coordinates}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def coco(images, everything):
    numbers = {"epithelial": 1, "inflammatory": 2, "other": 3, "spindle": 4}
    annotations = []
    for k, (masks, names) in enumerate(everything):
        for (row, col, mask), name in zip(masks, names, strict=True):
            whole = np.zeros((500, 500), np.uint8, order="F")
            whole[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
            code = coco_mask.encode(whole)
            code["counts"] = code["counts"].decode()
            about = {"id": len(annotations) + 1, "image_id": k, "category_id": numbers[name]}
            annotations.append({**about, "segmentation": code, "iscrowd": 0})
    return {
        "images": [
            {"id": k, "file_name": image, "height": 500, "width": 500}
            for k, image in enumerate(images)
        ],
        "annotations": annotations,
        "categories": [{"id": k, "name": name} for name, k in numbers.items()],
    }


@pytest.mark.slow
def test_twelve_images_train_alike_from_every_format(consep, tmp_path):
    """The same batches, with classes of one's own, from LabelMe, QuPath and COCO."""
    crops, everything = {}, []
    for k in range(12):
        sample = consep[k]
        place = slice(250 * (k % 3), 250 * (k % 3) + 500), slice(250, 750)
        crops[f"{sample.meta['name']}.bmp"] = sample.image[place]
        masks, classes = nuclei(sample.instances[place], sample.classes[place])
        everything.append((masks, [consep.label_set.groups[c - 1] for c in classes]))
    for kind in ("labelme", "qupath", "coco"):
        (tmp_path / kind / "images").mkdir(parents=True)
        (tmp_path / kind / "classes.yaml").write_text(OWN)
        for name, image in crops.items():
            Image.fromarray(image).save(tmp_path / kind / "images" / name)
    for name, nuclei_ in zip(crops, everything, strict=True):
        beside = tmp_path / "labelme" / "images" / name
        beside.with_suffix(".json").write_text(json.dumps(labelme(name, *nuclei_)))
        (tmp_path / "qupath" / "annotations").mkdir(exist_ok=True)
        file = tmp_path / "qupath" / "annotations" / f"{name}.geojson"
        file.write_text(json.dumps(geojson(*nuclei_)))
    (tmp_path / "coco" / "instances.json").write_text(json.dumps(coco(crops, everything)))
    streams = {}
    for kind in ("labelme", "qupath", "coco"):
        section = {"name": "folder", "root": tmp_path / kind, "split": "train"}
        source = sources.create(**section, fractions=(0.5, 0.25, 0.25))
        assert source.label_set.groups == ("epithelium", "inflammation", "others")
        assert len(source) == 6
        representation = create("hover", {"name": "groups"}, (source.label_set,))
        assert Decoder(representation).colors == (None, (1, 2, 3), None, None)
        encode = representation.encode
        streams[kind] = list(islice(batches(source, [], encode, 2, seed=3), 4))
    for several in zip(*streams.values(), strict=True):
        assert several[0]["targets"]["class"].max() == 3
        for other in several[1:]:
            np.testing.assert_array_equal(other["image"], several[0]["image"])
            assert other["targets"].keys() == several[0]["targets"].keys()
            for key, value in several[0]["targets"].items():
                np.testing.assert_array_equal(other["targets"][key], value, err_msg=key)


@pytest.mark.slow
def test_a_published_set_is_read_as_by_its_own_source(shared_data):
    """MoNuSeg's test images as a folder of ImageScope's annotations: its layers have no class."""
    root = shared_data("monuseg_test.zip")
    found, expected = Source(root), sources.create("monuseg", root=root, split="test")
    assert list(found.ids) == list(expected.ids)
    assert found.label_set is None
    sample, truth = found[3], expected[3]
    np.testing.assert_array_equal(sample.instances, truth.instances)
    np.testing.assert_array_equal(sample.image, truth.image)
    assert sample.meta["mpp"] == truth.meta["mpp"]
