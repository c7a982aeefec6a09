"""What the representations share: probabilities, scores, deep supervision."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from jaxnuc.postprocess.checks import float_map


def foreground_probability(logits: np.ndarray, name: str) -> np.ndarray:
    """(H, W, 1) sigmoid logits or (H, W, 2) softmax logits to (H, W) float in [0, 1].

    Raises:
      ValueError: the map of this name holds NaN or infinite numbers.
    """
    logits = float_map(logits, f"map {name!r}", (None, None, None))
    if logits.shape[-1] == 1:
        return special.expit(logits[..., 0])
    return special.expit(logits[..., 1] - logits[..., 0])


def mean_scores(probability: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """(N,) float32: the mean probability within each of the instances 1..N."""
    labels = instances.ravel()
    sums = np.bincount(labels, probability.ravel(), minlength=1)
    return (sums[1:] / np.bincount(labels, minlength=1)[1:]).astype(np.float32)


Loss = Callable[[Any, Any, Any], tuple[Any, dict[str, Any]]]
VALID = "valid"  # name of the target that says where there is anything to learn


def with_valid(targets: dict[str, np.ndarray], ignore: np.ndarray | None) -> dict[str, np.ndarray]:
    """Adds (H, W, 1) uint8, 0 where `ignore` (H, W) says that nothing is annotated."""
    return targets if ignore is None else targets | {VALID: (~ignore).astype(np.uint8)[..., None]}


def supervise(
    maps: Mapping[str, Any],
    targets: Mapping[str, Any],
    losses: Mapping[str, Loss],
    side_weight: float,
    factors: Mapping[str, Any] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Sums the losses of maps and of their side maps.

    Args:
      maps: the network's output; `side` holds `{map: [logits, ...]}` where it has any.
      targets: `{map: target}`, and `valid` where there are pixels to ignore.
      losses: `(logits, target, valid) -> (scalar, parts)` of each map; valid is float
        (B, H, W, 1) or None.
      side_weight: weight of each side map; the outputs weigh 1.
      factors: `side`, where there is one, multiplies `side_weight`.

    Returns:
      The total, and the parts as `map/part` of the outputs with `side` for the rest.
    """
    total: Any = 0.0
    side: Any = 0.0
    side_weight = side_weight * (factors or {}).get("side", 1.0)
    parts: dict[str, Any] = {}
    valid = targets[VALID].astype(np.float32) if VALID in targets else None
    for name, loss in losses.items():
        target = targets[name]
        value, named = loss(maps[name], target, valid)
        total = total + value
        parts |= {f"{name}/{part}": v for part, v in named.items()}
        for logits in maps.get("side", {}).get(name, ()):
            side = side + side_weight * loss(logits, target, valid)[0]
    if "side" in maps:
        parts["side"] = side
    return total + side, parts


def one_of(field: str, value: Any, known: tuple) -> None:
    """Refuses a value that is none of the known ones."""
    if value not in known:
        raise ValueError(f"{field}={value!r}; known: {', '.join(map(str, known))}")
