"""Dropout by image: the masks do not depend on how a batch lies on devices."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
from flax import linen as nn


def dropout_by_image(numbers: jax.Array) -> AbstractContextManager[None]:
    """Networks that are applied within draw the masks of Flax's dropout for each image by itself.

    The random stream `"dropout"` must be the same on all devices then.

    Args:
      numbers: (B,) int32, of the images in the batch of all devices; no two have the same.
    """

    def draw(
        call: Callable[..., jax.Array],
        arguments: Sequence[Any],
        options: Mapping[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        layer = context.module
        if (
            not isinstance(layer, nn.Dropout)
            or context.method_name != "__call__"
            or 0 in layer.broadcast_dims  # all images have one mask
        ):
            return call(*arguments, **options)
        images, *rest = arguments
        key = layer.make_rng(layer.rng_collection)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)

        def drop(image: jax.Array, key: jax.Array) -> jax.Array:
            return call(image[None], *rest, **{**options, "rng": key})[0]

        return jax.vmap(drop)(images, keys)

    return nn.intercept_methods(draw)
