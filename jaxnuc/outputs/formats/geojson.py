"""GeoJSON as QuPath reads and writes it: one polygon per nucleus."""

import json
import math
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jaxnuc.outputs.columns import confidence_columns, probability_columns
from jaxnuc.outputs.formats import base
from jaxnuc.outputs.outlines import rings
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask


class Format(base.Format):
    """A FeatureCollection of detections, in pixels of the image's full resolution.

    Every nucleus is one polygon along the borders of its pixels, with its holes; of a mask in
    pieces, see `outline`. Score, agreement, class probabilities and measurements are QuPath's
    measurements, except for those that are not finite, which JSON cannot hold. Ids are made from
    the image's name and the nucleus' number, and are the same in every run.

    Attributes:
      kind: what a nucleus is in QuPath, which lets nobody reshape a detection.
    """

    suffix = ".geojson"
    kind: ClassVar[str] = "detection"

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        n = 0
        with path.open("w", encoding="utf-8") as file:
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
                    feature["properties"]["objectType"] = self.kind
                    file.write(("," if n else "") + "\n" + json.dumps(feature, allow_nan=False))
                    n += 1
            file.write("\n]}\n")
        return n


def _feature(
    number: int, mask: Mask, class_id: int, measurements: dict[str, float], scene: Scene
) -> dict[str, Any]:
    name, color = scene.class_name(class_id), list(scene.color(class_id))
    look = {"classification": {"name": name, "color": color}} if name else {"color": color}
    return {
        "type": "Feature",
        # QuPath wants a UUID; made from the name, it is the same in every run.
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scene.image}#{number}")),
        "geometry": {"type": "Polygon", "coordinates": rings(mask, scene.scale)},
        "properties": {
            "id": number,
            **look,
            "measurements": measurements,
        },
    }
