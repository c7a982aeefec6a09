"""The table of docs/choosing.md: accuracy, speed, memory and size of the small networks.

    python -m benchmarks.choosing            # prints it
    python -m benchmarks.choosing --write    # writes it into docs/choosing.md

The accuracy is that of docs/results.md. Times are CPU seconds, so that other work on the machine
changes them little; memory is what XLA reserves for intermediate results.
"""

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnuc import build, models
from jaxnuc.config.pages import load
from jaxnuc.models.cost import cost
from jaxnuc.prediction.predictor import make_forward

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = "python -m benchmarks.choosing --write"
SIDE, REPEATS = 256, 5
HEADER = (
    (
        "method",
        "Dice",
        "PQ",
        "parameters",
        "GMAC",
        "forward, CPU s",
        "memory, MB",
        "compiled in, CPU s",
    ),
    ("---", "---", "---", "---:", "---:", "---:", "---:", "---:"),
)


def accuracies() -> dict[str, tuple[str, str]]:
    """Dice and PQ of each method under one budget."""
    text = (DOCS / "results.md").read_text()
    section = text.partition("## All methods under one budget")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| ([^|]*) \|[^|]*\| ([^|]*) \|", section, re.M)
    return {name: (dice, pq) for name, dice, pq in rows}


def cpu_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long it takes over all threads, and its result."""
    start = time.process_time()
    result = jax.block_until_ready(call())
    return time.process_time() - start, result


def row(method: str, dice: str, pq: str) -> tuple[str, ...]:
    """Measures a network and gives its line of the table."""
    config = load(f"comparison_dsb2018:method={method}", {})
    model = build.make_model(config, build.make_representation(config))
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
    variables = models.initialize(model, 0, image.astype(np.float32) / 255)
    lowered = make_forward(model).lower(variables, image)
    compilation, compiled = cpu_seconds(lowered.compile)
    forward = min(cpu_seconds(lambda: compiled(variables, image))[0] for _ in range(REPEATS))
    memory = compiled.memory_analysis().temp_size_in_bytes
    size = cost(model)
    return (
        f"`{method}`",
        dice,
        pq,
        f"{size.parameters / 1e6:.1f} M",
        f"{size.multiply_adds / 1e9:.1f}",
        f"{forward:.2f}",
        f"{memory / 1e6:.0f}",
        f"{compilation:.0f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/choosing.md")
    write = parser.parse_args().write
    jax.config.update("jax_enable_compilation_cache", False)
    rows = [*HEADER, *(row(name, *figures) for name, figures in accuracies().items())]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    print(table)
    if write:
        page = DOCS / "choosing.md"
        before, begin, rest = page.read_text().partition(f"<!-- choosing: made by {COMMAND} -->\n")
        after = rest.partition("<!-- end of choosing -->")[2]
        page.write_text(f"{before}{begin}{table}\n<!-- end of choosing -->{after}")


if __name__ == "__main__":
    main()
