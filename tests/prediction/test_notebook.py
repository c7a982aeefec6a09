"""What results show at the end of a cell of a notebook."""

import base64
import io
import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import jaxnuc
from jaxnuc.metrics import score
from jaxnuc.metrics.confidence import Comparisons, compare
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.segmentation import Segmentation
from jaxnuc.representations import Nuclei


class Cells(HTMLParser):
    """The texts of a table by row, and the addresses of pictures."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.pictures, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag == "img":
            self.pictures.append(dict(attributes)["src"])
        self.text = ""

    def handle_data(self, data):
        self.text += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.text)
            self.text = ""


def test_a_segmentation_measures_its_nuclei():
    labels = np.zeros((9, 9), np.int32)
    labels[1:3, 1:5], labels[6:8, 6:8] = 1, 2
    found = Segmentation(labels, None, np.ones(2, np.float32)).measure(mpp=0.5)
    assert (found["area"].tolist(), found["area_um2"].tolist()) == ([8, 4], [2, 1])
    assert found["centroid_col"].tolist() == [2.5, 6.5]


def decoded(png):
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("patch", [None, 64])
def test_a_segmentation_shows_the_outlines_and_counts(bright, blobs, patch):
    image, expected = blobs((150, 210))
    found = jaxnuc.segment(image, bright(), patch=patch, overlap=32, tile=64)
    np.testing.assert_array_equal(found.image, image)
    instances, classes, scores, *_ = found  # still a tuple
    assert (instances is found.instances, classes, len(scores)) == (True, None, expected.max())
    picture = decoded(found.png())
    assert picture.shape == (450, 630, 3)  # three times as large
    yellow = (picture == (240, 228, 66)).all(axis=-1)
    inside = np.kron(instances, np.ones((3, 3), int)) > 0
    assert not yellow[~inside].any()
    assert 0.2 * inside.sum() < yellow.sum() < inside.sum()
    cells = Cells(found._repr_html_())
    assert cells.rows == [["", "nuclei"], ["all", str(expected.max())]]
    (address,) = cells.pictures
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(decoded(data), picture)
    again = pickle.loads(pickle.dumps(found))
    assert again._repr_html_() == found._repr_html_()


def test_classes_are_counted_and_an_unknown_image_is_left_out():
    instances = np.array([[1, 1, 2], [0, 3, 3]], np.int32)
    nuclei = Nuclei(instances, np.array([2, 0, 2], np.int32), np.ones(3, np.float32))
    image = np.full((2, 3, 3), 255, np.uint8)
    found = Segmentation.of(nuclei, image, ("background", "<tumor>", "immune"))
    expected = [["", "nuclei"], ["all", "3"], ["<tumor>", "0"], ["immune", "2"]]
    assert Cells(found._repr_html_()).rows == [*expected, ["without a class", "1"]]
    changed = found._replace(scores=np.zeros(3, np.float32))
    assert changed.png() is None
    assert Cells(changed._repr_html_()).pictures == []


def test_large_images_are_made_smaller():
    instances = np.zeros((2000, 900), np.int32)
    instances[100:400, 100:400] = 1
    nuclei = Nuclei(instances, None, np.ones(1, np.float32))
    found = Segmentation.of(nuclei, np.zeros((2000, 900, 3), np.uint8), None)
    picture = decoded(found.png())
    assert picture.shape == (800, 360, 3)
    rows, cols = np.nonzero((picture == (240, 228, 66)).all(axis=-1))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (40, 159, 40, 159)


def test_the_outcome_of_predict_is_a_table(tmp_path, bright, blobs):
    Image.fromarray(blobs((64, 90))[0]).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    options = DEFAULT.replace(patch=64, overlap=32, tile=64, workers=0, progress=False)
    results = jaxnuc.predict([tmp_path], bright(), tmp_path / "out", options)
    head, first, second = Cells(results._repr_html_()).rows
    assert head == ["image", "nuclei", "classes", "remarks"]
    assert first == ["a", str(results.done[0]["nuclei"]), "", ""]
    assert second[:2] == ["b", "failed"]
    assert "not an image" in second[3]


def test_scores_and_comparisons_are_tables():
    rng = np.random.default_rng(0)
    truth = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((8, 8), int))
    truth[::8], truth[:, ::8] = 0, 0
    scores = score(truth, np.where(truth == 4, 0, truth))
    rows = dict(Cells(scores._repr_html_()).rows[1:])
    assert float(rows["pq"]) == pytest.approx(scores.pq, abs=1e-4)
    assert (rows["tp"], rows["fn"]) == ("8", "1")
    assert str(scores.conventions) in re.sub("<.*?>", "", scores._repr_html_()).replace("&gt;", ">")
    first, second = rng.random(20), rng.random(20)
    found = Comparisons(compare({"pq": first}, {"pq": second}, names=None))
    head, (name, one, other, difference, *_) = Cells(found._repr_html_()).rows
    assert head == ["", "first", "second", "difference", "p", "images"]
    assert name == "pq"
    shown = (float(text.split()[0]) for text in (one, other, difference))
    means = first.mean(), second.mean(), (second - first).mean()
    assert [*shown] == pytest.approx(means, abs=0.01)  # rounded to what the interval supports


def test_results_are_shown_without_matplotlib():
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from jaxnuc.prediction.segmentation import Segmentation\n"
        "from jaxnuc.representations import Nuclei\n"
        "one = np.eye(9, dtype=np.int32)\n"
        "nuclei = Nuclei(one, None, np.ones(1, np.float32))\n"
        "Segmentation.of(nuclei, np.zeros((9, 9, 3), np.uint8), None)._repr_html_()\n"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
