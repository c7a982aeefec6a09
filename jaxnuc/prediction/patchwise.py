"""Prediction for evaluation: the network sees patches, and the image is decoded whole."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxnuc.io import ArrayImage
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.prediction.patches import OVERLAP, assemble, check_sizes, patches, read
from jaxnuc.prediction.predictor import Predictor, as_rgb
from jaxnuc.prediction.tiles import Tiling
from jaxnuc.representations import Nuclei


@dataclass(frozen=True)
class PatchwisePredictor:
    """A predictor whose networks see patches of an image, the maps of which are decoded whole.

    Networks that weigh their features by means over all that they see give other maps in patches
    (HARU-Net, AL-Net with attention learning, DeepLabV3+), and may be better so where they were
    trained on crops. Images of all sizes share one compilation.

    Attributes:
      predictor: from `load`.
      patch: side in pixels, a multiple of 64.
      overlap: of neighboring patches, a multiple of 32.

    Raises:
      ValueError: the sizes are not possible, or the predictor measures agreement, which evaluation
        does not use.
    """

    predictor: Predictor
    patch: int
    overlap: int = OVERLAP

    def __post_init__(self) -> None:
        check_sizes(self.patch, self.patch, self.overlap)
        if self.predictor.agreement:
            raise ValueError(
                "agreement=True, which evaluation does not use; load the network without it"
            )

    @cached_property
    def _runner(self) -> BatchRunner:
        return BatchRunner(self.predictor)

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """As `Predictor.maps`."""
        large = ArrayImage(as_rgb(image))
        normalize = self.predictor.normalize.fitted(large.read(0, 0, *large.shape))
        tile = Tiling(large.shape, max(large.shape), 0).at(0, 0)
        pixels = (
            (each, normalize(read(large, each, self.patch, self.predictor.margin)))
            for each in patches(tile, large.shape, self.patch, self.overlap)
        )
        ((_, maps, _),) = assemble(self._runner(pixels), self.decode.grid)
        return maps

    @property
    def decode(self) -> Decoder:
        """As `Predictor.decode`."""
        return self.predictor.decode

    def __call__(self, image: np.ndarray) -> Nuclei:
        """The nuclei of an image."""
        return self.decode(self.maps(image), np.shape(image)[:2])
