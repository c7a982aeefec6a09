"""CNSeg's nuclei that overlap, from their outlines to scores and files, each one whole."""

import json

import numpy as np
import pytest
import shapely
from PIL import Image

from jaxnuc import representations
from jaxnuc.data.sources.cnseg import Source
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.io.polygons import Polygon, rasterize
from jaxnuc.io.run_lengths import run_lengths, to_coco
from jaxnuc.metrics import Conventions, ImagePair
from jaxnuc.outputs import Scene, write
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.prediction.tiles import Tiling

SIZE = (96, 104)
CELLS = {  # x, y, radius; the last image has nuclei apart
    "1": ((30, 40, 18), (55, 40, 17)),
    "2": ((30, 30, 16), (52, 30, 15), (40, 55, 14)),
    "3": ((25, 25, 12), (75, 60, 16)),
}
WHOLE = Conventions(overlapping=True)


def outline(x, y, radius):
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)


def truth(cells):
    """(N, H, W) bool, each nucleus whole."""
    return np.array([rasterize([Polygon(outline(*c))], SIZE, "alnet").instances > 0 for c in cells])


@pytest.fixture
def source(tmp_path):
    """Three clusters of the test images; the first pixel of an image is its number."""
    for name, cells in CELLS.items():
        image = np.full((*SIZE, 3), int(name), np.uint8)
        image[truth(cells).any(axis=0)] = 90
        shapes = [{"label": "nuc", "points": outline(*cell).tolist()} for cell in cells]
        for folder in ("test-normal", "test-normal_json"):
            (tmp_path / "clusteredCell" / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "clusteredCell" / "test-normal" / f"{name}.png")
        file = tmp_path / "clusteredCell" / "test-normal_json" / f"{name}.json"
        file.write_text(json.dumps({"shapes": shapes}))
    return Source(tmp_path, "test", subset="cluster", outlines={"convention": "alnet"})


class Perfect:
    """A network without errors, and CNSeg's decoder with its column polygons."""

    def __init__(self, source):
        decoder = {"name": "overlaps", "outline": "columns"}
        alnet = representations.create("contour", targets={"name": "alnet"}, decoder=decoder)
        self.decode = Decoder(alnet)
        self.by_number = {}
        for sample in map(source.__getitem__, range(len(source))):
            targets = alnet.encode(sample.instances, covered=sample.covered)
            number = int(sample.image[0, 0, 0])
            self.by_number[number] = {k: 24.0 * t - 12 for k, t in targets.items()}

    def maps(self, image):
        return self.by_number[int(image[0, 0, 0])]

    def __call__(self, image):
        return self.decode(self.maps(image), image.shape[:2])


def dense(masks):
    found = np.zeros((len(masks), *SIZE), bool)
    for whole, (row, col, mask) in zip(found, masks, strict=True):
        whole[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
    return found


def literal_pq(true, predicted):
    """Of whole nuclei, where no more than one pair of each has an IoU above 1/2."""
    iou = np.array([[(t & p).sum() / (t | p).sum() for p in predicted] for t in true])
    matched = iou > 0.5
    assert matched.sum(axis=0).max() <= 1
    assert matched.sum(axis=1).max() <= 1
    return iou[matched].sum() / (len(true) + len(predicted)) * 2


def test_whole_nuclei_are_scored(source):
    perfect = Perfect(source)
    samples = [source[i] for i in range(3)]
    predicted = [dense(perfect(s.image).masks) for s in samples]
    assert [p.sum(axis=0).max() for p in predicted] == [2, 2, 1]  # they do overlap
    figures = evaluate(perfect, source, EvaluationOptions(conventions=WHOLE, progress=False))
    pairs = zip(CELLS.values(), predicted, strict=True)
    expected = [literal_pq(truth(cells), p) for cells, p in pairs]
    assert figures["pq_image_mean"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert "hd95_image_mean" not in figures  # which needs label maps
    of_maps = evaluate(perfect, source, EvaluationOptions(("pq",), progress=False))
    assert abs(of_maps["pq_image_mean"] - figures["pq_image_mean"]) > 0.01


def test_a_perfect_segmentation_of_whole_nuclei_scores_1(source):
    class Known:
        def __init__(self, sample):
            self.instances = sample.instances
            self.masks = [(0, 0, mask) for mask in truth(CELLS[sample.meta["name"][-1]])]
            self.scores = np.ones(len(self.masks))

    known = {int(s.image[0, 0, 0]): Known(s) for s in map(source.__getitem__, range(3))}
    segment = lambda image: known[int(image[0, 0, 0])]
    options = EvaluationOptions(conventions=WHOLE, progress=False)
    figures = evaluate(segment, source, options)
    for name in ("pq", "aji", "instance_dice", "dice", "recall"):
        assert figures[f"{name}_image_mean"] == 1
    del known[1].masks  # its label map is scored, in which one nucleus is not whole
    figures = evaluate(segment, source, options)
    assert 0.9 < figures["pq_image_mean"] < 1


def test_a_nucleus_under_others_counts():
    inner, outer = np.ones((4, 4), bool), np.ones((4, 4), bool)
    image = ImagePair.of_masks([(2, 2, inner), (2, 2, outer)], [(2, 2, inner)], (9, 9), WHOLE)
    assert (len(image.table.truth_ids), image.table.truth_pixels) == (2, 16)
    assert len(image.matched) == 1
    with pytest.raises(ValueError, match="scores have shape"):
        ImagePair.of_masks([], [(0, 0, inner), (3, 3, inner)], (9, 9), scores=[0.5])


def test_what_whole_nuclei_cannot_be_scored_by(source):
    with pytest.raises(ValueError, match=r"border=0 and tolerance=0 .* overlapping=False"):
        Conventions(border=0, overlapping=True)
    options = EvaluationOptions(("hd95",), conventions=WHOLE)
    with pytest.raises(ValueError, match="'hd95' needs the label maps"):
        evaluate(Perfect(source), source, options)
    source.ignores = True
    with pytest.raises(ValueError, match="regions to ignore of source 'cnseg'"):
        evaluate(Perfect(source), source, EvaluationOptions(conventions=WHOLE))
    assert WHOLE.describe()["nuclei_that_overlap"] == "each scored whole"


def test_files_hold_whole_nuclei(source, tmp_path):
    perfect = Perfect(source)
    sample = source[0]
    tile = Tiling(SIZE, max(SIZE), 0).at(0, 0)
    table = perfect.decode.table(perfect.maps(sample.image), tile)
    masks = dense(table.masks)
    common = (masks[0] & masks[1]).sum()
    assert common > 0
    files = write(tmp_path, "1", ["geojson", "coco"], [table], Scene("1.png", SIZE))
    found = {name: json.loads(path.read_text()) for name, path in files.items()}
    geometries = [feature["geometry"] for feature in found["geojson"]["features"]]
    polygons = [shapely.from_geojson(json.dumps(geometry)) for geometry in geometries]
    assert [p.area for p in polygons] == masks.sum(axis=(1, 2)).tolist()
    assert polygons[0].intersection(polygons[1]).area == common
    annotations = found["coco"]["annotations"]
    assert [a["area"] for a in annotations] == masks.sum(axis=(1, 2)).tolist()
    codes = [a["segmentation"] for a in annotations]
    assert codes == to_coco(run_lengths(masks))
