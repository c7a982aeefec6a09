"""One foreground map; nuclei are its connected components, or parts of them.

The losses are those of the flexible U-Net's projects, from logits; U-Net's weighted cross entropy;
and the two stages of AL-Net (adaptive).

Sources: Ronneberger et al., "U-Net", MICCAI 2015; Raza et al., "Micro-Net", Medical Image Analysis
52, 2019; Chen et al., "AL-Net: Adaptive Learning for Enhanced Cell Nucleus Segmentation in
Pathological Images", Electronics 14(17), 2025 (abstract).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jaxnuc.postprocess import (
    label_components,
    label_probability,
    remove_small,
    separate_by_distance,
    split_at_necks,
)
from jaxnuc.postprocess.checks import within
from jaxnuc.postprocess.regions import relabel
from jaxnuc.registry import Registry, choice, one_of
from jaxnuc.representations import base
from jaxnuc.representations.base import Covered, IgnoreMask, LabelMap, Loss
from jaxnuc.representations.targets.border import border_weights, eroded


@dataclass(frozen=True)
class Mask:
    """The foreground.

    Attributes:
      erode: nuclei lose their outermost pixels, by a cross of 3x3 pixels, so that none touch
        (U-Net, as reimplemented for HoVer-Net).
    """

    erode: bool = False

    def __call__(self, instances: np.ndarray) -> dict[str, np.ndarray]:
        """The target maps (H, W)."""
        kept = eroded(instances) if self.erode else instances
        return {"mask": (kept > 0).astype(np.uint8), **self.further(kept)}

    def further(self, kept: np.ndarray) -> dict[str, np.ndarray]:
        """Maps beside the mask, of the instances as they are in it."""
        return {}


@dataclass(frozen=True)
class WeightedMask(Mask):
    """The foreground, and U-Net's weights of the background between nuclei.

    The weights are those of the nuclei as they are in the mask and in the crop; the
    reimplementation computes them before it crops.

    Attributes:
      w0: height of the weights.
      sigma: their width in pixels.
    """

    w0: float = 10.0
    sigma: float = 5.0

    def __post_init__(self) -> None:
        if not (self.w0 >= 0 and self.sigma > 0):
            raise ValueError(f"w0={self.w0} must be 0 or more, sigma={self.sigma} px above 0")

    def further(self, kept: np.ndarray) -> dict[str, np.ndarray]:
        return {"weight": border_weights(kept, self.w0, self.sigma)}


@dataclass(frozen=True)
class MaskLoss(base.MapLoss):
    """The mean of the binary cross entropy and of losses of regions.

    Where the targets have weights, the cross entropy is the mean over the pixels of weight times
    cross entropy.
    """

    maps: ClassVar[tuple[str, ...]] = ("mask",)
    regions: ClassVar[tuple[str, ...]] = ()

    def of_map(self, name: str, output: Any, batch: base.Batch) -> Loss:
        import jax
        import jax.numpy as jnp
        import optax

        from jaxnuc import losses
        from jaxnuc.losses.region import weighted_mean

        logits, t = _sigmoid_logits(output), batch.targets[name].astype(jnp.float32)
        known = jnp.ones_like(t) if batch.valid is None else batch.valid
        # The Keras projects clip probabilities at 1e-7, which stops the gradient of saturated
        # pixels; a cross entropy from logits keeps it. U-Net's weights do not divide the mean.
        entropy = optax.sigmoid_binary_cross_entropy(logits, t) * batch.targets.get("weight", 1.0)
        parts = {"bce": weighted_mean(entropy, known, batch.axis_name)}
        p, t = jax.nn.sigmoid(logits) * known, t * known  # ignored pixels are in neither region
        of_region = {
            "dice": lambda: losses.soft_dice(p, t, smooth=1.0, axis_name=batch.axis_name),
            "ssim": lambda: losses.ssim(p, t),
            "iou": lambda: losses.soft_iou(p, t, axis_name=batch.axis_name),
        }
        parts |= {region: of_region[region]() for region in self.regions}
        return jnp.stack(list(parts.values())).mean(), parts


class BceIou(MaskLoss):
    """The mean of the binary cross entropy and the soft IoU loss."""

    regions: ClassVar[tuple[str, ...]] = ("iou",)


class BceDice(MaskLoss):
    """The mean of the binary cross entropy and the soft Dice loss with smoothing 1."""

    regions: ClassVar[tuple[str, ...]] = ("dice",)


class BceSsimIou(MaskLoss):
    """The mean of the binary cross entropy, 1 - SSIM and the soft IoU loss."""

    regions: ClassVar[tuple[str, ...]] = ("ssim", "iou")


@dataclass(frozen=True)
class DiceBoundary(base.MapLoss):
    """`(1 - a)` times the Dice loss of each image, smoothing 1, and `a` times that of boundaries.

    The latter is the cross entropy near the boundaries plus the gradient manifold term; the factor
    `boundary` of a loss schedule is `a`.

    Attributes:
      boundary_weight: `a` without a schedule.
    """

    maps: ClassVar[tuple[str, ...]] = ("mask",)
    factors: ClassVar[tuple[str, ...]] = ("boundary",)
    boundary_weight: float = 0.5

    def __post_init__(self) -> None:
        within(self.boundary_weight, "boundary_weight")

    def of_map(self, name: str, output: Any, batch: base.Batch) -> Loss:
        import jax
        import jax.numpy as jnp

        from jaxnuc import losses

        logits, t = _sigmoid_logits(output), batch.targets[name].astype(jnp.float32)
        p, valid = jax.nn.sigmoid(logits), batch.valid
        of_pixels = {"weights": valid, "axis_name": batch.axis_name}
        known = 1.0 if valid is None else valid
        dice = losses.soft_dice(p * known, t * known, smooth=1.0, per_image=True)
        band = losses.band_cross_entropy(logits, t, **of_pixels)
        gradient = losses.gradient_manifold(p, t, **of_pixels)
        a = batch.factors.get("boundary", self.boundary_weight)
        total = (1 - a) * dice + a * (band + gradient)
        return total, {"dice": dice, "band": band, "gradient": gradient}


@dataclass(frozen=True)
class Components(base.Decoder):
    """The 8-connected components of the pixels above a threshold.

    Attributes:
      threshold: of the foreground's probability.
      min_size: smaller nuclei are dropped, in pixels.
    """

    threshold_choices: ClassVar = {"threshold": base.PROBABILITIES}
    threshold: float = 0.5
    min_size: int = 0

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        within(self.threshold, "threshold")
        return label_components(mask > self.threshold, self.min_size)


@dataclass(frozen=True)
class Fill(base.Decoder):
    """4-connected components with holes filled, as U-Net's and Micro-Net's.

    Attributes:
      threshold: of the foreground's probability.
      min_size: smaller nuclei are dropped, in pixels.
      radius: how far nuclei grow, in pixels; 0 for U-Net, 1 for Micro-Net.
    """

    threshold_choices: ClassVar = {"threshold": base.PROBABILITIES}
    threshold: float = 0.5
    min_size: int = 10
    radius: int = 0

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        return label_probability(mask, self.threshold, self.min_size, self.radius)


@dataclass(frozen=True)
class Necks(base.Decoder):
    """Nuclei that touch are split where the mask is narrow, `postprocess.split_at_necks`.

    Attributes:
      threshold: of the foreground's probability.
      neck: a part stays a nucleus of its own if the way out of it is narrower than this share of
        its own width.
      smoothing: of the distances to the background, in pixels.
      min_size: smaller nuclei are dropped, in pixels.
      min_score: nuclei of which the mean probability is lower are dropped.
    """

    threshold_choices: ClassVar = {
        "threshold": base.PROBABILITIES,
        "neck": (0.75, 0.8, 0.85, 0.9, 0.95),
    }
    threshold: float = 0.5
    neck: float = 0.9
    smoothing: float = 1.0
    min_size: int = 0
    min_score: float = 0.0

    def __post_init__(self) -> None:
        within(self.min_score, "min_score")
        super().__post_init__()

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        instances = split_at_necks(mask, self.threshold, self.neck, self.smoothing)
        return self.kept(instances, mask)

    def kept(self, instances: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The nuclei that are large and probable enough."""
        kept = remove_small(instances, self.min_size)
        if not self.min_score:
            return kept
        sure = np.append(True, base.mean_scores(mask, kept) >= self.min_score)
        return relabel(np.where(sure[kept], kept, 0))


@dataclass(frozen=True)
class Distance(base.Decoder):
    """A watershed from the deepest pixels, the baseline of CNSeg.

    Attributes:
      threshold: of the foreground's probability, or `"otsu"`.
      seed_share: seeds are deeper than this share of the greatest depth.
      lines: whether there is a line of background between nuclei that touch.
    """

    threshold: float | str = "otsu"
    seed_share: float = 0.5
    lines: bool = True

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        return separate_by_distance(mask, **vars(self))


TARGETS = Registry("targets of binary", table={"mask": Mask, "weighted_mask": WeightedMask})
LOSSES = Registry(
    "loss of binary",
    table={
        "bce": MaskLoss,
        "bce_iou": BceIou,
        "bce_dice": BceDice,
        "bce_ssim_iou": BceSsimIou,
        "dice_boundary": DiceBoundary,
    },
)
DECODERS = Registry(
    "decoder of binary",
    table={"components": Components, "fill": Fill, "necks": Necks, "distance": Distance},
)


@dataclass(frozen=True)
class Representation(base.Representation):
    """Foreground against background.

    Attributes:
      channels: 1, a sigmoid head, or 2, a softmax head.
      targets: `mask` or `weighted_mask`.
      loss: `bce`, `bce_iou`, `bce_dice`, `bce_ssim_iou` or `dice_boundary`.
      decoder: `components`, `fill`, `necks` or `distance`.
    """

    channels: int = 1
    targets: Mask = choice(Mask(), TARGETS)
    loss: base.MapLoss = choice(BceIou(), LOSSES)
    decoder: base.Decoder = choice(Components(), DECODERS)

    def __post_init__(self) -> None:
        one_of("channels", self.channels, (1, 2))
        if isinstance(self.targets, WeightedMask) and isinstance(self.loss, DiceBoundary):
            raise ValueError(
                "the loss 'dice_boundary' takes no weights; take the targets 'mask', or another "
                "loss, such as 'bce'"
            )

    @property
    def output_maps(self) -> Mapping[str, base.OutputMap]:
        return {"mask": base.OutputMap(self.channels, "logits", "inside of nuclei")}

    @property
    def foreground(self) -> str:
        return "mask"

    def encode(
        self,
        instances: LabelMap,
        classes: LabelMap | None = None,
        ignore: IgnoreMask | None = None,
        covered: Covered | None = None,
    ) -> dict[str, np.ndarray]:
        """Makes `mask`, (H, W, 1) uint8, and with weights `weight`, (H, W, 1) float32."""
        targets = {name: values[..., None] for name, values in self.targets(instances).items()}
        return base.with_valid(targets, ignore)

    def decode(self, maps: base.Maps, shape: base.Shape | None = None) -> base.Nuclei:
        probability = base.foreground_probability(maps["mask"], "mask")
        instances = self.decoder(probability)
        return base.Nuclei(instances, None, base.mean_scores(probability, instances))


def _sigmoid_logits(output: Any) -> Any:
    """Logits of one channel; a softmax of two is a sigmoid of their difference."""
    return output if output.shape[-1] == 1 else output[..., 1:] - output[..., :1]
