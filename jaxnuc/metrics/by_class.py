"""The figures of a data set class by class: panoptic quality and classification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxnuc.metrics._rows import csv_text
from jaxnuc.metrics.class_counts import ClassCounts, class_counts, instance_classes
from jaxnuc.metrics.classification import (
    ClassificationScores,
    ClassifiedPairs,
    classification_scores,
    pairs_by_centroid,
)
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.panoptic import PanopticScores, image_mean_pq, pooled_pq
from jaxnuc.postprocess.regions import regions

RADIUS = 12.0  # pixels: within it HoVer-Net's evaluation matches centroids


class ClassJudgement(NamedTuple):
    """What one image adds to the figures by class.

    Attributes:
      counts: instances of each class matched, made up and missed, by IoU.
      pairs: nuclei matched by centroid within 12 pixels, with both classes.
    """

    counts: ClassCounts
    pairs: ClassifiedPairs


def judge_classes(
    truth: np.ndarray,
    prediction: np.ndarray,
    truth_classes: np.ndarray,
    prediction_classes: np.ndarray,
    n_classes: int,
    conventions: Conventions = DEFAULT,
) -> ClassJudgement:
    """Judges the classes of one image.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) label map.
      truth_classes: (H, W) class map, of which each nucleus has the majority, or (N,) in the order
        of the ids; 1..n_classes, 0 none of them, -1 ignored.
      prediction_classes: the same for `prediction`.
      n_classes: number of classes.
      conventions: threshold and matching of the instances.

    Raises:
      ValueError: a class is out of range, or the maps differ in shape.
    """
    sides = []
    for instances, classes in ((truth, truth_classes), (prediction, prediction_classes)):
        found = regions(instances)
        of_instances = instance_classes(instances, classes, n_classes, len(found.ids))
        sides.append((found.centroids, of_instances))
    (true_at, true), (found_at, predicted) = sides
    counts = class_counts(
        truth,
        prediction,
        true,
        predicted,
        n_classes,
        threshold=conventions.threshold,
        inclusive=conventions.inclusive,
        matching=conventions.matching,
    )
    return ClassJudgement(counts, pairs_by_centroid(true_at, true, found_at, predicted, RADIUS))


def mean_figures(image_mean: PanopticScores, pooled: PanopticScores) -> dict[str, float]:
    """The means over classes, by name."""
    return {"mpq_image_mean": float(image_mean.mpq), "mpq_pooled": float(pooled.mpq)}


@dataclass(frozen=True)
class ClassFigures:
    """Figures by class of a data set.

    Attributes:
      names: of class 1, 2, ...
      counts: summed over the images.
      pooled: panoptic quality from these counts.
      image_mean: means of the images' panoptic quality; images without a class on either side are
        left out of its mean.
      classification: HoVer-Net's scores by centroids.
    """

    names: tuple[str, ...]
    counts: ClassCounts
    pooled: PanopticScores
    image_mean: PanopticScores
    classification: ClassificationScores

    @classmethod
    def of(cls, names: Sequence[str], images: Sequence[ClassJudgement]) -> "ClassFigures":
        """The figures of images.

        Args:
          names: of class 1, 2, ...
          images: what `judge_classes` returned for each.

        Raises:
          ValueError: there are no images.
        """
        counts = [image.counts for image in images]
        numbers = range(1, len(names) + 1)
        return cls(
            tuple(names),
            ClassCounts(*(np.sum(part, axis=0) for part in zip(*counts, strict=True))),
            pooled_pq(counts),
            image_mean_pq(counts),
            classification_scores(
                [image.pairs for image in images], list(numbers), exhaustive=False
            ),
        )

    def figures(self) -> dict[str, float]:
        """The figures over all classes, by name."""
        return {
            **mean_figures(self.image_mean, self.pooled),
            "detection_f1_pooled": float(self.classification.detection_f1),
            "class_accuracy_pooled": float(self.classification.accuracy),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a class."""
        return [
            {
                "class": name,
                "true_nuclei": int(self.counts.tp[k] + self.counts.fn[k]),
                "predicted_nuclei": int(self.counts.tp[k] + self.counts.fp[k]),
                "pq_pooled": float(self.pooled.pq[k]),
                "dq_pooled": float(self.pooled.dq[k]),
                "sq_pooled": float(self.pooled.sq[k]),
                "pq_image_mean": float(self.image_mean.pq[k]),
                "class_f1_pooled": float(self.classification.class_f1[k]),
            }
            for k, name in enumerate(self.names)
        ]

    def csv(self) -> str:
        """The rows as comma-separated values."""
        return csv_text(self.rows())

    def json(self) -> dict[str, Mapping[str, Any]]:
        """The rows by name of the class."""
        return {row["class"]: {k: v for k, v in row.items() if k != "class"} for row in self.rows()}

    def __str__(self) -> str:
        """A line for each class."""
        rows = self.rows()
        lines = [[key.replace("_", " ") for key in rows[0]]]
        for row in rows:
            lines.append([f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
            for line in lines
        )
