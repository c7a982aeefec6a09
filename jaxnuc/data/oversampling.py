"""Weights of images, so that rare classes of nuclei are seen more often."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnuc.data.sample import Source
from jaxnuc.postprocess import class_votes
from jaxnuc.registry import Registry, split

# The winners of CoNIC do not say where they clip; above all but the densest images.
_CLIP = 0.99


def class_counts(source: Source) -> np.ndarray:
    """Counts the nuclei of each class in every image, in one pass with a progress bar.

    (N, K) int64, K the number of groups of the source's `label_set`; ignored classes are not
    counted. A source without classes, or without end, is a ValueError.
    """
    label_set = source.label_set
    if label_set is None:
        raise ValueError(f"source {source.name!r} has no classes to balance; leave out 'balance'")
    if source.endless:
        raise ValueError(f"source {source.name!r} is endless: there are no images to balance")
    groups = len(label_set.groups) + 1
    counts = np.zeros((len(source), groups), np.int64)
    for i in tqdm(range(len(source)), desc=f"count classes of {source.name}", disable=None):
        sample = source[i]
        if sample.classes is None:
            raise ValueError(
                f"source {source.name!r}: image {sample.meta.get('name')!r} has no classes"
            )
        classes, _ = class_votes(sample.instances, np.maximum(sample.classes, 0), groups)
        counts[i] = np.bincount(classes, minlength=groups)
    return counts[:, 1:]


def sqrt_weights(counts: np.ndarray) -> np.ndarray:
    """Weighs an image by its rarest class, by the square root of the inverse frequency.

    Args:
      counts: (N, K) nuclei of each class in each image.

    Returns:
      (N,) float64: the largest `sqrt(total / count)` of the classes in an image, where `count` is
      that of a class in all images and `total` that of all classes; for an image without nuclei,
      that of the commonest class.

    References:
      Gupta et al., LVIS, CVPR 2019: the repeat factors, there by images and with a threshold.

    >>> sqrt_weights(np.array([[9, 0], [0, 3], [0, 0]])).round(3).tolist()
    [1.155, 2.0, 1.155]
    """
    factors = _inverse_root(counts.sum(axis=0))
    least = factors[factors > 0].min(initial=np.inf)
    weights = np.where(counts > 0, factors, 0).max(axis=1, initial=0)
    return np.where(weights > 0, weights, least if np.isfinite(least) else 1)


def rare_weights(counts: np.ndarray, rarest: int = 4, extra: float = 1.0) -> np.ndarray:
    """Draws images of the rarest classes in addition to one turn of every image.

    The additional draws are divided among the rarest classes in proportion to
    `sqrt(total / count)`; those of a class fall to images in proportion to the square of its
    count in them, clipped at the 99 % quantile of the images that have it.

    Args:
      counts: (N, K) nuclei of each class in each image.
      rarest: number of classes that are drawn in addition; those without nuclei do not count.
      extra: additional draws per image of the source. The published scheme leaves this open.

    Returns:
      (N,) float64 expected draws of each image, `N * (1 + extra)` in all; `N` without nuclei.

    Raises:
      ValueError: `rarest` is below 1 or `extra` is negative.

    References:
      Weigert and Schmidt, "Nuclei instance segmentation and classification in histopathology
      images with StarDist", ISBIC 2022.

    >>> rare_weights(np.array([[3, 0], [3, 2], [3, 2], [3, 0]]), rarest=1).tolist()
    [1.0, 3.0, 3.0, 1.0]
    """
    if rarest < 1 or extra < 0:
        raise ValueError(
            f"rarest={rarest}, extra={extra}: at least one class, and not less than 0, are expected"
        )
    n = len(counts)
    totals = counts.sum(axis=0)
    factors = _inverse_root(totals)
    rare = np.argsort(-factors, kind="stable")[:rarest]
    rare = rare[totals[rare] > 0]
    weights = np.ones(n)
    for k in rare:
        present = counts[:, k][counts[:, k] > 0]
        squares = np.minimum(counts[:, k], np.quantile(present, _CLIP)) ** 2.0
        weights += extra * n * factors[k] / factors[rare].sum() * squares / squares.sum()
    return weights


def _inverse_root(totals: np.ndarray) -> np.ndarray:
    """`sqrt(total / count)` of each class, 0 of a class without nuclei."""
    return np.sqrt(np.divide(totals.sum(), totals, out=np.zeros(len(totals)), where=totals > 0))


REGISTRY = Registry(
    "balance",
    table={"sqrt": sqrt_weights, "rare": rare_weights},
    elsewhere={"counts": "they are those of the data set"},
)


def image_weights(source: Source, balance: str | Mapping[str, Any]) -> np.ndarray:
    """The weights of a source's images, (N,) float64, positive; the source is read once.

    Args:
      source: with classes.
      balance: `"sqrt"`, `"rare"`, or `{"name": "rare", "rarest": 4, "extra": 1.0}`; or the dotted
        name of a function elsewhere with the same first argument and result.
    """
    try:
        section = {"name": balance} if isinstance(balance, str) else dict(balance)
    except (TypeError, ValueError):
        raise ValueError(f"balance={balance!r}: a name or a mapping is expected") from None
    name, arguments = split(section, "balance")
    REGISTRY.check(name, arguments, ["counts"])  # before all images are read
    weights: np.ndarray = REGISTRY.build(section, counts=class_counts(source))
    return weights
