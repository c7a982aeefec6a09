"""A foreground map and the horizontal and vertical maps; nuclei part where the latter jump.

Source: Graham et al., "HoVer-Net: Simultaneous segmentation and classification of nuclei in
multi-tissue histology images", Medical Image Analysis 58, 2019, and the code published with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jaxnuc.postprocess import hover_watershed
from jaxnuc.postprocess.checks import float_map
from jaxnuc.registry import Registry, choice, one_of
from jaxnuc.representations import base
from jaxnuc.representations.base import Covered, IgnoreMask, LabelMap, Loss
from jaxnuc.representations.symmetries import undo_vectors
from jaxnuc.representations.targets.hover import hover_maps, separate_components


@dataclass(frozen=True)
class HoverLoss(base.MapLoss):
    """Cross entropy and Dice of the nucleus pixels; errors of the distances and of their slopes.

    Attributes:
      msge_axis: along which the slopes of the maps are compared; `"compat"`, the published code,
        or `"paper"`: see `losses.mean_squared_gradient_error`.
      mse_weight: of the squared error of the maps. The PyTorch code has 1, the TensorFlow code 2,
        the paper 1.
      msge_weight: of the squared error of the slopes. Both codes have 1, the paper 2.
    """

    maps: ClassVar[tuple[str, ...]] = ("np", "hv")
    msge_axis: str = "compat"
    mse_weight: float = 1.0
    msge_weight: float = 1.0

    def __post_init__(self) -> None:
        one_of("msge_axis", self.msge_axis, ("compat", "paper"))

    def of_map(self, name: str, output: Any, batch: base.Batch) -> Loss:
        """The loss of one map; its parts are not weighted."""
        from jaxnuc import losses

        target, axis_name = batch.targets[name], batch.axis_name
        if name == "np":
            # The published code clips probabilities at 1e-7: a pixel costs at most 16.1 and has no
            # gradient beyond. From logits the cost goes on, and so does the gradient.
            entropy, p, t = losses.foreground_entropy(
                output, target, valid=batch.valid, axis_name=axis_name
            )
            ratio = losses.soft_dice(p, t, smooth=1e-3, per_class=True, axis_name=axis_name)
            dice = output.shape[-1] * ratio  # the published code sums over the classes
            return entropy + dice, {"ce": entropy, "dice": dice}
        mse = losses.mean_squared_error(output, target, weights=batch.valid, axis_name=axis_name)
        msge = losses.mean_squared_gradient_error(
            output,
            target,
            batch.targets["np"].astype(np.float32),
            msge_axis=self.msge_axis,
            valid=batch.valid,
            axis_name=axis_name,
        )
        total = self.mse_weight * mse + self.msge_weight * msge
        return total, {"mse": mse, "msge": msge}


@dataclass(frozen=True)
class Watershed(base.Decoder):
    """Markers away from the falls of the maps, and a watershed: `postprocess.hover_watershed`.

    Attributes:
      threshold: foreground is where the probability is at least this.
      min_size: smaller nuclei and markers are dropped, in pixels.
      marker_threshold: in [0, 1]; markers are where the maps fall less steeply than this.
      kernel: side of the filter that finds the falls in pixels, odd; 21 is meant for 40x.
      constant: what becomes of a map without any slope, `"ignore"` or `"reference"`.
    """

    threshold: float = 0.5
    min_size: int = 10
    marker_threshold: float = 0.4
    kernel: int = 21
    constant: str = "ignore"

    smallest: ClassVar = ((2, 2), (2, 2, 2))
    threshold_choices: ClassVar = {
        "threshold": base.PROBABILITIES,
        "marker_threshold": (0.3, 0.4, 0.5, 0.6),
    }

    def __call__(self, probability: np.ndarray, hv: np.ndarray) -> np.ndarray:
        return hover_watershed(probability, hv, **vars(self))


LOSSES = Registry("loss of hover", table={"hover": HoverLoss})
DECODERS = Registry("decoder of hover", table={"watershed": Watershed})


@dataclass(frozen=True)
class Representation(base.Representation):
    """Nucleus pixels and distances to the center.

    Attributes:
      min_area: nuclei with fewer pixels are not among the targets of the maps, but stay nuclei.
      loss: `hover`.
      decoder: `watershed`.
    """

    min_area: int = 30
    loss: base.MapLoss = choice(HoverLoss(), LOSSES)
    decoder: Watershed = choice(Watershed(), DECODERS)

    @property
    def output_maps(self) -> Mapping[str, base.OutputMap]:
        # The maps of a mirrored nucleus are up to two pixels over its half extent off those of the
        # nucleus: coordinates count from one pixel before the center (`hover_maps`), on which side
        # that is depends on the symmetry, and so does the rounding of the center.
        meaning = "horizontal and vertical distance to the center of the nucleus, from -1 to 1"
        return {
            "np": base.OutputMap(2, "logits", "nucleus"),
            "hv": base.OutputMap(2, "directions", meaning, undo_vectors),
        }

    @property
    def foreground(self) -> str:
        return "np"

    def encode(
        self,
        instances: LabelMap,
        classes: LabelMap | None = None,
        ignore: IgnoreMask | None = None,
        covered: Covered | None = None,
    ) -> dict[str, np.ndarray]:
        """Makes `np`, (H, W, 1) uint8, 1 in nuclei, and `hv`, (H, W, 2) float32 in [-1, 1].

        Parts of one id that do not touch, as mirrored padding makes them, get maps each of its own.
        """
        targets = {
            "np": (instances > 0).astype(np.uint8)[..., None],
            "hv": hover_maps(separate_components(instances), min_area=self.min_area),
        }
        return base.with_valid(targets, ignore)

    def decode(self, maps: base.Maps, shape: base.Shape | None = None) -> base.Nuclei:
        probability = base.foreground_probability(maps["np"], "np")
        hv = float_map(maps["hv"], "map 'hv'", (None, None, 2))
        instances = self.decoder(probability, hv)
        return base.Nuclei(instances, None, base.mean_scores(probability, instances))
