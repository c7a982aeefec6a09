"""Maps averaged over the symmetries of the square (test-time augmentation)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from jaxnuc.representations import Representation
from jaxnuc.representations._symmetries import ALL, transform, transform_back

Maps = Mapping[str, np.ndarray]
MERGES = ("mean", "median")


def augmented(
    maps_of_image: Callable[[np.ndarray], Maps],
    representation: Representation,
    symmetries: Sequence[int] = ALL,
    merge: str = "mean",
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Averages what a network says of an image turned and mirrored.

    Symmetry k mirrors left and right if k >= 4, then makes k % 4 quarter turns counter-clockwise.
    The maps are brought back, in their pixels and in what their components mean (rays, vectors),
    and merged:

    * maps of one channel, by the logit of the mean probability or of the median;
    * softmax maps, by the logarithm of the mean probability;
    * maps that are no logits, by the mean.

    On a grid of g pixels, images are mirrored at the lower and right border to sides of a multiple
    of g plus 1, so that the points of all transformed images lie on the same pixels.

    Args:
      maps_of_image: image (H, W, ...) -> `{map: (h, w, C)}`, such as `Predictor.maps`.
      representation: of the maps; its `regressions` names those that are no logits, its `undo`
        corrects components that depend on directions, and `grid` is that of the maps. One without
        them has logits alone, in which no direction counts, at the resolution of the image.
      symmetries: of 0..7, each at most once; the network runs once for each.
      merge: `"mean"`, or `"median"` as in StarDist's CoNIC variant, of maps of one channel.

    Returns:
      The function image -> `{map: (h, w, C) float32}` that does so.

    Raises:
      ValueError: unknown or repeated symmetries or none, or an unknown `merge`; when called: a
        symmetry that does not lead from rays to rays.

    References:
      Weigert and Schmidt, "Nuclei instance segmentation and classification in histopathology
      images with StarDist", ISBIC 2022.
    """
    average = Average(representation, tuple(symmetries), merge)
    return lambda image: average.merged(average.members([maps_of_image], image))


@dataclass(frozen=True)
class Average:
    """The steps of `augmented`, for one network or several (a deep ensemble).

    The members of the average are what every network says of every transformed image: all
    symmetries of the first network, then all of the second.

    Attributes:
      representation: as in `augmented`, and so are the others.
      symmetries: by default the image as it is.
      merge: `"mean"` or `"median"`.

    References:
      Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation
      using deep ensembles", NeurIPS 2017.
    """

    representation: Representation
    symmetries: tuple[int, ...] = (0,)
    merge: str = "mean"

    def __post_init__(self) -> None:
        n, distinct = len(self.symmetries), set(self.symmetries)
        if not n or len(distinct) < n or not distinct <= set(ALL):
            raise ValueError(
                f"symmetries {self.symmetries} must be some of 0..7, each at most once"
            )
        if self.merge not in MERGES:
            raise ValueError(f"merge={self.merge!r}; known: {', '.join(MERGES)}")

    @property
    def grid(self) -> int:
        """Pixels of the image per value of the maps, each way."""
        return getattr(self.representation, "grid", 1)

    def images(self, image: np.ndarray) -> list[np.ndarray]:
        """An image (H, W, ...) turned and mirrored, each of which the network is to see."""
        if self.symmetries == (0,):
            return [image]
        h, w = image.shape[:2]
        sides = [(0, (1 - h) % self.grid), (0, (1 - w) % self.grid)]
        image = np.pad(image, sides + [(0, 0)] * (image.ndim - 2), mode="symmetric")
        return [np.ascontiguousarray(transform(image, k)) for k in self.symmetries]

    def undone(self, each: Sequence[Maps]) -> tuple[Maps, ...]:
        """What networks say of `images`, brought back to the image as it was."""
        undo = getattr(self.representation, "undo", lambda maps, k: maps)
        symmetries = self.symmetries * (len(each) // len(self.symmetries))
        return tuple(
            undo({name: transform_back(m, k) for name, m in maps.items()}, k) if k else maps
            for k, maps in zip(symmetries, each, strict=True)
        )

    def members(
        self, networks: Sequence[Callable[[np.ndarray], Maps]], image: np.ndarray
    ) -> tuple[Maps, ...]:
        """All members for an image (H, W, ...), brought back, on the grid of the image."""
        images = self.images(image)
        rows, cols = (-(-side // self.grid) for side in image.shape[:2])
        return tuple(
            {name: m[:rows, :cols] for name, m in maps.items()}
            for maps in self.undone([network(each) for network in networks for each in images])
        )

    def merged(self, members: Sequence[Maps]) -> dict[str, np.ndarray]:
        """Members, from `undone`, as one set of maps (h, w, C) float32."""
        if len(members) == 1 and self.symmetries == (0,):
            return dict(members[0])
        regressions = getattr(self.representation, "regressions", ())
        sums: dict[str, Any] = {}  # of regressions, and of softmax maps as logarithms
        logits: dict[str, list[np.ndarray]] = {}  # of maps of one channel
        for maps in members:
            for name, m in maps.items():
                m = m.astype(np.float64)
                if name in regressions:
                    sums[name] = sums.get(name, 0.0) + m
                elif m.shape[-1] == 1:
                    logits.setdefault(name, []).append(m)
                else:
                    probability = special.log_softmax(m, axis=-1)
                    sums[name] = np.logaddexp(sums.get(name, -np.inf), probability)
        n = len(members)
        merged = {k: s / n if k in regressions else s - np.log(n) for k, s in sums.items()}
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
