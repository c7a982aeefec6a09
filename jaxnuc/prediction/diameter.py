"""The typical diameter of the nuclei of an image, estimated with the network itself.

The network sees a window of the image at several magnifications. Where it works, the diameters that
it finds, divided by the magnification, are one and the same; where it does not, they scatter.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jaxnuc.data.frame import inside_frame
from jaxnuc.data.normalize import Normalize
from jaxnuc.io import LargeImage, at_mpp, thumbnail
from jaxnuc.postprocess.regions import disc_diameter
from jaxnuc.prediction.patches import Patch, read, reference
from jaxnuc.prediction.tiles import Tiling
from jaxnuc.representations import Nuclei

WINDOW = 256  # side of what the network sees, in pixels as it sees them
# Pixels that the network sees per pixel of the image. The best of them is within 1.4 times of the
# trained diameter, and networks are trained at 0.6 to 1.7 times it.
MAGNIFICATIONS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
# Standard deviations of logarithms: of the found diameter about the trained one, within which it is
# believed, and of estimates that agree. On images of DSB2018 at 0.35, 1 and 3 times their size,
# half and twice of them change the estimates by a few percent.
BELIEVED, AGREE = 0.5, 0.2
# Two estimates this near to each other, one of them of this weight, need no further ones: on the
# validation images half of the windows are seen, and errors are the same within 0.01.
SETTLED, SURE = 1.15, 0.5
# Where no estimate weighs this much, there are no nuclei. On validation images, at 0.35, 1 and 3
# times their size, the best one weighs 0.33 or more; on the noise of empty fields 0.23 at most.
LEAST = 0.3


class Estimate(NamedTuple):
    """A diameter in pixels of the image, by what was found at one magnification."""

    diameter: float
    weight: float


def estimate_diameter(
    image: LargeImage,
    find: Callable[[np.ndarray], Nuclei],
    trained: float,
    normalize: Normalize,
) -> float | None:
    """The typical diameter of the nuclei of an image.

    The network sees the busiest window at one of `MAGNIFICATIONS` after the other, always at that
    which suits the estimates so far, until two of them agree. An estimate weighs more the nearer
    the found diameter is to that of the training, and the surer the network is; those about the
    value on which most of them agree are averaged.

    Args:
      image: of any size.
      find: the nuclei of normalized pixels (`WINDOW`, `WINDOW`, 3) uint8.
      trained: the typical diameter in the training, in pixels as the network saw them.
      normalize: of images, as in the training.

    Returns:
      Pixels of level 0 of the image, or None where nothing is found that nuclei would be.

    Raises:
      CorruptRegion: a window cannot be read.
    """
    small, _ = thumbnail(image, WINDOW)
    gray = small.astype(np.float32).mean(axis=-1)
    # Nuclei have edges, and background has none.
    steepness = np.hypot(ndimage.sobel(gray, 0), ndimage.sobel(gray, 1))
    shown = _unframed(small)
    steepness[~shown] = 0
    views = {each: at_mpp(image, 1 / each, given=1.0) for each in MAGNIFICATIONS}
    # A smaller one would be a pattern of mirrored copies, which looks like nuclei.
    unseen = [m for m, view in views.items() if m >= 1 or min(view.shape) >= 2 * trained]
    found: list[Estimate] = []
    while unseen and not _settled(found, unseen, trained):
        magnification = _nearest(unseen, trained / (agreed(found) or trained))
        unseen.remove(magnification)
        view = views[magnification]
        visible = min(view.shape[0], WINDOW), min(view.shape[1], WINDOW)
        corner = _busiest(steepness, view.shape, visible)
        end = corner[0] + visible[0], corner[1] + visible[1]
        whole = Tiling(view.shape, max(view.shape), 0).at(0, 0)
        pixels = read(view, Patch(whole, corner, (*corner, *end), last=True), (WINDOW, WINDOW))
        if normalize.name != "none":
            pixels = normalize.fitted(reference(view))(pixels)
        estimate = _estimate(
            find(pixels), _enlarged(shown, view.shape, corner, visible), magnification, trained
        )
        if estimate is not None:
            found.append(estimate)
    return agreed(found) if any(each.weight >= LEAST for each in found) else None


def _unframed(small: np.ndarray) -> np.ndarray:
    """Where a small copy of an image shows nothing of its frame, for which it loses a line more."""
    shown = np.zeros(small.shape[:2], bool)
    shown[inside_frame(small)] = True
    # A pixel at the border of the image, where there is no frame, stays.
    return ndimage.binary_erosion(shown, np.ones((3, 3)), border_value=True)


def _enlarged(
    of_small: np.ndarray, shape: tuple[int, int], corner: tuple[int, int], sides: tuple[int, int]
) -> np.ndarray:
    """A region of a mask of an image of `shape`, from that of a small copy of it."""
    rows, cols = (
        (start + np.arange(n)) * small // whole
        for start, n, small, whole in zip(corner, sides, of_small.shape, shape, strict=True)
    )
    return of_small[np.ix_(rows, cols)]


def _nearest(magnifications: Collection[float], to: float) -> float:
    return min(magnifications, key=lambda each: abs(np.log(each / to)))


def _settled(found: Sequence[Estimate], unseen: Sequence[float], trained: float) -> bool:
    """Whether two estimates agree, and the magnification that suits them best was seen."""
    value = agreed(found)
    if value is None or _nearest(MAGNIFICATIONS, trained / value) in unseen:
        return False
    alike = [each for each in found if 1 / SETTLED < each.diameter / value < SETTLED]
    return len(alike) >= 2 and max(each.weight for each in alike) >= SURE


def _busiest(
    steepness: np.ndarray, shape: tuple[int, int], window: tuple[int, int]
) -> tuple[int, int]:
    """Corner of the steepest window of an image, by the steepness of a small copy of it."""
    sides = [
        max(1, round(small * part / whole))
        for small, part, whole in zip(steepness.shape, window, shape, strict=True)
    ]
    busy = ndimage.uniform_filter(steepness, sides, mode="constant")
    row, col = np.unravel_index(int(busy.argmax()), busy.shape)
    top, left = (
        int(np.clip((at + 0.5) / small * whole - part / 2, 0, whole - part))
        for at, small, whole, part in zip((row, col), busy.shape, shape, window, strict=True)
    )
    return top, left


def _estimate(
    nuclei: Nuclei, visible: np.ndarray, magnification: float, trained: float
) -> Estimate | None:
    """The estimate by the nuclei of a window, of whose upper left part `visible` is the image."""
    labels = nuclei.instances[: visible.shape[0], : visible.shape[1]] * visible
    areas = np.bincount(labels.ravel(), minlength=len(nuclei.scores) + 1)[1:]
    present = areas > 0
    if not present.any():
        return None
    areas, scores = areas[present], nuclei.scores[present]
    diameter = float(np.median(disc_diameter(areas)))
    believed = np.exp(-0.5 * (np.log(diameter / trained) / BELIEVED) ** 2)
    # Scores are near 1 everywhere, those of fragments of large nuclei about 0.9.
    sure = np.average(scores, weights=areas) ** 8
    return Estimate(diameter / magnification, float(believed * sure))


def agreed(found: Sequence[Estimate]) -> float | None:
    """The mean of the estimates about the value on which most agree; None of no estimates.

    >>> round(agreed([Estimate(20, 0.5), Estimate(21, 1), Estimate(7, 0.9)]), 1)
    20.7
    """
    if not found:
        return None
    logs = np.log([each.diameter for each in found])
    near = np.exp(-0.5 * ((logs[:, None] - logs) / AGREE) ** 2)
    near *= [each.weight for each in found]
    best = near[near.sum(axis=1).argmax()]
    return float(np.exp(best @ logs / best.sum())) if best.any() else None
