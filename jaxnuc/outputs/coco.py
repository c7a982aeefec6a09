"""COCO's instances, as compressed run lengths."""

import json
import os
from collections.abc import Iterable

from jaxnuc.io.atomic import replacing
from jaxnuc.io.run_lengths import run_lengths, to_coco
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable

MOST_PIXELS = 2**32 - 1  # pycocotools counts in 32 bits


def write_coco(path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene) -> int:
    """Writes COCO's JSON of one image, in pixels of the masks' grid.

    Categories are the classes by their numbers, and 0, `unclassified`; without classes there is one
    category, 1, `nucleus`. The score of a nucleus is in its annotation.

    Args:
      path: of the file.
      tables: the nuclei; taken one table at a time, and in time and memory that grow with their
        own pixels, not with those of the image.
      scene: the image.

    Returns:
      How many nuclei were written.

    Raises:
      ValueError: the tables do not fit the scene, or the image has 2**32 pixels or more.
    """
    scene.check_size(MOST_PIXELS, "COCO", "geojson")
    height, width = scene.shape
    names = ("unclassified", *scene.class_names[1:]) if scene.class_names else (None, "nucleus")
    head = {
        "info": {"microns_per_pixel": scene.mpp, "full_resolution_scale": list(scene.scale)},
        "images": [{"id": 1, "file_name": scene.image, "height": height, "width": width}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names) if name],
    }
    n = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        for first, table in scene.numbered(tables):
            codes = to_coco(run_lengths(table.masks, scene.shape))
            for k, ((row, col, mask), code) in enumerate(zip(table.masks, codes, strict=True)):
                category = 0 if table.classes is None else int(table.classes[k])
                annotation = {
                    "id": first + k,
                    "image_id": 1,
                    "category_id": category if scene.class_names else 1,
                    "segmentation": code,
                    "area": int(mask.sum()),
                    "bbox": [int(col), int(row), mask.shape[1], mask.shape[0]],
                    "iscrowd": 0,
                    "score": float(table.scores[k]),
                }
                file.write(("," if n else "") + "\n" + json.dumps(annotation))
                n += 1
        file.write("\n]}\n")
    return n
