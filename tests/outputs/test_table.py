"""Tables of nuclei: rows taken, moved, joined, saved."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from jaxnuc.outputs import NucleiTable, Scene, create, measure
from jaxnuc.postprocess.masks import Mask

Make = Callable[..., NucleiTable]


def assert_equal(a: NucleiTable, b: NucleiTable) -> None:
    assert len(a) == len(b)
    for (row, col, mask), (other_row, other_col, other) in zip(a.masks, b.masks, strict=True):
        assert (row, col) == (other_row, other_col)
        np.testing.assert_array_equal(mask, other)
    for name in ("scores", "classes", "class_probabilities", "agreement"):
        one, two = getattr(a, name), getattr(b, name)
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_array_equal(one, two)
            assert one.dtype == two.dtype
    assert a.measurements.keys() == b.measurements.keys()
    for name, column in a.measurements.items():
        np.testing.assert_array_equal(column, b.measurements[name])


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_saved_tables_are_read_back(
    tmp_path: Path, make_table: Make, n: int, classes: bool
) -> None:
    table = make_table(40, classes=classes).take(range(n))
    path = tmp_path / "part.npz"
    table.save(path)
    assert_equal(NucleiTable.load(path), table)
    assert list(tmp_path.iterdir()) == [path]


def test_agreement_is_a_column_like_others(tmp_path: Path, make_table: Make) -> None:
    plain = make_table(10)
    values = np.random.default_rng(1).random(10).astype(np.float32)
    table = replace(plain, agreement=values)
    table.save(tmp_path / "part.npz")
    assert_equal(NucleiTable.load(tmp_path / "part.npz"), table)
    parts = [table.take([0, 1, 2]), table.take(np.arange(10) > 2)]
    np.testing.assert_array_equal(parts[1].agreement, values[3:])
    assert_equal(NucleiTable.concatenated(parts), table)
    np.testing.assert_array_equal(table.moved(3, 4).agreement, values)
    with pytest.raises(ValueError, match="different columns"):
        NucleiTable.concatenated([table, plain])
    with pytest.raises(ValueError, match="'agreement' has 9 rows for 10 masks"):
        replace(plain, agreement=values[1:])


@pytest.mark.parametrize("name", ["csv", "parquet", "geoparquet", "geojson"])
def test_agreement_is_written_beside_the_score(
    tmp_path: Path, make_table: Make, scene: Scene, name: str
) -> None:
    values = np.random.default_rng(1).random(10).astype(np.float32)
    table = replace(make_table(10), agreement=values)
    path = tmp_path / f"out{create(name).suffix}"
    create(name).write(path, [table.take(range(6)), table.take(range(6, 10))], scene)
    if name == "geojson":
        features = json.loads(path.read_text())["features"]
        rows = [feature["properties"]["measurements"] for feature in features]
    elif name == "csv":
        rows = list(csv.DictReader(path.read_text().splitlines()))
    else:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    np.testing.assert_array_equal([np.float32(row["agreement"]) for row in rows], values)
    names = list(rows[0])
    assert names.index("agreement") == names.index("score") + 1


def test_damaged_files_are_named(tmp_path: Path, make_table: Make) -> None:
    path = tmp_path / "part.npz"
    make_table().save(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-100], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"part\.npz"):
            NucleiTable.load(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match=r"part\.npz"):
        NucleiTable.load(path)


def test_rows_are_taken_and_joined(make_table: Make) -> None:
    table = make_table(10)
    parts = [table.take([0, 1, 2]), NucleiTable((), np.zeros(0, np.float32))]
    parts.append(table.take(np.arange(10) > 2))
    assert_equal(NucleiTable.concatenated(parts), table)
    assert_equal(table.take([5]), table.take(np.arange(10) == 5))
    assert len(NucleiTable.concatenated([])) == 0
    with pytest.raises(ValueError, match="different columns"):
        NucleiTable.concatenated([table, make_table(3, classes=False)])
    with pytest.raises(ValueError, match="3 rows for 10 masks"):
        NucleiTable(table.masks, np.zeros(3, np.float32))


def test_moved_nuclei_take_their_measurements_along() -> None:
    masks = (Mask(1, 2, np.ones((3, 4), bool)), Mask(0, 5, np.eye(3, dtype=bool)))
    table = NucleiTable(masks, np.ones(2, np.float32), measurements=measure(masks))
    moved = table.moved(100, -2)
    assert [mask[:2] for mask in moved.masks] == [(101, 0), (100, 3)]
    expected = measure(moved.masks)
    for name, column in moved.measurements.items():
        np.testing.assert_allclose(column, expected[name], err_msg=name)
