"""PanNuke's protocol: panoptic quality by image, class and tissue."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.class_counts import ClassCounts
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.panoptic import image_counts, mean, qualities
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Figure

State = tuple[ClassCounts, ClassCounts, str]


class Protocol(base.Protocol):
    """mPQ and bPQ, averaged over the images of a tissue and then over the tissues.

    A class counts in the images whose truth has it: nuclei predicted of a class that the truth
    lacks are never punished, as in the reference. With classes and tissues of any data set.

    References:
      Gamper et al., PanNuke Dataset Extension, Insights and Baselines, 2020.
    """

    title = "PanNuke"
    needs = ("classes", "tissue")

    def state(self, image: ImagePair) -> State:
        return *image_counts(image), image.groups["tissue"]

    def figures(self, states: Sequence[State], class_names: Sequence[str]) -> list[Figure]:
        tissues = [tissue for *_, tissue in states]
        found = pannuke_scores([state[:2] for state in states], tissues)
        figures = [
            Figure("mpq", found.mpq, "PQ, mean over classes, images of a tissue, tissues"),
            Figure("bpq", found.bpq, "PQ of all nuclei, mean over images of a tissue, tissues"),
        ]
        for name, pq in zip(class_names, found.class_pq, strict=True):
            figures.append(Figure(f"pq/{name}", float(pq), f"PQ of {name}, mean over images"))
        for figure, of_tissue in (("mpq", found.tissue_mpq), ("bpq", found.tissue_bpq)):
            figures += base.of_each(figure, of_tissue, of_tissue.values())
        return figures


class PanNukeScores(NamedTuple):
    """Panoptic quality of one fold, in [0, 1]; NaN where nothing contributes.

    The published figures are means of the figures of three folds.

    Attributes:
      mpq: the mean over classes, then over the images of a tissue, then over the tissues.
      bpq: PQ of all nuclei in one class, the mean over images of a tissue, then over the tissues.
      class_pq: (C,) float64, the mean over all images, for each class.
      tissue_mpq: what `mpq` is the mean of.
      tissue_bpq: what `bpq` is the mean of.
      image_pq: (N, C) float64.
      image_bpq: (N,) float64.
    """

    mpq: float
    bpq: float
    class_pq: np.ndarray
    tissue_mpq: dict[str, float]
    tissue_bpq: dict[str, float]
    image_pq: np.ndarray
    image_bpq: np.ndarray


def pannuke_scores(
    counts: Iterable[tuple[ClassCounts, ClassCounts]], tissues: Sequence[str]
) -> PanNukeScores:
    """Averages the counts of a fold as PanNuke's own evaluation does.

    An image is left out of every mean for a class that its truth lacks, and of bPQ if its truth has
    no nucleus at all. The reference adds 1e-6 to the number of matches, nothing is added here:
    figures agree to 1e-6.

    Args:
      counts: of each image, by class and (1,) of all nuclei in one class.
      tissues: the tissue of each image, as in `types.npy`; tissues that do not occur do not count.

    Raises:
      ValueError: there are no images, or not as many tissues.
    """
    images = list(counts)
    if not images or len(images) != len(tissues):
        raise ValueError(f"{len(tissues)} tissues for {len(images)} images; give one each")
    image_pq = np.stack([_pq(by_class) for by_class, _ in images])
    image_bpq = np.concatenate([_pq(binary) for _, binary in images])
    image_mpq = mean(image_pq.T)
    places = {name: np.flatnonzero(np.asarray(tissues) == name) for name in sorted(set(tissues))}
    tissue_mpq = {str(name): float(mean(image_mpq[at])) for name, at in places.items()}
    tissue_bpq = {str(name): float(mean(image_bpq[at])) for name, at in places.items()}
    mpq, bpq = (float(mean(np.array([*t.values()]))) for t in (tissue_mpq, tissue_bpq))
    return PanNukeScores(mpq, bpq, mean(image_pq), tissue_mpq, tissue_bpq, image_pq, image_bpq)


def _pq(counts: ClassCounts) -> np.ndarray:
    return np.where(counts.tp + counts.fn > 0, qualities(counts)[2], np.nan)
