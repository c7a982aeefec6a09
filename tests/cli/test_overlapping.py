"""From CNSeg's files to files of nuclei that overlap, by the commands."""

import json

import numpy as np
import pytest
import shapely
from PIL import Image

from jaxnuc.io.run_lengths import run_lengths

SIDE = 64
TINY = (
    "--config=alnet_attention_cnseg:small,subset=cluster",
    "--config.model.name=unet",
    "--config.model.variant=tiny",
    "--config.representation.decoder.outline=columns",
    "--config.data.transforms=['flip_turn()','scale(0.8,1.25)','random_crop(64)','elastic()']",
    "--config.duration=2 steps",
    "--config.evaluation.every=2 steps",
    "--config.schedule.warmup=1 step",
    "--config.batch_size=2",
)


def draw(folder, name, rng):
    """An image of two discs that overlap and one apart, and its outlines as LabelMe has them."""
    row, col = np.mgrid[:SIDE, :SIDE]
    image = rng.integers(180, 220, (SIDE, SIDE, 3), np.uint8)
    turn = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    shapes = []
    for x, y, radius in ((18, 20, 12), (33, 24, 11), (45, 50, 9)):
        image[(row - y) ** 2 + (col - x) ** 2 < radius**2] //= 2
        points = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)
        shapes.append({"label": "nuc", "points": points.tolist()})
    for path in (folder, folder.with_name(f"{folder.name}_json")):
        path.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f"{name}.png")
    labels = folder.with_name(f"{folder.name}_json") / f"{name}.json"
    labels.write_text(json.dumps({"shapes": shapes}))


@pytest.mark.slow
@pytest.mark.usefixtures("no_curves")
def test_train_evaluate_and_predict(jaxnuc, tmp_path):
    rng = np.random.default_rng(0)
    for name in range(4):
        draw(tmp_path / "data" / "clusteredCell" / "normal", name, rng)
    draw(tmp_path / "data" / "clusteredCell" / "test-normal", 0, rng)

    done = jaxnuc("train", *TINY, "--config.data.root=data", "--workdir=run")
    assert done.status == 0, done.err
    done = jaxnuc("evaluate", "--workdir=run", "--overlays=2")
    assert done.status == 0, done.err
    figures = json.loads((tmp_path / "run" / "eval_cnseg_test" / "metrics.json").read_text())
    assert figures["conventions"]["nuclei_that_overlap"] == "each scored whole"
    assert "pq_image_mean" in figures["metrics"]
    assert "hd95_image_mean" not in figures["metrics"]

    image = "data/clusteredCell/test-normal/0.png"
    small = (f"--patch={SIDE}", "--overlap=32", f"--tile={SIDE}", "--workers=0", "--no-stains")
    written = ("--output=out", "--format=geojson,coco")
    done = jaxnuc("predict", "--workdir=run", f"--input={image}", *written, *small)
    assert done.status == 0, done.err
    features = json.loads((tmp_path / "out" / "0.geojson").read_text())["features"]
    coco = json.loads((tmp_path / "out" / "0.coco.json").read_text())
    codes = [each["segmentation"] for each in coco["annotations"]]
    assert len(features) == len(codes) > 0
    runs = run_lengths(codes)
    areas = np.bincount(runs.instances, runs.stops - runs.starts)
    for feature, area in zip(features, areas, strict=True):
        # Of a nucleus in pieces, GeoJSON has the largest one.
        assert 0 < shapely.from_geojson(json.dumps(feature["geometry"])).area <= area
