"""Seeded splits for data sets that come without one."""

from collections.abc import Sequence

import numpy as np

from jaxnuc import registry

SPLITS = ("train", "val", "test")


def random_split(names: list[str], split: str, seed: int, fractions: Sequence[float]) -> list[str]:
    """The images of one split of a permutation by `seed`, cut by `fractions`.

    Args:
      names: of all images, in a fixed order.
      split: `"train"`, `"val"`, `"test"`, or `"all"`.
      seed: of the permutation.
      fractions: shares of train, val and test.

    Returns:
      The names of the split, in the order of `names`.

    Raises:
      ValueError: unknown split, shares that do not sum to 1, or a split that comes out empty.

    >>> random_split(["a", "b", "c", "d"], "train", seed=0, fractions=(0.5, 0.25, 0.25))
    ['a', 'c']
    """
    if split == "all":
        return names
    if split not in SPLITS:
        raise registry.unknown("split", split, (*SPLITS, "all"))
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions={tuple(fractions)}: three shares that sum to 1 are expected")
    order = np.random.default_rng(seed).permutation(len(names))
    cuts = np.round(np.cumsum(fractions)[:2] * len(names)).astype(int)
    part = np.split(order, cuts)[SPLITS.index(split)]
    if part.size == 0:
        raise ValueError(
            f"split {split!r} is empty: {len(names)} images by fractions={tuple(fractions)}; give "
            "it a larger share, or take another split"
        )
    return [names[i] for i in np.sort(part)]
