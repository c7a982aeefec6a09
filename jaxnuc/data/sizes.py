"""Sizes of the nuclei that a network is trained on."""

from collections.abc import Sequence

import numpy as np

from jaxnuc.data.sample import Source
from jaxnuc.data.transforms import Transform, apply

IMAGES = 16  # that are read; more would only make the start slower
QUANTILES = (0.05, 0.5, 0.95)


def area_quantiles(source: Source, transforms: Sequence[Transform], seed: int) -> tuple[float, ...]:
    """The 5th, 50th and 95th percentile of the areas of nuclei, in pixels as a network sees them.

    They are those of images at equal distances in the source, after the transforms; a few, so that
    a training starts at once. Empty where these have no nuclei.

    Args:
      source: of the images to train on.
      transforms: that are applied to each of them.
      seed: of the transforms.
    """
    count = min(len(source), IMAGES)
    numbers = range(count) if source.endless else [k * len(source) // count for k in range(count)]
    areas = []
    for number in numbers:
        sample = apply(transforms, source[number], np.random.default_rng((seed, number)))
        seen = sample.instances if sample.ignore is None else sample.instances[~sample.ignore]
        ids, counts = np.unique(seen, return_counts=True)
        areas.append(counts[ids > 0])
    every = np.concatenate(areas)
    return tuple(np.quantile(every, QUANTILES).tolist()) if len(every) else ()
