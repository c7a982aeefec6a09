"""From image files to files of nuclei: resumable, in shards, with memory that is bounded."""

import hashlib
import json
import os
import shutil
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
from jaxnuc.images import (
    LargeImage,
    MendedImage,
    ResampledImage,
    at_mpp,
    image_name,
    list_images,
    open_image,
    thumbnail,
)
from jaxnuc.inference.batches import Batches
from jaxnuc.inference.parts import Parts, check_same
from jaxnuc.inference.patches import OVERLAP, PATCH, TILE, check_sizes
from jaxnuc.inference.predictor import Predictor
from jaxnuc.inference.stream import found_rows
from jaxnuc.inference.tiles import Tile, Tiling
from jaxnuc.inference.tissue import covered, tissue_mask, tissue_picture
from jaxnuc.outputs import NucleiTable, Scene, measure, paths, write
from jaxnuc.reports.prediction import write_prediction_report


@dataclass(frozen=True)
class Options:
    """How images become nuclei.

    Attributes:
      formats: of the files, see `jaxnuc.outputs.FORMATS`.
      mpp: microns per pixel of the images, whatever their files say; None: as they say.
      model_mpp: microns per pixel that the model expects; None: its configuration's `data.mpp`.
      patch: side of what the network sees at once, in pixels at the model's resolution, a multiple
        of 64.
      overlap: of neighbouring patches and of neighbouring tiles, a multiple of 32. It should be
        longer than a nucleus; one that is longer is merged from its pieces.
      tile: side of what is decoded at once, a multiple of 64; nothing is computed twice within one
        where it is a multiple of `patch - overlap`.
      batch_size: patches that the devices take at once.
      workers: processes that decode; 0: this one.
      tissue: leave out tiles without tissue; only for stained sections.
      stains: measure haematoxylin and eosin in each nucleus.
      skip_corrupt: take what cannot be read for glass, and name it at the end.
      overwrite: replace outputs that exist, and begin anew what was begun otherwise.
      shard: (i, n): do the i-th of n parts of each image, from 1, and write no files of nuclei;
        a run without a shard joins them, in the same folder or by `merge`.
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
    workers: int = 1
    tissue: bool = False
    stains: bool = True
    skip_corrupt: bool = False
    overwrite: bool = False
    shard: tuple[int, int] | None = None
    merge: tuple[str | os.PathLike[str], ...] = ()
    report: bool = True
    progress: bool = True

    def __post_init__(self) -> None:
        check_sizes(self.tile, self.patch, self.overlap)
        paths("", "", self.formats)  # refuses unknown ones
        if self.overwrite and self.shard:
            raise ValueError(
                "overwrite=True with a shard: other processes may be writing what would be "
                "removed; take another output folder, or remove the old one first"
            )


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
                whole = MendedImage(image) if options.skip_corrupt else image
                name = image_name(path)
                said = _predict_image(name, whole, batches, Path(output), plan, options)
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
        shutil.rmtree(parts_folder, ignore_errors=True)
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
    for folder in options.merge:
        parts.take(Path(folder, parts_folder.name))
    tiling = Tiling(view.shape, options.tile, options.overlap)
    rows = range(tiling.grid[0]) if options.shard is None else tiling.shard(*options.shard)
    begun, waited = time.perf_counter(), dict(batches.seconds)
    if missing := parts.missing(rows):
        found = found_rows(
            view,
            tiling,
            missing,
            batches,
            patch=options.patch,
            workers=options.workers,
            wanted=_tissue(view, output / f"{name}.tissue.png") if options.tissue else None,
        )
        for row in tqdm(found, name, len(missing), unit="row", disable=not options.progress):
            if isinstance(image, MendedImage):
                parts.save_damage(row.row, image.damage)
            parts.save(row)
    network = time.perf_counter() - begun
    waited = {key: batches.seconds[key] - before for key, before in waited.items()}
    if options.shard is not None:
        return None
    begun = time.perf_counter()
    parts.save_final(_measured(parts.stitched(tiling), view, mpp, tiling, options.stains))
    scene = Scene(name, view.shape, mpp, scale, batches.predictor.decode.class_names, pixels=view)
    write(output, name, options.formats, parts.final, scene, overwrite=True)
    said = {
        "plan": plan,
        "path": image.path,
        "nuclei": sum(map(len, parts.final())),
        "corrupt": parts.damage(),
        "files": {key: path.name for key, path in files.items()},
        "seconds": {
            "network": network,
            "waiting_for_tiles": waited["tiles"],
            "waiting_for_decoding": waited["taker"],
            "files": time.perf_counter() - begun,
        },
    }
    for line in said["corrupt"]:
        logging.warning("taken for glass: %s", line)
    if options.report:
        report = output / f"{name}.report.html"
        write_prediction_report(report, parts.final, scene, *thumbnail(view), said)
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
        "agreement": predictor.agreement,
        "patch": options.patch,
        "overlap": options.overlap,
        "tile": options.tile,
        "tissue": options.tissue,
    }
