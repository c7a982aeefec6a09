"""What is left when a write fails, is killed or is refused."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxnuc.outputs import NucleiTable, Scene, create, write
from jaxnuc.outputs.formats import parquet

Make = Callable[..., NucleiTable]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["geojson", "tiff"])
def test_a_killed_run_leaves_nothing_under_the_name(tmp_path: Path, name: str) -> None:
    program = f"""
import os, signal, numpy as np
from jaxnuc.outputs import REGISTRY, NucleiTable, Scene, create
from jaxnuc.postprocess.masks import Mask
def tables():
    yield NucleiTable((Mask(0, 0, np.ones((3, 3), bool)),) * 999, np.ones(999, np.float32))
    os.kill(os.getpid(), signal.SIGKILL)
create({name!r}).write("out", tables(), Scene("a.png", (9, 9)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert all(path.name.startswith(".out.") for path in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["geojson", "coco", "csv", "parquet", "hovernet_json"])
def test_a_device_without_space(
    tmp_path: Path, make_table: Make, scene: Scene, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte goes to a device that is always full."""
    opened = Path.open

    def to_full(path: Path, mode: str = "r", **arguments: Any) -> Any:
        return opened(Path("/dev/full") if "w" in mode else path, mode, **arguments)

    monkeypatch.setattr(Path, "open", to_full)
    with pytest.raises(OSError, match="No space left"):
        create(name).write(tmp_path / "out", [make_table(40)], scene)
    assert list(tmp_path.iterdir()) == []


def test_several_formats_and_what_exists(tmp_path: Path, make_table: Make, scene: Scene) -> None:
    calls = []

    def tables() -> Iterator[NucleiTable]:
        calls.append(1)
        yield make_table(5)

    folder = tmp_path / "new" / "folder"
    found = write(folder, "slide 1", ["csv", "geojson"], tables, scene)
    assert found == {"csv": folder / "slide 1.csv", "geojson": folder / "slide 1.geojson"}
    assert all(path.exists() for path in found.values())
    assert len(calls) == 2
    with pytest.raises(FileExistsError, match=r"slide 1\.csv exists.*--overwrite"):
        write(folder, "slide 1", ["coco", "csv"], tables, scene)
    assert len(list(folder.iterdir())) == 2
    write(folder, "slide 1", ["coco", "csv"], tables, scene, overwrite=True)
    assert len(list(folder.iterdir())) == 3
    with pytest.raises(ValueError, match=r"unknown output format 'geojsn'.*did you mean 'geojson'"):
        write(folder, "a", ["geojsn"], tables, scene)
    huge = replace(scene, shape=(100_000, 100_000))
    with pytest.raises(ValueError, match="hovernet_mat"):
        write(folder, "b", ["csv", "hovernet_mat"], tables, huge)
    assert len(list(folder.iterdir())) == 3


def test_tables_that_do_not_fit_are_refused(tmp_path: Path, make_table: Make, scene: Scene) -> None:
    path = tmp_path / "out.geojson"
    table = make_table(5)
    for wrong, why in (
        ([table.moved(0, 300)], "leaves the image"),
        ([replace(table, classes=np.full(5, 3, np.int32))], "names 3 with the background"),
        ([replace(table, classes=None)], "nuclei have none"),
        ([replace(table, class_probabilities=np.ones((5, 2)))], "probabilities of 2"),
    ):
        with pytest.raises(ValueError, match=why):
            create("geojson").write(path, wrong, scene)
    for name in ("csv", "parquet"):
        with pytest.raises(ValueError, match="different columns"):
            create(name).write(path, [table, replace(table, measurements={})], scene)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_installed_is_said_before_anything_is_written(
    tmp_path: Path, make_table: Make, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet.Format, "needs", "no_such_package")
    with pytest.raises(ImportError, match=r"parquet needs no_such_package: pip install jaxnuc\["):
        write(tmp_path, "a", ["csv", "parquet"], [make_table(5)], scene)
    assert list(tmp_path.iterdir()) == []
