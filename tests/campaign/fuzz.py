"""Reads files of every format with bytes changed at random; prints what is neither read nor named.

    python tests/campaign/fuzz.py [--files=2000] [--seed=0] [--only=tiff,svs] [--keep=FOLDER]

Each file is read in a process that may take `SECONDS` and `MEMORY` more than it has when it starts.
A file is well treated if it is read, or refused with a ValueError or ImportError of one line that
has its name.
"""

import argparse
import collections
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

SECONDS = 20
MEMORY = 3 * 2**30  # bytes; images of 2**29 pixels may be read
ANNOTATIONS = Path(__file__).parents[1] / "io" / "annotations" / "test_annotations.py"


def seeds(folder: Path) -> Iterator[tuple[str, Path]]:
    """Writes a small file of each format; yields its kind and path."""
    import numpy as np
    import tifffile
    import zarr
    from PIL import Image
    from safetensors.numpy import save_file
    from scipy.io import savemat

    from jaxnuc.data.synthetic import generate
    from jaxnuc.outputs.table import NucleiTable
    from jaxnuc.postprocess.masks import masks_of

    sample = generate(0, size=64)
    image, labels = sample.image, sample.instances.astype(np.uint16)
    for suffix in ("png", "jpg", "bmp"):
        Image.fromarray(image).save(path := folder / f"image.{suffix}")
        yield "image", path
    tiffs = {
        "strips": {"compression": "deflate"},
        "tiles": {"tile": (32, 32), "compression": "lzw", "photometric": "rgb"},
        "ome": {"ome": True, "photometric": "rgb"},
        "slide": {
            "tile": (16, 16),
            "compression": "jpeg",
            "photometric": "rgb",
            "description": "Aperio Image Library v1\n64x64 |AppMag = 20|MPP = 0.5",
            "metadata": None,
        },
    }
    for name, options in tiffs.items():
        suffix = "svs" if name == "slide" else "tif"
        tifffile.imwrite(path := folder / f"image_{name}.{suffix}", image, **options)
        yield "image", path
    np.save(path := folder / "image.npy", image)
    yield "image", path
    zarr.save_array(folder / "image.zarr", image)
    yield "image", folder / "image.zarr"

    Image.fromarray(labels).save(path := folder / "labels.png")
    yield "labels", path
    tifffile.imwrite(path := folder / "labels.tif", labels, compression="deflate")
    yield "labels", path
    np.save(path := folder / "labels.npy", labels)
    yield "labels", path
    np.savez_compressed(path := folder / "labels.npz", inst_map=labels)
    yield "labels", path
    savemat(path := folder / "labels.mat", {"inst_map": labels}, do_compression=True)
    yield "labels", path
    zarr.save_array(folder / "labels.zarr", labels)
    yield "zarr labels", folder / "labels.zarr"

    spec = spec_from_file_location("annotation_files", ANNOTATIONS)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module := module_from_spec(spec))
    for name, (content, _) in module.FILES.items():
        path = folder / f"{name}.annotation"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        yield "annotations", path

    weights = {f"layer{n}.weight": np.ones((4, 3, 3, 3), np.float32) for n in range(3)}
    save_file(weights, path := folder / "weights.safetensors")
    yield "weights", path
    np.savez(path := folder / "weights.npz", **weights)
    yield "weights", path
    numbers, masks = masks_of(labels)
    NucleiTable(masks, np.ones(len(numbers), np.float32)).save(path := folder / "table.npz")
    yield "table", path
    (path := folder / "table.csv").write_text("name,class\na,1\nb,2\n", encoding="utf-8")
    yield "csv", path


def read(kind: str, path: Path) -> None:
    """Reads a file as the library does."""
    from jaxnuc import pretrained
    from jaxnuc.io import open_image, read_label_image
    from jaxnuc.io.annotations import read_annotations
    from jaxnuc.io.csv_table import read_csv
    from jaxnuc.io.zarr import read_zarr_labels
    from jaxnuc.outputs.table import NucleiTable

    def image() -> None:
        with open_image(path) as opened:
            height, width = opened.shape
            opened.read(0, 0, min(height, 512), min(width, 512))
            str(opened.mpp)

    readers: dict[str, Callable[[], object]] = {
        "image": image,
        "labels": lambda: read_label_image(path),
        "zarr labels": lambda: read_zarr_labels(path),
        "annotations": lambda: read_annotations(path.read_bytes(), str(path)),
        "weights": lambda: pretrained.read(path),
        "table": lambda: NucleiTable.load(path),
        "csv": lambda: list(read_csv(path.read_bytes(), str(path))),
    }
    readers[kind]()


def mutated(data: bytes, draw: random.Random) -> bytes:
    """With up to eight bytes changed, most of them at the beginning, perhaps cut or repeated."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        place = draw.randrange(min(len(found), draw.choice((64, 512, len(found)))))
        found[place] = draw.choice((0, 1, 0x7F, 0xFF, found[place] ^ 1 << draw.randrange(8)))
    if draw.random() < 0.1:
        del found[draw.randrange(len(found)) :]
    if draw.random() < 0.05:
        found += found[draw.randrange(len(found)) :]
    return bytes(found)


def work(trials: Path) -> None:
    """Reads the files that `trials` lists, and prints one line for each."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError

    import jaxnuc.io
    import jaxnuc.outputs.table
    import jaxnuc.pretrained  # noqa: F401

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.signal(signal.SIGALRM, late)
    for line in trials.read_text().splitlines():
        kind, path = json.loads(line)
        signal.alarm(SECONDS)
        try:
            read(kind, Path(path))
            outcome = "read"
        except (ValueError, ImportError) as error:
            named = Path(path).name in str(error) and "\n" not in str(error)
            outcome = "refused" if named else f"nameless: {type(error).__name__}: {error}"
        except BaseException as error:
            outcome = f"raw: {type(error).__name__}: {error}"
        signal.alarm(0)
        print(json.dumps(outcome), flush=True)


def campaign(files: int, seed: int, only: tuple[str, ...], keep: Path | None) -> dict[str, int]:
    """Reads so many files; prints and counts how they are treated."""
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder, draw = Path(name), random.Random(seed)
        (folder / "seeds").mkdir()
        sources = [s for s in seeds(folder / "seeds") if not only or s[1].suffix[1:] in only]
        trials = []
        for number in range(files):
            kind, source = sources[number % len(sources)]
            path = folder / f"{number}{source.suffix}"
            if source.is_dir():
                shutil.copytree(source, path)
                inner = draw.choice(sorted(p for p in path.rglob("*") if p.is_file()))
            else:
                inner = path
                path.write_bytes(source.read_bytes())
            inner.write_bytes(mutated(inner.read_bytes(), draw))
            trials.append((kind, path, source))
        while trials:
            (folder / "trials").write_text(
                "".join(json.dumps((kind, str(path))) + "\n" for kind, path, _ in trials)
            )
            worker = subprocess.run(
                [sys.executable, __file__, "--work", folder / "trials"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=False,
            )
            outcomes = [json.loads(line) for line in worker.stdout.splitlines()]
            if len(outcomes) < len(trials):
                outcomes.append(f"killed: the process ended with {worker.returncode}")
            for (kind, path, source), outcome in zip(trials, outcomes, strict=False):
                counts[outcome.partition(":")[0]] += 1
                if outcome not in ("read", "refused"):
                    print(f"{kind}, {source.name}, {path.name}: {outcome[:300]}", flush=True)
                    if keep is not None:
                        keep.mkdir(exist_ok=True)
                        shutil.copy(path, keep) if path.is_file() else shutil.copytree(
                            path, keep / path.name, dirs_exist_ok=True
                        )
            trials = trials[len(outcomes) :]
    return dict(counts)


def main() -> None:
    """Runs the campaign, or its worker."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="suffixes, separated by commas; empty: all")
    parser.add_argument("--keep", type=Path, help="folder for the files that are badly treated")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    only = tuple(filter(None, options.only.split(",")))
    counts = campaign(options.files, options.seed, only, options.keep)
    print(counts)
    sys.exit(1 if counts.keys() - {"read", "refused"} else 0)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
