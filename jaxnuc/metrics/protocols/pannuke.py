"""PanNuke's protocol: panoptic quality by image, class and tissue."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.class_counts import ClassCounts, binary_counts
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.panoptic import mean, qualities
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols._panoptic import image_counts
from jaxnuc.metrics.protocols.base import Figure
from jaxnuc.postprocess.regions import relabel
from jaxnuc.registry import unknown

N_CLASSES = 5  # of `masks.npy`

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
            for tissue, value in of_tissue.items():
                figures.append(Figure(f"{figure}/{tissue}", value, f"{figure} of {tissue}"))
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


def pannuke_counts(truth: np.ndarray, prediction: np.ndarray) -> tuple[ClassCounts, ClassCounts]:
    """The counts of one image, for `pannuke_scores`.

    Args:
      truth: (H, W, 5) or (H, W, 6) ids as in `masks.npy`, integers or whole floats: a channel for
        each class, and the background channel, which is not used.
      prediction: the same.

    Returns:
      The counts of the 5 classes, each matched in its own channel, and those (1,) of all nuclei in
      one map (see `merged_channels`). Matches have an IoU above 1/2.

    Raises:
      ValueError: an array is not of this form, or the two differ in shape.
    """
    truth, prediction = _masks(truth, "truth"), _masks(prediction, "prediction")
    channels = [binary_counts(truth[..., k], prediction[..., k]) for k in range(N_CLASSES)]
    counts = ClassCounts(*map(np.concatenate, zip(*channels, strict=True)))
    return counts, binary_counts(merged_channels(truth), merged_channels(prediction))


def pannuke_scores(
    counts: Iterable[tuple[ClassCounts, ClassCounts]],
    tissues: Sequence[str],
    absent: str = "skip",
) -> PanNukeScores:
    """Averages the counts of a fold as PanNuke's own evaluation does.

    Args:
      counts: of each image, from `pannuke_counts`.
      tissues: the tissue of each image, as in `types.npy`; tissues that do not occur do not count.
      absent: what an image scores for a class that the truth lacks and the prediction has, and
        for bPQ if the truth has no nucleus at all: `"skip"`, it is left out of every mean, as in
        PanNuke's evaluation, which never punishes such false positives; or `"punish"`, it is 0. If
        the prediction lacks it too, the image is left out in both.

    Returns:
      The figures of the fold. The reference adds 1e-6 to the number of matches, nothing is added
      here: figures agree to 1e-6.

    Raises:
      ValueError: there are no images, not as many tissues, or `absent` is unknown.

    References:
      Gamper et al., PanNuke Dataset Extension, Insights and Baselines, 2020.
    """
    if absent not in ("skip", "punish"):
        raise unknown("rule for absent classes", absent, ("skip", "punish"))
    images = list(counts)
    if not images or len(images) != len(tissues):
        raise ValueError(f"{len(tissues)} tissues for {len(images)} images; give one each")
    image_pq = np.stack([_pq(by_class, absent) for by_class, _ in images])
    image_bpq = np.concatenate([_pq(binary, absent) for _, binary in images])
    image_mpq = mean(image_pq.T)
    places = {name: np.flatnonzero(np.asarray(tissues) == name) for name in sorted(set(tissues))}
    tissue_mpq = {str(name): float(mean(image_mpq[at])) for name, at in places.items()}
    tissue_bpq = {str(name): float(mean(image_bpq[at])) for name, at in places.items()}
    return PanNukeScores(
        mpq=float(mean(np.array(list(tissue_mpq.values())))),
        bpq=float(mean(np.array(list(tissue_bpq.values())))),
        class_pq=mean(image_pq),
        tissue_mpq=tissue_mpq,
        tissue_bpq=tissue_bpq,
        image_pq=image_pq,
        image_bpq=image_bpq,
    )


def merged_channels(masks: np.ndarray) -> np.ndarray:
    """One label map of the five class channels, in which later channels overwrite earlier ones.

    Args:
      masks: (H, W, 5) or (H, W, 6) ids, integers or whole floats.

    Returns:
      (H, W) int32; ids count on from channel to channel, those of overwritten nuclei are missing.

    Raises:
      ValueError: the array is not of this form.
    """
    masks = _masks(masks, "masks")
    merged = np.zeros(masks.shape[:2], np.int32)
    n = 0
    for channel in np.moveaxis(masks[..., :N_CLASSES], -1, 0):
        ids = relabel(channel)
        np.copyto(merged, ids + np.int32(n), where=ids > 0)
        n += int(ids.max(initial=0))
    return merged


def _pq(counts: ClassCounts, absent: str) -> np.ndarray:
    pq = qualities(counts)[2]
    if absent == "skip":
        pq[counts.tp + counts.fn == 0] = np.nan
    return pq


def _masks(masks: np.ndarray, name: str) -> np.ndarray:
    masks = np.asarray(masks)
    if masks.ndim != 3 or masks.shape[2] not in (N_CLASSES, N_CLASSES + 1):
        raise ValueError(f"{name} must be (H, W, 5) or (H, W, 6), got shape {masks.shape}")
    if np.issubdtype(masks.dtype, np.floating):  # as the data set is distributed
        if not np.array_equal(masks, np.rint(masks)):
            raise ValueError(f"{name} holds ids that are no whole numbers")
        return masks.astype(np.int64)
    return masks
