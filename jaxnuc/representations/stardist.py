"""Star-convex polygons: an object probability and distances to the outline along rays.

Sources: Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI 2018; the loss in the
form of the published code; Weigert and Schmidt, "Nuclei instance segmentation and classification
in histopathology images with StarDist", ISBIC 2022, for the values of the CoNIC variant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jaxnuc.postprocess import (
    fill_holes,
    non_maximum_suppression,
    refine_shapes,
    remove_small,
    render_polygons,
)
from jaxnuc.postprocess.checks import float_map, within
from jaxnuc.postprocess.polygons import candidates_from_maps
from jaxnuc.representations import Nuclei, _maps
from jaxnuc.representations._star_targets import edt_probability, star_distances
from jaxnuc.representations._symmetries import undo_rays

LOSSES = ("mae", "mse")
GRIDS = (1, 2, 4)


@dataclass(frozen=True)
class Representation:
    """Object probability and star distances.

    Attributes:
      n_rays: directions, equally spaced; 64 in the CoNIC variant.
      grid: pixels of the image from one point of the maps to the next; above 1 it takes a network
        that subsamples. Nuclei have the resolution of the image in any case.
      fill_holes: whether the targets are those of nuclei without holes, where rays would end.
      prob_weight: of the cross entropy of the probability.
      dist_weight: of the loss of the distances.
      dist_loss: `"mae"`, absolute, or `"mse"`, squared differences of distances.
      background: weight of the distances' pull towards 0 outside of objects, relative to their
        loss; 0.01 in the CoNIC variant.
      side_weight: of each side map of a network with deep supervision.
      prob_thresh: candidates are where the probability is above it.
      nms_thresh: of two candidates whose overlap, relative to the smaller one, is above it only
        the more probable one stays.
      refine: whether the polygons that a nucleus suppressed have a say in its shape, as in the
        CoNIC variant: see `postprocess.refine_shapes`.
      min_size: smaller nuclei are dropped, in pixels.
    """

    regressions: ClassVar[tuple[str, ...]] = ("dist",)  # maps that are no logits

    n_rays: int = 32
    grid: int = 1
    fill_holes: bool = True
    prob_weight: float = 1.0
    dist_weight: float = 0.2
    dist_loss: str = "mae"
    background: float = 1e-4
    side_weight: float = 1.0
    prob_thresh: float = 0.5
    nms_thresh: float = 0.4
    refine: bool = False
    min_size: int = 0

    def __post_init__(self) -> None:
        if self.n_rays < 3:
            raise ValueError(f"n_rays={self.n_rays} make no polygon; at least 3 are needed")
        _maps.one_of("grid", self.grid, GRIDS)
        _maps.one_of("dist_loss", self.dist_loss, LOSSES)
        within(self.prob_thresh, "prob_thresh")
        within(self.nms_thresh, "nms_thresh")

    @property
    def outputs(self) -> dict[str, int]:
        return {"prob": 1, "dist": self.n_rays}

    @property
    def thresholds(self) -> dict[str, float]:
        """What may be chosen after training; the first one is a probability."""
        return {"prob_thresh": self.prob_thresh, "nms_thresh": self.nms_thresh}

    @property
    def nested(self) -> bool:
        """Whether a higher `prob_thresh` only leaves out the nuclei whose score it reaches.

        Candidates are suppressed by more probable ones, and painted under them. In the refinement
        less probable ones have a say.
        """
        return not self.refine

    def objects(self, instances: np.ndarray) -> np.ndarray:
        """(H, W) instances as the targets take them: without holes, if they are to be filled."""
        return fill_holes(instances) if self.fill_holes else instances

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """(H, W) instances to the distance to outside and the distances along the rays.

        Returns:
          `{"prob": (h, w, 1) float32 in [0, 1], "dist": (h, w, n_rays) float32 in pixels}`, and
          `valid` where there is `ignore`; (h, w) is (H, W) over the grid, rounded up. `prob` and
          `dist` are 0 in the background.
        """
        instances = self.objects(instances)
        if ignore is not None:
            ignore = ignore[:: self.grid, :: self.grid]
        targets = {
            "prob": edt_probability(instances, self.grid)[..., None],
            "dist": star_distances(instances, self.n_rays, self.grid),
        }
        return _maps.with_valid(targets, ignore)

    def loss(
        self,
        maps: Mapping[str, Any],
        targets: Mapping[str, Any],
        axis_name: str | None = None,
        factors: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Maps (B, H, W, C), logits and distances, and targets to a scalar and its parts.

        The parts `prob/bce` and `dist/mae` or `dist/mse` are before, `side` and the scalar after
        they are weighted.
        """
        import jax

        from jaxnuc import losses

        def probability(
            logits: jax.Array, target: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            # The published code clips probabilities at 1e-7, which stops saturated gradients.
            entropy = losses.binary_cross_entropy(
                logits, target, weights=valid, axis_name=axis_name
            )
            return self.prob_weight * entropy, {"bce": entropy}

        def distance(
            distances: jax.Array, target: tuple[jax.Array, jax.Array], valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            error = losses.ray_distance(
                distances,
                *target,
                error=self.dist_loss,
                background=self.background,
                weights=valid,
                axis_name=axis_name,
            )
            return self.dist_weight * error, {self.dist_loss: error}

        masked = {**targets, "dist": (targets["dist"], targets["prob"])}
        losses_of: dict[str, _maps.Loss] = {"prob": probability, "dist": distance}
        return _maps.supervise(maps, masked, losses_of, self.side_weight, factors)

    def undo(self, maps: Mapping[str, np.ndarray], k: int) -> dict[str, np.ndarray]:
        """Turns the rays of the maps of an image under symmetry k, whose pixels are turned back."""
        return {**maps, "dist": undo_rays(maps["dist"], k)}

    def decode(
        self, maps: Mapping[str, np.ndarray], shape: tuple[int, int] | None = None
    ) -> Nuclei:
        """Polygons after non-maximum suppression, painted in order; ids by descending score.

        Args:
          maps: `prob` (h, w, 1) and `dist` (h, w, n_rays).
          shape: (H, W) of the image; None: that of the maps times the grid.

        Returns:
          Nuclei in (H, W), with the centres of the polygons as points.

        Raises:
          ValueError: the maps are not those of an image of this shape, or no finite numbers.
        """
        probability = _maps.foreground_probability(maps["prob"], "prob")
        distances = float_map(maps["dist"], "map 'dist'", (None, None, self.n_rays))
        h, w = probability.shape
        height, width = shape or (h * self.grid, w * self.grid)
        expected = -(-height // self.grid), -(-width // self.grid)
        if expected != (h, w):
            raise ValueError(
                f"an image of {(height, width)} has maps of {expected} on a grid of {self.grid}, "
                f"these have {(h, w)}"
            )
        found = candidates_from_maps(
            probability, distances, prob_thresh=self.prob_thresh, grid=self.grid
        )
        suppression = non_maximum_suppression(*found, nms_thresh=self.nms_thresh)
        points, distances, scores = (values[suppression.kept] for values in found)
        if self.refine:
            painted = refine_shapes(*found, suppression, (height, width))
        else:
            painted = render_polygons(points, distances, (height, width))
        least = max(self.min_size, 1)  # polygons that others cover have no pixel
        large = np.bincount(painted.ravel(), minlength=len(scores) + 1)[1:] >= least
        return Nuclei(
            remove_small(painted, least),
            None,
            scores[large].astype(np.float32),
            points=points[large].astype(np.float32),
        )
