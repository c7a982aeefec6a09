"""Tables of nuclei: rows taken, moved, joined, saved."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxnuc.outputs import NucleiTable, measure
from jaxnuc.postprocess.masks import Mask

Make = Callable[..., NucleiTable]


def assert_equal(a: NucleiTable, b: NucleiTable) -> None:
    assert len(a) == len(b)
    for (row, col, mask), (other_row, other_col, other) in zip(a.masks, b.masks, strict=True):
        assert (row, col) == (other_row, other_col)
        np.testing.assert_array_equal(mask, other)
    for name in ("scores", "classes", "class_probabilities"):
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
