"""More nuclei: copies of some are pasted elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from scipy.ndimage import distance_transform_edt

from jaxnuc.data.color_spaces import to_uint8
from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.sample_checks import class_pixels
from jaxnuc.data.transforms.base import Transform, check_classes
from jaxnuc.data.transforms.geometry import moved
from jaxnuc.postprocess.regions import regions

RIM = 2  # pixels over which a pasted nucleus fades into its new surroundings


@dataclass(frozen=True)
class CutPaste(Transform):
    """Pastes flipped and turned copies of nuclei, with their pixels and classes, as new nuclei.

    Only nuclei with a whole outline are copied, none that the border cuts, that is ignored in part
    or that touches another, which may hide a part of it. A copy gets a new id. It lies wholly
    inside the image, on background, touching no nucleus and nothing that is ignored; where a few
    tries find no such place it is left out. Beyond its outline it fades over two pixels, so that
    the cut is hardly seen.

    After Dwibedi et al., "Cut, paste and learn: surprisingly easy synthesis for instance
    detection", ICCV 2017.

    Attributes:
      count: greatest number of copies, uniform from 1.
      only: the classes to copy, such as rare ones; empty for all nuclei.
      overlap: how much of a nucleus copies may cover, as a part of its area; 0 keeps them apart.
        What is left of it can be in pieces.
      tries: places tried for each copy.
      pool: samples (or a source) whose nuclei are copied in place of the image's own, one sample
        at a time; their classes, microns per pixel and intensities (`data.normalize` does not
        reach them) must mean the same. From Python only.
    """

    count: int = 10
    only: Sequence[int] = ()
    overlap: float = 0.0
    tries: int = 50
    p: float = 0.5
    pool: Sequence[Sample] | Source = field(default=(), repr=False, compare=False)
    counts = ("count", "tries")
    limits: ClassVar = {"overlap": 1, "p": 1}

    def __post_init__(self) -> None:
        check_classes("only", self.only)
        object.__setattr__(self, "only", tuple(self.only))
        super().__post_init__()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the sample itself where there is nothing to copy or no place.

        Raises:
          ValueError: `only` is given and the sample has no classes, or microns per pixel differ.
        """
        if rng.random() >= self.p:
            return sample
        donor = self.pool[int(rng.integers(len(self.pool)))] if len(self.pool) else sample
        _check_fit(sample, donor, bool(self.only))
        count = int(rng.integers(1, self.count + 1))
        nuclei = _whole_nuclei(donor, self.only)
        # Of rare classes there may be few nuclei: one can be copied several times.
        chosen = rng.integers(len(nuclei), size=count).tolist() if nuclei else []
        canvas, pasted = _Canvas(sample, self.overlap), False
        for k in chosen:
            number, box = nuclei[k]
            cutting = _cut(donor, number, box, int(rng.integers(8)))
            pasted |= canvas.paste(cutting, rng, self.tries)
        return canvas.sample if pasted else sample


def _check_fit(sample: Sample, donor: Sample, by_class: bool) -> None:
    name = donor.meta.get("name")
    if donor.classes is None and (by_class or sample.classes is not None):
        raise ValueError(f"sample {name!r} has no classes, which cut_paste needs here")
    here, there = sample.meta.get("mpp"), donor.meta.get("mpp")
    if here is not None and there is not None and abs(here - there) > 0.05 * here:
        raise ValueError(
            f"nuclei of {name!r} ({there} microns per pixel) cannot be pasted on "
            f"{sample.meta.get('name')!r} ({here}); bring the pool to the same"
        )


def _whole_nuclei(sample: Sample, only: Sequence[int]) -> list[tuple[int, np.ndarray]]:
    """Ids and boxes (4,) of the nuclei of these classes that nothing cuts, hides or touches."""
    found = regions(sample.instances)
    top, left, bottom, right = found.boxes.T
    h, w = sample.instances.shape
    whole = (top > 0) & (left > 0) & (bottom < h) & (right < w)
    whole &= ~np.isin(found.ids, _touching(sample.instances))
    if sample.ignore is not None:
        whole &= ~np.isin(found.ids, sample.instances[sample.ignore])
    if only:
        assert sample.classes is not None
        table = class_pixels(sample.instances, sample.classes, int(sample.classes.max()))
        whole &= np.isin(table[1:].argmax(axis=1) - 1, only)
    return [(int(found.ids[k]), found.boxes[k]) for k in np.flatnonzero(whole)]


def _touching(instances: np.ndarray) -> np.ndarray:
    """The ids that have another one among their eight neighbors."""
    ids = [np.zeros(0, instances.dtype)]
    for here, there in (
        (instances[1:], instances[:-1]),
        (instances[:, 1:], instances[:, :-1]),
        (instances[1:, 1:], instances[:-1, :-1]),
        (instances[1:, :-1], instances[:-1, 1:]),
    ):
        contact = (here != there) & (here != 0) & (there != 0)
        ids += [here[contact], there[contact]]
    return np.unique(np.concatenate(ids))


@dataclass(frozen=True)
class _Cutting:
    """A nucleus and `RIM` pixels around its box."""

    image: np.ndarray  # (h, w, 3) uint8
    mask: np.ndarray  # (h, w) bool
    opacity: np.ndarray  # (h, w) float32, 1 on the nucleus, falling to 0 around it
    classes: np.ndarray | None  # (h, w) int32


def _cut(sample: Sample, number: int, box: np.ndarray, symmetry: int) -> _Cutting:
    flip, turns = divmod(symmetry, 4)
    h, w = sample.instances.shape
    rows = np.clip(np.arange(box[0] - RIM, box[2] + RIM), 0, h - 1)[:, None]
    columns = np.clip(np.arange(box[1] - RIM, box[3] + RIM), 0, w - 1)

    def take(array: np.ndarray) -> np.ndarray:
        window = array[rows, columns]
        return np.rot90(window[:, ::-1] if flip else window, turns)

    instances = take(sample.instances)
    mask = instances == number
    opacity = np.maximum(1 - distance_transform_edt(~mask) / (RIM + 1), 0).astype(np.float32)
    opacity[(instances != 0) & ~mask] = 0  # nothing of the neighbors
    classes = None if sample.classes is None else take(sample.classes)
    return _Cutting(take(sample.image), mask, opacity, classes)


class _Canvas:
    """Copies of a sample's maps, that nuclei are pasted on."""

    def __init__(self, sample: Sample, overlap: float):
        self.sample = replace(moved(sample, np.copy), ignore=sample.ignore)
        layers = (
            [sample.instances] if sample.covered is None else [sample.instances, sample.covered]
        )
        self._next = 1 + max(int(layer.max(initial=0)) for layer in layers)
        self._overlap = overlap
        # What cannot be pasted on, or only in part: the pixels that each nucleus can still lose.
        self._taken = _grown(sample.instances != 0)
        found = regions(sample.instances)
        self._spare = dict(zip(found.ids.tolist(), (overlap * found.areas).tolist(), strict=True))

    def paste(self, cutting: _Cutting, rng: np.random.Generator, tries: int) -> bool:
        """Looks for a place, and pastes the nucleus there if there is one."""
        h, w = cutting.mask.shape
        height, width = self.sample.instances.shape
        if h > height or w > width:
            return False
        for row, column in rng.integers(0, (height - h + 1, width - w + 1), (tries, 2)):
            window = np.s_[row : row + h, column : column + w]
            if self._fits(cutting.mask, window):
                self._draw(cutting, window)
                return True
        return False

    def _fits(self, mask: np.ndarray, window: tuple[slice, slice]) -> bool:
        if self.sample.ignore is not None and self.sample.ignore[window][mask].any():
            return False
        if self._overlap == 0:
            return not self._taken[window][mask].any()
        ids, lost = np.unique(self.sample.instances[window][mask], return_counts=True)
        return all(
            n <= self._spare[i] for i, n in zip(ids.tolist(), lost.tolist(), strict=True) if i
        )

    def _draw(self, cutting: _Cutting, window: tuple[slice, slice]) -> None:
        mask, instances = cutting.mask, self.sample.instances[window]
        ids, lost = np.unique(instances[mask], return_counts=True)
        for i, n in zip(ids.tolist(), lost.tolist(), strict=True):
            if i:
                self._spare[i] -= n
        self._spare[self._next] = self._overlap * np.count_nonzero(mask)
        opacity = np.where((instances != 0) & ~mask, 0, cutting.opacity)[..., None]
        under = self.sample.image[window]
        under[:] = to_uint8(under + opacity * (cutting.image.astype(np.float32) - under))
        instances[mask] = self._next
        if self.sample.covered is not None:
            self.sample.covered[window][mask] = 0  # the copy hides all that is below
        if self.sample.classes is not None and cutting.classes is not None:
            self.sample.classes[window][mask] = cutting.classes[mask]
        self._taken[window] |= _grown(mask)
        self._next += 1


def _grown(mask: np.ndarray) -> np.ndarray:
    """The mask and its eight neighbors."""
    rows = mask.copy()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    grown = rows.copy()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown
