"""JAX's random numbers, in NumPy: a compiler takes seconds for what is drawn in milliseconds.

JAX's generator is Threefry-2x32 of 20 rounds by Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011. Number i of a stream is the encryption of i by the stream's key, so that the first
numbers do not depend on how many are drawn.
"""

import math
from typing import Literal

import numpy as np
from scipy import special

Distribution = Literal["normal", "truncated_normal", "uniform"]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
AT_ONCE = 2**15  # numbers, so that a processor's cache holds them


def make_key(seed: int) -> np.ndarray:
    """The key of a seed, (2,) uint32, as of `jax.random.key`."""
    return np.array([0, seed & 0xFFFFFFFF], np.uint32)


def fold_in(key: np.ndarray, number: int) -> np.ndarray:
    """A new key from a key and a number in 0 .. 2**32 - 1, as of `jax.random.fold_in`."""
    return np.concatenate(_encrypt(key, np.array([number], np.uint32)))


def standard_numbers(key: np.ndarray, distribution: Distribution, count: int) -> np.ndarray:
    """Random numbers, (count,) float32.

    Args:
      key: of the stream, from `make_key` or `fold_in`.
      distribution: `"normal"`; `"truncated_normal"`, a standard normal distribution that is cut
        off at -2 and 2; or `"uniform"` in [-1, 1).
      count: how many.
    """
    numbers = np.empty(count, np.float32)
    for start in range(0, count, AT_ONCE):
        part = numbers[start : start + AT_ONCE]
        part[:] = _drawn(_bits(key, start, len(part)), distribution)
    return numbers


def _drawn(bits: np.ndarray, distribution: Distribution) -> np.ndarray:
    if distribution == "uniform":
        return _between(bits, -1.0, 1.0)
    root = np.float32(math.sqrt(2))
    if distribution == "normal":
        least = float(np.nextafter(np.float32(-1), np.float32(0)))
        return root * special.erfinv(_between(bits, least, 1.0))
    bound = math.erf(2 / math.sqrt(2))
    inside = np.nextafter(np.float32(2), np.float32(0))
    return np.clip(root * special.erfinv(_between(bits, -bound, bound)), -inside, inside)


def _between(bits: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers in [low, high) from 32 random bits each, of which 23 are used."""
    first, last = np.float32(low), np.float32(high)
    unit = ((bits >> 9) | np.float32(1).view(np.uint32)).view(np.float32) - np.float32(1)
    return np.maximum(first, unit * (last - first) + first)


def _bits(key: np.ndarray, start: int, count: int) -> np.ndarray:
    """The random bits of the numbers from `start` on, (count,) uint32."""
    # 2**32 numbers and more, whose counters have a high half, are no parameter's.
    first, second = _encrypt(key, np.arange(start, start + count, dtype=np.uint32))
    return first ^ second


def _encrypt(key: np.ndarray, counters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Threefry-2x32 of counters (N,) uint32 whose high halves are 0: two arrays like these."""
    schedule = [key[:1], key[1:], key[:1] ^ key[1:] ^ np.uint32(PARITY)]  # arrays, which wrap
    first, second = np.broadcast_to(schedule[0], counters.shape).copy(), counters + schedule[1]
    high = np.empty_like(second)
    for block in range(5):
        for turn in ROTATIONS[block % 2]:
            first += second
            np.left_shift(second, turn, out=high)
            second >>= np.uint32(32 - turn)
            second |= high
            second ^= first
        first += schedule[(block + 1) % 3]
        second += schedule[(block + 2) % 3] + np.uint32(block + 1)
    return first, second
