"""Images of The Cancer Genome Atlas beside their Aperio annotations, as several sets have them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from jaxnuc import registry
from jaxnuc.data.sources._aperio import Annotations, read_aperio
from jaxnuc.data.sources._polygons import Polygon, rasterize
from jaxnuc.data.sources._splitting import SPLITS, random_split
from jaxnuc.io.archive import Files
from jaxnuc.io.image_files import natural_key

TIFF = (".tif", ".tiff")


class Annotated(NamedTuple):
    """An image and its annotation file, both in `files`."""

    files: Files
    image: str
    xml: str

    def annotations(self) -> Annotations:
        """Reads the annotation file."""
        return read_aperio(self.files.read(self.xml), self.files.where(self.xml))


def archives(root: str | Path, *prefixes: str) -> list[Files]:
    """What is in a folder of downloads, or `root` itself where it is the data.

    Args:
      root: a folder or a zip.
      *prefixes: how the names of the set's zips and folders begin, in small letters.

    Returns:
      The zips and then the folders directly in `root` with such names; if none, `root`.

    Raises:
      FileNotFoundError: there is no `root`.
    """
    root = Path(root)
    if root.is_dir():
        found = sorted(p for p in root.iterdir() if p.name.casefold().startswith(prefixes))
        zips = [p for p in found if p.is_file() and p.suffix.casefold() == ".zip"]
        folders = [p for p in found if p.is_dir()]
        if zips or folders:
            return [Files(p) for p in zips + folders]
    return [Files(root)]


def find_pairs(
    archives: Sequence[Files], unmatched: str = "error", suffixes: Sequence[str] = TIFF
) -> tuple[dict[str, Annotated], list[str]]:
    """Matches images and annotation files of the same stem.

    Where two archives hold a pair, say a zip beside the folder unpacked from it, the first counts.

    Args:
      archives: where to look, in all folders but those of overlays.
      unmatched: `"error"`, or `"skip"` to leave out files without a partner.
      suffixes: of the images, the preferred ones first.

    Returns:
      The pairs by stem in natural order, and the addresses of the files without a partner.

    Raises:
      ValueError: unknown value of `unmatched`; two files of one kind and stem in an archive; a file
        without a partner, unless they are to be skipped.
    """
    if unmatched not in ("error", "skip"):
        raise registry.unknown("value of unmatched:", unmatched, ("error", "skip"))
    pairs: dict[str, Annotated] = {}
    alone: list[str] = []
    for files in archives:
        kinds: dict[str, dict[str, str]] = {suffix: {} for suffix in (".xml", *suffixes)}
        for name in files.names:
            path = PurePosixPath(name)
            kind = kinds.get(path.suffix.casefold())
            if kind is None or any(part.casefold().startswith("overlay") for part in path.parts):
                continue
            if path.stem in kind:
                raise ValueError(
                    f"{files.path}: {kind[path.stem]} and {name} have the same stem; keep one"
                )
            kind[path.stem] = name
        xmls = kinds.pop(".xml")
        images = {stem: name for kind in reversed(kinds.values()) for stem, name in kind.items()}
        for stem, xml in xmls.items():
            if stem in images:
                pairs.setdefault(stem, Annotated(files, images[stem], xml))
        for have, other in ((images, xmls), (xmls, images)):
            alone += [files.where(name) for stem, name in have.items() if stem not in other]
    if alone and unmatched == "error":
        partner = "image" if alone[0].lower().endswith(".xml") else "annotation file"
        names = ", ".join(PurePosixPath(name).name for name in alone)
        raise ValueError(
            f"{alone[0]}: no {partner} of this stem; complete the data, or leave out such files by "
            f"unmatched='skip' ({len(alone)}: {names})"
        )
    return dict(sorted(pairs.items(), key=lambda item: natural_key(item[0]))), alone


def patient(barcode: str) -> str:
    """The patient of a TCGA barcode; another name is its own patient.

    >>> patient("TCGA-21-5784-01Z-00-DX1"), patient("slide_7")
    ('TCGA-21-5784', 'slide_7')
    """
    parts = barcode.split("-")
    return "-".join(parts[:3]) if parts[0] == "TCGA" and len(parts) > 2 else barcode


def choose(
    train: Sequence[str], test: Sequence[str], split: str, seed: int, val_fraction: float
) -> list[str]:
    """The images of one split, where val is cut from the published training images by patient.

    Args:
      train: names of the training images, which begin with the patients' barcodes.
      test: names of the test images.
      split: `"train"`, `"val"`, `"test"`, or `"all"`, training images first.
      seed: of the permutation of the patients.
      val_fraction: share of the training images' patients in val, in [0, 1).

    Returns:
      Names in the given order.

    Raises:
      ValueError: unknown split, a share outside of [0, 1), or an empty split.
    """
    if split not in (*SPLITS, "all"):
        raise registry.unknown("split", split, (*SPLITS, "all"))
    if not 0 <= val_fraction < 1:
        raise ValueError(f"val_fraction={val_fraction}: a share in [0, 1) is expected")
    chosen = {"test": [*test], "all": [*train, *test]}.get(split, [*train])
    if not chosen:
        raise ValueError(
            f"split {split!r} is empty: these data have none of its images; complete them, or take "
            "another split"
        )
    if split in ("train", "val"):
        patients = sorted({patient(name) for name in chosen})
        shares = (1 - val_fraction, val_fraction, 0.0)
        kept = set(random_split(patients, split, seed, shares))
        chosen = [name for name in chosen if patient(name) in kept]
    return chosen


def paint(
    polygons: Sequence[Polygon], shape: tuple[int, int], convention: str, where: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """`rasterize`, with an error where all regions lie outside of the image.

    Raises:
      ValueError: that, as for an annotation file of another image; it names the file.
    """
    instances, counts = rasterize(polygons, shape, convention)
    if counts["regions"] > counts["skipped_regions"] and not instances.any():
        raise ValueError(
            f"{where}: none of its {counts['regions']} regions lies in the image of {shape} "
            "pixels; it belongs to another image"
        )
    return instances, counts
