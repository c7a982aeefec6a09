"""Test-time augmentation: maps averaged over the symmetries of the square, and over networks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from jaxnuc.representations import Representation
from jaxnuc.representations.symmetries import ALL, check_symmetries, restore, transform

Maps = Mapping[str, np.ndarray]
MERGES = ("mean", "median")


def augmented(
    maps_of_image: Callable[[np.ndarray], Maps],
    representation: Representation,
    symmetries: Sequence[int] = ALL,
    merge: str = "mean",
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Averages the maps of a network for an image turned and mirrored (test-time augmentation).

    Symmetry k mirrors left and right if k >= 4, then makes k % 4 quarter turns counter-clockwise.
    The maps are turned back, their pixels as well as rays and vectors, and averaged:

    * maps of one channel, by the logit of the mean probability or of the median;
    * softmax maps, by the logarithm of the mean probability;
    * maps that are no logits, by the mean.

    On a grid of g pixels, images are mirrored at the lower and right border to sides of a multiple
    of g plus 1, so that the points of all transformed images lie on the same pixels.

    Args:
      maps_of_image: image (H, W, ...) -> `{map: (h, w, C)}`, such as `Predictor.maps`.
      representation: of the maps; its `output_maps` say how each is averaged, and `grid` is that
        of the maps.
      symmetries: of 0..7, each at most once; the network runs once for each.
      merge: `"mean"`, or `"median"` as in StarDist's CoNIC variant, of maps of one channel.

    Returns:
      The function image -> averages `{map: (h, w, C) float32}`.

    Raises:
      ValueError: unknown or repeated symmetries or none, or an unknown `merge`; when called: a
        symmetry that does not lead from rays to rays.

    References:
      Weigert and Schmidt, "Nuclei instance segmentation and classification in histopathology
      images with StarDist", ISBIC 2022.
    """
    average = MapAverage(representation, tuple(symmetries), merge)
    return lambda image: average.average(average.members([maps_of_image], image))


@dataclass(frozen=True)
class MapAverage:
    """The steps of `augmented`, for one network or several (a deep ensemble).

    The members of the average are the maps of every network for every transformed image: all
    symmetries of the first network, then all of the second.

    References:
      Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation
      using deep ensembles", NeurIPS 2017.
    """

    representation: Representation
    symmetries: tuple[int, ...] = (0,)
    merge: str = "mean"

    def __post_init__(self) -> None:
        check_symmetries(self.symmetries, self.representation.output_maps)
        if self.merge not in MERGES:
            raise ValueError(f"merge={self.merge!r}; known: {', '.join(MERGES)}")

    @property
    def grid(self) -> int:
        """Pixels of the image per value of the maps, along each axis."""
        return self.representation.grid

    @property
    def turns(self) -> bool:
        """Whether a symmetry exchanges rows and columns."""
        return any(k % 2 for k in self.symmetries)

    def images(self, image: np.ndarray) -> list[np.ndarray]:
        """The inputs of the network: an image (H, W, ...) under each symmetry."""
        if self.symmetries == (0,):
            return [image]
        h, w = image.shape[:2]
        sides = [(0, (1 - h) % self.grid), (0, (1 - w) % self.grid)]
        image = np.pad(image, sides + [(0, 0)] * (image.ndim - 2), mode="symmetric")
        return [np.ascontiguousarray(transform(image, k)) for k in self.symmetries]

    def restore(self, each: Sequence[Maps]) -> tuple[Maps, ...]:
        """The maps of networks for `images`, turned back to the image itself."""
        symmetries = self.symmetries * (len(each) // len(self.symmetries))
        output_maps = self.representation.output_maps
        return tuple(
            restore(maps, output_maps, k) if k else maps
            for k, maps in zip(symmetries, each, strict=True)
        )

    def members(
        self, networks: Sequence[Callable[[np.ndarray], Maps]], image: np.ndarray
    ) -> tuple[Maps, ...]:
        """All members for an image (H, W, ...), turned back, on the grid of the image."""
        images = self.images(image)
        rows, cols = (-(-side // self.grid) for side in image.shape[:2])
        return tuple(
            {name: m[:rows, :cols] for name, m in maps.items()}
            for maps in self.restore([network(each) for network in networks for each in images])
        )

    def average(self, members: Sequence[Maps]) -> dict[str, np.ndarray]:
        """The average of members, from `restore`: maps (h, w, C) float32."""
        if len(members) == 1 and self.symmetries == (0,):
            return dict(members[0])
        kinds = {name: each.kind for name, each in self.representation.output_maps.items()}
        sums: dict[str, Any] = {}  # of values, and of softmax maps as logarithms
        logits: dict[str, list[np.ndarray]] = {}  # of maps of one channel
        for maps in members:
            for name, kind in kinds.items():
                m = maps[name].astype(np.float64)
                if kind != "logits":
                    sums[name] = sums.get(name, 0.0) + m
                elif m.shape[-1] == 1:
                    logits.setdefault(name, []).append(m)
                else:
                    probability = special.log_softmax(m, axis=-1)
                    sums[name] = np.logaddexp(sums.get(name, -np.inf), probability)
        n = len(members)
        merged = {k: s - np.log(n) if kinds[k] == "logits" else s / n for k, s in sums.items()}
        merged |= {name: _merged(np.stack(each), self.merge) for name, each in logits.items()}
        return {name: m.astype(np.float32) for name, m in merged.items()}


def _merged(logits: np.ndarray, merge: str) -> np.ndarray:
    """The logit of the mean or the median of probabilities along the first axis of their logits."""
    if merge == "median":  # the mean of the two in the middle if their number is even
        n = len(logits)
        logits = np.sort(logits, axis=0)[(n - 1) // 2 : n // 2 + 1]
    # From logarithms of p and of 1 - p, which keep their digits where p is next to 1.
    yes, no = special.log_expit(logits), special.log_expit(-logits)
    return special.logsumexp(yes, axis=0) - special.logsumexp(no, axis=0)
