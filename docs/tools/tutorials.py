"""Runs the tutorials and writes their pages.

    python docs/tools/tutorials.py            # all of them
    python docs/tools/tutorials.py own_network classes

A tutorial is a notebook kept as text, docs/tutorials/NAME.py (jupytext's percent format). It runs
in an empty folder, as a reader would run it; NAME.md beside it gets its text, code, output and
pictures, so that the site is built, and read in the repository, without running anything.
"""

import argparse
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorials"
# The network that several tutorials begin with is trained once for each version of its page.
SHARED = Path("runs", "quickstart")
PAGES = (ROOT / "configs" / "quickstart.py", ROOT / "jaxnuc" / "config" / "__init__.py")
WIDEST = 1200  # pixels of a picture


def tutorials() -> list[Path]:
    """The sources of the tutorials, in order of their names."""
    return sorted(FOLDER.glob("*.py"))


def digest(source: Path) -> str:
    """What the page says of the source that it was made of."""
    return hashlib.sha256(source.read_bytes()).hexdigest()[:16]


def cached() -> Path:
    """Where that network is kept."""
    key = hashlib.sha256(b"".join(page.read_bytes() for page in PAGES)).hexdigest()[:16]
    return ROOT / ".cache" / "tutorials" / key


def _shares(source: Path) -> bool:
    """Whether a notebook trains that network."""
    return "--config=quickstart" in source.read_text()


def execute(source: Path, timeout: int = 1800) -> tuple[Any, float]:
    """Runs a tutorial in an empty folder.

    Returns:
      The notebook with its outputs, and the seconds that it took.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell failed.
    """
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    for cell in notebook.cells:
        # A shell goes on after a command that failed unless it is told not to.
        cell.source = re.sub(r"^%%bash$", "%%bash -e", cell.source, flags=re.M)
    environment = {
        # Those of the tests compile fast and compute slowly.
        **{name: value for name, value in os.environ.items() if name != "XLA_FLAGS"},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "COLUMNS": "100",
    }
    with tempfile.TemporaryDirectory() as folder:
        if _shares(source):
            if not cached().exists():
                command = [sys.executable, "-m", "jaxnuc", "train", "--config=quickstart"]
                subprocess.run(
                    [*command, f"--workdir={folder}/trained"], env=environment, check=True
                )
                shutil.copytree(Path(folder, "trained"), cached())
                shutil.rmtree(Path(folder, "trained"))
            shutil.copytree(cached(), Path(folder, SHARED))
        begin = time.monotonic()
        client = NotebookClient(
            notebook,
            timeout=timeout,
            resources={"metadata": {"path": folder}},
            kernel_name="python3",
        )
        client.execute(env=environment)
        seconds = time.monotonic() - begin
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = output.text.replace(f"{folder}/", "")
    return notebook, seconds


def write(source: Path, notebook: Any, seconds: float) -> None:
    """Writes the page and the pictures of a notebook that was run."""
    pictures = FOLDER / "images"
    pictures.mkdir(exist_ok=True)
    for former in pictures.glob(f"{source.stem}-*.webp"):
        former.unlink()
    names = (f"{source.stem}-{k}.webp" for k in range(1, 1000))

    def keep(data: bytes) -> str:
        from PIL import Image

        picture = Image.open(BytesIO(data)).convert("RGB")
        picture.thumbnail((WIDEST, 4 * WIDEST))
        name = next(names)
        picture.save(pictures / name, quality=85, method=6)
        return f"images/{name}"

    parts = [f"<!-- made of {source.name} {digest(source)} by docs/tools/tutorials.py -->"]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = cell.source
            if text.startswith("# "):
                title, _, rest = text.partition("\n")
                text = f"{title}\n\n{_about(source, seconds)}\n{rest}"
            parts.append(text)
        elif cell.source.strip():
            language, code = _code(cell.source)
            parts.append(f"```{language}\n{code}\n```")
            parts += _outputs(cell.outputs, keep)
    (FOLDER / f"{source.stem}.md").write_text("\n\n".join(parts) + "\n")


def _about(source: Path, seconds: float) -> str:
    took = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    trained = (
        ", besides the minute or two in which `quickstart` is trained" if _shares(source) else ""
    )
    return (
        f"*A notebook: [{source.name}]({source.name}) opens in Jupyter with jupytext. "
        f"It took {took} on 2 CPU cores{trained}.*"
    )


def _code(source: str) -> tuple[str, str]:
    """The language of a cell, and its code as a reader would type it."""
    first, _, rest = source.partition("\n")
    if first.startswith("%%bash"):
        return "bash", rest.strip()
    if first.startswith("%%writefile "):
        return "python", f"# {first.removeprefix('%%writefile ')}\n{rest.strip()}"
    return "python", source.strip()


def _outputs(outputs: list, keep: Any) -> Iterator[str]:
    streams = [each for each in outputs if each.output_type == "stream"]
    said = {
        name: "".join(each.text for each in streams if each.name == name)
        for name in ("stderr", "stdout")
    }
    text = _remarks(said["stderr"]) + said["stdout"]
    if text.strip():
        yield _block(text)
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            yield f"![]({keep(base64.b64decode(data['image/png']))})"
        elif "text/html" in data:
            yield _html(data["text/html"], keep)
        elif "text/plain" in data:
            yield _block(data["text/plain"])


def _remarks(text: str) -> str:
    """Of what a command says on stderr, warnings and errors: the rest is progress."""
    lines = (line.rpartition("\r")[2] for line in text.split("\n"))
    return "".join(f"{line}\n" for line in lines if line.startswith(("warning: ", "error: ")))


def _block(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).strip("\n")
    return "```text\n" + "\n".join(line.rstrip() for line in plain.splitlines()) + "\n```"


def _html(text: str, keep: Any) -> str:
    """HTML whose pictures are files."""
    pattern = r"data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)"
    text = re.sub(pattern, lambda match: keep(base64.b64decode(match[1])), text)
    return "\n".join(line for line in text.splitlines() if line.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="tutorials to run (all)")
    names = parser.parse_args().names
    for source in tutorials():
        if not names or source.stem in names:
            notebook, seconds = execute(source)
            write(source, notebook, seconds)
            print(f"{source.stem}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
