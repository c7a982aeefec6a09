"""Draws the pictures of docs/limits.md.

    python docs/tools/limits.py --run=runs/quickstart --data=FOLDER

RUN is what `jaxnuc train --config=quickstart` makes; FOLDER holds `dsb2018`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

import jaxnuc
from jaxnuc.data import sources
from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import generate
from jaxnuc.metrics import score
from jaxnuc.reports.overlay import overlay

FOLDER = Path(__file__).parents[1] / "images" / "limits"
SIDE = 256


def enlarged(sample: Sample, factor: int) -> Sample:
    image = np.asarray(Image.fromarray(sample.image).resize([SIDE * factor] * 2))
    return Sample(image, sample.instances.repeat(factor, 0).repeat(factor, 1))


def blurred(sample: Sample, sigma: float) -> Sample:
    image = ndimage.gaussian_filter(sample.image.astype(float), (sigma, sigma, 0))
    return Sample(image.astype(np.uint8), sample.instances)


def stained(root: Path) -> Sample:
    """The first image of stained tissue in the Data Science Bowl that is large enough."""
    source = sources.create("dsb2018", root=root / "dsb2018", split="all", modality="stained")
    sample = next(each for each in source if min(each.instances.shape) >= SIDE)
    return Sample(sample.image[:SIDE, :SIDE], sample.instances[:SIDE, :SIDE])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    predictor = jaxnuc.load(options.run)
    cells = generate(1, size=SIDE, style="fluorescence")
    cases = {
        "as_trained": cells,
        "four_times_as_large": enlarged(cells, 4),
        "out_of_focus": blurred(cells, 5),
        "crowded": generate(1, size=SIDE, style="he"),
        "another_domain": stained(options.data),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, sample in cases.items():
        found = jaxnuc.segment(sample.image, predictor).instances
        picture = Image.fromarray(overlay(sample.image, sample.instances, found))
        picture.thumbnail((640, 680))
        picture.save(FOLDER / f"{name}.webp", quality=85, method=6)
        truth = len(np.unique(sample.instances)) - (sample.instances == 0).any()
        pq = score(sample.instances, found).pq
        print(f"{name}: {truth} nuclei, {found.max()} found, PQ {pq:.2f}")


if __name__ == "__main__":
    main()
