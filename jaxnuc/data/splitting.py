"""Which images of a data set are in which split."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.registry import check_known

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitBy:
    """How images without a published split are divided, other than one by one at random.

    Attributes:
      groups: what stays on one side, such as the images of a patient: the name of a CSV file below
        the root with the columns `image` and `group`, or `{"pattern": expression}`, a regular
        expression that finds the group in the name of an image, `"(patient\\d+)_"`. None: what the
        source itself knows, or else every image is a group.
      stratify: the sides get like shares of images, and of nuclei by class and by size; else only
        of groups.
      fold: `"i/k"`, i from 0 to k - 1: the groups are cut into k like parts, of which part i is
        test, and val is cut from the others, in the proportion of the source's `fractions` of
        train and val. None: train, val and test are cut by `fractions`.

    Raises:
      ValueError: a fold of another form.
    """

    groups: str | Mapping[str, str] | None = None
    stratify: bool = False
    fold: str | None = None

    def __post_init__(self) -> None:
        _ = self.part

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> "SplitBy":
        """From a section of a configuration; an unknown key is a ValueError."""
        for key in section:
            check_known("argument of split_by:", key, ("groups", "stratify", "fold"))
        return cls(**section)

    @property
    def part(self) -> tuple[int, int] | None:
        """Number of the fold, and how many there are."""
        if self.fold is None:
            return None
        found = re.fullmatch(r"(\d+)/(\d+)", str(self.fold))
        if found is None or not 0 <= int(found[1]) < int(found[2]) or int(found[2]) < 2:
            raise ValueError(
                f"fold={self.fold!r}: expected 'i/k' with k of 2 or more and i from 0 to k - 1, "
                "such as '0/5'"
            )
        return int(found[1]), int(found[2])


def check_split(split: str) -> None:
    """Refuses, with a ValueError, what is neither train, val, test, nor all."""
    check_known("split", split, (*SPLITS, "all"))


def random_split(
    names: Sequence[str],
    split: str,
    seed: int,
    fractions: Sequence[float],
    unit: Callable[[str], str] = str,
    *,
    fold: tuple[int, int] | None = None,
    amounts: np.ndarray | None = None,
) -> list[str]:
    """The images of one split of a permutation by `seed`, cut by `fractions`.

    Args:
      names: of all images, in a fixed order.
      split: `"train"`, `"val"`, `"test"`, or `"all"`.
      seed: of the permutation; of a stratified split, of the order of groups that are alike.
      fractions: shares of train, val and test, which sum to 1.
      unit: what is permuted, such as the patient of an image: all images of one are in one split.
      fold: number and count of the folds, see `SplitBy`; None: no folds.
      amounts: (N, K) what is in each image, of which the splits get like shares; None: the shares
        are those of units.

    Returns:
      The names of the split, in the order of `names`; none is a ValueError.

    >>> random_split(["a", "b", "c", "d"], "train", seed=0, fractions=(0.5, 0.25, 0.25))
    ['a', 'c']
    """
    check_split(split)
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions={tuple(fractions)}: three shares that sum to 1 are expected")
    if split == "all":
        return list(names)
    units = list(dict.fromkeys(map(unit, names)))
    rank = {each: k for k, each in enumerate(units)}
    of_units = None if amounts is None else _summed(amounts, [rank[unit(n)] for n in names])
    every = np.arange(len(units))
    if fold is None:
        sides = _cut(every, fractions, seed, of_units)
    else:
        number, count = fold
        if count > len(units):
            raise ValueError(f"fold {number}/{count}: more folds than the {len(units)} groups")
        test = _cut(every, [1 / count] * count, seed, of_units)[number]
        train, val, _ = fractions
        if train + val == 0:
            raise ValueError(
                f"fractions={tuple(fractions)}: with folds, train or val needs a share"
            )
        shares = (train / (train + val), val / (train + val))
        sides = [*_cut(np.setdiff1d(every, test), shares, seed, of_units), test]
    part = {units[i] for i in sides[SPLITS.index(split)]}
    if not part:
        kind = "images" if len(units) == len(names) else "groups of images"
        raise ValueError(
            f"split {split!r} is empty: {len(units)} {kind} by fractions={tuple(fractions)}; give "
            "it a larger share, or take another split, or 'all' for all images"
        )
    return [name for name in names if unit(name) in part]


def _summed(amounts: np.ndarray, owners: Sequence[int]) -> np.ndarray:
    """(units, K) of (N, K), where image n belongs to unit `owners[n]`."""
    found = np.zeros((max(owners) + 1, amounts.shape[1]))
    np.add.at(found, owners, amounts)
    return found


def _cut(
    units: np.ndarray, shares: Sequence[float], seed: int, amounts: np.ndarray | None
) -> list[np.ndarray]:
    """Divides units, a part for each share: at random, or by the amounts of all units.

    By amounts, the units come one by one, those that hold most of anything first, and each goes
    where it adds least to the sum of (amount - share)^2 / share over amounts and parts, in which
    an amount is a fraction of the whole. This is the greedy iterative stratification of Sechidis,
    Tsoumakas and Vlahavas (On the Stratification of Multi-Label Data, ECML PKDD 2011) for units
    that hold several of each label: there a part gets an example by its want of one label, here by
    its want of all labels that a unit holds.
    """
    order = np.random.default_rng(seed).permutation(len(units))
    if amounts is None:
        ends = np.round(np.cumsum(shares)[:-1] * len(units)).astype(int)
        return [units[each] for each in np.split(order, ends)]
    wanted = amounts[units]
    wanted = wanted / np.maximum(wanted.sum(axis=0), 1)
    order = order[np.argsort(-wanted[order].max(axis=1), kind="stable")]
    given = np.zeros((len(shares), wanted.shape[1]))
    parts: list[list[int]] = [[] for _ in shares]
    open_parts = [k for k, share in enumerate(shares) if share > 0]
    for each in order:
        x = wanted[each]
        chosen = min(open_parts, key=lambda k: x @ (x + 2 * given[k]) / shares[k])
        given[chosen] += x
        parts[chosen].append(int(units[each]))
    return [np.array(part, int) for part in parts]


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
