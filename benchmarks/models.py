"""What a model that comes with the library reaches, and how far images may differ from its own.

    python -m benchmarks.models fluorescence --source='dsb2018(modality="fluorescence")'
    python -m benchmarks.models fluorescence --source='...' --changed
    python -m benchmarks.models fluorescence --source='...' --estimates

The first prints the figures on a split; the second, on the same images changed: enlarged and
shrunk, brighter and dimmer, in 12 and 16 bits, with hot pixels, inverted. Each changed image is
scored against its truth at its own size. The third compares the estimated diameters with the
annotated ones. The data are found by $JAXNUC_DATA.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.splits import open_split
from jaxnuc.data.transforms.diameter import typical_diameter
from jaxnuc.data.transforms.geometry import resize
from jaxnuc.io import ArrayImage
from jaxnuc.metrics import Evaluation, Summary, score
from jaxnuc.prediction.predictor import Predictor, load
from jaxnuc.prediction.segment import PatchwisePredictor, SizedPredictor
from jaxnuc.registry import section_of

Change = Callable[[Sample, np.random.Generator], Sample]
PATCH, OVERLAP = 512, 128


def scaled(factor: float) -> Change:
    def change(sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = (max(1, round(n * factor)) for n in sample.instances.shape)
        return resize(sample, height, width)

    return change


def of_values(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Change:
    return lambda sample, rng: replace(sample, image=change(sample.image, rng))


def hot(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One pixel in a thousand at the end of the range."""
    image = image.copy()
    image[rng.random(image.shape[:2]) < 0.001] = 255
    return image


CHANGES: dict[str, Change] = {
    "as they are": lambda sample, rng: sample,
    **{f"{factor:g} times the size": scaled(factor) for factor in (0.35, 0.5, 2, 3)},
    "3 times as bright, clipped": of_values(
        lambda image, rng: np.minimum(image.astype(int) * 3, 255).astype(np.uint8)
    ),
    "dimmed to 3 % of the range": of_values(
        lambda image, rng: np.rint(image * 0.03).astype(np.uint8)
    ),
    "12 of 16 bits": of_values(lambda image, rng: image.astype(np.uint16) * 16),
    "16 bits": of_values(lambda image, rng: image.astype(np.uint16) * 257),
    "3 % of 16 bits": of_values(lambda image, rng: np.rint(image * (257 * 0.03)).astype(np.uint16)),
    "hot pixels": of_values(hot),
    "inverted": of_values(lambda image, rng: 255 - image),
}


def evaluate(segment: SizedPredictor, source: Source, change: Change, count: int) -> Evaluation:
    """Scores images, changed."""
    names, scores = [], []
    for index in range(min(len(source), count)):
        sample = change(source[index], np.random.default_rng(index))
        names.append(str(sample.meta["name"]))
        scores.append(score(sample.instances, segment(sample.image).instances))
    return Evaluation(names, scores, [{}] * len(names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--source", required=True)
    parser.add_argument("--root", default="")
    parser.add_argument("--split", default="test")
    parser.add_argument("--changed", action="store_true")
    parser.add_argument("--estimates", action="store_true")
    parser.add_argument("--only", action="append", choices=list(CHANGES))
    parser.add_argument("--diameter", default="auto")
    parser.add_argument("--symmetries", type=int, default=1)
    parser.add_argument("--count", type=int, default=10**6, help="images at most")
    arguments = parser.parse_args()
    given = arguments.diameter
    diameter = given if given in ("auto", "off") else float(given)
    predictor = load(arguments.model, diameter=diameter, symmetries=range(arguments.symmetries))
    segment = SizedPredictor(PatchwisePredictor(predictor, PATCH, OVERLAP))
    source = open_split(section_of(arguments.source, "data set"), arguments.root, arguments.split)
    if arguments.estimates:
        estimates(predictor, source, arguments.count)
        return
    names = arguments.only or (list(CHANGES) if arguments.changed else ["as they are"])
    print("| images | PQ | AJI | F1 at 0.5 | s |\n| --- | --- | --- | --- | --- |")
    for name in names:
        start = time.perf_counter()
        figures = evaluate(segment, source, CHANGES[name], arguments.count).summary(level=0.95)
        seconds = time.perf_counter() - start
        cells = [interval(figures, key) for key in ("pq", "aji", "dq")]
        print(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


def estimates(predictor: Predictor, source: Source, count: int) -> None:
    """How far estimated diameters are from the medians of the annotated nuclei."""
    for factor in (0.35, 1.0, 3.0):
        logs = []
        for index in range(min(len(source), count)):
            sample = scaled(factor)(source[index], np.random.default_rng(0))
            true = typical_diameter(sample.instances)
            found = predictor.diameter_of(ArrayImage(sample.image))
            if true and found:
                logs.append(abs(np.log(found / true)))
        off = np.exp(np.quantile(logs, (0.5, 0.9, 1)))
        print(f"{factor:g} times the size, {len(logs)} images: off by times (median, 90 %, worst)")
        print("  " + ", ".join(f"{each:.2f}" for each in off), flush=True)


def interval(figures: Summary, name: str) -> str:
    """The mean over images and its interval."""
    return str(figures.intervals[f"{name}_image_mean"])


if __name__ == "__main__":
    main()
