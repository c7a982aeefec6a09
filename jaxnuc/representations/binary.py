"""One foreground map; nuclei are its connected components.

Losses: those of the flexible U-Net's projects, from logits (Keras clips probabilities at 1e-7,
which stops the gradient of saturated pixels; cross entropy from logits does not); U-Net's weighted
cross entropy; the two stages of AL-Net (adaptive).

Sources: Ronneberger et al., "U-Net", MICCAI 2015; Raza et al., "Micro-Net", Medical Image Analysis
52, 2019; Chen et al., "AL-Net: Adaptive Learning for Enhanced Cell Nucleus Segmentation in
Pathological Images", Electronics 14(17), 2025 (abstract).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.postprocess import label_probability, separate_by_distance
from jaxnuc.postprocess.checks import within
from jaxnuc.representations import Nuclei, _maps
from jaxnuc.representations._binary_targets import border_weights, eroded
from jaxnuc.representations._decoders import Decoder, choose, components, unused

LOSSES = ("bce", "bce_iou", "bce_dice", "bce_ssim_iou", "dice_boundary")
DECODERS: dict[str, Decoder] = {
    "components": components,
    "fill": label_probability,
    "distance": separate_by_distance,
}


@dataclass(frozen=True)
class Representation:
    """Foreground against background.

    The arguments after `decode_by` are those of the decoder; None is its default. One that the
    chosen decoder does not take is refused.

    Attributes:
      channels: 1, a sigmoid head, or 2, a softmax head.
      loss_name: `bce`; `bce_iou`: mean of BCE and soft IoU loss; `bce_dice`: mean of BCE and soft
        Dice loss with smoothing 1; `bce_ssim_iou`: mean of BCE, 1 - SSIM and soft IoU loss;
        `dice_boundary`: `(1 - a)` times the Dice loss of each image with smoothing 1 and `a` times
        the sum of the cross entropy near the boundaries and the gradient manifold term, with the
        factor `boundary` of a loss schedule as `a`.
      boundary_weight: `a` of `dice_boundary` without a schedule.
      weight_map: U-Net's weights of the background between nuclei, in the BCE: the mean over the
        pixels of weight times cross entropy.
      w0: height of these weights.
      sigma: their width in pixels.
      erode: nuclei lose their outermost pixels in the targets, by a cross of 3x3 pixels, so that
        none touch (U-Net, as reimplemented for HoVer-Net).
      side_weight: of each side map of a network with deep supervision.
      decode_by: `"components"`: the components above the threshold; `"fill"`: the same with holes
        filled, 4-connected, U-Net's and Micro-Net's, `postprocess.label_probability`; `"distance"`:
        the baseline of CNSeg, `postprocess.separate_by_distance`.
      threshold: of the foreground's probability; 0.5, 0.5 and `"otsu"`.
      min_size: smaller nuclei are dropped, in pixels; `"components"` 0, `"fill"` 10.
      radius: `"fill"`; how far nuclei grow; 0 for U-Net, 1 for Micro-Net.
      seed_share: `"distance"`; seeds are deeper than this share of the greatest depth.
      lines: `"distance"`; lines of background between nuclei that touch.
    """

    channels: int = 1
    loss_name: str = "bce_iou"
    boundary_weight: float = 0.5
    weight_map: bool = False
    w0: float = 10.0
    sigma: float = 5.0
    erode: bool = False
    side_weight: float = 1.0
    decode_by: str = "components"
    threshold: float | str | None = None
    min_size: int | None = None
    radius: int | None = None
    seed_share: float | None = None
    lines: bool | None = None

    def __post_init__(self) -> None:
        _maps.one_of("channels", self.channels, (1, 2))
        _maps.one_of("loss_name", self.loss_name, LOSSES)
        other = "weight_map" if self.loss_name == "dice_boundary" else "boundary_weight"
        unused(self, f"loss_name={self.loss_name!r}", other)
        if not self.weight_map:
            unused(self, "weight_map=False", "w0", "sigma")
        if not (self.w0 >= 0 and self.sigma > 0):
            raise ValueError(f"w0={self.w0} must be 0 or more, sigma={self.sigma} px above 0")
        within(self.boundary_weight, "boundary_weight")
        # Refuses what it cannot work with now, and not after the first epoch.
        self._decoder(np.zeros((2, 2)))

    @property
    def outputs(self) -> dict[str, int]:
        return {"mask": self.channels}

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors of a loss schedule that the loss takes, besides `side`."""
        return ("boundary",) if self.loss_name == "dice_boundary" else ()

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """(H, W) instances to target maps.

        Returns:
          `mask`: (H, W, 1) uint8; `weight`: (H, W, 1) float32, with `weight_map`, of the nuclei as
          they are in the mask and in the crop (the reimplementation weighs before it crops);
          `valid` where there is `ignore`.
        """
        if self.erode:
            instances = eroded(instances)
        targets = {"mask": (instances > 0).astype(np.uint8)[..., None]}
        if self.weight_map:
            targets["weight"] = border_weights(instances, self.w0, self.sigma)[..., None]
        return _maps.with_valid(targets, ignore)

    def loss(
        self,
        maps: Mapping[str, Any],
        targets: Mapping[str, Any],
        axis_name: str | None = None,
        factors: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Maps (B, H, W, channels) of logits and targets to a scalar and its parts."""
        import jax
        import jax.numpy as jnp

        from jaxnuc import losses
        from jaxnuc.losses.region import weighted_mean

        def entropy(logits: jax.Array, t: jax.Array, valid: jax.Array | None) -> jax.Array:
            if not self.weight_map:
                return losses.binary_cross_entropy(logits, t, weights=valid, axis_name=axis_name)
            known = jnp.ones_like(t) if valid is None else valid
            weights = known * targets["weight"]
            mean = losses.binary_cross_entropy(logits, t, weights=weights, axis_name=axis_name)
            return mean * weighted_mean(targets["weight"], known, axis_name)

        def one(
            logits: jax.Array, target: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            if self.channels == 2:  # a softmax of two is a sigmoid of their difference
                logits = logits[..., 1:] - logits[..., :1]
            p, t = jax.nn.sigmoid(logits), target.astype(jnp.float32)
            if self.loss_name == "dice_boundary":
                return boundary(logits, p, t, valid)
            parts = {"bce": entropy(logits, t, valid)}
            if valid is not None:  # pixels without annotation are in neither region
                p, t = p * valid, t * valid
            if self.loss_name == "bce_dice":
                parts["dice"] = losses.soft_dice(p, t, smooth=1.0, axis_name=axis_name)
            if self.loss_name == "bce_ssim_iou":
                parts["ssim"] = losses.ssim(p, t)
            if self.loss_name in ("bce_iou", "bce_ssim_iou"):
                parts["iou"] = losses.soft_iou(p, t, axis_name=axis_name)
            return jnp.stack(list(parts.values())).mean(), parts

        def boundary(
            logits: jax.Array, p: jax.Array, t: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            known = 1.0 if valid is None else valid
            dice = losses.soft_dice(p * known, t * known, smooth=1.0, per_image=True)
            band = losses.band_cross_entropy(logits, t, weights=valid, axis_name=axis_name)
            gradient = losses.gradient_manifold(p, t, weights=valid, axis_name=axis_name)
            a = (factors or {}).get("boundary", self.boundary_weight)
            total = (1 - a) * dice + a * (band + gradient)
            return total, {"dice": dice, "band": band, "gradient": gradient}

        return _maps.supervise(maps, targets, {"mask": one}, self.side_weight, factors)

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei:
        """The nuclei as `decode_by` says."""
        probability = _maps.foreground_probability(maps["mask"], "mask")
        instances = self._decoder(probability)
        return Nuclei(instances, None, _maps.mean_scores(probability, instances))

    @property
    def _decoder(self) -> Decoder:
        names = ("threshold", "min_size", "radius", "seed_share", "lines")
        return choose(self.decode_by, DECODERS, {name: getattr(self, name) for name in names})
