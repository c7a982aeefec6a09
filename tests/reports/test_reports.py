"""The pages as documents: what they say, that they are whole, and that they ask for nothing."""

import base64
import io
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.io import ArrayImage
from jaxnuc.metrics import score
from jaxnuc.outputs import NucleiTable, Scene
from jaxnuc.outputs.palette import FALSE, MATCHED, MISSED, TRUTH
from jaxnuc.postprocess.masks import Mask
from jaxnuc.reports import page
from jaxnuc.reports.compared import compared
from jaxnuc.reports.overview import ImageOfRun, write_overview_page
from jaxnuc.reports.prediction import write_prediction_report, write_thumbnail
from jaxnuc.run.log import TrainingLog

NASTY = "a<b> & \"c\" 'd' </script><script>alert(1)</script>" + 20 * "longer_than_a_line"


class Document(HTMLParser):
    """Refuses what is not well-formed, and keeps what is needed."""

    def __init__(self, path):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), "an attribute twice"
        self.elements.append((tag, dict(attributes)))
        if tag not in page.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def all(self, tag, class_=None):
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and class_ in (None, *(attributes.get("class") or "").split())
        ]

    def cells(self):
        return [text for text in self.texts if text.strip()]


def pixels(address):
    kind, data = address.split(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return kind, np.asarray(picture.convert("RGBA"))


def squares(count):
    instances = np.zeros((40, 60), np.int32)
    for k in range(count):
        instances[2:12, 2 + 14 * k : 12 + 14 * k] = k + 1
    return instances


class Data(Source):
    """Image i has as many squares as `true[i]`; as many are found as its first pixel says."""

    name, split = NASTY, None

    def __init__(self, true=(4, 3, 2, 0), found=(4, 2, 3, 0)):
        self.true, self.found = true, found

    def __len__(self):
        return len(self.true)

    def __getitem__(self, i):
        image = np.full((40, 60, 3), 90, np.uint8)
        image[0, 0] = self.found[i]
        meta = {"name": f"{NASTY} {i}", "tissue": f"{NASTY} of {i % 2}"}
        return Sample(image, squares(self.true[i]), None, meta)


def segment(image):
    count = int(image[0, 0, 0])
    return SimpleNamespace(instances=squares(count), scores=np.linspace(0.9, 0.5, count))


QUIET = EvaluationOptions(overlays=0, progress=False)
LINES = [{"step": s, "train/loss": 1 / s, "validation/pq_image_mean": s / 9} for s in range(1, 9)]


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    evaluate(
        segment,
        Data(),
        EvaluationOptions(overlays=3, progress=False, protocols=("coco", "stardist")),
        output=folder,
        about={"checkpoint": NASTY, "split": "test"},
        training=TrainingLog([*LINES, {"step": 4, "event": NASTY}], ("pq_image_mean",)),
    )
    return folder / "report.html"


def nuclei(count, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.integers(0, (180, 380), (count, 2)).tolist()
    masks = tuple(Mask(row, col, np.ones((20, 20), bool)) for row, col in places)
    return NucleiTable(masks, rng.random(count).astype(np.float32), rng.integers(0, 3, count))


@pytest.fixture(scope="session")
def prediction(tmp_path_factory):
    path = tmp_path_factory.mktemp("prediction") / "a.report.html"
    scene = Scene(NASTY, (200, 400), 0.5, class_names=("background", NASTY, "b"))
    about = {"path": NASTY, "settings": {NASTY: [1, None]}, "corrupt": [f"corrupt {NASTY}"]}
    small = np.full((100, 200, 3), 200, np.uint8)
    write_prediction_report(
        path, lambda: [nuclei(30), nuclei(0), nuclei(20, 1)], scene, small, 2.0, about
    )
    return path


@pytest.fixture(params=["evaluation", "prediction"])
def report(request):
    return request.getfixturevalue(request.param)


def test_all_figures_of_the_validation_are_in_a_table(evaluation):
    text = evaluation.read_text()
    table = text[text.index("Figures of the validation by step") :].partition("</table>")[0]
    assert re.findall(r'<th scope="col">(.*?)</th>', table) == [
        "figure",
        *(f"step {step}" for step in range(1, 9)),
    ]
    assert re.findall(r"<td>(.*?)</td>", table) == [f"{step / 9:.4f}" for step in range(1, 9)]


@pytest.mark.slow
def test_the_page_is_well_formed_and_asks_for_nothing(report):
    document = Document(report)
    policy = document.all("meta")[1]["content"]
    assert document.all("meta")[1]["http-equiv"] == "Content-Security-Policy"
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for _, attributes in document.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), attributes
        assert not [name for name in attributes if name.startswith("on")]
    text = report.read_text()
    assert not re.search(r"url\(|@import|https?://|fetch\(", text)
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_names_are_text_wherever_they_stand(report):
    document = Document(report)
    assert len(document.all("script")) == 1
    assert not document.all("b")
    assert any(NASTY in text for text in document.texts)
    assert any(NASTY in image["alt"] for image in document.all("img"))


def test_everything_has_a_name_for_those_who_do_not_see_it(report):
    document = Document(report)
    assert document.all("html")[0]["lang"] == "en"
    assert all(image["alt"] for image in document.all("img"))
    assert all(chart.get("aria-label") or chart.get("aria-hidden") for chart in document.all("svg"))
    assert all(input["aria-label"] for input in document.all("input"))
    assert all(head["scope"] in ("col", "row") for head in document.all("th"))
    assert len(document.all("caption")) == len(document.all("table"))


def test_the_evaluation_tells_its_figures(evaluation):
    document = Document(evaluation)
    cells = document.cells()
    pq = np.mean([1, 2 / 2.5, 2 / 2.5])  # all squares that are found are right
    at = cells.index("PQ, panoptic quality", cells.index("All figures"))
    figure, low, high = (float(found) for found in re.findall(r"[\d.]+", cells[at + 1]))
    assert figure == pytest.approx(pq, abs=0.15 * (high - low))  # rounded to what this supports
    assert low < figure < high
    assert any(text.startswith("one to one, IoU > 0.5") for text in cells)
    assert any("truth: 9 nuclei, mean area 100 px²" in text for text in cells)
    assert any("2 matched, 1 missed, 0 false" in text for text in cells)
    assert len(document.all("figure", "compare")) == 3
    assert "Training" in cells
    assert "Calibration of the scores" in cells
    at = cells.index("Protocol: COCO average precision")
    assert cells[cells.index("ar", at) + 1] == f"{8 / 9:.4f}"  # of 9 squares 8 are found


def test_without_training_scores_or_pictures_the_page_is_whole(tmp_path):
    plain = lambda image: SimpleNamespace(instances=np.zeros((40, 60), int))
    evaluate(plain, Data((0,), (0,)), QUIET, output=tmp_path)
    document = Document(tmp_path / "report.html")
    assert not document.all("img")
    assert "Training" not in document.cells()
    assert "–" in document.cells()


def test_one_image_has_no_intervals(tmp_path):
    evaluate(segment, Data((2,), (2,)), QUIET, output=tmp_path)
    cells = Document(tmp_path / "report.html").cells()
    assert "1 image" in cells
    assert cells[cells.index("Recall of nuclei") + 1 :][:2] == ["1.0000", "1.0000"]
    assert not [text for text in cells if "nan" in text]


def test_layers_are_the_outlines_of_what_matched_and_what_did_not():
    truth, found = squares(3), squares(2)
    found[20:30, 20:30] = 3  # a false positive; the third square is missed
    image = np.full((40, 60, 3), 250, np.uint8)
    shown = compared("worst", "a", score(truth, found), image, truth, found)
    kind, layer = pixels(shown.truth)
    assert kind == "data:image/png"
    scale = layer.shape[0] // 40
    assert layer.shape[:2] == shown.size == (40 * scale, 60 * scale)
    assert layer[2 * scale, 5 * scale].tolist() == [*TRUTH, 255]
    assert layer[2 * scale, 33 * scale].tolist() == [*MISSED, 255]
    assert layer[7 * scale, 7 * scale, 3] == 0
    _, layer = pixels(shown.prediction)
    assert layer[2 * scale, 5 * scale].tolist() == [*MATCHED, 255]
    assert layer[20 * scale, 25 * scale].tolist() == [*FALSE, 255]
    assert layer[2 * scale, 33 * scale, 3] == 0
    kind, base = pixels(shown.image)
    assert kind == "data:image/jpeg"
    assert np.abs(base[..., :3].astype(int) - 250).max() < 8


def test_pictures_of_large_images_are_small():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1100, 2500, 3), dtype=np.uint8)
    truth = np.zeros((1100, 2500), np.int32)
    truth[100:200, 100:200] = 7
    shown = compared("best", "a", score(truth, truth), image, truth, truth)
    assert max(pixels(shown.image)[1].shape) <= 1000
    assert max(shown.size) <= 1000
    assert sum(map(len, (shown.image, shown.truth, shown.prediction))) < 15e6 / 16


def test_the_prediction_tells_counts_classes_and_densities(prediction):
    cells = Document(prediction).cells()
    table = NucleiTable.concatenated([nuclei(30), nuclei(20, 1)])
    assert cells[cells.index("Nuclei") + 1] == "50"
    density = 50 / (200 * 400 * 0.0005**2)
    assert cells[cells.index("Nuclei per mm²") + 1] == f"{density:,.0f}"
    assert cells[cells.index("Mean area") + 1] == "100.0 µm²"
    for number, name in enumerate(("without a class", NASTY, "b")):
        count = int((table.classes == number).sum())
        at = cells.index(name, cells.index("Classes"))
        assert cells[at + 1 : at + 3] == [str(count), f"{2 * count:.1f} %"]
    assert cells[cells.index("Corrupt regions (1)") + 1] == f"corrupt {NASTY}"


def test_the_layer_of_densities_is_bright_where_nuclei_are(tmp_path):
    masks = tuple(Mask(100 + k, 300 + k, np.ones((4, 4), bool)) for k in range(20))
    table = NucleiTable(masks, np.ones(20, np.float32))
    path = tmp_path / "a.html"
    small = np.zeros((100, 200, 3), np.uint8)
    write_prediction_report(path, lambda: iter([table]), Scene("a", (200, 400)), small, 2.0, {})
    (layer,) = (each for each in Document(path).all("img", "layer") if "density" in each["alt"])
    address = layer["src"]
    bright = pixels(address)[1][..., :3].sum(axis=2).astype(int)
    each = 100 / bright.shape[0], 200 / bright.shape[1]  # one value stands for several pixels
    row, col = np.multiply(np.unravel_index(bright.argmax(), bright.shape), each) + np.divide(
        each, 2
    )
    assert abs(row - 55) < 5
    assert abs(col - 155) < 5
    assert bright[:, : int(75 / each[1])].max() < 30


def test_outlines_lie_on_the_nuclei_in_the_colors_of_their_classes(tmp_path):
    masks = (Mask(20, 30, np.ones((40, 20), bool)), Mask(100, 200, np.ones((20, 60), bool)))
    table = NucleiTable(masks, np.ones(2, np.float32), np.array([1, 2], np.int32))
    scene = Scene("a", (200, 400), 0.5, class_names=("background", "tumor", "immune"))
    small = np.full((200, 400, 3), 200, np.uint8)
    write_prediction_report(tmp_path / "a.html", lambda: [table], scene, small, 1.0, {})
    document = Document(tmp_path / "a.html")
    (layer,) = (each for each in document.all("img", "layer") if "nuclei" in each["alt"])
    drawn = pixels(layer["src"])[1]
    assert drawn.shape[:2] == (400, 800)
    for mask, class_id in zip(masks, (1, 2), strict=True):
        top, left = 2 * mask.row, 2 * mask.col
        box = drawn[top : top + 2 * mask.mask.shape[0], left : left + 2 * mask.mask.shape[1]]
        assert (box[:2] == (*scene.color(class_id), 255)).all()
        assert not box[2:-2, 2:-2, 3].any()
    assert np.count_nonzero(drawn[..., 3]) == sum(
        np.size(m.mask) * 4 - (2 * m.mask.shape[0] - 4) * (2 * m.mask.shape[1] - 4) for m in masks
    )
    # 200 µm wide: a bar of 50 µm is a quarter of the picture.
    (bar,) = document.all("span", "micron")
    assert bar["style"] == "width: 25%"
    assert "50 µm" in document.cells()


def test_of_a_large_image_regions_are_shown_in_its_own_pixels(tmp_path):
    """Where most nuclei are, then at the upper quartile and the median of the blocks."""
    shape = (1300, 3000)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    image = np.stack([rows // 6, cols // 12, np.full(shape, 230)], axis=-1).astype(np.uint8)
    counts = {(1, 1): 9, (0, 4): 7, (2, 5): 5, (0, 0): 3}
    masks = [
        Mask(512 * row + 20 * k, 512 * col + 30, np.ones((10, 10), bool))
        for (row, col), count in counts.items()
        for k in range(count)
    ]
    table = NucleiTable(tuple(masks), np.ones(24, np.float32))
    scene = Scene("a", shape, pixels=ArrayImage(image))
    small = np.full((433, 1000, 3), 200, np.uint8)
    write_prediction_report(tmp_path / "a.html", lambda: [table], scene, small, 3.0, {})
    document = Document(tmp_path / "a.html")
    titles = [text for text in document.cells() if text.startswith("Rows from")]
    assert titles == [
        "Rows from 512, columns from 512: 9 nuclei",
        "Rows from 0, columns from 2,048: 7 nuclei",
        "Rows from 1,024, columns from 2,560: 5 nuclei",
    ]
    assert not document.all("span", "micron")
    bottom = next(each for each in document.all("img") if each["alt"].startswith(titles[0]))
    seen = pixels(bottom["src"])[1][..., :3].astype(int)
    assert np.abs(seen - image[512:1024, 512:1024]).max() < 6
    layers = [each for each in document.all("img", "layer") if each["alt"].startswith("Rows")]
    drawn = pixels(layers[0]["src"])[1][..., 3] > 0
    expected = np.zeros((1024, 1024), bool)
    for k in range(9):
        expected[40 * k : 40 * k + 20, 60:80] = True
        expected[40 * k + 2 : 40 * k + 18, 62:78] = False
    np.testing.assert_array_equal(drawn, expected)


def test_doubts_come_first(tmp_path):
    small = np.zeros((10, 20, 3), np.uint8)
    about = {"doubts": [NASTY]}
    write_prediction_report(
        tmp_path / "a.html", lambda: [], Scene("a", (20, 40)), small, 2.0, about
    )
    cells = Document(tmp_path / "a.html").cells()
    assert cells[cells.index("Please check") + 1 :][:2] == [NASTY, "Summary"]


def test_no_nuclei_and_no_resolution(tmp_path):
    path = tmp_path / "a.html"
    small = np.zeros((10, 20, 3), np.uint8)
    write_prediction_report(path, lambda: [], Scene("a", (20, 40)), small, 2.0, {})
    cells = Document(path).cells()
    assert cells[cells.index("Nuclei") + 1] == "0"
    assert "20 x 40 pixels, unknown resolution" in cells


LOOK = """(() => {
  const stage = document.querySelector(".stage"), box = stage.getBoundingClientRect();
  const seen = side => [...stage.querySelectorAll(".layer")].filter(
    p => p.classList.contains(side) && getComputedStyle(p).visibility == "visible");
  return {
    left: seen("left").map(p => [p.dataset.layer, getComputedStyle(p).clipPath]),
    right: seen("right").map(p => [p.dataset.layer, getComputedStyle(p).clipPath]),
    value: +stage.querySelector(".wipe").value, bar: stage.querySelector(".bar").offsetLeft,
    x: box.left, y: box.top + 20, width: box.width,
    loaded: [...document.images].every(i => i.complete && i.naturalWidth > 0),
    wider: document.documentElement.scrollWidth - innerWidth,
  };
})()"""


def test_it_opens_in_a_browser_without_network_and_without_complaint(browser, report):
    browser.open(report)
    found = browser.evaluate(LOOK)
    assert found["loaded"]
    assert browser.evaluate("document.title").count(NASTY)
    assert browser.complaints() == []
    assert browser.requests() == [report.resolve().as_uri()]


def test_the_page_fits_a_phone(browser, report):
    size = {"width": 360, "height": 700, "deviceScaleFactor": 2}
    browser.call("Emulation.setDeviceMetricsOverride", mobile=True, **size)
    browser.open(report)
    assert browser.evaluate(LOOK)["wider"] <= 0
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_a_tall_picture_is_seen_at_once(browser, tmp_path):
    scene, small = Scene("a", (6000, 400)), np.zeros((600, 40, 3), np.uint8)
    table = NucleiTable((Mask(9, 9, np.ones((9, 9), bool)),), np.ones(1, np.float32))
    write_prediction_report(tmp_path / "a.html", lambda: [table], scene, small, 10.0, {})
    browser.open(tmp_path / "a.html")
    height, width, window = browser.evaluate(
        "((s) => [s.offsetHeight, s.offsetWidth, innerHeight])(document.querySelector('.stage'))"
    )
    assert window / 2 < height < window
    assert height / width == pytest.approx(15, rel=0.05)


def test_the_slider_moves_by_mouse_and_keyboard(browser, report):
    browser.open(report)
    browser.evaluate("document.querySelector('.stage').scrollIntoView()")
    before = browser.evaluate(LOOK)
    assert before["value"] == 50
    assert before["right"][0][1] == "inset(0px 0px 0px 50%)"
    x, y, width = (before[name] for name in ("x", "y", "width"))
    browser.drag(x + width / 2, y, x + width / 5)
    dragged = browser.evaluate(LOOK)
    assert dragged["value"] == pytest.approx(20, abs=1)
    assert dragged["right"][0][1] == f"inset(0px 0px 0px {dragged['value']}%)"
    assert dragged["bar"] == pytest.approx(width / 5, abs=width / 50)
    browser.press("ArrowRight", 39)
    assert browser.evaluate(LOOK)["value"] == dragged["value"] + 1
    assert browser.complaints() == []


def test_buttons_choose_the_layers_on_either_side(browser, evaluation):
    browser.open(evaluation)
    layers = lambda: [[name for name, _ in browser.evaluate(LOOK)[s]] for s in ("left", "right")]
    click = lambda side, layer: browser.evaluate(
        f"document.querySelector('[data-side={side}][data-layer={layer}]').click()"
    )
    pressed = "[...document.querySelector('.sides').querySelectorAll('[aria-pressed=true]')]"
    assert layers() == [["truth"], ["prediction"]]
    click("left", "image")
    assert layers() == [[], ["prediction"]]
    click("right", "truth")
    assert layers() == [[], ["truth"]]
    click("left", "truth")
    assert layers() == [["truth"], ["truth"]]
    assert browser.evaluate(LOOK)["left"][0][1] == "none"  # one layer over the whole picture
    assert browser.evaluate(f"{pressed}.map(b => b.textContent)") == ["truth", "truth"]


@pytest.fixture(scope="session")
def overview(tmp_path_factory):
    """500 images, of which every seventh has failed; the last nuclei come first."""
    small = np.full((200, 240, 3), 90, np.uint8)
    table = NucleiTable((Mask(20, 30, np.ones((40, 40), bool)),), np.ones(1, np.float32))
    folder = tmp_path_factory.mktemp("overview")
    write_thumbnail(folder / "a.jpg", [table], Scene("a", (400, 480)), small)
    images = []
    for k in range(500):
        first = {"image": f"{NASTY} {k}", "file": f"{k}.tif", "status": "failed", "reason": NASTY}
        if k % 7:
            first |= {"status": "done", "reason": "", "nuclei": 1000 - k}
            figures = {"mpp": None, "median_area_px": k / 3, "coverage": 0.1}
            picture = (folder / "a.jpg").read_bytes()
            images.append(ImageOfRun(first, {NASTY: k}, figures, f"{k} ?#.report.html", picture))
        else:
            images.append(ImageOfRun(first))
    write_overview_page(folder / "index.html", NASTY, images)
    return folder / "index.html"


def test_the_page_of_500_images_is_whole(overview):
    document = Document(overview)
    assert len(document.all("img")) == len(document.all("a")) == 500 - 72
    assert document.all("a")[0]["href"] == "1%20%3F%23.report.html"
    assert "72" in document.cells()
    assert len(document.all("script")) == 1
    for attributes in document.all("img"):
        assert attributes["src"].startswith("data:image/jpeg")
    assert overview.stat().st_size < 10e6
    _, picture = pixels(document.all("img")[0]["src"])
    yellow = picture[..., 0].astype(int) - picture[..., 2] > 60
    rows, cols = np.nonzero(yellow)
    ends = [rows.min(), rows.max(), cols.min(), cols.max()]
    np.testing.assert_allclose(ends, [10, 29, 15, 34], atol=1)  # JPEG blurs colors
    assert not yellow[13:27, 18:32].any()


def test_a_click_sorts_by_a_column(browser, overview):
    browser.open(overview)
    column = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[{}].textContent)"
    click = lambda n: browser.evaluate(
        f"document.querySelectorAll('thead th')[{n}].querySelector('button').click()"
    )
    done = [k for k in range(500) if k % 7]
    click(3)  # the most nuclei come first, what has none comes last
    counts = browser.evaluate(column.format(3))
    assert counts[: len(done)] == [f"{1000 - k:,}" for k in done]
    assert counts[len(done) :] == ["–"] * 72
    click(3)
    assert browser.evaluate(column.format(3))[: len(done)] == [f"{1000 - k:,}" for k in done[::-1]]
    click(1)  # names by their numbers
    assert browser.evaluate(column.format(1)) == [f"{NASTY} {k}" for k in range(500)]
    assert browser.complaints() == []
    assert browser.requests() == [overview.resolve().as_uri()]
