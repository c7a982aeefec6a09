"""Seconds from the command to the first step of a training, without and with compiled programs.

    python -m benchmarks.startup --model=harunet --variant=full --size=128 --batch=8

Runs `jaxnuc train` on synthetic nuclei twice, the second time with what the first one compiled, and
ends it at the first line of its log. Prints a JSON line each: seconds and CPU seconds up to there,
and when each part began. On a machine that does other work, the CPU seconds are what to compare.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, TextIO

PAGE = """
from ml_collections import ConfigDict
from jaxnuc.config import default


def get_config():
    config = default()
    config.model = ConfigDict({{"name": {model!r}, "variant": {variant!r}}})
    config.representation = ConfigDict({{"name": {representation!r}}})
    config.data.source = ConfigDict({{"name": "synthetic", "size": {size}}})
    config.batch_size = {batch}
    config.duration = "1000 steps"
    config.log_every = 1
    return config
"""
# The beginnings of what the command prints, and what they are the beginning of.
PARTS = {
    "importing JAX": "imports",
    "opening the data set": "data",
    "images to train on": "trace of the network",
    "network ": "parameters",
    "compiling the training step": "compilation",
}


def first_step(folder: Path, page: Path) -> dict[str, Any]:
    """Starts a training and ends it after its first step."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    with tempfile.TemporaryDirectory(dir=folder) as workdir:
        command = [sys.executable, "-m", "jaxnuc", "train"]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, f"--config={page}", f"--workdir={workdir}/run"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        began: dict[str, float] = {}
        printed: list[str] = []

        def listen(lines: TextIO) -> None:
            for line in lines:
                printed.append(line)
                for text, part in PARTS.items():
                    if line.startswith(text):
                        began[part] = round(time.perf_counter() - start, 1)

        assert process.stderr is not None
        threading.Thread(target=listen, args=[process.stderr], daemon=True).start()
        log = Path(workdir, "run", "metrics.jsonl")
        while not (log.exists() and log.stat().st_size):
            time.sleep(0.05)
            if process.poll() is not None:
                raise SystemExit("".join(printed[-20:]))
        seconds = time.perf_counter() - start
        process.kill()
        _, _, used = os.wait4(process.pid, 0)
    cpu = used.ru_utime + used.ru_stime
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "began": began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="harunet")
    parser.add_argument("--variant", default="full")
    parser.add_argument("--representation", default="contour")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.py")
        page.write_text(PAGE.format(**vars(given)))
        for start in ("cold", "warm"):
            result = {**vars(given), "start": start, **first_step(Path(folder), page)}
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
