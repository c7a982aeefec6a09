"""The reliability diagram shows the numbers it was given."""

import numpy as np
import pytest
from PIL import Image

from jaxnuc.metrics import Calibration, Scored
from jaxnuc.reports import calibration_diagram


@pytest.fixture
def calibration():
    rng = np.random.default_rng(0)
    scores = 0.3 + 0.6 * rng.random((4, 50))
    return Calibration.of([Scored(s, rng.random(50) < s**2) for s in scores], level=0.95)


def test_bars_are_the_bins(calibration):
    above, below = calibration_diagram.draw(calibration).axes
    used = calibration.counts > 0
    assert 0 < used.sum() < 10
    precision, gap = above.containers
    np.testing.assert_allclose(
        [bar.get_height() for bar in precision], calibration.precisions[used]
    )
    np.testing.assert_allclose(
        [bar.get_y() + bar.get_height() for bar in gap], calibration.mean_scores[used]
    )
    np.testing.assert_allclose([bar.get_x() for bar in precision], calibration.edges[:-1][used])
    counts = below.containers[0]
    assert [bar.get_height() for bar in counts] == calibration.counts[used].tolist()
    title = above.get_title(loc="left")
    low, high = calibration.intervals["calibration_error_pooled"][1:3]
    assert title.startswith(f"ECE {calibration.expected_error:.3f} [{low:.3f}, {high:.3f}]")
    assert title.endswith("200 nuclei")
    assert (above.get_ylabel(), below.get_xlabel()) == (
        "matched share of the nuclei (precision)",
        "score",
    )
    above, below = calibration_diagram.draw(calibration, "probability", "accuracy").axes
    assert (above.get_ylabel(), below.get_xlabel()) == ("accuracy", "probability")


@pytest.mark.parametrize("bins", [1, 25])
def test_the_picture_is_written_whatever_is_in_it(tmp_path, bins):
    nothing = Scored(np.zeros(0), np.zeros(0, bool))
    one = Scored(np.zeros(1), np.ones(1, bool))
    for name, image in (("nothing", nothing), ("one", one)):
        path = tmp_path / f"{name}.png"
        calibration_diagram.write(path, Calibration.of([image], bins))
        with Image.open(path) as picture:
            assert picture.size == (700, 850)
