"""Arguments of a representation that belong to one of its choices; the choice of a decoder."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from jaxnuc.postprocess import grow_from_contours, label_components, remove_small
from jaxnuc.postprocess.checks import within
from jaxnuc.postprocess.masks import Mask
from jaxnuc.representations import _maps

Decoder = Callable[..., Any]


def choose(name: str, decoders: Mapping[str, Decoder], arguments: Mapping[str, Any]) -> Decoder:
    """The decoder of a name with its arguments.

    Args:
      name: value of `decode_by`.
      decoders: functions of maps and arguments, by name.
      arguments: of the representation; None: not given, the decoder's default.

    Returns:
      A function of the maps.

    Raises:
      ValueError: unknown name, or an argument is given that this decoder does not take.
    """
    _maps.one_of("decode_by", name, tuple(decoders))
    parameters = inspect.signature(decoders[name]).parameters
    given = {key: value for key, value in arguments.items() if value is not None}
    for key, value in given.items():
        if key not in parameters:
            takes = ", ".join(p for p in parameters if p in arguments)
            raise ValueError(
                f"{key}={value!r} has no effect with decode_by={name!r}, which takes {takes}"
            )
        if isinstance(value, str) and not isinstance(parameters[key].default, str):
            raise ValueError(f"{key}={value!r} is not a number; decode_by={name!r} needs one")
    return partial(decoders[name], **given)


def unused(representation: Any, condition: str, *names: str) -> None:
    """Raises a ValueError if one of these fields, without effect on a condition, is not default."""
    for field in dataclasses.fields(representation):
        value = getattr(representation, field.name)
        if field.name in names and value != field.default:
            raise ValueError(f"{field.name}={value!r} has no effect with {condition}")


def components(probability: np.ndarray, threshold: float = 0.5, min_size: int = 0) -> np.ndarray:
    """The 8-connected components above a threshold."""
    within(threshold, "threshold")
    return label_components(probability > threshold, min_size)


def growth(
    mask: np.ndarray,
    contour: np.ndarray,
    threshold: float = 0.5,
    seedless: str = "keep",
    erosion: int = 0,
    min_size: int = 0,
) -> np.ndarray:
    """HARU-Net's Algorithm 1 on both maps above a threshold."""
    within(threshold, "threshold")
    instances = grow_from_contours(mask > threshold, contour > threshold, seedless, erosion)
    return remove_small(instances, min_size)


def mask_scores(probability: np.ndarray, masks: tuple[Mask, ...]) -> np.ndarray:
    """(N,) float32: the mean probability within each of the masks."""
    means = [
        probability[row : row + mask.shape[0], col : col + mask.shape[1]][mask].mean()
        for row, col, mask in masks
    ]
    return np.array(means, np.float32)
