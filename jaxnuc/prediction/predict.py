"""From image files to files of nuclei: resumable, in shards, with memory that is bounded."""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import logging
from tqdm import tqdm

from jaxnuc.io import (
    LargeImage,
    MendedImage,
    ResampledImage,
    at_mpp,
    image_name,
    list_images,
    open_image,
    thumbnail,
)
from jaxnuc.io.atomic import replace_file
from jaxnuc.outputs import FORMATS, Scene, paths, write
from jaxnuc.outputs.drawing import save_png
from jaxnuc.prediction.batches import Batches
from jaxnuc.prediction.measuring import measured
from jaxnuc.prediction.options import DEFAULT, Options
from jaxnuc.prediction.parts import Parts
from jaxnuc.prediction.plan import check_same, fingerprint, plan_of_model
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.stream import found_rows
from jaxnuc.prediction.tiles import Tile, Tiling
from jaxnuc.prediction.tissue import covered, tissue_mask, tissue_picture
from jaxnuc.reports.prediction import write_prediction_report

__all__ = ["Options", "Report", "predict"]


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
    options: Options = DEFAULT,
) -> Report:
    """Finds the nuclei in image files and writes them to a folder.

    For each image, the files of `options.formats` and `NAME.json`, which says how they were made
    and is written last. An image that has it is not done again. Until then, what is found is in
    `NAME.parts/`: a run that was killed goes on there, and its result is the same. Where images lie
    in the folder that is written, what was made of them is not taken for an image.

    Args:
      inputs: image files, folders of them, or patterns.
      predictor: from `jaxnuc.load`.
      output: folder, made where it is missing.
      options: see there.

    Returns:
      What became of each image. One that cannot be read, of which the resolution is unknown, that
      was done in another way, or of which an output exists that this did not make, does not stop
      the others.

    Raises:
      FileNotFoundError: an input finds no image.
      ValueError: two images of one name; a batch of no possible size.
      OSError: a file cannot be written, as on a full disk; run again, it goes on.
    """
    done, failed = [], []
    plan = plan_of_model(predictor, options)
    batches = Batches(predictor, options.batch_size)
    images = list_images(inputs)
    made = {each.resolve() for path in images for each in _made_of(path, Path(output))}
    for path in images:
        if path.resolve() in made:
            continue
        try:
            with _opened(path) as image:
                whole = MendedImage(image) if options.skip_corrupt else image
                its_plan = plan | {"image": image_name(path), "file": fingerprint(path)}
                said = _predict_image(whole, batches, Path(output), its_plan, options)
        except (ValueError, FileExistsError) as error:
            failed.append((str(path), str(error)))
            continue
        except OSError as error:
            error.add_note(f"stopped at {path}; once this is mended, run again: it goes on there")
            raise
        if said is not None:
            done.append(said)
    return Report(tuple(done), tuple(failed))


def _made_of(path: Path, output: Path) -> list[Path]:
    """What might be made of an image in a folder, and looks like an image itself."""
    name = image_name(path)
    return [output / f"{name}.tissue.png", *paths(output, name, FORMATS).values()]


def _opened(path: Path) -> LargeImage:
    """An image, or a ValueError, whatever there is in the way of opening it."""
    try:
        return open_image(path)
    except (OSError, ImportError) as error:
        raise ValueError(str(error)) from error


def _predict_image(
    image: LargeImage,
    batches: Batches,
    output: Path,
    plan: dict[str, Any],
    options: Options,
) -> dict[str, Any] | None:
    """Does one image; None where it is not complete yet, because others have shards of it."""
    view, mpp = _at_model(image, batches.predictor, options)
    scale = view.scale if isinstance(view, ResampledImage) else (1.0, 1.0)
    name: str = plan["image"]
    plan = plan | {"shape": list(view.shape), "mpp": mpp, "scale": list(scale)}
    scene = Scene(name, view.shape, mpp, scale, batches.predictor.decode.class_names, pixels=view)
    for format_ in options.formats:
        scene.check_size(FORMATS[format_].most_pixels, format_, "another format")
    files = paths(output, name, options.formats)
    if options.report:
        files["report"] = output / f"{name}.report.html"
    folder, summary = output / f"{name}.parts", output / f"{name}.json"
    earlier = None if options.overwrite else _said(summary, plan)
    if earlier and all(key in earlier["files"] and path.exists() for key, path in files.items()):
        shutil.rmtree(folder, ignore_errors=True)  # of a run killed as it removed them
        return earlier
    parts = _begun(folder, plan, files, earlier, options)
    if options.overwrite:
        summary.unlink(missing_ok=True)  # it tells of files that will not be there
    seconds = _find(image, view, batches, parts, output, options)
    if options.shard is not None:
        return None
    begun = time.perf_counter()
    tables = parts.stitched(Tiling(view.shape, options.tile, options.overlap))
    parts.save_final(measured(tables, view, mpp, options.tile, options.stains))
    write(output, name, options.formats, parts.final, scene, overwrite=True)
    said: dict[str, Any] = {
        "plan": plan,
        "path": image.path,
        "nuclei": sum(map(len, parts.final())),
        "corrupt": parts.damage(),
        "files": _there(output, earlier) | {key: path.name for key, path in files.items()},
        "seconds": {**seconds, "files": time.perf_counter() - begun},
    }
    for line in said["corrupt"]:
        logging.warning("taken for glass: %s", line)
    if options.report:
        write_prediction_report(files["report"], parts.final, scene, *thumbnail(view), said)
    replace_file(summary, (json.dumps(said, indent=2) + "\n").encode())
    parts.remove()
    return said


def _said(summary: Path, plan: dict[str, Any]) -> dict[str, Any] | None:
    """What the summary of an image says, None where there is none.

    Raises:
      ValueError: the image was done with another plan.
      FileExistsError: the file is of someone else.
    """
    if not summary.is_file():
        return None
    try:
        said: dict[str, Any] = json.loads(summary.read_text())
        then, _ = said["plan"], said["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise FileExistsError(
            f"{summary} exists, and is not from here; replace it with --overwrite, or move it away"
        ) from error
    check_same(plan, then, str(summary))
    return said


def _there(output: Path, earlier: dict[str, Any] | None) -> dict[str, str]:
    """Files of an earlier run with the same plan, perhaps of other formats."""
    files = earlier["files"] if earlier else {}
    return {key: name for key, name in files.items() if (output / name).exists()}


def _begun(
    folder: Path,
    plan: dict[str, Any],
    files: dict[str, Path],
    earlier: dict[str, Any] | None,
    options: Options,
) -> Parts:
    """What is there of an image that is not done, with what other folders have of it."""
    if options.overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    known = files if options.overwrite else earlier["files"] if earlier else ()
    replaceable = [path for key, path in files.items() if key in known]
    outputs = list(files.values()) if options.shard is None else []
    parts = Parts(folder, plan, outputs, replaceable)
    for other in options.merge:
        parts.take(Path(other, folder.name))
    return parts


def _find(
    image: LargeImage,
    view: LargeImage,
    batches: Batches,
    parts: Parts,
    output: Path,
    options: Options,
) -> dict[str, float]:
    """Finds the nuclei that are missing among the parts; how long it took, and what waited."""
    name = parts.plan["image"]
    tiling = Tiling(view.shape, options.tile, options.overlap)
    rows = range(tiling.grid[0]) if options.shard is None else tiling.shard(*options.shard)
    begun, before = time.perf_counter(), dict(batches.seconds)
    if missing := parts.missing(rows):
        found = found_rows(
            view,
            tiling,
            missing,
            batches,
            patch=options.patch,
            workers=options.decoders,
            wanted=_tissue(view, output / f"{name}.tissue.png") if options.tissue else None,
        )
        told = 0
        for row in tqdm(found, name, len(missing), unit="row", disable=not options.progress):
            if isinstance(image, MendedImage):
                damage = image.damage[told:]
                parts.save_damage(row.row, damage)
                told += len(damage)
            parts.save(row)
    return {
        "network": time.perf_counter() - begun,
        "waiting_for_tiles": batches.seconds["tiles"] - before["tiles"],
        "waiting_for_decoding": batches.seconds["taker"] - before["taker"],
    }


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
    logging.log_first_n(
        logging.WARNING,
        "the model does not say for what microns per pixel it was trained (data.mpp=0): pixels are "
        "taken as they are; give --model_mpp to have images resampled",
        1,
    )
    return image, options.mpp or image.mpp


def _tissue(image: LargeImage, picture: Path) -> Callable[[Tile], bool]:
    """Whether a tile has tissue; writes what was taken for it as a picture."""
    small, scale = thumbnail(image, mended=False)
    mask = tissue_mask(small)
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_png(picture, tissue_picture(small, mask))
    return lambda tile: covered(mask, tile.box, scale)
