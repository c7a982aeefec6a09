"""The loop of docs/annotations.md: suggested, corrected as in QuPath, and fine-tuned."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.draw import polygon2mask

from jaxnuc.data import sources
from jaxnuc.data.synthetic import generate

PAGE = Path(__file__).parents[2] / "docs" / "annotations.md"
SIDE = 96  # of four images, each of four regions
# What makes the commands of the page small.
SMALL = {
    "suggest": [
        *("--region=48", "--patch=128", "--overlap=32", "--symmetries=4"),
        *("--workers=0", "--no-report", "--count=6"),
    ],
    "train": ["--config.duration=2 steps", "--config.batch_size=2", "--config.classes=groups"],
}


def commands():
    """The commands of the section, each as a list of words."""
    section = PAGE.read_text().split("\n## The loop\n")[1].split("\n## ")[0]
    for line in re.findall(r"^jaxnuc (.+)$", section, re.M):
        name, *arguments = shlex.split(line)
        yield name, *arguments, *SMALL.get(name, [])


def table(folder):
    text = Path(folder, "suggestions.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


def drawn(top, left, bottom, right, class_name):
    """A rectangle as QuPath exports one that was drawn."""
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {
        "type": "Feature",
        "id": "5cbf2f7e-3a0c-4d0b-9d3e-0a3c8ad2b7a1",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": class_name, "color": [200, 0, 0]},
        },
    }


def corrected(name):
    """Exports an image as if somebody had worked on the first of its rectangles.

    Returns:
      (SIDE, SIDE) bool: the nucleus that was drawn, and the one that was deleted.
    """
    predicted = Path(f"suggested/predicted/{name}.annotations.geojson")
    nuclei = json.loads(predicted.read_text())["features"]
    assert {each["properties"]["objectType"] for each in nuclei} == {"annotation"}
    rectangles = json.loads(Path(f"suggested/{name}.geojson").read_text())["features"]
    deleted = nuclei.pop()
    for each in nuclei:
        each["properties"]["classification"] = {"name": "lymphocyte", "color": [0, 0, 200]}
    left, top = rectangles[0]["geometry"]["coordinates"][0][0]
    new = drawn(top + 10, left + 12, top + 30, left + 36, "tumor")
    content = {"type": "FeatureCollection", "features": [*nuclei, new, *rectangles]}
    Path(f"cells/annotations/{name}.geojson").write_text(json.dumps(content))
    shutil.copy(f"new_images/{name}.png", "cells/images")
    return mask(new), mask(deleted)


def mask(feature):
    """The pixels whose centers lie within an outline."""
    outline = np.array(feature["geometry"]["coordinates"][0])[:, ::-1]
    return polygon2mask((SIDE, SIDE), outline - 0.5)


@pytest.mark.usefixtures("no_curves")
@pytest.mark.slow
def test_the_loop_of_the_page(jaxnuc, tmp_path):
    for folder in ("new_images", "cells/images", "cells/annotations"):
        (tmp_path / folder).mkdir(parents=True)
    for k in range(4):
        Image.fromarray(generate(k, size=SIDE).image).save(tmp_path / "new_images" / f"{k}.png")
    longer = ["--config.duration=40 steps", "--config.evaluation.every=40 steps"]
    wider = ["--config.data.source.size=64", "--config.ema_decay=0.5"]
    assert jaxnuc("train", "--workdir=runs/first", *longer, *wider).status == 0

    first, *others = commands()
    done = jaxnuc(*first)
    assert done.status == 0, done
    assert done.out.split()[:6] == ["rank", "image", "x", "y", "width", "height"]
    suggested = {path.stem: path for path in Path("suggested").glob("*.geojson")}
    rows = table("suggested")
    ranked = [row for row in rows if row["rank"]]
    assert len(rows) == 16
    assert len(ranked) == 6

    masks = {name: corrected(name) for name in suggested}
    source = sources.create("folder", root="cells")
    assert source.label_set.groups == ("lymphocyte", "tumor")
    for name, sample in zip(source.ids, source, strict=True):
        ignored = np.ones((SIDE, SIDE), bool)
        for row in ranked:
            if row["image"] == name:
                y, x, height, width = (int(row[key]) for key in ("y", "x", "height", "width"))
                ignored[y : y + height, x : x + width] = False
        found = np.zeros_like(ignored) if sample.ignore is None else sample.ignore
        np.testing.assert_array_equal(found, ignored)
        new, deleted = masks[name]
        assert sample.instances[new].all()
        assert set(sample.classes[new]) >= {2}
        assert not sample.instances[deleted & ~new].any()
        assert set(sample.classes[~new]) <= {0, 1}

    for command in others:
        done = jaxnuc(*command)
        assert done.status == 0, done
    assert len(table("suggested_next")) == 16 - len(ranked)
