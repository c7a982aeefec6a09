"""Augmentation as one readable list.

A transform is a callable `(sample, rng) -> sample`, see `base.Transform`. Geometry moves image,
instances and classes together, color changes the image alone; both keep the dtypes and leave their
input untouched. In a config they are written as calls, applied in order:

    transforms = ["random_crop(180)", "scale(0.8, 1.25)", "random_crop(128)", "flip_turn()",
                  "elastic(amount=6)", "color_jitter()", "my_package.my_transforms.Blur(2)"]

Every class of this package is known by its name in small letters, those of other packages by their
dotted names. `"preset('he_medium')"` stands for a list, see `presets.PRESETS`. The cost grows with
the area, so crop before what is expensive.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Sequence

import numpy as np

from jaxnuc import registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform

__all__ = ["REGISTRY", "Transform", "apply", "parse"]


def _classes() -> dict[str, type[Transform]]:
    """The transforms in the modules of this package, by their names in configurations."""
    found: dict[str, type[Transform]] = {}
    for _, name, _ in pkgutil.iter_modules(__path__, f"{__name__}."):
        for member in vars(importlib.import_module(name)).values():
            if inspect.isclass(member) and issubclass(member, Transform):
                key = re.sub(r"(?<!^)(?=[A-Z])", "_", member.__name__).lower()
                if found.setdefault(key, member) is not member:
                    raise TypeError(f"two transforms are called {key!r}: in {name} and before")
    return {name: member for name, member in found.items() if not inspect.isabstract(member)}


REGISTRY = registry.Registry("transform", table=_classes(), base=Transform)


def parse(transforms: Iterable[str | Transform]) -> list[Transform]:
    """Reads transforms as they are written in a config.

    Args:
      transforms: each a name of `REGISTRY`, or the dotted name of a class elsewhere, with literal
        arguments where it takes some; or a transform itself.

    Returns:
      The transforms, in order.

    Raises:
      ValueError: not a call, an unknown name or argument, or a value that the transform refuses.

    >>> parse(["scale(0.8, 1.25)", "random_crop(size=128)", "flip_turn"])
    [Scale(low=0.8, high=1.25), RandomCrop(size=128), FlipTurn()]
    """
    if isinstance(transforms, str):
        raise ValueError(f"a list of transforms is expected, not the string {transforms!r}")
    return [_parse(each) if isinstance(each, str) else each for each in transforms]


def apply(transforms: Sequence[Transform], sample: Sample, rng: np.random.Generator) -> Sample:
    """Applies transforms in order; the sample given stays as it is."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


def _parse(text: str) -> Transform:
    name, values, named = registry.call(text, "transform")
    parameters = REGISTRY.parameters(name)
    if len(values) > len(parameters):
        raise ValueError(
            f"transform {text!r} has {len(values)} arguments; {name} takes at most "
            f"{len(parameters)}: {', '.join(parameters) or 'none'}"
        )
    given = dict(zip(parameters, values, strict=False))
    if twice := given.keys() & named.keys():
        raise ValueError(f"transform {text!r} gives {min(twice)!r} twice")
    REGISTRY.check(name, given | named)
    try:
        made: Transform = REGISTRY.find(name)(**given, **named)
    except (TypeError, ValueError) as error:
        raise ValueError(f"transform {text!r}: {error}") from error
    return made
