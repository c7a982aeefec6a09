"""Every tutorial runs from its first cell to its last, in an empty folder."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "tools" / "tutorials.py"
SPEC = importlib.util.spec_from_file_location("tutorials", SCRIPT)
tutorials = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tutorials)


@pytest.mark.parametrize("source", tutorials.tutorials(), ids=lambda path: path.stem)
def test_runs(source):
    for name in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(name, reason="tutorials need pip install -e .[docs]")
    notebook, seconds = tutorials.execute(source)
    print(f"\n{source.stem}: {seconds:.0f} s")
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
