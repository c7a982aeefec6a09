"""The order of an endless stream, as functions of the position alone.

Nothing is counted along the way, so any worker or process finds position i by itself.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np

LEAST_SHARE = Fraction(1, 10_000)


class Shares:
    """Which part is read at each position: parts mixed at random in proportion to weights.

    The stream is cut into blocks, as short as the smallest share allows. How often a part occurs
    before a block is its share, rounded; only the order within the block is random. So every
    stretch of the stream holds each part in proportion, to within a few positions.

    Args:
      weights: of the parts, positive, none below 1 in 10,000 of the sum; 0.2 is taken as 1/5.
      seed: of the order.
    """

    def __init__(self, weights: Sequence[float], seed: int):
        if not all(isinstance(w, int | float) and 0 < w < math.inf for w in weights):
            raise ValueError(f"weights {list(weights)}: positive numbers are expected")
        exact = [Fraction(str(weight)) for weight in weights]
        total = sum(exact, Fraction())
        least = min(exact) / total
        if least < LEAST_SHARE:
            raise ValueError(
                f"weights {list(weights)}: the smallest is {float(least):.2g} of their sum; at "
                f"least {float(LEAST_SHARE):g} is expected"
            )
        self._bounds = [bound / total for bound in accumulate(exact)]
        self._length = math.ceil(1 / least)
        self._seed = seed

    def __call__(self, position: int) -> tuple[int, int]:
        """The part at a position, and how often it occurred before."""
        block, place = divmod(int(position), self._length)
        before, after = self._counts(block), self._counts(block + 1)
        parts = np.repeat(np.arange(len(before)), np.subtract(after, before))
        parts = np.random.default_rng([self._seed, 0, block]).permutation(parts)
        part = int(parts[place])
        return part, before[part] + int(np.count_nonzero(parts[:place] == part))

    def _counts(self, block: int) -> list[int]:
        """How often each part occurs before a block; in integers, exact at any position."""
        ends = [0, *(block * self._length * b.numerator // b.denominator for b in self._bounds)]
        # At least one position of a block falls to each part on average, hence none decreases.
        return [end - start for start, end in pairwise(ends)]


class Epochs:
    """Which sample of a part is read each time: epochs, each in a new random order.

    Without weights every epoch holds each sample once. With weights an epoch has as many
    positions, and sample i takes `count * weights[i]` of them, rounded up or down at random
    (systematic sampling), so that its expected frequency is exact in every epoch.

    Args:
      count: samples of the part.
      seed: of the orders: two integers, not 0 the second, which marks `Shares`.
      weights: (count,) not negative; their scale does not matter. None: equal ones.
    """

    def __init__(self, count: int, seed: Sequence[int], weights: np.ndarray | None = None):
        self._count, self._seed = count, list(seed)
        self._weights = None if weights is None else np.asarray(weights, np.float64)
        self._orders: dict[int, np.ndarray] = {}

    def __call__(self, position: int) -> int:
        """The sample at a position of the part's own stream."""
        epoch, place = divmod(int(position), self._count)
        order = self._orders.get(epoch)
        if order is None:
            order = self._orders[epoch] = self._order(epoch)
            for old in list(self._orders)[:-2]:  # threads may be in two epochs at a time
                self._orders.pop(old, None)
        return int(order[place])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_orders": {}}

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([*self._seed, epoch])
        order = rng.permutation(self._count)
        if self._weights is None:
            return order
        # Marks at equal distances, on a line where each sample has a stretch of its weight. The
        # samples lie in random order: else neighbors would be drawn in turn.
        ends = np.cumsum(self._weights[order])
        marks = (np.arange(self._count) + rng.random()) / self._count * ends[-1]
        drawn = np.minimum(np.searchsorted(ends, marks, side="right"), self._count - 1)
        return rng.permutation(order[drawn])
