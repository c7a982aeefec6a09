"""A map of distances to the background; nuclei part at its valleys.

Source: Naylor et al., "Segmentation of nuclei in histopathology images by deep regression of the
distance map", IEEE Transactions on Medical Imaging 38(2), 2019; as reimplemented for Graham et al.,
"HoVer-Net", Medical Image Analysis 58, 2019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from jaxnuc.postprocess import dynamic_watershed, remove_small
from jaxnuc.postprocess.checks import float_map
from jaxnuc.registry import Registry, choice, one_of
from jaxnuc.representations import base
from jaxnuc.representations.base import Covered, IgnoreMask, LabelMap, Loss, Tree


def chessboard_distance(instances: LabelMap, of: str = "instance") -> Float32[np.ndarray, "h w"]:
    """The distance from each pixel to outside of its nucleus, in steps to any of 8 neighbors.

    The border of the image is not outside: a nucleus cut by it keeps its high values there. Only
    of what fills the whole image is the frame around it outside.

    Args:
      instances: (H, W) integer label map, 0 is background.
      of: `"instance"`: other nuclei are outside, so that the distance falls to 1 where two touch;
        `"foreground"`: only the background is.

    Returns:
      (H, W) float32 in pixels, 1 at the edge of a nucleus, 0 in the background.

    Example:
      >>> chessboard_distance(np.array([[0, 1, 1, 1, 2, 2]]))
      array([[0., 1., 2., 1., 1., 2.]], dtype=float32)
    """
    foreground = instances > 0
    labels = instances if of == "instance" else foreground
    # Pixels of which the 3x3 square is of one nucleus: one step further in from there on.
    inside = foreground & (ndimage.minimum_filter(labels, 3) == ndimage.maximum_filter(labels, 3))
    if inside.all():
        inside[[0, -1]] = inside[:, [0, -1]] = False
    return (foreground + ndimage.distance_transform_cdt(inside)).astype(np.float32)


@dataclass(frozen=True)
class SquaredError(base.MapLoss):
    """The mean squared error of the distances, in pixels."""

    maps: ClassVar[tuple[str, ...]] = ("distance",)

    def of_map(self, name: str, output: Any, batch: base.Batch) -> Loss:
        from jaxnuc import losses

        error = losses.mean_squared_error(
            output, batch.targets[name], weights=batch.valid, axis_name=batch.axis_name
        )
        return error, {"mse": error}


@dataclass(frozen=True)
class Watershed(base.Decoder):
    """A watershed from the maxima of the distance, `postprocess.dynamic_watershed`.

    Attributes:
      threshold: foreground is where the distance is above it, in pixels.
      depth: of the valleys between nuclei, in whole pixels.
      lines: takes out all pixels that touch another nucleus.
      min_size: smaller nuclei are dropped, in pixels.
    """

    threshold: float = 0.5
    depth: int = 0
    lines: bool = True
    min_size: int = 0

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        instances = dynamic_watershed(distance, self.threshold, self.depth, self.lines)
        return remove_small(instances, self.min_size)


LOSSES = Registry("loss of distance", table={"mse": SquaredError})
DECODERS = Registry("decoder of distance", table={"watershed": Watershed})


@dataclass(frozen=True)
class Representation(base.Representation):
    """Chessboard distances in pixels, not scaled.

    Attributes:
      of: to what the distance is; `"instance"`: to all outside of the nucleus; `"foreground"`: to
        the background, where touching nuclei have no valley between them but what their common
        outline makes. The paper and the reimplementation speak of the background; the latter takes
        one nucleus at a time, of which all else is background, and so is the default here.
      loss: `mse`.
      decoder: `watershed`.
    """

    of: str = "instance"
    loss: base.MapLoss = choice(SquaredError(), LOSSES)
    decoder: Watershed = choice(Watershed(), DECODERS)

    def __post_init__(self) -> None:
        one_of("of", self.of, ("instance", "foreground"))

    @property
    def output_maps(self) -> Mapping[str, base.OutputMap]:
        meaning = "pixels to outside of the nucleus, in steps to any of 8 neighbors"
        return {"distance": base.OutputMap(1, "values", meaning)}

    def encode(
        self,
        instances: LabelMap,
        classes: LabelMap | None = None,
        ignore: IgnoreMask | None = None,
        covered: Covered | None = None,
    ) -> dict[str, np.ndarray]:
        """Makes `distance`, (H, W, 1) float32.

        The distances in a nucleus cut by the border of a crop are those of the part in the crop.
        The reimplementation computes distances before it crops.
        """
        targets = {"distance": chessboard_distance(instances, self.of)[..., None]}
        return base.with_valid(targets, ignore)

    def consistency(self, maps: Tree, teacher: Tree, confidence: Any) -> tuple[Any, Any]:
        """The absolute difference where the teacher is confident, of a nucleus or of none.

        There is no map of probabilities: as for the scores, the distance cut at 0 and 1 serves.
        """
        import jax
        import jax.numpy as jnp

        from jaxnuc import losses

        expected = jax.lax.stop_gradient(teacher["distance"])
        probability = jnp.clip(expected, 0, 1)
        sure = jnp.maximum(probability, 1 - probability) >= confidence
        return losses.masked_mean(jnp.abs(maps["distance"] - expected), sure), sure.mean()

    def decode(self, maps: base.Maps, shape: base.Shape | None = None) -> base.Nuclei:
        """Decodes; the score is the mean of the distances, cut at 0 and 1."""
        distance = float_map(maps["distance"], "map 'distance'", (None, None, 1))[..., 0]
        instances = self.decoder(distance)
        return base.Nuclei(instances, None, base.mean_scores(np.clip(distance, 0, 1), instances))
