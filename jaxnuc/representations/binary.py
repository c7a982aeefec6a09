"""One foreground map; nuclei are its connected components.

Losses: those of the flexible U-Net's projects, from logits. Keras clips probabilities at 1e-7,
which stops the gradient of saturated pixels; cross entropy from logits does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.postprocess import label_components
from jaxnuc.representations import Nuclei, _maps

LOSSES = ("bce", "bce_iou", "bce_dice", "bce_ssim_iou")


@dataclass(frozen=True)
class Representation:
    """Foreground against background.

    Attributes:
      loss_name: `bce`; `bce_iou`: mean of BCE and soft IoU loss; `bce_dice`: mean of BCE and soft
        Dice loss with smoothing 1; `bce_ssim_iou`: mean of BCE, 1 - SSIM and soft IoU loss.
      side_weight: of each side map of a network with deep supervision.
      threshold: foreground is where the probability is above it.
      min_size: smaller components are dropped, in pixels.
    """

    loss_name: str = "bce_iou"
    side_weight: float = 1.0
    threshold: float = 0.5
    min_size: int = 0

    def __post_init__(self) -> None:
        _maps.one_of("loss_name", self.loss_name, LOSSES)

    @property
    def outputs(self) -> dict[str, int]:
        return {"mask": 1}

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """(H, W) instances to `{"mask": (H, W, 1) uint8}`, and `valid` where there is `ignore`."""
        targets = {"mask": (instances > 0).astype(np.uint8)[..., None]}
        return _maps.with_valid(targets, ignore)

    def loss(
        self, maps: Mapping[str, Any], targets: Mapping[str, Any], axis_name: str | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Maps (B, H, W, 1) of logits and targets to a scalar and its parts."""
        import jax
        import jax.numpy as jnp

        from jaxnuc import losses

        def one(
            logits: jax.Array, target: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            p, t = jax.nn.sigmoid(logits), target.astype(jnp.float32)
            entropy = losses.binary_cross_entropy(logits, t, weights=valid, axis_name=axis_name)
            parts = {"bce": entropy}
            if valid is not None:  # pixels without annotation are in neither region
                p, t = p * valid, t * valid
            if self.loss_name == "bce_dice":
                parts["dice"] = losses.soft_dice(p, t, smooth=1.0, axis_name=axis_name)
            if self.loss_name == "bce_ssim_iou":
                parts["ssim"] = losses.ssim(p, t)
            if self.loss_name in ("bce_iou", "bce_ssim_iou"):
                parts["iou"] = losses.soft_iou(p, t, axis_name=axis_name)
            return jnp.stack(list(parts.values())).mean(), parts

        return _maps.supervise(maps, targets, {"mask": one}, self.side_weight)

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei:
        """Threshold, 8-connected components, minimum size."""
        probability = _maps.foreground_probability(maps["mask"], "mask")
        instances = label_components(probability > self.threshold, min_size=self.min_size)
        return Nuclei(instances, None, _maps.mean_scores(probability, instances))
