"""Synthetic nuclei without end: a picture for every index, computed when asked for.

Needs no download and no license; used to try things out, to pre-train and in tests.
"""

from collections.abc import Callable, Sequence

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import styles
from jaxnuc.registry import check_known

STYLES: dict[str, Callable[[np.random.Generator, int], styles.Picture]] = {
    "fluorescence": styles.fluorescence,
    "he": styles.he,
    "pap": styles.pap,
}
SPLITS = {"train": 0, "val": 1, "test": 2}


def generate(
    index: int,
    seed: int = 0,
    size: int = 256,
    style: str | Sequence[str] | None = None,
    split: str = "train",
) -> Sample:
    """Draws one picture with its nuclei, a pure function of the arguments.

    Args:
      index: which picture, 0 or more.
      seed: of the whole stream.
      size: side in pixels.
      style: `fluorescence`, `he`, `pap`, or several of which one is drawn (a repeated one more
        often); None for all.
      split: `train`, `val` or `test`: streams that share no picture.

    Returns:
      A sample of image (size, size, 3) uint8 and instances (size, size) int32 with the ids
      1..N, each in one piece; where nuclei overlap, the higher id lies on top. No classes;
      `meta` holds `name` and `style`.

    Raises:
      ValueError: unknown style or split.
      IndexError: negative index.

    >>> sample = generate(3, size=64, style="he")
    >>> sample.image.shape, sample.meta["name"]
    ((64, 64, 3), 'synthetic-3')
    """
    choices = check_styles(style)
    check_known("split", split, SPLITS)
    if index < 0:
        raise IndexError(f"index {index} of the synthetic pictures; the first is 0")
    rng = np.random.default_rng([seed, SPLITS[split], index])
    name = choices[rng.integers(len(choices))]
    image, instances = STYLES[name](rng, size)
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return Sample(image, instances, None, {"name": f"synthetic-{index}", "style": name})


def check_styles(style: str | Sequence[str] | None) -> tuple[str, ...]:
    """The styles to choose from; ValueError for an unknown one or none at all."""
    choices = (
        tuple(STYLES) if style is None else (style,) if isinstance(style, str) else tuple(style)
    )
    if not choices:
        raise ValueError(f"no style given; known: {', '.join(STYLES)}")
    for name in choices:
        check_known("style", name, STYLES)
    return choices
