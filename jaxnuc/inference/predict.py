"""From image files to files of nuclei: resumable, in shards, with memory that is bounded."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from PIL import Image
from tqdm import tqdm

from jaxnuc.files import replace_file, replacing
from jaxnuc.images import LargeImage, ResampledImage, at_mpp, image_name, list_images, open_image
from jaxnuc.inference.batches import Batches
from jaxnuc.inference.parts import Parts, check_same
from jaxnuc.inference.predictor import Predictor
from jaxnuc.inference.stream import found_rows, thumbnail
from jaxnuc.inference.tiles import Tile, Tiling
from jaxnuc.inference.tissue import covered, tissue_mask, tissue_picture
from jaxnuc.outputs import NucleiTable, Scene, measure, paths, write


@dataclass(frozen=True)
class Options:
    """How images become nuclei.

    Attributes:
      formats: of the files, see `jaxnuc.outputs.FORMATS`.
      mpp: microns per pixel of the images, whatever their files say; None: as they say.
      model_mpp: microns per pixel that the model expects; None: its configuration's `data.mpp`.
      tile: side of the tiles in pixels at the model's resolution, a multiple of 64.
      overlap: of neighbouring tiles, in the same pixels; a nucleus that is longer is merged from
        its pieces.
      batch_size: tiles that the devices take at once.
      workers: processes that decode; 0: this one.
      tissue: leave out tiles without tissue; only for stained sections.
      stains: measure haematoxylin and eosin in each nucleus.
      skip_corrupt: leave out tiles that cannot be read, and name them at the end.
      overwrite: replace outputs that exist, and begin anew what was begun otherwise.
      shard: (i, n): do the i-th of n parts of each image, from 1, and write no files of nuclei;
        a run without a shard in the same folder joins them.
      progress: show a progress bar.
    """

    formats: tuple[str, ...] = ("geojson", "csv")
    mpp: float | None = None
    model_mpp: float | None = None
    tile: int = 1024
    overlap: int = 96
    batch_size: int = 1
    workers: int = 1
    tissue: bool = False
    stains: bool = True
    skip_corrupt: bool = False
    overwrite: bool = False
    shard: tuple[int, int] | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if self.tile < 64 or self.tile % 64:
            raise ValueError(f"tile={self.tile} must be a multiple of 64")
        Tiling((1, 1), self.tile, self.overlap)  # refuses what does not fit, as does this:
        paths("", "", self.formats)


@dataclass(frozen=True)
class Report:
    """What became of the images.

    Attributes:
      done: what `NAME.json` says of each image that has its files.
      failed: (path, what was said) of those that could not be done.
    """

    done: tuple[dict[str, Any], ...]
    failed: tuple[tuple[str, str], ...]


def predict(
    inputs: Sequence[str | os.PathLike[str]],
    predictor: Predictor,
    output: str | os.PathLike[str],
    options: Options = Options(),
) -> Report:
    """Finds the nuclei in image files and writes them to a folder.

    For each image, the files of `options.formats` and `NAME.json`, which says how they were made
    and is written last. An image that has it is not done again. Until then, what is found is in
    `NAME.parts/`: a run that was killed goes on there, and its result is the same.

    Args:
      inputs: image files, folders of them, or patterns.
      predictor: from `jaxnuc.load`.
      output: folder, made where it is missing.
      options: see there.

    Returns:
      What became of each image. One that cannot be read, of which the resolution is unknown, or
      that was done in another way, does not stop the others.

    Raises:
      FileNotFoundError: an input finds no image.
      FileExistsError: an output exists that this did not make.
      ValueError: an unknown format, a tile or a batch of no possible size.
    """
    done, failed = [], []
    plan = _plan_of_model(predictor, options)
    batches = Batches(predictor, options.batch_size)
    for path in list_images(inputs):
        try:
            with open_image(path) as image:
                name = image_name(path)
                said = _predict_image(name, image, batches, Path(output), plan, options)
        except ValueError as error:
            failed.append((str(path), str(error)))
            continue
        if said is not None:
            done.append(said)
    return Report(tuple(done), tuple(failed))


def _predict_image(
    name: str,
    image: LargeImage,
    batches: Batches,
    output: Path,
    plan: dict[str, Any],
    options: Options,
) -> dict[str, Any] | None:
    """Does one image; None where it is not complete yet, because others have shards of it."""
    view, mpp = _at_model(image, batches.predictor, options)
    scale = view.scale if isinstance(view, ResampledImage) else (1.0, 1.0)
    plan = plan | {"image": name, "shape": list(view.shape), "mpp": mpp, "scale": list(scale)}
    summary = output / f"{name}.json"
    parts_folder = output / f"{name}.parts"
    files = paths(output, name, options.formats)
    if options.overwrite:
        for row in parts_folder.glob("*") if options.shard is None else ():
            row.unlink()
    elif summary.is_file():
        said = json.loads(summary.read_text())
        check_same(plan, said["plan"], str(summary))
        if all(path.exists() for path in files.values()):
            return said
    else:
        for path in files.values():
            if path.exists():
                raise FileExistsError(
                    f"{path} exists; replace it with --overwrite, or move it away"
                )
    parts = Parts(parts_folder, plan)
    tiling = Tiling(view.shape, options.tile, options.overlap)
    rows = range(tiling.grid[0]) if options.shard is None else tiling.shard(*options.shard)
    begun, waited = time.perf_counter(), dict(batches.seconds)
    if missing := parts.missing(rows):
        found = found_rows(
            view,
            tiling,
            missing,
            batches,
            workers=options.workers,
            wanted=_tissue(view, output / f"{name}.tissue.png") if options.tissue else None,
            skip_corrupt=options.skip_corrupt,
        )
        bar = tqdm(found, name, len(missing), unit="row", disable=not options.progress)
        for row in bar:
            parts.save(row)
    network = time.perf_counter() - begun
    waited = {key: batches.seconds[key] - before for key, before in waited.items()}
    if options.shard is not None:
        return None
    begun = time.perf_counter()
    parts.save_final(_measured(parts.stitched(tiling), view, mpp, tiling, options.stains))
    scene = Scene(name, view.shape, mpp, scale, batches.predictor.decode.class_names)
    write(output, name, options.formats, parts.final, scene, overwrite=True)
    said = {
        "plan": plan,
        "path": image.path,
        "nuclei": sum(map(len, parts.final())),
        "corrupt": parts.corrupt(),
        "files": {key: path.name for key, path in files.items()},
        "seconds": {
            "network": network,
            "waiting_for_tiles": waited["tiles"],
            "waiting_for_decoding": waited["taker"],
            "files": time.perf_counter() - begun,
        },
    }
    for line in said["corrupt"]:
        logging.warning("left out: %s", line)
    replace_file(summary, (json.dumps(said, indent=2) + "\n").encode())
    parts.remove()
    return said


def _at_model(
    image: LargeImage, predictor: Predictor, options: Options
) -> tuple[LargeImage, float | None]:
    """The image at the model's resolution, and its microns per pixel where they are known."""
    model_mpp = options.model_mpp or predictor.config.data.mpp or None
    if model_mpp is not None:
        view = at_mpp(image, model_mpp, given=options.mpp)
        return view, view.mpp
    if options.mpp is None and image.mpp is None:
        return image, None
    logging.warning(
        "%s: the model does not say for what microns per pixel it was trained (data.mpp=0): "
        "pixels are taken as they are; give --model_mpp to have images resampled",
        image.path,
    )
    return image, options.mpp or image.mpp


def _tissue(image: LargeImage, picture: Path) -> Callable[[Tile], bool]:
    """Whether a tile has tissue; writes what was taken for it as a picture."""
    small, scale = thumbnail(image)
    mask = tissue_mask(small)
    picture.parent.mkdir(parents=True, exist_ok=True)
    with replacing(picture) as temporary:
        Image.fromarray(tissue_picture(small, mask)).save(temporary, "PNG")
    return lambda tile: covered(mask, tile.box, scale)


def _measured(
    tables: Iterator[NucleiTable],
    image: LargeImage,
    mpp: float | None,
    tiling: Tiling,
    stains: bool,
) -> Iterator[NucleiTable]:
    """The nuclei with their measurements, column of tiles by column within each table."""
    for table in tables:
        if not len(table):
            continue
        columns = np.array([mask.col for mask in table.masks]) // tiling.tile
        order = np.argsort(columns, kind="stable")
        table = table.take(order)
        for rows in np.split(np.arange(len(table)), np.flatnonzero(np.diff(columns[order])) + 1):
            yield _measure(table.take(rows), image, mpp, stains)


def _measure(table: NucleiTable, image: LargeImage, mpp: float | None, stains: bool) -> NucleiTable:
    top = min(mask.row for mask in table.masks)
    left = min(mask.col for mask in table.masks)
    bottom = max(mask.row + mask.mask.shape[0] for mask in table.masks)
    right = max(mask.col + mask.mask.shape[1] for mask in table.masks)
    region = image.read(top, left, bottom - top, right - left) if stains else None
    kind = "ruifrok" if stains else None
    found = measure(table.masks, region, corner=(top, left), mpp=mpp, stains=kind)
    return replace(table, measurements=found)


def _plan_of_model(predictor: Predictor, options: Options) -> dict[str, Any]:
    """What the nuclei depend on, the image aside."""
    digest = hashlib.sha256(repr(predictor.representation).encode())
    digest.update(predictor.config.to_json(sort_keys=True).encode())
    for leaf in jax.tree.leaves(jax.device_get(predictor.variables)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return {
        "model": digest.hexdigest()[:16],
        "symmetries": list(predictor.symmetries),
        "merge": predictor.merge,
        "tile": options.tile,
        "overlap": options.overlap,
        "tissue": options.tissue,
    }
