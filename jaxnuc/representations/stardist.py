"""Star-convex polygons: an object probability and distances to the outline along rays.

Sources: Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI 2018; the loss in the
form of the published code; Weigert and Schmidt, "Nuclei instance segmentation and classification
in histopathology images with StarDist", ISBIC 2022, for the values of the CoNIC variant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.postprocess import detect_polygons, remove_small, render_polygons
from jaxnuc.postprocess.checks import float_map, within
from jaxnuc.representations import Nuclei, _maps
from jaxnuc.representations._star_targets import edt_probability, star_distances

LOSSES = ("mae", "mse")


@dataclass(frozen=True)
class Representation:
    """Object probability and star distances.

    Maps are at the resolution of the image, as the networks' outputs are: StarDist's grid is 1.
    Coarser grids come with a network that subsamples.

    Attributes:
      n_rays: directions, equally spaced; 64 in the CoNIC variant.
      prob_weight: of the cross entropy of the probability.
      dist_weight: of the loss of the distances.
      dist_loss: `"mae"`, absolute, or `"mse"`, squared differences of distances.
      background: weight of the distances' pull towards 0 outside of objects, relative to their
        loss; 0.01 in the CoNIC variant.
      side_weight: of each side map of a network with deep supervision.
      prob_thresh: candidates are where the probability is above it.
      nms_thresh: of two candidates whose overlap, relative to the smaller one, is above it only
        the more probable one stays.
      min_size: smaller nuclei are dropped, in pixels.
    """

    n_rays: int = 32
    prob_weight: float = 1.0
    dist_weight: float = 0.2
    dist_loss: str = "mae"
    background: float = 1e-4
    side_weight: float = 1.0
    prob_thresh: float = 0.5
    nms_thresh: float = 0.4
    min_size: int = 0

    def __post_init__(self) -> None:
        if self.n_rays < 3:
            raise ValueError(f"n_rays={self.n_rays} make no polygon; at least 3 are needed")
        _maps.one_of("dist_loss", self.dist_loss, LOSSES)
        within(self.prob_thresh, "prob_thresh")
        within(self.nms_thresh, "nms_thresh")

    @property
    def outputs(self) -> dict[str, int]:
        return {"prob": 1, "dist": self.n_rays}

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """(H, W) instances to the distance to outside and the distances along the rays.

        Nuclei should have no holes, where rays end; StarDist's examples fill them beforehand
        (`jaxnuc.postprocess.fill_holes`).

        Returns:
          `{"prob": (H, W, 1) float32 in [0, 1], "dist": (H, W, n_rays) float32 in pixels}`, and
          `valid` where there is `ignore`. Both are 0 in the background.
        """
        targets = {
            "prob": edt_probability(instances)[..., None],
            "dist": star_distances(instances, self.n_rays),
        }
        return _maps.with_valid(targets, ignore)

    def loss(
        self, maps: Mapping[str, Any], targets: Mapping[str, Any], axis_name: str | None = None
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
        return _maps.supervise(maps, masked, losses_of, self.side_weight)

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei:
        """Polygons after non-maximum suppression, painted in order; ids by descending score."""
        probability = _maps.foreground_probability(maps["prob"], "prob")
        distances = float_map(maps["dist"], "map 'dist'", (None, None, self.n_rays))
        found = detect_polygons(
            probability, distances, prob_thresh=self.prob_thresh, nms_thresh=self.nms_thresh
        )
        painted = render_polygons(found.points, found.distances, probability.shape)
        least = max(self.min_size, 1)  # polygons that others cover have no pixel
        areas = np.bincount(painted.ravel(), minlength=len(found.scores) + 1)[1:]
        scores = found.scores[areas >= least].astype(np.float32)
        return Nuclei(remove_small(painted, least), None, scores)
