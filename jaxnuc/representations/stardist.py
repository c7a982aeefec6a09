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
from jaxnuc.registry import Registry, choice, one_of
from jaxnuc.representations import base
from jaxnuc.representations.base import Covered, IgnoreMask, LabelMap, Loss
from jaxnuc.representations.symmetries import undo_rays
from jaxnuc.representations.targets.stars import edt_probability, star_distances


@dataclass(frozen=True)
class RayLoss(base.MapLoss):
    """Cross entropy of the probability, and the absolute error of the distances.

    Attributes:
      prob_weight: of the cross entropy of the probability.
      dist_weight: of the loss of the distances.
      background: weight of the distances' pull towards 0 outside of objects, relative to their
        loss; 0.01 in the CoNIC variant.
    """

    maps: ClassVar[tuple[str, ...]] = ("prob", "dist")
    error: ClassVar[str] = "mae"
    prob_weight: float = 1.0
    dist_weight: float = 0.2
    background: float = 1e-4

    def of_map(self, name: str, output: Any, batch: base.Batch) -> Loss:
        """The loss of one map; its part is not weighted."""
        from jaxnuc import losses

        prob = batch.targets["prob"]
        of_pixels = {"weights": batch.valid, "axis_name": batch.axis_name}
        if name == "prob":
            # The published code clips probabilities at 1e-7, which stops saturated gradients.
            entropy = losses.binary_cross_entropy(output, prob, **of_pixels)
            return self.prob_weight * entropy, {"bce": entropy}
        options = {"error": self.error, "background": self.background, **of_pixels}
        error = losses.ray_distance(output, batch.targets["dist"], prob, **options)
        return self.dist_weight * error, {self.error: error}


class SquaredRayLoss(RayLoss):
    """The same with the squared error of the distances."""

    error: ClassVar[str] = "mse"


@dataclass(frozen=True)
class Suppression:
    """Non-maximum suppression of the polygons that pixels propose.

    Attributes:
      prob_thresh: candidates are where the probability is above it.
      nms_thresh: of two candidates whose overlap, relative to the smaller one, is above it only
        the more probable one stays.
      refine: whether the polygons that a nucleus suppressed have a say in its shape, as in the
        CoNIC variant: see `postprocess.refine_shapes`.
      min_size: smaller nuclei are dropped, in pixels.
    """

    threshold_choices: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "prob_thresh": (),
        "nms_thresh": (0.3, 0.4, 0.5),
    }
    prob_thresh: float = 0.5
    nms_thresh: float = 0.4
    refine: bool = False
    min_size: int = 0

    def __post_init__(self) -> None:
        within(self.prob_thresh, "prob_thresh")
        within(self.nms_thresh, "nms_thresh")

    def __call__(
        self, probability: np.ndarray, distances: np.ndarray, grid: int, shape: tuple[int, int]
    ) -> base.Nuclei:
        """From maps (h, w) and (h, w, n_rays) on a grid to the nuclei of an image of (H, W)."""
        found = candidates_from_maps(
            probability, distances, prob_thresh=self.prob_thresh, grid=grid
        )
        suppression = non_maximum_suppression(*found, nms_thresh=self.nms_thresh)
        points, distances, scores = (values[suppression.kept] for values in found)
        if self.refine:
            painted = refine_shapes(*found, suppression, shape)
        else:
            painted = render_polygons(points, distances, shape)
        least = max(self.min_size, 1)  # polygons that others cover have no pixel
        large = np.bincount(painted.ravel(), minlength=len(scores) + 1)[1:] >= least
        return base.Nuclei(
            remove_small(painted, least),
            None,
            scores[large].astype(np.float32),
            points=points[large].astype(np.float32),
        )


LOSSES = Registry("loss of stardist", table={"mae": RayLoss, "mse": SquaredRayLoss})
DECODERS = Registry("decoder of stardist", table={"suppression": Suppression})


@dataclass(frozen=True)
class Representation(base.Representation):
    """Object probability and star distances.

    Attributes:
      n_rays: directions, equally spaced; 64 in the CoNIC variant.
      grid: pixels of the image from one point of the maps to the next; above 1 it takes a network
        that subsamples. Nuclei have the resolution of the image in any case.
      fill_holes: whether the targets are those of nuclei without holes, where rays would end.
      loss: `mae` or `mse`.
      decoder: `suppression`.
    """

    n_rays: int = 32
    grid: int = 1
    fill_holes: bool = True
    loss: base.MapLoss = choice(RayLoss(), LOSSES)
    decoder: Suppression = choice(Suppression(), DECODERS)

    def __post_init__(self) -> None:
        if self.n_rays < 3:
            raise ValueError(f"n_rays={self.n_rays} make no polygon; at least 3 are needed")
        one_of("grid", self.grid, (1, 2, 4))

    @property
    def output_maps(self) -> Mapping[str, base.OutputMap]:
        prob = "object: 1 in the middle of nuclei, falling to 0 outside"
        dist = (
            "pixels of the image to the outline along rays; ray k of R goes to "
            "(row, col) = (sin, cos)(2 pi k / R)"
        )
        return {
            "prob": base.OutputMap(1, "logits", prob),
            "dist": base.OutputMap(self.n_rays, "directions", dist, undo_rays),
        }

    @property
    def filters_by_score(self) -> bool:
        # Candidates are suppressed by more probable ones, and painted under them. In the
        # refinement less probable ones have a say.
        return not self.decoder.refine

    def target_instances(self, instances: LabelMap) -> np.ndarray:
        return fill_holes(instances) if self.fill_holes else instances

    def encode(
        self,
        instances: LabelMap,
        classes: LabelMap | None = None,
        ignore: IgnoreMask | None = None,
        covered: Covered | None = None,
    ) -> dict[str, np.ndarray]:
        """Makes `prob`, (h, w, 1) float32 in [0, 1], and `dist`, (h, w, n_rays) float32 in pixels.

        Both are 0 in the background; (h, w) is (H, W) over the grid, rounded up.
        """
        instances = self.target_instances(instances)
        if ignore is not None:
            ignore = ignore[:: self.grid, :: self.grid]
        targets = {
            "prob": edt_probability(instances, self.grid)[..., None],
            "dist": star_distances(instances, self.n_rays, self.grid),
        }
        return base.with_valid(targets, ignore)

    def decode(self, maps: base.Maps, shape: base.Shape | None = None) -> base.Nuclei:
        """Decodes; ids by descending score, with the centers of the polygons as points."""
        probability = base.foreground_probability(maps["prob"], "prob")
        distances = float_map(maps["dist"], "map 'dist'", (None, None, self.n_rays))
        h, w = probability.shape
        height, width = shape or (h * self.grid, w * self.grid)
        expected = -(-height // self.grid), -(-width // self.grid)
        if expected != (h, w):
            raise ValueError(
                f"an image of {(height, width)} has maps of {expected} on a grid of {self.grid}, "
                f"these have {(h, w)}"
            )
        return self.decoder(probability, distances, self.grid, (height, width))
