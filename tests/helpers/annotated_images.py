"""An image with two nuclei, and files that annotate it."""

import json

import numpy as np
import tifffile
from PIL import Image

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
SQUARE = [[2, 1], [9, 1], [9, 7], [2, 7]]
LABELS = np.zeros((20, 30), np.int32)
LABELS[1:7, 2:9], LABELS[12:16, 20:28] = 1, 2


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


BOXES = (SQUARE, box(20, 12, 28, 16))


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def geojson(*boxes, **kinds):
    """QuPath's objects: boxes without a class, and others by their class."""
    return [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "properties": {"classification": {"name": name}} if name else {},
        }
        for name, ring in [*((None, each) for each in boxes), *kinds.items()]
    ]


def coco(*names, image=(20, 30)):
    images = [
        {"id": k, "file_name": f"x/{name}", "height": image[0], "width": image[1]}
        for k, name in enumerate(names)
    ]
    annotations = [
        {"image_id": k, "category_id": n + 1, "segmentation": [np.ravel(ring).tolist()]}
        for k in range(len(names))
        for n, ring in enumerate(BOXES)
    ]
    categories = [{"id": 1, "name": "tumor"}, {"id": 2, "name": "lymphocyte"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def masks(root):
    for k in (1, 2):
        save(root / f"{k}.png", (k == LABELS).astype(np.uint8) * 255)
