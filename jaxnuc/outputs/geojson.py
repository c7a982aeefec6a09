"""GeoJSON as QuPath reads and writes it: one polygon per nucleus."""

import json
import math
import os
import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxnuc.io.atomic import replacing
from jaxnuc.outputs.outlines import outline
from jaxnuc.outputs.rows import confidence_columns, probability_columns
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask


def write_geojson(path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene) -> int:
    """Writes a FeatureCollection of detections, in pixels of the image's full resolution.

    Every nucleus is one polygon along the borders of its pixels, with its holes; see `outline` on
    masks in pieces. Score, agreement, class probabilities and measurements are QuPath's
    measurements, but for those that are not finite, which JSON cannot say. Ids are made from the
    image's name and the nucleus' number, and are the same in every run.

    Args:
      path: of the file.
      tables: the nuclei; taken one table at a time.
      scene: the image.

    Returns:
      How many nuclei were written.

    Raises:
      ValueError: the tables do not fit the scene.
    """
    n = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for first, table in scene.numbered(tables):
            columns = confidence_columns(table) | probability_columns(table, scene)
            columns |= table.measurements
            values = [np.asarray(column).tolist() for column in columns.values()]
            for k, mask in enumerate(table.masks):
                class_id = 0 if table.classes is None else int(table.classes[k])
                measurements = {
                    name: column[k]
                    for name, column in zip(columns, values, strict=True)
                    if math.isfinite(column[k])
                }
                feature = _feature(first + k, mask, class_id, measurements, scene)
                file.write(("," if n else "") + "\n" + json.dumps(feature, allow_nan=False))
                n += 1
        file.write("\n]}\n")
    return n


def rings(mask: Mask, scene: Scene) -> list[list[list[float]]]:
    """The outline of a nucleus as GeoJSON has it: rings of (x, y), the outer one first."""
    outer, holes = outline(mask)
    xy = [ring[:, ::-1] for ring in (outer, *holes)]
    if scene.scale == (1, 1):
        return [ring.tolist() for ring in xy]
    return [(ring * scene.scale[::-1]).tolist() for ring in xy]


def _feature(
    number: int, mask: Mask, class_id: int, measurements: dict[str, float], scene: Scene
) -> dict[str, Any]:
    name, colour = scene.class_name(class_id), list(scene.colour(class_id))
    look = {"classification": {"name": name, "color": colour}} if name else {"color": colour}
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scene.image}#{number}")),
        "geometry": {"type": "Polygon", "coordinates": rings(mask, scene)},
        "properties": {
            "objectType": "detection",
            "id": number,
            **look,
            "measurements": measurements,
        },
    }
