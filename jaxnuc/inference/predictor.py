"""A trained network that turns images into nuclei: array in, label map out."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from jaxnuc import config as configs
from jaxnuc import models, representations
from jaxnuc.data.files import to_rgb
from jaxnuc.data.normalize import Normalize
from jaxnuc.representations import Nuclei, Representation
from jaxnuc.training import checkpoints

# Sides are padded up to a multiple of this, so that images of many sizes share few compilations.
STRIDE = 64


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Any image array to (H, W, 3) uint8.

    Args:
      image: (H, W), or (H, W, C) with 1 to 4 channels, of which alpha is dropped; bool, uint8,
        uint16 (full range), or float in [0, 1].

    Raises:
      ValueError: another shape, type or range.
    """
    image = np.asarray(image)
    if 0 in image.shape:
        raise ValueError(f"an image of shape {image.shape} has no pixels")
    if image.dtype == np.uint16:
        image = np.round(image / 257).astype(np.uint8)
    elif np.issubdtype(image.dtype, np.floating):
        low, high = float(image.min()), float(image.max())
        if not 0 <= low <= high <= 1:
            raise ValueError(f"a float image lies in [0, 1], got [{low}, {high}]; rescale it")
        image = np.round(image * 255).astype(np.uint8)
    return to_rgb(image, "the image")


@dataclass(frozen=True)
class Predictor:
    """A network with its parameters and its representation.

    Attributes:
      forward: jitted `(variables, (B, H, W, 3) uint8) -> {map: (B, H, W, C)}` logits.
      variables: parameters and running statistics.
      representation: which decodes the maps.
      normalize: of the image, as in training.
      config: of the training.
    """

    forward: Callable[[Any, Any], dict[str, jax.Array]]
    variables: Any
    representation: Representation
    normalize: Normalize
    config: ConfigDict

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The logits (H, W, C) of an image as `as_rgb` takes it."""
        image = self.normalize.image(as_rgb(image))
        h, w, _ = image.shape
        bottom, right = -h % STRIDE, -w % STRIDE
        padded = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="symmetric")
        maps = jax.device_get(self.forward(self.variables, padded[None]))
        return {name: m[0, :h, :w] for name, m in maps.items()}

    @property
    def decode(self) -> Callable[[Mapping[str, np.ndarray]], Nuclei]:
        """The second step, from maps to nuclei: NumPy only, and picklable."""
        return self.representation.decode

    def __call__(self, image: np.ndarray) -> Nuclei:
        """The nuclei of an image."""
        return self.decode(self.maps(image))


def segment(image: np.ndarray, predictor: Predictor) -> Nuclei:
    """Finds the nuclei of an image.

    Args:
      image: (H, W), (H, W, 3) or (H, W, 4); uint8, uint16 or float in [0, 1].
      predictor: from `load`.

    Returns:
      `instances` (H, W) int32, `classes` (N,) or None, `scores` (N,).
    """
    return predictor(image)


def make_forward(model: nn.Module) -> Callable[[Any, Any], dict[str, jax.Array]]:
    """The jitted evaluation of a network on bytes."""
    return jax.jit(
        lambda variables, images: model.apply(
            variables, images.astype(jnp.float32) / 255, train=False
        )
    )


def make_model(
    config: ConfigDict, axis_name: str | None = None
) -> tuple[nn.Module, Representation]:
    """The network and the representation that a configuration describes."""
    name, arguments = configs.named(config.representation)
    representation = representations.create(name, **arguments)
    name, arguments = configs.named(config.model)
    dtypes = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
    if config.compute_dtype not in dtypes:
        raise ValueError(f"compute_dtype={config.compute_dtype!r}; known: {', '.join(dtypes)}")
    model = models.create(
        name,
        outputs=representation.outputs,
        axis_name=axis_name,
        dtype=dtypes[config.compute_dtype],
        **arguments,
    )
    return model, representation


def load(path: str | os.PathLike[str], checkpoint: str | int = "best") -> Predictor:
    """Restores a trained network with nothing but its checkpoint.

    Args:
      path: a workdir of `train.py`, or the folder of one checkpoint.
      checkpoint: of a workdir: `"best"` by the monitored figure, `"latest"` or a step.

    Raises:
      FileNotFoundError: no such workdir or checkpoint.
      ValueError: the checkpoint is damaged.
    """
    folder = checkpoints.find(path, checkpoint)
    config = configs.from_json(checkpoints.read_config(folder))
    model, representation = make_model(config)
    template = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    variables = checkpoints.read_variables(folder, template, ema=config.ema_decay > 0)
    variables = jax.device_put(variables)
    normalize = Normalize(config.data.normalize)
    return Predictor(make_forward(model), variables, representation, normalize, config)
