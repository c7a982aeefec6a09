"""From an image array to its nuclei, patch by patch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxnuc.io import ArrayImage, LargeImage
from jaxnuc.outputs import NucleiTable
from jaxnuc.postprocess import masks
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.prediction.patches import OVERLAP, TILE, assemble, check_sizes, patches, read
from jaxnuc.prediction.predictor import Predictor, as_rgb
from jaxnuc.prediction.segmentation import Segmentation
from jaxnuc.prediction.sized import SizedDecoder, SizedMaps, resized_table, scale_of
from jaxnuc.prediction.stitching import stitch
from jaxnuc.prediction.stream import predict_rows
from jaxnuc.prediction.tiles import Tiling
from jaxnuc.representations import Nuclei

PATCH_OF_SIZED = 512


def segment(
    image: np.ndarray,
    predictor: Predictor,
    *,
    mpp: float | None = None,
    patch: int | None = None,
    overlap: int = OVERLAP,
    tile: int = TILE,
    offset: tuple[int, int] = (0, 0),
    batch_size: int = 4,
) -> Segmentation:
    """Predicts the nuclei of an image.

    Args:
      image: as `jaxnuc.io.rgb.to_rgb` takes it.
      predictor: from `load`.
      mpp: microns per pixel of the image, which only networks need that expect some, see
        `Predictor.view`.
      patch: side of what the network sees at once, a multiple of 64; None: all of the image, for
        which the device needs the memory.
      overlap: of neighboring patches and of neighboring tiles in pixels, a multiple of 32.
      tile: side of what is decoded at once, a multiple of 64: the nuclei of an image that is larger
        are stitched.
      offset: (rows, cols), multiples of 32, by which the grid of tiles and their patches is moved
        up and left.
      batch_size: patches that the devices take at once.

    Returns:
      `instances` (H, W) int32, `classes` (N,) or None, `scores` (N,); see `Nuclei` for the rest. At
      the end of a cell of a notebook, it shows itself.

    Raises:
      ValueError: the array is not an image, its microns per pixel are needed, or the sizes are not
        possible.
    """
    if patch is None:
        return predictor(image, mpp)
    check_sizes(tile, patch, overlap)
    if any(at % 32 for at in offset):
        raise ValueError(f"offset={offset} must be multiples of 32")
    pixels = as_rgb(image)
    view = predictor.view(ArrayImage(pixels, mpp=mpp))
    tiling = Tiling(view.shape, tile, overlap, offset)
    runner = BatchRunner(predictor, batch_size)
    rows = predict_rows(view, tiling, range(tiling.grid[0]), runner, patch=patch)
    # The candidates of all rows fit in memory here, as the image does.
    table = stitch(tiling, NucleiTable.concatenated([found for _, found in rows]))
    table = resized_table(table, scale_of(view), pixels.shape[:2])
    found = Nuclei(
        masks.paint(table.masks, pixels.shape[:2]),
        table.classes,
        table.scores,
        table.class_probabilities,
        masks=table.masks,
        agreement=table.agreement,
    )
    decoder = predictor.decode
    return Segmentation.of(found, pixels, decoder.class_names, decoder.colors)


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
        sides = self.patch, self.patch
        pixels = (
            (each, normalize(read(large, each, sides, self.predictor.margin)))
            for each in patches(tile, large.shape, sides, self.overlap)
        )
        ((_, maps, _),) = assemble(self._runner(pixels), self.decode.grid)
        return maps

    @property
    def decode(self) -> Decoder:
        """As `Predictor.decode`."""
        return self.predictor.decode

    def view(self, image: LargeImage) -> LargeImage:
        """As `Predictor.view`."""
        return self.predictor.view(image)

    def __call__(self, image: np.ndarray) -> Nuclei:
        """The nuclei of an image."""
        return self.decode(self.maps(image), np.shape(image)[:2])


def at_expected_size(
    predictor: Predictor, patch: int | None = None, overlap: int = OVERLAP
) -> "Predictor | PatchwisePredictor | SizedPredictor":
    """The segmentation of an evaluation: a predictor that sees images at the size it expects.

    Images that are enlarged or shrunk are of as many shapes as there are images, so that the
    network sees them in patches, `PATCH_OF_SIZED` where none are asked for; others are seen whole.
    """
    if patch is None and predictor.sizes:
        patch = PATCH_OF_SIZED
    whole = predictor if patch is None else PatchwisePredictor(predictor, patch, overlap)
    return SizedPredictor(whole) if predictor.sizes else whole


@dataclass(frozen=True)
class SizedPredictor:
    """A predictor that sees every image at the size that its networks expect.

    It is a segmentation in two steps, as evaluations take it: see `Predictor.view`.

    Attributes:
      predictor: of images as they are.
    """

    predictor: Predictor | PatchwisePredictor

    def maps(self, image: np.ndarray) -> SizedMaps:
        """The maps of an image, as `jaxnuc.io.rgb.to_rgb` takes it."""
        view = self.predictor.view(ArrayImage(as_rgb(image)))
        return SizedMaps(
            self.predictor.maps(view.read(0, 0, *view.shape)), view.shape, scale_of(view)
        )

    @property
    def decode(self) -> SizedDecoder:
        """The second step, from maps to nuclei: NumPy only, and picklable."""
        return SizedDecoder(self.predictor.decode)

    def __call__(self, image: np.ndarray) -> Nuclei:
        """The nuclei of an image."""
        return self.decode(self.maps(image), np.shape(image)[:2])
