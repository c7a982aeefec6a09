"""A map of distances to the background; nuclei part at its valleys.

Source: Naylor et al., "Segmentation of nuclei in histopathology images by deep regression of the
distance map", IEEE Transactions on Medical Imaging 38(2), 2019; as reimplemented for Graham et al.,
"HoVer-Net", Medical Image Analysis 58, 2019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from jaxnuc.postprocess import dynamic_watershed, remove_small
from jaxnuc.postprocess.checks import float_map
from jaxnuc.representations import Nuclei, _maps


def chessboard_distance(instances: np.ndarray, of: str = "instance") -> np.ndarray:
    """The distance from each pixel to outside of its nucleus, in steps to any of 8 neighbours.

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
class Representation:
    """Chessboard distances in pixels, not scaled.

    Attributes:
      of: to what the distance is; `"instance"`: to all outside of the nucleus; `"foreground"`: to
        the background, where touching nuclei have no valley between them but what their common
        outline makes. The paper and the reimplementation speak of the background; the latter takes
        one nucleus at a time, of which all else is background, and so is the default here.
      side_weight: of each side map of a network with deep supervision.
      threshold: foreground is where the distance is above it, in pixels.
      depth: of the valleys between nuclei, in whole pixels; see `postprocess.dynamic_watershed`.
      lines: takes out all pixels that touch another nucleus.
      min_size: smaller nuclei are dropped, in pixels.
    """

    regressions: ClassVar[tuple[str, ...]] = ("distance",)  # maps that are no logits

    of: str = "instance"
    side_weight: float = 1.0
    threshold: float = 0.5
    depth: int = 0
    lines: bool = True
    min_size: int = 0

    def __post_init__(self) -> None:
        _maps.one_of("of", self.of, ("instance", "foreground"))
        # Refuses what it cannot work with now, and not after the first epoch.
        self._separate(np.zeros((2, 2)))

    @property
    def outputs(self) -> dict[str, int]:
        return {"distance": 1}

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """(H, W) instances to `{"distance": (H, W, 1) float32}`; `valid` where there is `ignore`.

        A nucleus cut by the border of a crop is judged by what is in it. The reimplementation
        computes distances before it crops.
        """
        targets = {"distance": chessboard_distance(instances, self.of)[..., None]}
        return _maps.with_valid(targets, ignore)

    def loss(
        self,
        maps: Mapping[str, Any],
        targets: Mapping[str, Any],
        axis_name: str | None = None,
        factors: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Maps and targets (B, H, W, 1), in pixels, to the mean squared error and its parts."""
        import jax

        from jaxnuc import losses

        def one(
            distance: jax.Array, target: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            error = losses.mean_squared_error(distance, target, weights=valid, axis_name=axis_name)
            return error, {"mse": error}

        return _maps.supervise(maps, targets, {"distance": one}, self.side_weight, factors)

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei:
        """A watershed from the maxima. The score is the mean of the distances, cut at 0 and 1."""
        distance = float_map(maps["distance"], "map 'distance'", (None, None, 1))[..., 0]
        instances = self._separate(distance)
        return Nuclei(instances, None, _maps.mean_scores(np.clip(distance, 0, 1), instances))

    def _separate(self, distance: np.ndarray) -> np.ndarray:
        instances = dynamic_watershed(distance, self.threshold, self.depth, self.lines)
        return remove_small(instances, self.min_size)
