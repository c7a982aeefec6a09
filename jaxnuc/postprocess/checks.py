"""Checks of the arguments of post-processing: label maps, float maps, ranges and sizes."""

import numpy as np


def label_map(array: np.ndarray, name: str) -> np.ndarray:
    """A checked label map (H, W) in C order, not copied where it is; bool as uint8.

    Raises:
      ValueError: the array, an argument called `name`, is not (H, W), holds floats or a negative
        number.
    """
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError(f"{name} must be (H, W), got shape {array.shape}")
    array = np.ascontiguousarray(array)
    if array.dtype == bool:
        return array.view(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must hold integers, got {array.dtype}; label or round it first")
    if array.min(initial=0) < 0:
        raise ValueError(f"{name} holds the negative number {array.min()}; set such pixels to 0")
    return array


def float_map(array: np.ndarray, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """A checked map of finite numbers in C order, not copied where it is.

    Another dtype than float32 or float64 becomes float64; None in `shape` leaves a side free.

    Raises:
      ValueError: another shape, or NaN or infinite numbers in the argument called `name`.
    """
    array = np.asarray(array)
    fits = [n in (None, m) for n, m in zip(shape, array.shape, strict=False)]
    if array.ndim != len(shape) or not all(fits):
        sides = [axis if n is None else str(n) for n, axis in zip(shape, "HWC", strict=False)]
        raise ValueError(f"{name} must be ({', '.join(sides)}), got shape {array.shape}")
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
    array = np.ascontiguousarray(array, dtype)
    # A minimum is NaN if any value is, so that two scans without temporary arrays suffice.
    if not np.isfinite([array.min(initial=0), array.max(initial=0)]).all():
        raise ValueError(
            f"{name} holds {np.isnan(array).sum()} NaN and {np.isinf(array).sum()} infinite "
            "numbers; the network that predicted it has diverged"
        )
    return array


def probability_map(array: np.ndarray, name: str) -> np.ndarray:
    """A checked map (H, W) of probabilities, float32 or float64 in [0, 1].

    Raises:
      ValueError: the array is not (H, W) or holds a number outside [0, 1].
    """
    array = float_map(array, name, (None, None))
    if array.min(initial=0) < 0 or array.max(initial=1) > 1:
        raise ValueError(
            f"{name} reaches from {array.min()} to {array.max()}; probabilities are in [0, 1]: "
            "apply the sigmoid or the softmax to logits, divide bytes by 255"
        )
    return array


def within(value: float, name: str, lowest: float = 0, highest: float = 1) -> None:
    """Raises a ValueError if a number is outside a range, or NaN."""
    if not lowest <= value <= highest:
        raise ValueError(f"{name} {value} is not within [{lowest}, {highest}]")


def same_size(a: np.ndarray, b: np.ndarray, a_name: str, b_name: str) -> None:
    """Raises a ValueError that names both sizes if two maps differ in height or width."""
    if a.shape[:2] != b.shape[:2]:
        raise ValueError(
            f"{a_name} has height and width {a.shape[:2]}, {b_name} {b.shape[:2]}; they must agree"
        )
