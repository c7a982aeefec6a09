"""How `jaxnuc.predict` turns images into files of nuclei."""

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Any

from jaxnuc.io.limits import MOST_PIXELS
from jaxnuc.io.pixel_size import check_mpp
from jaxnuc.io.planes import ALL, Planes
from jaxnuc.io.workers import cores
from jaxnuc.outputs import make_formats
from jaxnuc.prediction.patches import OVERLAP, PATCH, TILE, check_sizes

# Files of a prediction that are not files of nuclei: NAME and one of these.
SUMMARY, REPORT, TISSUE, THUMBNAIL = ".json", ".report.html", ".tissue.png", ".thumbnail.jpg"


@dataclass(frozen=True)
class TilingOptions:
    """How an image is divided.

    Attributes:
      patch: side of what the network sees at once, in pixels at the model's resolution, a multiple
        of 64; a small image is seen in smaller patches.
      overlap: of neighboring patches and of neighboring tiles, a multiple of 32. It should be
        longer than a nucleus; one that is longer is merged from its pieces.
      tile: side of what is decoded at once, a multiple of 64; nothing is computed twice within one
        where it is a multiple of `patch - overlap`.
    """

    patch: int = PATCH
    overlap: int = OVERLAP
    tile: int = TILE

    def __post_init__(self) -> None:
        check_sizes(self.tile, self.patch, self.overlap)


@dataclass(frozen=True)
class ResolutionOptions:
    """At which resolution the network sees an image.

    Attributes:
      mpp: microns per pixel of the images, in place of what their files say; None: as they say.
      model_mpp: microns per pixel that the model expects; None: its configuration's `data.mpp`.

    Where the predictor sizes images (`Predictor.diameter`), that comes before microns per pixel.
    """

    mpp: float | None = None
    model_mpp: float | None = None

    def __post_init__(self) -> None:
        for mpp in (self.mpp, self.model_mpp):
            if mpp is not None:
                check_mpp(mpp)


@dataclass(frozen=True)
class FileOptions:
    """Which files are written.

    Attributes:
      formats: of the nuclei, as `jaxnuc.outputs.create` takes them.
      report: write pages as well, `NAME.report.html` of each image and `index.html` of all.
      overwrite: start again, and replace the files of `formats` that exist; those of other formats
        stay as they are. A run without it resumes one with it that was killed.
    """

    formats: tuple[str, ...] = ("geojson", "csv")
    report: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, format_ in make_formats(self.formats).items():
            if format_.suffix in (SUMMARY, REPORT, TISSUE, THUMBNAIL):
                raise ValueError(
                    f"the format {name} writes files that end in {format_.suffix}, as the "
                    "prediction itself does; give it another suffix"
                )


@dataclass(frozen=True)
class ProcessOptions:
    """How the work is shared among devices, processes and machines.

    Attributes:
      batch_size: patches that the devices take at once.
      workers: processes that decode, and write the files of many small images; 0: this one; None:
        one for each core that this process may use but one, 8 at most.
      shard: (i, n): do the i-th of n parts of each image, from 1, and write no files of nuclei;
        a run without a shard joins them, in the same folder or by `merge`, and does what is
        missing.
      merge: folders in which other processes wrote their shards.
      cluster: address of a Dask scheduler, whose workers do the rows of tiles; None: this process.
    """

    batch_size: int = 1
    workers: int | None = None
    shard: tuple[int, int] | None = None
    merge: tuple[str | os.PathLike[str], ...] = ()
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.cluster is not None and self.shard is not None:
            raise ValueError(
                f"cluster={self.cluster!r} with shard={self.shard}: the workers share all of the "
                "work; leave the shard out"
            )
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers={self.workers} must be 0 (decode in this process) or more")

    @property
    def decoders(self) -> int:
        """Number of processes that decode."""
        return min(max(cores() - 1, 1), 8) if self.workers is None else self.workers


@dataclass(frozen=True)
class PredictionOptions:
    """How images become files of nuclei.

    Attributes:
      files: which files are written.
      resolution: at which the network sees an image.
      tiling: how an image is divided.
      processes: how the work is shared.
      tissue: leave out tiles without tissue; only for stained sections.
      stains: measure hematoxylin and eosin in each nucleus of stained tissue, and intensities in
        those of other images.
      skip_corrupt: fill what cannot be read with white, and list it at the end.
      image: which one, from 0, of files that hold several images; None: there is one.
      planes: channels, depth and time, of files that hold several.
      bounds: crop slides to what was scanned, as QuPath does.
      most_pixels: of files that are decoded whole, PNG, JPEG and BMP among them.
      progress: show a progress bar.
    """

    files: FileOptions = field(default_factory=FileOptions)
    resolution: ResolutionOptions = field(default_factory=ResolutionOptions)
    tiling: TilingOptions = field(default_factory=TilingOptions)
    processes: ProcessOptions = field(default_factory=ProcessOptions)
    tissue: bool = False
    stains: bool = True
    skip_corrupt: bool = False
    image: int | None = None
    planes: Planes = ALL
    bounds: bool = True
    most_pixels: int = MOST_PIXELS
    progress: bool = True

    def __post_init__(self) -> None:
        if self.most_pixels < 1:
            raise ValueError(f"most_pixels={self.most_pixels} (--most-pixels) must be at least 1")
        if self.files.overwrite and self.processes.shard:
            raise ValueError(
                "overwrite=True with a shard: other processes may be writing what would be "
                "removed; take another output folder, or remove the old one first"
            )

    def replace(self, **values: Any) -> "PredictionOptions":
        """Options with other values, which are given by name, whatever group they are in.

        >>> DEFAULT.replace(patch=512, stains=False).tiling
        TilingOptions(patch=512, overlap=128, tile=1792)
        """
        options = self
        for group in ("files", "resolution", "tiling", "processes"):
            part = getattr(options, group)
            own = {each.name for each in dataclasses.fields(part)} & values.keys()
            part = dataclasses.replace(part, **{name: values.pop(name) for name in own})
            options = dataclasses.replace(options, **{group: part})
        return dataclasses.replace(options, **values)


DEFAULT = PredictionOptions()
