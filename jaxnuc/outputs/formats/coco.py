"""COCO's instances, as compressed run lengths."""

import json
from collections.abc import Iterable
from pathlib import Path

from jaxnuc.io.run_lengths import run_lengths, to_coco
from jaxnuc.outputs.formats import base
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import scaled


class Format(base.Format):
    """COCO's JSON of one image, in pixels of its file, also where the model saw it in others.

    Categories are the classes by their numbers, and 0, `unclassified`; without classes there is one
    category, 1, `nucleus`. The score of a nucleus is in its annotation. Time and memory grow with
    the pixels of the nuclei, not with those of the image.
    """

    suffix = ".coco.json"
    in_full_resolution = True
    most_pixels = 2**32 - 1  # pycocotools counts in 32 bits

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        height, width = shape = scene.image_shape
        names = ("unclassified", *scene.class_names[1:]) if scene.class_names else (None, "nucleus")
        head = {
            "info": {
                "microns_per_pixel": None if scene.mpp is None else scene.mpp / scene.scale[0]
            },
            "images": [
                {
                    "id": 1,
                    "file_name": scene.file or scene.image,
                    "height": height,
                    "width": width,
                }
            ],
            "categories": [{"id": k, "name": name} for k, name in enumerate(names) if name],
        }
        n = 0
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head)[:-1] + ', "annotations": [')
            for first, table in scene.numbered(tables):
                masks = table.masks
                if scene.scale != (1, 1):
                    masks = tuple(scaled(mask, scene.scale, shape) for mask in masks)
                codes = to_coco(run_lengths(masks, shape))
                for k, ((row, col, mask), code) in enumerate(zip(masks, codes, strict=True)):
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
