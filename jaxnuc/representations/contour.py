"""A foreground map and a contour map; nuclei are what lies within the contours.

Sources: Chen et al., "Enhancing Nucleus Segmentation with HARU-Net", sections 3.5 and 3.6; Zhao et
al., "AL-Net: Attention learning network based on multi-task learning for cervical nucleus
segmentation", IEEE JBHI 26(6):2693, 2022; Chen et al., "DCAN: Deep contour-aware networks for
accurate gland segmentation", CVPR 2016.
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jaxnuc.postprocess import (
    grow_from_contours,
    label_inside_contours,
    remove_small,
    separate_overlaps,
    split_at_necks,
    watershed_from_contours,
)
from jaxnuc.postprocess.checks import within
from jaxnuc.postprocess.overlap_separation import Separation
from jaxnuc.registry import Registry, choice, one_of
from jaxnuc.representations import base, binary
from jaxnuc.representations.base import Covered, IgnoreMask, LabelMap, Loss
from jaxnuc.representations.targets.contours import alnet_maps, contour_map, dcan_contour


@dataclass(frozen=True)
class Targets(abc.ABC):
    """From instances (H, W) to mask and contour, (H, W) bool.

    Of nuclei that overlap, `covered` (H, W, D) has what the label map hides; None: none overlap.
    """

    @abc.abstractmethod
    def __call__(
        self, instances: np.ndarray, covered: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]: ...


class HaruNetTargets(Targets):
    """All nuclei, and a band about their outlines."""

    def __call__(
        self, instances: np.ndarray, covered: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return instances > 0, contour_map(instances)


@dataclass(frozen=True)
class AlNetTargets(Targets):
    """Nuclei with lines of background between them, and a ring of 3 pixels along their outlines.

    Where nuclei overlap, each has its whole outline in the ring.

    Attributes:
      canny: the ring runs along the Canny edges of the mask, as in AL-Net's for MoNuSeg and BNS.
      max_instances: only the largest nuclei are kept; 150 in the published code. None keeps all.
      simplified: the lines are polygons through the contours' dominant points, as in the published
        code, which may cut off sharp tips of nuclei; otherwise they are the whole contours.
    """

    canny: bool = False
    max_instances: int | None = None
    simplified: bool = True

    def __post_init__(self) -> None:
        if self.max_instances is not None and self.max_instances < 1:
            raise ValueError(f"max_instances={self.max_instances} must be at least 1, or None")

    def __call__(
        self, instances: np.ndarray, covered: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return alnet_maps(instances, covered, **vars(self))


class DcanTargets(Targets):
    """All nuclei, and their dilations less their erosions by a diamond of 7 pixels."""

    def __call__(
        self, instances: np.ndarray, covered: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return instances > 0, dcan_contour(instances)


@dataclass(frozen=True)
class CrossEntropy(base.MapLoss):
    """The mean cross entropy of each map (AL-Net's published code, DCAN)."""

    maps: ClassVar[tuple[str, ...]] = ("mask", "contour")
    reduction: ClassVar[str] = "mean"

    def of_map(self, name: str, output: Any, batch: base.Batch) -> Loss:
        from jaxnuc import losses

        entropy, p, t = losses.foreground_entropy(
            output,
            batch.targets[name],
            self.reduction,
            valid=batch.valid,
            axis_name=batch.axis_name,
        )
        region, parts = self.of_region(p, t, batch.axis_name)
        return entropy + region, {"ce": entropy, **parts}

    def of_region(self, p: Any, t: Any, axis_name: str | None) -> Loss:
        """What is added, of probabilities and targets (B, H, W, C)."""
        return 0.0, {}


@dataclass(frozen=True)
class CrossEntropyDice(CrossEntropy):
    """Cross entropy and soft Dice over the batch (HARU-Net's published code).

    Attributes:
      dice_weight: of the soft Dice loss; 1 in the published code.
      dice_per_class: with two channels: a ratio a class, then the mean, in place of the published
        code's single ratio over both.
    """

    dice_weight: float = 1.0
    dice_per_class: bool = False

    def of_region(self, p: Any, t: Any, axis_name: str | None) -> Loss:
        from jaxnuc import losses

        dice = losses.soft_dice(p, t, per_class=self.dice_per_class, axis_name=axis_name)
        return self.dice_weight * dice, {"dice": dice}


class PixelSum(CrossEntropy):
    """Cross entropy and squared ratio, summed over an image's pixels (HARU-Net, Eq. 4 and 5)."""

    reduction: ClassVar[str] = "image_sum"

    def of_region(self, p: Any, t: Any, axis_name: str | None) -> Loss:
        from jaxnuc import losses

        dice = losses.squared_ratio_dice(p[..., -1:], t[..., -1:])
        return dice, {"dice": dice}


class ContourDecoder(base.Decoder):
    """From probabilities of mask and contour (H, W) to instances, which may overlap."""

    smallest: ClassVar = ((2, 2), (2, 2))


@dataclass(frozen=True)
class Growth(ContourDecoder):
    """HARU-Net's Algorithm 1: seeds within the contours grow into the mask.

    Attributes:
      threshold: of both maps.
      seedless: mask components without a seed: `"keep"` under a new id, or `"drop"`.
      erosion: 3x3 erosions of the seeds, which the paper uses for CoNSeP.
      min_size: smaller nuclei are dropped, in pixels.
    """

    threshold_choices: ClassVar = {"threshold": base.PROBABILITIES}
    threshold: float = 0.5
    seedless: str = "keep"
    erosion: int = 0
    min_size: int = 0

    def __call__(self, mask: np.ndarray, contour: np.ndarray) -> np.ndarray:
        within(self.threshold, "threshold")
        instances = grow_from_contours(
            mask > self.threshold, contour > self.threshold, self.seedless, self.erosion
        )
        return remove_small(instances, self.min_size)


@dataclass(frozen=True)
class Watershed(ContourDecoder):
    """A watershed from the mask less the contour, `postprocess.watershed_from_contours`.

    Attributes:
      threshold: of both maps.
      min_size: smaller nuclei are dropped, in pixels.
    """

    threshold_choices: ClassVar = {"threshold": base.PROBABILITIES}
    threshold: float = 0.5
    min_size: int = 0

    def __call__(self, mask: np.ndarray, contour: np.ndarray) -> np.ndarray:
        return remove_small(watershed_from_contours(mask, contour, self.threshold), self.min_size)


@dataclass(frozen=True)
class Necks(binary.Necks):
    """As `necks` of `binary`; contours across a neck narrow it, `postprocess.split_at_necks`.

    Attributes:
      contour_share: how much contours count; 0: only the mask does.
    """

    smallest: ClassVar = ContourDecoder.smallest
    contour_share: float = 0.0

    def __call__(self, mask: np.ndarray, contour: np.ndarray) -> np.ndarray:  # type: ignore[override]
        instances = split_at_necks(
            mask, self.threshold, self.neck, self.smoothing, contour, self.contour_share
        )
        return self.kept(instances, mask)


@dataclass(frozen=True)
class Overlaps(ContourDecoder):
    """CNSeg's separation into nuclei that may overlap, `postprocess.separate_overlaps`.

    Attributes:
      threshold: of both maps, or `"otsu"`.
      min_area_share: of the seeds' mean area; smaller seeds are dropped.
      max_instances: only the largest nuclei are kept; 150 in AL-Net's code. None keeps all.
      lines: whether there is a line of background between nuclei that touch.
      outline: `"filled"`, `"exact"` or `"columns"`.
    """

    threshold: float | str = "otsu"
    min_area_share: float = 0.2
    max_instances: int | None = None
    lines: bool = True
    outline: str = "filled"

    def __call__(self, mask: np.ndarray, contour: np.ndarray) -> Separation:
        return separate_overlaps(mask, contour, **vars(self))


@dataclass(frozen=True)
class Subtract(ContourDecoder):
    """DCAN's: the mask less the contour, `postprocess.label_inside_contours`.

    Attributes:
      threshold: of the difference of both maps.
      min_size: smaller nuclei are dropped, in pixels.
      radius: how far nuclei grow back, in pixels.
    """

    threshold: float = 0.3
    min_size: int = 20
    radius: int = 3

    def __call__(self, mask: np.ndarray, contour: np.ndarray) -> np.ndarray:
        return label_inside_contours(mask, contour, self.threshold, self.min_size, self.radius)


TARGETS = Registry(
    "targets of contour",
    table={"harunet": HaruNetTargets, "alnet": AlNetTargets, "dcan": DcanTargets},
)
LOSSES = Registry(
    "loss of contour",
    table={"ce": CrossEntropy, "ce_dice": CrossEntropyDice, "pixel_sum": PixelSum},
)
DECODERS = Registry(
    "decoder of contour",
    table={
        "growth": Growth,
        "watershed": Watershed,
        "necks": Necks,
        "overlaps": Overlaps,
        "subtract": Subtract,
    },
)


@dataclass(frozen=True)
class Representation(base.Representation):
    """Mask and contour.

    Attributes:
      channels: 1, sigmoid heads (the paper of HARU-Net), or 2, softmax heads (its published code).
      targets: `harunet`, `alnet` or `dcan`.
      loss: `ce`, `ce_dice` or `pixel_sum`.
      decoder: `growth`, `watershed`, `necks`, `overlaps` or `subtract`.
    """

    channels: int = 1
    targets: Targets = choice(HaruNetTargets(), TARGETS)
    loss: base.MapLoss = choice(CrossEntropyDice(), LOSSES)
    decoder: base.Decoder = choice(Growth(), DECODERS)

    def __post_init__(self) -> None:
        one_of("channels", self.channels, (1, 2))
        per_class = isinstance(self.loss, CrossEntropyDice) and self.loss.dice_per_class
        if self.channels == 1 and per_class:
            raise ValueError("dice_per_class=True has no effect with channels=1; take channels=2")

    @property
    def output_maps(self) -> Mapping[str, base.OutputMap]:
        return {
            "mask": base.OutputMap(self.channels, "logits", "inside of nuclei"),
            "contour": base.OutputMap(self.channels, "logits", "contours of nuclei"),
        }

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
        """Makes `mask` and `contour`, each (H, W, 1) uint8."""
        mask, contour = (m.astype(np.uint8)[..., None] for m in self.targets(instances, covered))
        return base.with_valid({"mask": mask, "contour": contour}, ignore)

    def decode(self, maps: base.Maps, shape: base.Shape | None = None) -> base.Nuclei:
        """Decodes; `masks` hold the whole nuclei where the decoder lets them overlap."""
        mask, contour = (base.foreground_probability(maps[n], n) for n in self.output_maps)
        found = self.decoder(mask, contour)
        if not isinstance(found, Separation):
            return base.Nuclei(found, None, base.mean_scores(mask, found))
        means = [
            mask[row : row + own.shape[0], col : col + own.shape[1]][own].mean()
            for row, col, own in found.masks
        ]
        scores = np.array(means, np.float32)
        return base.Nuclei(found.instances, None, scores, masks=found.masks)
