"""A foreground map and a contour map; nuclei grow from the foreground within the contours.

Source: Chen et al., "Enhancing Nucleus Segmentation with HARU-Net", sections 3.5 and 3.6.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.postprocess import grow_from_contours, remove_small
from jaxnuc.representations import Nuclei, _maps


def contour_map(instances: np.ndarray) -> np.ndarray:
    """The band of pixels about the outlines of the instances.

    A foreground pixel with a 4-neighbour of another id (background is one) is on the line; the line
    grows one step right and down. The published code takes Canny edges of the ids modulo 256, where
    nuclei with equal remainders have no line between them; the growth is that of its 2x2 dilation.

    Args:
      instances: (H, W) integer label map. Outside the image counts as the same id.

    Returns:
      (H, W) bool.
    """
    line = np.zeros(instances.shape, bool)
    down = instances[1:] != instances[:-1]
    line[1:] |= down
    line[:-1] |= down
    right = instances[:, 1:] != instances[:, :-1]
    line[:, 1:] |= right
    line[:, :-1] |= right
    line &= instances > 0
    band = line.copy()
    band[1:] |= line[:-1]
    band[:, 1:] |= line[:, :-1]
    band[1:, 1:] |= line[:-1, :-1]
    return band


@dataclass(frozen=True)
class Representation:
    """Mask and contour.

    Attributes:
      channels: 1, sigmoid heads (the paper), or 2, softmax heads (the published code).
      form: of the loss; `"code"`: mean cross entropy and soft Dice over the batch; `"paper"`: cross
        entropy and the squared ratio summed over an image's pixels (Eq. 4 and 5).
      dice_per_class: with 2 channels and form `"code"`: a ratio a class, then the mean, in place of
        the code's single ratio over both.
      side_weight: of each side map of a network with deep supervision; 1 in the published code.
      threshold: of both maps.
      seedless: mask components without a seed: `"keep"` under a new id, or `"drop"`.
      erosion: 3x3 erosions of the seeds, which the paper uses for CoNSeP.
      min_size: smaller nuclei are dropped, in pixels.
    """

    channels: int = 1
    form: str = "code"
    dice_per_class: bool = False
    side_weight: float = 1.0
    threshold: float = 0.5
    seedless: str = "keep"
    erosion: int = 0
    min_size: int = 0

    def __post_init__(self) -> None:
        _maps.one_of("channels", self.channels, (1, 2))
        _maps.one_of("form", self.form, ("code", "paper"))
        _maps.one_of("seedless", self.seedless, ("keep", "drop"))

    @property
    def outputs(self) -> dict[str, int]:
        return {"mask": self.channels, "contour": self.channels}

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """(H, W) instances to `{"mask", "contour"}`, each (H, W, 1) uint8; `valid` for `ignore`."""
        targets = {
            "mask": (instances > 0).astype(np.uint8)[..., None],
            "contour": contour_map(instances).astype(np.uint8)[..., None],
        }
        return _maps.with_valid(targets, ignore)

    def loss(
        self, maps: Mapping[str, Any], targets: Mapping[str, Any], axis_name: str | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Maps (B, H, W, channels) of logits and targets (B, H, W, 1) to a scalar and its parts."""
        import jax
        import jax.numpy as jnp

        from jaxnuc import losses

        reduction = "mean" if self.form == "code" else "image_sum"

        def one(
            logits: jax.Array, target: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            if self.channels == 1:
                p, t = jax.nn.sigmoid(logits), target.astype(jnp.float32)
                entropy = losses.binary_cross_entropy(
                    logits, t, reduction, weights=valid, axis_name=axis_name
                )
            else:
                p = jax.nn.softmax(logits)
                t = jax.nn.one_hot(target[..., 0], 2)
                weights = None if valid is None else valid[..., 0]
                entropy = losses.cross_entropy(
                    logits, target[..., 0], reduction, weights=weights, axis_name=axis_name
                )
            if valid is not None:  # pixels without annotation are in neither region
                p, t = p * valid, t * valid
            if self.form == "code":
                dice = losses.soft_dice(p, t, per_class=self.dice_per_class, axis_name=axis_name)
            else:
                dice = losses.squared_ratio_dice(p[..., -1:], t[..., -1:])
            return entropy + dice, {"ce": entropy, "dice": dice}

        losses_of = dict.fromkeys(self.outputs, one)
        return _maps.supervise(maps, targets, losses_of, self.side_weight)

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei:
        """Algorithm 1 on both maps above the threshold."""
        probability = _maps.foreground_probability(maps["mask"], "mask")
        contour = _maps.foreground_probability(maps["contour"], "contour")
        instances = grow_from_contours(
            probability > self.threshold,
            contour > self.threshold,
            seedless=self.seedless,
            erosion=self.erosion,
        )
        instances = remove_small(instances, self.min_size)
        return Nuclei(instances, None, _maps.mean_scores(probability, instances))
