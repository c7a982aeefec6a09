"""A foreground map and a contour map; nuclei are what lies within the contours.

Sources: Chen et al., "Enhancing Nucleus Segmentation with HARU-Net", sections 3.5 and 3.6; Zhao et
al., "AL-Net: Attention learning network based on multi-task learning for cervical nucleus
segmentation", IEEE JBHI 26(6):2693, 2022; Chen et al., "DCAN: Deep contour-aware networks for
accurate gland segmentation", CVPR 2016.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.postprocess import label_inside_contours, separate_overlaps
from jaxnuc.postprocess.overlap_separation import Separation
from jaxnuc.representations import Nuclei, _maps
from jaxnuc.representations._contour_targets import alnet_maps, contour_map, dcan_contour
from jaxnuc.representations._decoders import Decoder, choose, growth, mask_scores, unused

TARGETS = {
    "growth": lambda instances, most: (instances > 0, contour_map(instances)),
    "alnet": alnet_maps,
    "alnet_canny": lambda instances, most: alnet_maps(instances, most, canny=True),
    "dcan": lambda instances, most: (instances > 0, dcan_contour(instances)),
}
DECODERS: dict[str, Decoder] = {
    "growth": growth,
    "overlaps": separate_overlaps,
    "subtract": label_inside_contours,
}
DECODER_ARGUMENTS = (
    "threshold",
    "min_size",
    "seedless",
    "erosion",
    "radius",
    "min_area_share",
    "lines",
    "outline",
    "fill_holes",
)


@dataclass(frozen=True)
class Representation:
    """Mask and contour.

    The arguments after `decode_by` are those of the decoder; None is its default. One that the
    chosen decoder does not take is refused.

    Attributes:
      channels: 1, sigmoid heads (the paper of HARU-Net), or 2, softmax heads (its published code).
      targets: `"growth"`: all nuclei and their outlines, HARU-Net's; `"alnet"`: nuclei with lines
        of background between them and a ring of 3 pixels on the outlines; `"alnet_canny"`: the same
        mask, and a ring on its edges, AL-Net's for MoNuSeg and BNS; `"dcan"`: all nuclei, and
        dilations less erosions by a diamond of 7 pixels.
      form: of the loss; `"code"`: mean cross entropy and soft Dice over the batch; `"paper"`: cross
        entropy and the squared ratio summed over an image's pixels (HARU-Net, Eq. 4 and 5);
        `"bce"`: mean cross entropy and `dice_weight` times the Dice of `"code"` (AL-Net, DCAN).
      dice_per_class: with 2 channels and the Dice of `"code"`: a ratio a class, then the mean, in
        place of the code's single ratio over both.
      dice_weight: of form `"bce"`; 0 in AL-Net's code.
      side_weight: of each side map of a network with deep supervision; 1 in the published code.
      max_instances: only the largest nuclei are kept, in the targets of AL-Net and by the decoder
        `"overlaps"`; 150 in AL-Net's code. None keeps all.
      decode_by: `"growth"`: HARU-Net's Algorithm 1; `"overlaps"`: CNSeg's separation into nuclei
        that may overlap, `postprocess.separate_overlaps`; `"subtract"`: DCAN's,
        `postprocess.label_inside_contours`.
      threshold: of both maps, or of their difference; 0.5, `"otsu"` and 0.3.
      min_size: smaller nuclei are dropped, in pixels; `"growth"` 0, `"subtract"` 20.
      seedless: `"growth"`; mask components without a seed: `"keep"` under a new id, or `"drop"`.
      erosion: `"growth"`; 3x3 erosions of the seeds, which the paper uses for CoNSeP.
      radius: `"subtract"`; how far nuclei grow back.
      min_area_share: `"overlaps"`; of the seeds' mean area; smaller seeds are dropped.
      lines: `"overlaps"`; lines of background between nuclei that touch.
      outline: `"overlaps"`; `"exact"` or `"columns"`.
      fill_holes: `"overlaps"`; of exact outlines.
    """

    channels: int = 1
    targets: str = "growth"
    form: str = "code"
    dice_per_class: bool = False
    dice_weight: float = 0.0
    side_weight: float = 1.0
    max_instances: int | None = None
    decode_by: str = "growth"
    threshold: float | str | None = None
    min_size: int | None = None
    seedless: str | None = None
    erosion: int | None = None
    radius: int | None = None
    min_area_share: float | None = None
    lines: bool | None = None
    outline: str | None = None
    fill_holes: bool | None = None

    def __post_init__(self) -> None:
        _maps.one_of("channels", self.channels, (1, 2))
        _maps.one_of("targets", self.targets, tuple(TARGETS))
        _maps.one_of("form", self.form, ("code", "paper", "bce"))
        if self.form != "bce":
            unused(self, f"form={self.form!r}", "dice_weight")
        if self.channels == 1:
            unused(self, "channels=1", "dice_per_class")
        if self.form == "paper" or (self.form == "bce" and not self.dice_weight):
            unused(self, f"form={self.form!r} without a Dice of 'code'", "dice_per_class")
        if self.decode_by != "overlaps" and not self.targets.startswith("alnet"):
            condition = f"targets={self.targets!r} and decode_by={self.decode_by!r}"
            unused(self, condition, "max_instances")
        if self.max_instances is not None and self.max_instances < 1:
            raise ValueError(f"max_instances={self.max_instances} must be at least 1, or None")
        # Refuses what it cannot work with now, and not after the first epoch.
        self._decoder(np.zeros((2, 2)), np.zeros((2, 2)))

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
        maps = TARGETS[self.targets](instances, self.max_instances)
        targets = {
            name: m.astype(np.uint8)[..., None] for name, m in zip(self.outputs, maps, strict=True)
        }
        return _maps.with_valid(targets, ignore)

    def loss(
        self,
        maps: Mapping[str, Any],
        targets: Mapping[str, Any],
        axis_name: str | None = None,
        factors: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Maps (B, H, W, channels) of logits and targets (B, H, W, 1) to a scalar and its parts."""
        import jax
        import jax.numpy as jnp

        from jaxnuc import losses

        reduction = "image_sum" if self.form == "paper" else "mean"

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
            if self.form == "bce" and not self.dice_weight:
                return entropy, {"ce": entropy}
            if valid is not None:  # pixels without annotation are in neither region
                p, t = p * valid, t * valid
            if self.form == "paper":
                dice = losses.squared_ratio_dice(p[..., -1:], t[..., -1:])
            else:
                dice = losses.soft_dice(p, t, per_class=self.dice_per_class, axis_name=axis_name)
            weight = self.dice_weight if self.form == "bce" else 1
            return entropy + weight * dice, {"ce": entropy, "dice": dice}

        losses_of = dict.fromkeys(self.outputs, one)
        return _maps.supervise(maps, targets, losses_of, self.side_weight, factors)

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei:
        """The nuclei as `decode_by` says; `masks`, which may overlap, with `"overlaps"`."""
        probability = _maps.foreground_probability(maps["mask"], "mask")
        contour = _maps.foreground_probability(maps["contour"], "contour")
        found = self._decoder(probability, contour)
        if isinstance(found, Separation):
            scores = mask_scores(probability, found.masks)
            return Nuclei(found.instances, None, scores, masks=found.masks)
        return Nuclei(found, None, _maps.mean_scores(probability, found))

    @property
    def _decoder(self) -> Decoder:
        names = [*DECODER_ARGUMENTS]
        if self.decode_by == "overlaps":
            names.append("max_instances")
        return choose(self.decode_by, DECODERS, {name: getattr(self, name) for name in names})
