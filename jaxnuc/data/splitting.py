"""Which images of a data set are in which split."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxnuc.registry import check_known

SPLITS = ("train", "val", "test")


def check_split(split: str) -> None:
    """Refuses, with a ValueError, what is neither train, val, test, nor all."""
    check_known("split", split, (*SPLITS, "all"))


def random_split(
    names: Sequence[str],
    split: str,
    seed: int,
    fractions: Sequence[float],
    unit: Callable[[str], str] = str,
) -> list[str]:
    """The images of one split of a permutation by `seed`, cut by `fractions`.

    Args:
      names: of all images, in a fixed order.
      split: `"train"`, `"val"`, `"test"`, or `"all"`.
      seed: of the permutation.
      fractions: shares of train, val and test, which sum to 1.
      unit: what is permuted, such as the patient of an image: all images of one are in one split.

    Returns:
      The names of the split, in the order of `names`; none is a ValueError.

    >>> random_split(["a", "b", "c", "d"], "train", seed=0, fractions=(0.5, 0.25, 0.25))
    ['a', 'c']
    """
    check_split(split)
    if split == "all":
        return list(names)
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions={tuple(fractions)}: three shares that sum to 1 are expected")
    units = list(dict.fromkeys(map(unit, names)))
    order = np.random.default_rng(seed).permutation(len(units))
    ends = np.round(np.cumsum(fractions)[:2] * len(units)).astype(int)
    part = {units[i] for i in np.split(order, ends)[SPLITS.index(split)]}
    if not part:
        kind = "images" if len(units) == len(names) else "groups of images"
        raise ValueError(
            f"split {split!r} is empty: {len(units)} {kind} by fractions={tuple(fractions)}; give "
            "it a larger share, or take another split"
        )
    return [name for name in names if unit(name) in part]


def published_split(
    sides: Mapping[str, str],
    split: str,
    seed: int,
    val_fraction: float,
    unit: Callable[[str], str] | None = None,
) -> list[str]:
    """The images of one split, where train and test are published, and val is cut from train.

    Args:
      sides: `"train"` or `"test"` by the names of the images.
      split: `"train"`, `"val"`, `"test"`, or `"all"`.
      seed: of the permutation by which val is cut from the training images.
      val_fraction: share of the training images that is val, in [0, 1).
      unit: see `random_split`; these are permuted in alphabetical order.

    Returns:
      The names of the split, in the order of `sides`; none is a ValueError.
    """
    check_split(split)
    if not 0 <= val_fraction < 1:
        raise ValueError(f"val_fraction={val_fraction}: a share in [0, 1) is expected")
    chosen = [
        n for n, side in sides.items() if split == "all" or (side == "test") == (split == "test")
    ]
    if not chosen:
        raise ValueError(
            f"split {split!r} is empty: these data have none of its images; complete them, or take "
            "another split"
        )
    if split in ("train", "val"):
        shares = (1 - val_fraction, val_fraction, 0.0)
        ordered = sorted(chosen, key=unit) if unit else chosen
        kept = set(random_split(ordered, split, seed, shares, unit or str))
        chosen = [name for name in chosen if name in kept]
    return chosen
