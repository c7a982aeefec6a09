"""COCO's average precision (AP), of nuclei that come with a score."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from jaxnuc.metrics.average_precision import AveragePrecision, average_precision
from jaxnuc.metrics.contingency import ContingencyTable
from jaxnuc.metrics.pair import ImagePair, present
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Figure

State = tuple[ContingencyTable, np.ndarray, np.ndarray, np.ndarray]


class Protocol(base.Protocol):
    """AP, AP50, AP75 and AR over all nuclei of the data set; of each class where there are classes.

    Predictions that lie by more than half on ignored nuclei do not count. COCO counts the 100
    predictions of highest score in an image; here all count, as an image can hold 1000 nuclei.

    References:
      Lin et al., Microsoft COCO, 2014; the evaluation of its detection challenge.
    """

    title = "COCO average precision"
    needs = ("scores",)

    def state(self, image: ImagePair) -> State:
        table, scores = image.table, present(image.scores, "scores")
        ones = np.ones(len(table.truth_ids), int), np.ones(len(scores), int)
        true, predicted = image.classes or ones
        void = true[table.rows] < 0
        lost = np.bincount(table.columns[void], table.intersections[void], len(scores))
        kept = 2 * lost <= table.prediction_areas
        rank, pairs = np.cumsum(kept) - 1, kept[table.columns]
        table = dataclasses.replace(
            table,
            prediction_ids=table.prediction_ids[kept],
            prediction_areas=table.prediction_areas[kept],
            rows=table.rows[pairs],
            columns=rank[table.columns[pairs]],
            intersections=table.intersections[pairs],
        )
        return table, scores[kept], true, predicted[kept]

    def figures(self, states: Sequence[State], class_names: Sequence[str]) -> list[Figure]:
        tables, scores, true, predicted = zip(*states, strict=True)
        found = average_precision(tables, scores, truth_classes=true, prediction_classes=predicted)
        # Nuclei of no class (0) and ignored ones (-1) are no classes to average over.
        counts = found.classes > 0
        found = AveragePrecision(*(part[counts] for part in found))
        over = "over classes and IoU 0.50 to 0.95" if class_names else "over IoU 0.50 to 0.95"
        figures = [
            Figure("ap", found.ap, f"precision, averaged over recalls, {over}"),
            Figure("ap50", found.ap50, "the same at IoU >= 0.50"),
            Figure("ap75", found.ap75, "the same at IoU >= 0.75"),
            Figure("ar", found.ar, f"recall of all predictions, {over}"),
        ]
        class_ap, class_ar = found.precision.mean(axis=(1, 2)), found.recall.mean(axis=1)
        for figure, values in (("ap", class_ap), ("ar", class_ar)):
            of_class = dict(zip(found.classes.tolist(), values, strict=True))
            each = (of_class.get(number, math.nan) for number in range(1, len(class_names) + 1))
            figures += base.of_each(figure, class_names, each)
        return figures
