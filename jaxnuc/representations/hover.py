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
from jaxnuc.representations import Nuclei, _maps
from jaxnuc.representations._hover_targets import hover_maps, separate_components
from jaxnuc.representations._symmetries import undo_vectors


@dataclass(frozen=True)
class Representation:
    """Nucleus pixels and distances to the centre.

    Attributes:
      msge_axis: along which the slopes of the maps are compared; `"compat"`, the published code,
        or `"paper"`: see `losses.mean_squared_gradient_error`.
      mse_weight: of the squared error of the maps. The PyTorch code has 1, the TensorFlow code 2,
        the paper 1.
      msge_weight: of the squared error of the slopes. Both codes have 1, the paper 2.
      side_weight: of each side map of a network with deep supervision.
      min_area: nuclei with fewer pixels are not among the targets of the maps, but stay nuclei.
      threshold: foreground is where the probability is at least this.
      min_size: smaller nuclei and markers are dropped, in pixels.
      marker_threshold: in [0, 1]; markers are where the maps fall less steeply than this.
      kernel: side of the filter that finds the falls in pixels, odd; 21 is meant for 40x.
      constant: what becomes of a map without any slope, `"ignore"` or `"reference"`: see
        `postprocess.hover_watershed`.
    """

    regressions: ClassVar[tuple[str, ...]] = ("hv",)  # maps that are no logits

    msge_axis: str = "compat"
    mse_weight: float = 1.0
    msge_weight: float = 1.0
    side_weight: float = 1.0
    min_area: int = 30
    threshold: float = 0.5
    min_size: int = 10
    marker_threshold: float = 0.4
    kernel: int = 21
    constant: str = "ignore"

    def __post_init__(self) -> None:
        _maps.one_of("msge_axis", self.msge_axis, ("compat", "paper"))
        # Refuses what it cannot work with now, and not after the first epoch.
        self._separate(np.zeros((2, 2)), np.zeros((2, 2, 2)))

    @property
    def outputs(self) -> dict[str, int]:
        return {"np": 2, "hv": 2}

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """(H, W) instances to target maps.

        Parts of one id that do not touch, as mirrored padding makes them, get maps each of its own.

        Returns:
          `np`: (H, W, 1) uint8, 1 in nuclei; `hv`: (H, W, 2) float32 in [-1, 1], horizontal and
          vertical; `valid` where there is `ignore`.
        """
        targets = {
            "np": (instances > 0).astype(np.uint8)[..., None],
            "hv": hover_maps(separate_components(instances), min_area=self.min_area),
        }
        return _maps.with_valid(targets, ignore)

    def loss(
        self,
        maps: Mapping[str, Any],
        targets: Mapping[str, Any],
        axis_name: str | None = None,
        factors: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Maps and targets (B, H, W, C) to a scalar and its parts, which are not weighted."""
        import jax
        import jax.numpy as jnp

        from jaxnuc import losses

        def pixels(
            logits: jax.Array, target: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            p, t = jax.nn.softmax(logits), jax.nn.one_hot(target[..., 0], 2)
            weights = None if valid is None else valid[..., 0]
            # The published code clips probabilities at 1e-7: a pixel costs at most 16.1 and has no
            # gradient beyond. From logits the cost goes on, and so does the gradient.
            entropy = losses.cross_entropy(
                logits, target[..., 0], weights=weights, axis_name=axis_name
            )
            if valid is not None:  # pixels without annotation are in neither region
                p, t = p * valid, t * valid
            ratio = losses.soft_dice(p, t, smooth=1e-3, per_class=True, axis_name=axis_name)
            dice = logits.shape[-1] * ratio  # the published code sums over the classes
            return entropy + dice, {"ce": entropy, "dice": dice}

        def distances(
            hv: jax.Array, target: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            mse = losses.mean_squared_error(hv, target, weights=valid, axis_name=axis_name)
            msge = losses.mean_squared_gradient_error(
                hv,
                target,
                targets["np"].astype(jnp.float32),
                msge_axis=self.msge_axis,
                valid=valid,
                axis_name=axis_name,
            )
            total = self.mse_weight * mse + self.msge_weight * msge
            return total, {"mse": mse, "msge": msge}

        losses_of: dict[str, _maps.Loss] = {"np": pixels, "hv": distances}
        return _maps.supervise(maps, targets, losses_of, self.side_weight, factors)

    def undo(self, maps: Mapping[str, np.ndarray], k: int) -> dict[str, np.ndarray]:
        """Turns the vectors of the maps of an image under symmetry k, whose pixels are turned back.

        The maps of a mirrored nucleus are up to two pixels over its half extent off those of the
        nucleus: coordinates count from one pixel before the centre (`hover_maps`), on which side
        that is depends on the symmetry, and so does the rounding of the centre.
        """
        return {**maps, "hv": undo_vectors(maps["hv"], k)}

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei:
        """Markers away from the falls of the maps, and a watershed from them."""
        probability = _maps.foreground_probability(maps["np"], "np")
        instances = self._separate(probability, float_map(maps["hv"], "map 'hv'", (None, None, 2)))
        return Nuclei(instances, None, _maps.mean_scores(probability, instances))

    def _separate(self, probability: np.ndarray, hv: np.ndarray) -> np.ndarray:
        return hover_watershed(
            probability,
            hv,
            self.threshold,
            self.min_size,
            self.marker_threshold,
            self.kernel,
            self.constant,
        )
