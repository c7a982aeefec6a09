"""Augmentation as one readable list.

A transform is a callable `(sample, rng) -> sample`. Geometry moves image, instances and classes
together, colour changes the image alone; both keep the dtypes and leave their input untouched. In
a config they are written as calls, applied in order:

    transforms = ["random_crop(180)", "scale(0.8, 1.25)", "random_crop(128)", "flip_turn()",
                  "elastic(amount=6)", "colour_jitter()"]

`"preset('he_medium')"` stands for a list of them, see `presets.PRESETS`. The cost grows with the
area, so crop before what is expensive.
"""

import ast
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jaxnuc import registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms import (
    affine,
    artefacts,
    colour,
    combine,
    cut_paste,
    foreground,
    geometry,
    presets,
    stain,
)
from jaxnuc.data.transforms.combine import Transform

__all__ = ["KNOWN", "Transform", "apply", "parse"]

# A preset is the list that it stands for.
KNOWN: dict[str, Callable[..., Transform | tuple[str, ...]]] = {
    "random_crop": geometry.RandomCrop,
    "foreground_crop": foreground.ForegroundCrop,
    "center_crop": geometry.CenterCrop,
    "pad": geometry.Pad,
    "flip_turn": geometry.FlipTurn,
    "scale": geometry.Scale,
    "affine": affine.Affine,
    "elastic": geometry.Elastic,
    "colour_jitter": colour.ColourJitter,
    "hsv_shift": colour.HsvShift,
    "intensity": colour.Intensity,
    "invert": colour.Invert,
    "gray": colour.Gray,
    "stain_jitter": stain.StainJitter,
    "stain_matrix_jitter": stain.StainMatrixJitter,
    "stain_normalize": stain.StainNormalize,
    "blur": artefacts.Blur,
    "median_blur": artefacts.MedianBlur,
    "noise": artefacts.Noise,
    "jpeg": artefacts.Jpeg,
    "coarse_dropout": artefacts.CoarseDropout,
    "cut_paste": cut_paste.CutPaste,
    "one_of": combine.OneOf,
    "preset": presets.preset,
}


def parse(transforms: Iterable[str | Transform]) -> list[Transform]:
    """Reads transforms as they are written in a config.

    Args:
      transforms: each a name of `KNOWN`, with literal arguments where it takes some, or a
        transform itself.

    Returns:
      The transforms, in order; a preset is replaced by those it stands for.

    Raises:
      ValueError: not a call, an unknown name or argument, or a value that the transform refuses.

    >>> parse(["scale(0.8, 1.25)", "random_crop(size=128)", "flip_turn"])
    [Scale(low=0.8, high=1.25), RandomCrop(size=128), FlipTurn()]
    """
    if isinstance(transforms, str):
        raise ValueError(f"a list of transforms is expected, not the string {transforms!r}")
    parsed: list[Transform] = []
    for transform in transforms:
        made = _parse(transform) if isinstance(transform, str) else transform
        parsed += parse(made) if isinstance(made, tuple) else [made]
    return parsed


def apply(transforms: Sequence[Transform], sample: Sample, rng: np.random.Generator) -> Sample:
    """Applies transforms in order.

    Args:
      transforms: as `parse` returns them.
      sample: the input, which stays as it is.
      rng: the source of all randomness.

    Returns:
      The transformed sample.
    """
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


def _parse(text: str) -> Transform | tuple[str, ...]:
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        node = None
    call = ast.Call(func=node, args=[], keywords=[]) if isinstance(node, ast.Name) else node
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f'transform {text!r} is not a call such as "random_crop(128)"')
    name = call.func.id
    if name not in KNOWN:
        raise registry.unknown("transform", name, KNOWN)
    parameters = inspect.signature(KNOWN[name]).parameters
    positional = [_literal(node, text) for node in call.args]
    if len(positional) > len(parameters):
        raise ValueError(
            f"transform {text!r} has {len(positional)} arguments; {name} takes at most "
            f"{len(parameters)}: {', '.join(parameters) or 'none'}"
        )
    arguments: dict[str, Any] = dict(zip(parameters, positional, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg not in parameters:
            raise registry.unknown(f"argument of {name}:", str(keyword.arg), parameters)
        if keyword.arg in arguments:
            raise ValueError(f"transform {text!r} gives {keyword.arg!r} twice")
        arguments[keyword.arg] = _literal(keyword.value, text)
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise ValueError(f"transform {text!r} needs the argument {key!r}")
    try:
        return KNOWN[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"transform {text!r}: {error}") from error


def _literal(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"transform {text!r}: the argument {ast.unparse(node)!r} is not a literal "
            "(number, tuple, string)"
        ) from None
