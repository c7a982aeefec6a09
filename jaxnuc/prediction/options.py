"""How `jaxnuc.predict` turns images into nuclei."""

import os
from dataclasses import dataclass

from jaxnuc.io.pixel_size import check_mpp
from jaxnuc.io.workers import cores
from jaxnuc.outputs import check_installed, paths
from jaxnuc.prediction.patches import OVERLAP, PATCH, TILE, check_sizes


@dataclass(frozen=True)
class Options:
    """How images become nuclei.

    Attributes:
      formats: of the files, see `jaxnuc.outputs.FORMATS`.
      mpp: microns per pixel of the images, whatever their files say; None: as they say.
      model_mpp: microns per pixel that the model expects; None: its configuration's `data.mpp`.
      patch: side of what the network sees at once, in pixels at the model's resolution, a multiple
        of 64; less for a small image.
      overlap: of neighbouring patches and of neighbouring tiles, a multiple of 32. It should be
        longer than a nucleus; one that is longer is merged from its pieces.
      tile: side of what is decoded at once, a multiple of 64; nothing is computed twice within one
        where it is a multiple of `patch - overlap`.
      batch_size: patches that the devices take at once.
      workers: processes that decode; 0: this one; None: one for each core that this process may
        use but one, 8 at most.
      tissue: leave out tiles without tissue; only for stained sections.
      stains: measure haematoxylin and eosin in each nucleus.
      skip_corrupt: take what cannot be read for glass, and name it at the end.
      overwrite: begin anew, and replace the files of `formats` that exist; those of other formats
        stay as they are. Where such a run is killed, one without goes on.
      shard: (i, n): do the i-th of n parts of each image, from 1, and write no files of nuclei;
        a run without a shard joins them, in the same folder or by `merge`, and does what is
        missing.
      merge: folders in which other processes wrote their shards, which are taken from there.
      report: write `NAME.report.html`, a page to look at.
      progress: show a progress bar.
    """

    formats: tuple[str, ...] = ("geojson", "csv")
    mpp: float | None = None
    model_mpp: float | None = None
    patch: int = PATCH
    overlap: int = OVERLAP
    tile: int = TILE
    batch_size: int = 1
    workers: int | None = None
    tissue: bool = False
    stains: bool = True
    skip_corrupt: bool = False
    overwrite: bool = False
    shard: tuple[int, int] | None = None
    merge: tuple[str | os.PathLike[str], ...] = ()
    report: bool = True
    progress: bool = True

    @property
    def decoders(self) -> int:
        """Number of processes that decode."""
        return min(max(cores() - 1, 1), 8) if self.workers is None else self.workers

    def __post_init__(self) -> None:
        check_sizes(self.tile, self.patch, self.overlap)
        for mpp in (self.mpp, self.model_mpp):
            if mpp is not None:
                check_mpp(mpp)
        check_installed(paths("", "", self.formats))  # `paths` refuses unknown ones
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers={self.workers} must be 0 (decode in this process) or more")
        if self.overwrite and self.shard:
            raise ValueError(
                "overwrite=True with a shard: other processes may be writing what would be "
                "removed; take another output folder, or remove the old one first"
            )


DEFAULT = Options()
