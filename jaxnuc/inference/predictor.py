"""A trained network that turns images into nuclei: array in, label map out."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from jaxnuc import assembly
from jaxnuc import config as configs
from jaxnuc.data.normalize import Normalize
from jaxnuc.images.colours import check_type, rgb_bytes
from jaxnuc.inference.decoding import Decoder
from jaxnuc.inference.symmetries import augmented
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
    check_type(image.shape, image.dtype, "the image")
    return rgb_bytes(image, "the image")


@dataclass(frozen=True)
class Predictor:
    """A network with its parameters and its representation.

    Attributes:
      forward: jitted `(variables, (B, H, W, 3) uint8) -> {map: (B, H, W, C)}` logits.
      variables: parameters and running statistics.
      representation: which decodes the maps.
      normalize: of the image, as in training.
      config: of the training.
      margin: sides of the image minus sides of the maps, in pixels.
      symmetries: of the square, over which maps are averaged: see `symmetries.augmented`.
      merge: how, `"mean"` or `"median"`.
    """

    forward: Callable[[Any, Any], dict[str, jax.Array]]
    variables: Any
    representation: Representation
    normalize: Normalize
    config: ConfigDict
    margin: int = 0
    symmetries: tuple[int, ...] = (0,)
    merge: str = "mean"

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The logits of an image as `as_rgb` takes it, (H, W, C) or on the representation's grid.

        The image is mirrored at its borders where the network needs more of it.
        """
        image = self.normalize.image(as_rgb(image))
        if self.symmetries == (0,):
            return self._maps(image)
        return augmented(self._maps, self.representation, self.symmetries, self.merge)(image)

    def _maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        h, w, _ = image.shape
        first = self.margin // 2
        last = self.margin - first
        sides = ((first, last + -h % STRIDE), (first, last + -w % STRIDE), (0, 0))
        padded = np.pad(image, sides, mode="symmetric")
        maps = jax.device_get(self.forward(self.variables, padded[None]))
        grid = getattr(self.representation, "grid", 1)
        return {name: m[0, : -(-h // grid), : -(-w // grid)] for name, m in maps.items()}

    @property
    def decode(self) -> Decoder:
        """The second step, from maps to nuclei: NumPy only, and picklable."""
        return Decoder(self.representation)

    def __call__(self, image: np.ndarray) -> Nuclei:
        """The nuclei of an image."""
        return self.decode(self.maps(image), np.shape(image)[:2])


def make_forward(model: nn.Module) -> Callable[[Any, Any], dict[str, jax.Array]]:
    """The jitted evaluation of a network on bytes."""
    return jax.jit(
        lambda variables, images: model.apply(
            variables, images.astype(jnp.float32) / 255, train=False
        )
    )


def make_predictor(
    config: ConfigDict, model: nn.Module, representation: Representation, variables: Any
) -> Predictor:
    """A predictor of a network made by `jaxnuc.assembly`."""
    normalize = Normalize(config.data.normalize)
    margin = getattr(model, "margin", 0)
    return Predictor(make_forward(model), variables, representation, normalize, config, margin)


def load(
    path: str | os.PathLike[str],
    checkpoint: str | int = "best",
    *,
    symmetries: Sequence[int] = (0,),
    merge: str = "mean",
) -> Predictor:
    """Restores a trained network with nothing but its checkpoint.

    Args:
      path: a workdir of `train.py`, or the folder of one checkpoint.
      checkpoint: of a workdir: `"best"` by the monitored figure, `"latest"` or a step.
      symmetries: test-time augmentation, `range(8)` for all symmetries of the square.
      merge: of probabilities over the symmetries, `"mean"` or `"median"`.

    Raises:
      FileNotFoundError: no such workdir or checkpoint.
      ValueError: the checkpoint is damaged.
    """
    folder = checkpoints.find(path, checkpoint)
    config = configs.from_json(checkpoints.read_config(folder))
    representation = assembly.make_representation(config, checkpoints.read_cuts(folder))
    model = assembly.make_model(config, representation)
    side = STRIDE + getattr(model, "margin", 0)
    template = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    variables = checkpoints.read_variables(folder, template, ema=config.ema_decay > 0)
    representation = assembly.with_thresholds(representation, assembly.read_thresholds(folder))
    predictor = make_predictor(config, model, representation, jax.device_put(variables))
    return replace(predictor, symmetries=tuple(symmetries), merge=merge)
