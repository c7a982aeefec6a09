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


def supervise(
    maps: Mapping[str, Any],
    targets: Mapping[str, Any],
    loss: Callable[[Any, Any], tuple[Any, dict[str, Any]]],
    side_weight: float,
) -> tuple[Any, dict[str, Any]]:
    """Sums a loss over maps and their side maps.

    Args:
      maps: the network's output; `side` holds `{map: [logits, ...]}` where it has any.
      targets: `{map: target}`.
      loss: `(logits, target) -> (scalar, parts)`.
      side_weight: weight of each side map; the outputs weigh 1.

    Returns:
      The total, and the parts as `map/part` of the outputs with `side` for the rest.
    """
    total: Any = 0.0
    side: Any = 0.0
    parts: dict[str, Any] = {}
    for name, target in targets.items():
        value, named = loss(maps[name], target)
        total = total + value
        parts |= {f"{name}/{part}": v for part, v in named.items()}
        for logits in maps.get("side", {}).get(name, ()):
            side = side + side_weight * loss(logits, target)[0]
    if "side" in maps:
        parts["side"] = side
    return total + side, parts


def one_of(field: str, value: Any, known: tuple) -> None:
    """Refuses a value that is none of the known ones."""
    if value not in known:
        raise ValueError(f"{field}={value!r}; known: {', '.join(map(str, known))}")
