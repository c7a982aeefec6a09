"""Text in our tables is no formula to a spreadsheet, and comes back as it was."""

import csv

import numpy as np

from jaxnuc.io.csv_table import read_csv
from jaxnuc.metrics.rows import csv_text

TEXTS = (
    '=HYPERLINK("http://a.b";"x")', "+cmd", "-b", "@SUM(1)", "\t=1", "'=a", "''+b", "'quoted'",
    "a=b", "", "-3.2", "+1e5", "grün, 'x'",
)  # fmt: skip


def test_no_cell_is_a_formula_and_all_come_back():
    data = csv_text([{"=name": text, "value": -3.25} for text in TEXTS]).encode()
    rows = list(csv.reader(data.decode().splitlines()))
    for name, value in rows:
        assert value in ("value", "-3.25")
        assert name[:1] not in "=+-@\t\r" or not name or np.isfinite(float(name))
    found = [row for _, row in read_csv(data, "a.csv")]
    assert found == [{"=name": text, "value": "-3.25"} for text in TEXTS]
