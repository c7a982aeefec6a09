"""What the conventions make of the same predictions: the tables of docs/metrics.md.

    python -m benchmarks.conventions TRUTH PREDICTION          two folders of label images
    python -m benchmarks.conventions --classes=consep_train.zip

The second form has no network that predicts classes: it disturbs the annotation (nuclei move by up
to 2 px, 10 % are missed, 15 % get another class) and cuts the images into tiles of 250 x 250.
"""

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from jaxnuc.io.label_images import label_pairs
from jaxnuc.labels import label_set
from jaxnuc.metrics import Conventions, ImagePair, contingency_table, match, score_image, summarize
from jaxnuc.metrics.boundary import CONVENTIONS, boundary_scores, matched_distances
from jaxnuc.metrics.class_counts import ClassCounts, class_counts
from jaxnuc.metrics.classification import (
    ClassifiedPairs,
    classification_scores,
    pairs_by_centroid,
)
from jaxnuc.metrics.detection import aggregate_detections, detections
from jaxnuc.metrics.matching import pairs_above
from jaxnuc.metrics.panoptic import mean, pooled_pq, qualities
from jaxnuc.metrics.protocols.monusac import challenge_pq
from jaxnuc.postprocess.regions import class_votes, regions, relabel

Maps = tuple[np.ndarray, np.ndarray]


def line(name: str, *values: float) -> None:
    print(f"| {name} | {' | '.join(f'{v:.3f}' for v in values)} |")


def without_classes(images: list[Maps]) -> None:
    plain = summarize([score_image(ImagePair.of(*maps)) for maps in images])
    print(f"\n{len(images)} images\n\n| figure | image mean | pooled |\n| --- | --- | --- |")
    for name in ("dice", "iou", "dq", "sq", "pq", "precision", "recall"):
        line(name, plain[f"{name}_image_mean"], plain[f"{name}_pooled"])
    print("\n| one number per image, image mean | |\n| --- | --- |")
    for name in ("aji", "aji_plus", "dice2", "instance_dice"):
        line(name, plain[f"{name}_image_mean"])

    print("\n| convention | AJI | PQ, image mean | PQ, pooled |\n| --- | --- | --- | --- |")
    variants = {
        "default: IoU > 0.5": Conventions(),
        "IoU >= 0.5": Conventions(inclusive=True),
        "IoU > 0.3, greatest total": Conventions(0.3),
        "IoU > 0.3, most pairs": Conventions(0.3, matching="count"),
        "IoU > 0.7": Conventions(0.7),
        "nuclei cut by the image border left out": Conventions(border=0),
        "pixels within 1 px of true outlines not counted": Conventions(tolerance=1),
        "pixels within 2 px of true outlines not counted": Conventions(tolerance=2),
    }
    for name, conventions in variants.items():
        s = summarize([score_image(ImagePair.of(*maps, conventions)) for maps in images])
        line(name, s["aji_image_mean"], s["pq_image_mean"], s["pq_pooled"])

    tiles: list[Maps] = [
        (truth[r : r + 64, c : c + 64], found[r : r + 64, c : c + 64])
        for truth, found in images
        for r in range(0, truth.shape[0], 64)
        for c in range(0, truth.shape[1], 64)
    ]
    empty = sum(not t.any() and not p.any() for t, p in tiles)
    print(f"\n{len(tiles)} tiles of 64 x 64, {empty} of them empty on both sides")
    print("\n| empty images | Dice, image mean | PQ, image mean | PQ, pooled |")
    print("| --- | --- | --- | --- |")
    for rule in ("skip", "one", "zero"):
        s = summarize([score_image(ImagePair.of(*maps, Conventions(empty=rule))) for maps in tiles])
        line(rule, s["dice_image_mean"], s["pq_image_mean"], s["pq_pooled"])

    tables = [contingency_table(*maps) for maps in images]
    found = [detections(t, (0.5, 0.7, 0.9)) for t in tables]
    print("\n| tp / (tp + fp + fn) | IoU 0.5 | 0.7 | 0.9 |\n| --- | --- | --- | --- |")
    for name, by_image in (("pooled (StarDist)", False), ("image mean", True)):
        line(name, *(d.accuracy for d in aggregate_detections(found, by_image=by_image)))
    bowl = aggregate_detections([detections(t, inclusive=False) for t in tables], by_image=True)
    print("\n2018 Data Science Bowl's score, IoU > 0.5 ... 0.95: ", end="")
    print(f"{np.mean([d.accuracy for d in bowl]):.3f}")

    print("\n| outlines, pixels | HD95 | ASSD | NSD, 1 px |\n| --- | --- | --- | --- |")
    for name, (_, directions) in CONVENTIONS.items():
        whole = [boundary_scores(*maps, convention=name) for maps in images]
        both = [b for b in whole if np.isfinite(b.hd)]
        figures = np.array([(b.hd95, b.assd, b.nsd[0]) for b in both]).mean(axis=0)
        line(f"foreground, image mean, `{name}`", *figures)
        pairs = [match(*maps)[:2] for maps in images]
        each = [
            matched_distances(*maps, *ids, convention=name)
            for maps, ids in zip(images, pairs, strict=True)
        ]
        rows = [(d.hausdorff(95, directions), d.average(), d.surface_dice(1)) for d in each]
        line(f"matched nuclei, `{name}`", *np.concatenate(rows, axis=1).mean(axis=1))


def disturbed(instances: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> Maps:
    """(H, W) instances and (N,) classes of a simulated prediction."""
    prediction = np.zeros_like(instances)
    for number, (top, left, bottom, right) in enumerate(regions(instances).boxes, 1):
        if rng.random() < 0.1:
            continue
        rows, columns = np.nonzero(instances[top:bottom, left:right] == number)
        rows, columns = rows + top + rng.integers(-2, 3), columns + left + rng.integers(-2, 3)
        inside = (rows >= 0) & (columns >= 0)
        inside &= (rows < instances.shape[0]) & (columns < instances.shape[1])
        prediction[rows[inside], columns[inside]] = number
    ids = np.unique(prediction)[1:]
    other = rng.integers(1, 8, len(ids))
    return prediction, np.where(rng.random(len(ids)) < 0.15, other, classes[ids - 1])


def with_classes(path: Path) -> None:
    rng = np.random.default_rng(0)
    counts: dict[str, list[ClassCounts]] = {"7 classes": [], "4 classes": [], "all in one": []}
    challenge, centroid, overlap, n_tiles = [], [], [], 0
    merged = label_set("consep", merge=True)
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".mat")):
            data = loadmat(io.BytesIO(archive.read(name)))
            instances = relabel(data["inst_map"].astype(np.int32))
            types = class_votes(instances, data["type_map"].astype(np.int32))[0]
            prediction, found = disturbed(instances, types, rng)
            found_map = np.zeros(prediction.max() + 1, np.int32)
            found_map[np.unique(prediction)[1:]] = found
            type_maps = np.append(0, types)[instances], found_map[prediction]
            for r in range(0, instances.shape[0], 250):
                for c in range(0, instances.shape[1], 250):
                    n_tiles += 1
                    window = np.s_[r : r + 250, c : c + 250]
                    t, p = instances[window], prediction[window]
                    tc, pc = (m[window] for m in type_maps)
                    counts["7 classes"].append(class_counts(t, p, tc, pc, 7))
                    lookup = merged.from_native(tc), merged.from_native(pc)
                    counts["4 classes"].append(class_counts(t, p, *lookup, len(merged.groups)))
                    counts["all in one"].append(
                        class_counts(t, p, (tc > 0).astype(int), (pc > 0).astype(int), 1)
                    )
                    challenge.append(
                        [
                            challenge_pq(
                                t * (lookup[0] == k), p * (lookup[1] == k), np.array(False)
                            )
                            for k in range(1, 5)
                        ]
                    )
                    arrays = [class_votes(x, m)[0] for x, m in ((t, tc), (p, pc))]
                    points = [regions(x).centroids for x in (t, p)]
                    centroid.append(pairs_by_centroid(points[0], arrays[0], points[1], arrays[1]))
                    overlap.append(pairs_by_iou(t, p, *arrays))
    print(f"\n{n_tiles} tiles\n\n| PQ, mean over classes | pooled | tile mean | absent skipped |")
    print("| --- | --- | --- | --- |")
    for name, each in counts.items():
        images = qualities(ClassCounts(*map(np.stack, zip(*each, strict=True))))[2]
        line(name, float(mean(pooled_pq(each))), float(mean(mean(images))), absent_skipped(each))
    pq = np.array(challenge)  # (images, classes)
    print(f"\nMoNuSAC's challenge, 4 classes: {mean(mean(pq)):.3f} as the mean over")
    print(f"classes, {mean(mean(pq.T)):.3f} as the mean over images")
    print("\n| pairs | F_d | accuracy | F_c of the 7 classes |\n| --- | --- | --- | --- |")
    for name, pairs in (("centroids within 12 px", centroid), ("IoU > 0.5", overlap)):
        s = classification_scores(pairs, range(1, 8))
        each_class = " ".join(f"{f:.3f}" for f in s.class_f1)
        print(f"| {name} | {s.detection_f1:.3f} | {s.accuracy:.3f} | {each_class} |")


def pairs_by_iou(
    truth: np.ndarray, prediction: np.ndarray, true: np.ndarray, predicted: np.ndarray
) -> ClassifiedPairs:
    """The classes (N,) of the nuclei of two label maps by their IoU, whatever their classes."""
    table = contingency_table(truth, prediction)
    pairs = pairs_above(table, 0.5)
    rows, columns = table.rows[pairs], table.columns[pairs]
    missed, false = np.delete(true, rows), np.delete(predicted, columns)
    return ClassifiedPairs(true[rows], predicted[columns], missed, false)


def absent_skipped(counts: list[ClassCounts]) -> float:
    """PanNuke's way: a class counts only in images whose truth has it."""
    n = np.array(counts)  # images, counts, classes
    tp, fp, fn, iou_sum = n.transpose(1, 0, 2)
    there = tp + fn > 0
    pq = iou_sum / np.maximum(tp + fp / 2 + fn / 2, 1)
    return float((pq.sum(axis=0, where=there) / there.sum(axis=0)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="TRUTH PREDICTION")
    parser.add_argument("--classes", type=Path, help="the zip of CoNSeP's training set")
    options = parser.parse_args()
    if options.classes:
        with_classes(options.classes)
    elif len(options.folders) == 2:
        without_classes([pair.read() for pair in label_pairs(*options.folders)])
    else:
        parser.error("give TRUTH and PREDICTION, or --classes")


if __name__ == "__main__":
    main()
