"""Images of The Cancer Genome Atlas beside their Aperio annotations, as several sets have them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jaxnuc.data.annotations import paint
from jaxnuc.data.layouts import Pair, add_file
from jaxnuc.data.sources.base import Annotation, PublishedSplit
from jaxnuc.io.aperio import read_aperio
from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import natural_key
from jaxnuc.io.polygons import check_convention
from jaxnuc.registry import check_known

TIFF = (".tif", ".tiff")


@dataclass(eq=False)
class OutlinedSource(PublishedSplit):
    """Images whose nuclei are outlined in Aperio files.

    The id of a nucleus is the position of its region in the file, from 1. The samples' `meta` holds
    `patient`, `modality`, `mpp` as annotated, and of the regions in the file the counts `regions`,
    `skipped_regions` (under 3 vertices) and `hidden_regions` (no pixel left).
    """

    convention: str = "pixel_centers"
    cache: bool = True

    def __post_init__(self) -> None:
        check_convention(self.convention)
        super().__post_init__()

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        found = read_aperio(file.read(), file.where)
        painted = paint(found.polygons, shape, self.convention, file.where)
        meta = {"mpp": found.mpp, **painted.counts}
        return Annotation(painted.instances, meta=meta, covered=painted.covered)

    def about(self, name: str) -> dict[str, Any]:
        return {"patient": patient(name), "modality": "H&E"}


def find_outlined(
    root: str | Path,
    prefixes: tuple[str, ...],
    unmatched: str = "error",
    suffixes: Sequence[str] = TIFF,
) -> tuple[dict[str, Pair], list[str]]:
    """Matches images and annotation files of the same stem, see `OutlinedSource`.

    Where two of the zips and folders hold a pair, say a zip beside the folder unpacked from it, the
    first counts: zips come first. Folders of overlays are left out.

    Args:
      root: a folder of downloads, or a folder or zip of data.
      prefixes: how the names of the set's zips and folders in a folder of downloads begin, in small
        letters; where there are none, `root` itself is searched.
      unmatched: `"error"`, or `"skip"` to leave out files without a partner.
      suffixes: of the images, the preferred ones first.

    Returns:
      The pairs by stem in natural order, and the addresses of the files without a partner.
    """
    check_known("value of unmatched:", unmatched, ("error", "skip"))
    pairs: dict[str, Pair] = {}
    alone: list[str] = []
    for files in _archives(Path(root), prefixes):
        kinds: dict[str, dict[str, File]] = {suffix: {} for suffix in (".xml", *suffixes)}
        for name in files.names:
            path = PurePosixPath(name)
            kind = kinds.get(path.suffix.casefold())
            overlay = any(part.casefold().startswith("overlay") for part in path.parts)
            if kind is not None and not overlay:
                add_file(kind, path.stem, File(files, name))
        labels = kinds.pop(".xml")
        images = {stem: file for kind in reversed(kinds.values()) for stem, file in kind.items()}
        for stem in images.keys() & labels.keys():
            pairs.setdefault(stem, Pair((stem,), images[stem], labels[stem]))
        for some, others in ((images, labels), (labels, images)):
            alone += [file.where for stem, file in some.items() if stem not in others]
    if alone and unmatched == "error":
        partner = "image" if alone[0].lower().endswith(".xml") else "annotation file"
        names = ", ".join(PurePosixPath(name).name for name in alone)
        raise ValueError(
            f"{alone[0]}: no {partner} of this stem; complete the data, or leave out such files by "
            f"unmatched='skip' ({len(alone)}: {names})"
        )
    return dict(sorted(pairs.items(), key=lambda item: natural_key(item[0]))), alone


def _archives(root: Path, prefixes: tuple[str, ...]) -> list[Files]:
    below = sorted(root.iterdir()) if root.is_dir() else []
    found = [p for p in below if p.name.casefold().startswith(prefixes)]
    zips = [p for p in found if p.is_file() and p.suffix.casefold() == ".zip"]
    folders = [p for p in found if p.is_dir()]
    return [Files(path) for path in zips + folders or [root]]


def patient(barcode: str) -> str:
    """The patient of a TCGA barcode; another name is its own patient.

    >>> patient("TCGA-21-5784-01Z-00-DX1"), patient("slide_7")
    ('TCGA-21-5784', 'slide_7')
    """
    parts = barcode.split("-")
    return "-".join(parts[:3]) if parts[0] == "TCGA" and len(parts) > 2 else barcode
