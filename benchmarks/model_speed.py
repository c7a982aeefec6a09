"""Seconds a megapixel of the models that come with the library, beside StarDist in PyTorch.

    python -m benchmarks.model_speed --stardist=FOLDER [--source='dsb2018(modality="fluorescence")']

From an image array to its label map, on the same images one after the other, each tool in its turn
on every image, after a round that is not counted, in which programs are compiled. FOLDER is a model
of StarDist of one channel (`config.json`, `thresholds.json`, `weights_best.h5`), which
`cistardist-pytorch` runs, and this library after `jaxnuc convert`. With random weights both find
whatever they find, so that the networks alone are timed too.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxnuc.data.splits import open_split
from jaxnuc.prediction.predictor import load
from jaxnuc.prediction.segment import SizedPredictor
from jaxnuc.registry import section_of
from jaxnuc.run.cards import shipped
from jaxnuc.training.conversion import convert

Run = Callable[[np.ndarray], object]


def of_model(name: str, diameter: float | str) -> Run:
    return SizedPredictor(load(name, diameter=diameter))


def of_stardist(folder: Path, workdir: Path) -> dict[str, Run]:
    """The same StarDist network by either tool; ours is written to `workdir`."""
    from cistardist_pytorch.model import StarDist2D

    ours = load(convert(folder, workdir))
    network = StarDist2D.from_folder(folder, device="cpu")
    gray = lambda image: image.mean(axis=-1)
    return {
        "the StarDist model, jaxnuc": ours,
        "the StarDist model, jaxnuc, network alone": ours.maps,
        "cistardist-pytorch": lambda image: network.predict_instances(gray(image)),
        "cistardist-pytorch, network alone": lambda image: network.predict(gray(image)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", default='dsb2018(modality="fluorescence")')
    parser.add_argument("--root", default="")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--stardist", type=Path)
    parser.add_argument("--models", nargs="*", default=list(shipped()))
    arguments = parser.parse_args()
    source = open_split(section_of(arguments.source, "data set"), arguments.root, "test")
    images = [source[k].image for k in range(min(len(source), arguments.count))]
    runs = {
        f"{name}, {how}": of_model(name, how)
        for name in arguments.models
        for how in ("auto", "off")
    }
    if arguments.stardist:
        with tempfile.TemporaryDirectory() as folder:
            runs |= of_stardist(arguments.stardist, Path(folder, "run"))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for counted in (False, True):
        for image in images:
            for name, run in runs.items():
                start = time.perf_counter()
                run(image)
                if counted:
                    seconds[name].append(time.perf_counter() - start)
    megapixels = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
    print(f"{len(images)} images, {megapixels:.1f} megapixels\n")
    print("| tool | s a megapixel | median ms an image |\n| --- | --- | --- |")
    for name, values in seconds.items():
        print(f"| {name} | {sum(values) / megapixels:.2f} | {1000 * np.median(values):.0f} |")


if __name__ == "__main__":
    main()
