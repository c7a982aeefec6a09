"""Images that the network sees in patches, and that are decoded whole."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxnuc.io import ArrayImage
from jaxnuc.prediction.batches import Batches
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.prediction.patches import OVERLAP, assemble, check_sizes, patches, read
from jaxnuc.prediction.predictor import Predictor, as_rgb
from jaxnuc.prediction.tiles import Tiling
from jaxnuc.representations import Nuclei


@dataclass(frozen=True)
class Patched:
    """What evaluation takes in place of a predictor that sees each image at once.

    Networks that weigh their features by means over all that they see say something else in patches
    (HARU-Net, AL-Net with attention learning, DeepLabV3+), and may be better so where they were
    trained on crops. Images of all sizes share one compilation.

    Attributes:
      predictor: from `load`.
      patch: side in pixels, a multiple of 64.
      overlap: of neighbouring patches, a multiple of 32.

    Raises:
      ValueError: the sizes are not possible, or the predictor is to tell agreement, which is of use
        for prediction only.
    """

    predictor: Predictor
    patch: int
    overlap: int = OVERLAP

    def __post_init__(self) -> None:
        check_sizes(self.patch, self.patch, self.overlap)
        if self.predictor.agreement:
            raise ValueError("agreement=True: evaluation does not judge it; load without")

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self.predictor)

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """As `Predictor.maps`."""
        large = ArrayImage(as_rgb(image))
        normalize = self.predictor.normalize.fitted(large.read(0, 0, *large.shape))
        tile = Tiling(large.shape, max(large.shape), 0).at(0, 0)
        pixels = (
            (each, normalize(read(large, each, self.patch, self.predictor.margin)))
            for each in patches(tile, large.shape, self.patch, self.overlap)
        )
        ((_, maps, _),) = assemble(self._batches(pixels), self.decode.grid)
        return maps

    @property
    def decode(self) -> Decoder:
        """As `Predictor.decode`."""
        return self.predictor.decode

    def __call__(self, image: np.ndarray) -> Nuclei:
        """The nuclei of an image."""
        return self.decode(self.maps(image), np.shape(image)[:2])
