"""What every output format has to do: a new file in `outputs/formats` is tested by itself."""

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jaxnuc.outputs import REGISTRY, Format, NucleiTable, Scene, create, write

Make = Callable[..., NucleiTable]

OUTSIDE = """
from jaxnuc.outputs import Format as Base

class Format(Base):
    suffix = ".count.txt"

    def _write(self, path, tables, scene):
        lines = [f"{first + k}" for first, t in scene.numbered(tables) for k in range(len(t))]
        path.write_text("\\n".join(lines))
        return len(lines)
"""


@pytest.fixture(params=[*REGISTRY.names(), "my_package.my_format"])
def format_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Format:
    """Every format of the library, and one of a package from outside."""
    if "." not in request.param:
        return create(request.param)
    package = tmp_path_factory.mktemp("outside") / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "my_format.py").write_text(OUTSIDE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(package.parent)
        for module in ("my_package", "my_package.my_format"):
            patch.delitem(sys.modules, module, raising=False)
        return create(request.param)


@pytest.fixture(params=[True, False], ids=["classes", "no classes"])
def drawn(
    request: pytest.FixtureRequest, make_table: Make, scene: Scene
) -> tuple[Scene, list[NucleiTable]]:
    """A scene with nuclei in several tables, one of them empty."""
    tables = [make_table(n, seed=n, classes=request.param) for n in (25, 0, 10, 1)]
    return (scene if request.param else replace(scene, class_names=None, mpp=None)), tables


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_it_is_described(format_: Format) -> None:
    assert type(format_).__doc__ or "." in type(format_).__module__
    assert format_.suffix.startswith(".")
    assert format_.name


@pytest.mark.slow
def test_formats_need_no_jax() -> None:
    code = (
        "import sys\n"
        "from jaxnuc.outputs import REGISTRY, make_formats\n"
        "make_formats(REGISTRY.names())\n"
        "sys.exit(' '.join({'jax', 'flax', 'matplotlib'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_two_formats_write_the_same_file() -> None:
    suffixes = [create(name).suffix for name in REGISTRY.names()]
    assert len(set(suffixes)) == len(suffixes)
    assert not {".json", ".report.html", ".tissue.png"} & set(suffixes)  # of `jaxnuc.predict`


def test_all_nuclei_are_written_and_counted(
    tmp_path: Path, format_: Format, drawn: tuple[Scene, list[NucleiTable]]
) -> None:
    scene, tables = drawn
    path = tmp_path / f"out{format_.suffix}"
    assert format_.write(path, tables, scene) == sum(map(len, tables))
    assert list(tmp_path.iterdir()) == [path]


def test_an_image_without_nuclei_has_a_file_too(
    tmp_path: Path, format_: Format, drawn: tuple[Scene, list[NucleiTable]]
) -> None:
    scene, tables = drawn
    path = tmp_path / f"out{format_.suffix}"
    assert format_.write(path, [], scene) == 0
    assert list(tmp_path.iterdir()) == [path]
    assert format_.write(path, tables, scene) > 0  # it replaces the first
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_nuclei_make_the_same_bytes(
    tmp_path: Path,
    format_: Format,
    drawn: tuple[Scene, list[NucleiTable]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene, tables = drawn
    first, second = (tmp_path / f"{name}{format_.suffix}" for name in ("first", "second"))
    format_.write(first, tables, scene)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("time.asctime", lambda *_: "another time")
    format_.write(second, tables, scene)
    assert content(first) == content(second)


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, make_table: Make, scene: Scene, format_: Format
) -> None:
    """The device fills up in the middle: as seen by any writer, between two tables."""

    def full() -> Iterator[NucleiTable]:
        yield make_table(5)
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / f"out{format_.suffix}"
    with pytest.raises(OSError, match="No space left"):
        format_.write(path, full(), scene)
    assert list(tmp_path.iterdir()) == []
    format_.write(path, [make_table(5)], scene)
    before = content(path)
    with pytest.raises(OSError, match="No space left"):
        format_.write(path, full(), scene)
    assert list(tmp_path.iterdir()) == [path]
    assert content(path) == before


def test_too_large_an_image_is_refused(
    tmp_path: Path, make_table: Make, scene: Scene, format_: Format
) -> None:
    if format_.most_pixels is None:
        pytest.skip("takes images of any size")
    huge = replace(scene, shape=(format_.most_pixels // 100 + 1, 100))
    with pytest.raises(ValueError, match=rf"{format_.name} files at most {format_.most_pixels}"):
        format_.write(tmp_path / "out", [make_table(5)], huge)
    assert list(tmp_path.iterdir()) == []


def test_tables_that_do_not_fit_the_scene_are_refused(
    tmp_path: Path, make_table: Make, scene: Scene, format_: Format
) -> None:
    with pytest.raises(ValueError, match="leaves the image"):
        format_.write(tmp_path / "out", [make_table(5).moved(0, 300)], scene)
    with pytest.raises(ValueError, match="nuclei have none"):
        format_.write(tmp_path / "out", [make_table(5, classes=False)], scene)
    assert list(tmp_path.iterdir()) == []


def test_two_formats_of_one_suffix_are_refused(
    tmp_path: Path, make_table: Make, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(create("coco")), "suffix", ".csv")
    with pytest.raises(ValueError, match=r"csv and coco both write files that end in \.csv"):
        write(tmp_path, "a", ["csv", "coco"], [make_table(5)], scene)
    assert list(tmp_path.iterdir()) == []
