"""Inspect a data set, or a single image or slide.

  jaxnuc inspect consep consep_train.zip
  jaxnuc inspect slide.svs

Of a data set, reads every image and annotation, prints what there is and what is wrong, and writes
summary.json and sheet.png. Of an image, prints what is in its file, and writes NAME.seen.png: what
a network sees. The exit status is 1 where there are errors.
"""

import argparse
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxnuc.cli.parser import Parser, source_section
from jaxnuc.registry import split

if TYPE_CHECKING:
    from jaxnuc.io import LargeImage

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc inspect SOURCE [ROOT] | FILE [options]"
    text = "a data set, such as consep or 'consep(merge=True)'; or an image file"
    parser.add_argument("source", type=_source_or_file, help=text)
    parser.add_argument("root", nargs="?", help="folder or archive of the data set, as distributed")
    of_sets = parser.section("data sets")
    parser.value("--split", "NAME", "one split only (all)", default="all")
    parser.value("--limit", "N", "read N images of each split only", int)
    pictures = "images on the sheet, and as many more with problems (60)"
    parser.value("--limit-pictures", "N", pictures, int, 60)
    parser.value("--max-pieces", "N", "more pieces of one nucleus are an error (20)", int, 20)
    parser.switch("--all-notes", "list all notes of each kind")
    parser.add_workers("0: this process", 0)
    of_images = parser.section("images")
    parser.add_planes()
    parser.set_defaults(of_sets=of_sets, of_images=of_images)
    parser.section("output")
    parser.value("--output", "FOLDER", "(inspected/SOURCE, or inspected for an image)", Path)


def _source_or_file(text: str) -> Any:
    """The path of an image, or the section of a data set."""
    path = Path(text)
    if path.is_file() or (path.is_dir() and (os.sep in text or not _is_source(text))):
        return path
    if "(" not in text and (os.sep in text or _is_image_name(text)):
        raise argparse.ArgumentTypeError(f"{text}: no such file or folder")
    return source_section(text)


def _is_source(name: str) -> bool:
    from jaxnuc.data import sources

    return name in sources.REGISTRY.names()


def _is_image_name(text: str) -> bool:
    # Data sets of other packages have dots in their names, too.
    if not Path(text).suffix:
        return False
    from jaxnuc.io.listing import is_image_name

    return is_image_name(text)


def run(options: argparse.Namespace) -> int:
    """Runs the command; 1 where the data have errors."""
    if isinstance(options.source, Path):
        return _inspect_image(options)
    name, arguments = split(options.source)
    if given := _given(options, options.of_images):
        flags = _flags(given)
        way_out = f"leave {flags} out"
        if name == "folder" and given.keys() <= {"image", "channel", "z", "time"}:
            way_out = f"write 'folder(planes={json.dumps(given)})' in place of {flags}"
        raise ValueError(f"{name} is a data set, not an image; {way_out}")
    logger.info("opening %s", name)
    from jaxnuc.data.contact_sheet import write_contact_sheet
    from jaxnuc.data.inspection import inspect, report
    from jaxnuc.data.splits import open_splits
    from jaxnuc.io.atomic import replace_file

    splits, problems = open_splits(name, options.root, options.split, arguments)
    found = inspect(
        splits,
        workers=options.workers,
        limit=options.limit,
        limit_pictures=options.limit_pictures,
        max_pieces=options.max_pieces,
    )
    found.problems[:0] = problems
    output = options.output or Path("inspected", name)
    output.mkdir(parents=True, exist_ok=True)
    about = {"source": name, "root": options.root, "split": options.split}
    summary = {**about, "arguments": arguments, **found.to_json()}
    replace_file(output / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    if found.pictures:
        label_set = next(iter(splits.values())).label_set
        groups = label_set.groups if label_set else ()
        write_contact_sheet(output / "sheet.png", found.pictures, groups)
    print(report(name, found, options.all_notes))
    logger.info("written to %s", output)
    return 1 if found.of("error") else 0


def _inspect_image(options: argparse.Namespace) -> int:
    """Prints what is in a file, and writes a picture of what a network sees of it."""
    logger.info("opening %s", options.source)
    _check_image(options)
    from jaxnuc.io import Planes, image_name, open_image, thumbnail
    from jaxnuc.io.limits import MOST_PIXELS
    from jaxnuc.io.planes import Unchosen
    from jaxnuc.outputs.drawing import save_png

    try:
        image = open_image(
            options.source,
            series=options.image,
            planes=Planes(options.channel, options.z, options.time),
            bounds=not options.no_bounds,
            most_pixels=MOST_PIXELS if options.most_pixels is None else options.most_pixels,
        )
    except Unchosen as several:
        print(several)
        return 0
    with image:
        for title, text in _described(image):
            print(f"{title}: {text}")
        picture, scale = thumbnail(image, fill_corrupt=False)
    output = options.output or Path("inspected")
    output.mkdir(parents=True, exist_ok=True)
    # By another name than that of the image, which may lie in the same folder.
    path = output / f"{image_name(options.source)}.seen.png"
    save_png(path, picture)
    smaller = f", {scale:.3g} times smaller" if scale > 1 else ""
    print(f"as a network sees it{smaller}: {path}")
    return 0


def _check_image(options: argparse.Namespace) -> None:
    """Refuses what is no image, and what is for data sets."""
    from jaxnuc.io.listing import is_folder_image

    path = options.source
    archive = path.suffix.lower() == ".zip"
    if archive or (path.is_dir() and not is_folder_image(path)):
        kind = "an archive" if archive else "a folder"
        raise ValueError(
            f"{path}: {kind}, not an image; for the images and annotations in it write: jaxnuc "
            f"inspect folder {path}"
        )
    if options.root is not None:
        raise ValueError(f"{path}: an image, which takes no ROOT ({options.root}); leave it out")
    if given := _given(options, options.of_sets):
        raise ValueError(f"{path} is an image, not a data set; leave {_flags(given)} out")


def _given(options: argparse.Namespace, actions: Sequence[argparse.Action]) -> dict[str, Any]:
    """Those options of a section that have another value than the default."""
    values = {each.dest: getattr(options, each.dest) for each in actions}
    return {each.dest: values[each.dest] for each in actions if values[each.dest] != each.default}


def _flags(given: Mapping[str, Any]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)


def _described(image: "LargeImage") -> list[tuple[str, str]]:
    """What is in the file of an image, by titles."""
    from jaxnuc.io.planes import COLORS

    contents = image.contents
    height, width = image.shape
    found = [("file", image.path), ("rows x columns", f"{height} x {width}")]
    if len(contents.images) > 1:
        listed = "; ".join(f"{k}: {name}" for k, name in enumerate(contents.images))
        found.append(("images (--image)", listed))
    for axis, title in (("T", "times (--time)"), ("Z", "depths (--z)"), ("C", "channels")):
        count = contents.sides.get(axis, 1)
        names = ", ".join(contents.channels) if axis == "C" else ""
        if axis == "C" and contents.in_color:
            found.append((title, f"color ({', '.join(COLORS)})"))
        elif count > 1 or names:
            found.append((title, f"{count} ({names})" if names else str(count)))
    if contents.sides:
        axes = "".join(contents.sides)
        found.append(("axes", f"{axes}, {' x '.join(map(str, contents.sides.values()))}"))
    seen = image.intensity_range
    how = "seen as they are" if seen is None else f"{seen[0]:g} to {seen[1]:g} become 0 to 255"
    found.append(("values", f"{image.dtype}, {how}"))
    if image.pixel_size is None:
        found.append(("microns per pixel", "unknown; say them (--mpp) where a model expects some"))
    else:
        sides = dict.fromkeys(
            f"{side:.4g}" for side in image.pixel_size
        )  # one where both are alike
        stated = f" ({contents.pixel_size_from})" if contents.pixel_size_from else ""
        found.append(("microns per pixel", " x ".join(sides) + stated))
    if len(image.levels) > 1:
        copies = ", ".join(f"{each.shape[0]} x {each.shape[1]}" for each in image.levels)
        found.append(("levels", copies))
    if contents.bounds is not None:
        row, col = contents.bounds[:2]
        whole = f"{contents.sides['Y']} x {contents.sides['X']}"
        found.append(("bounds", f"what was scanned, from row {row}, column {col} of {whole}"))
    return found
