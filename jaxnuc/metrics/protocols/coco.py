"""COCO's average precision (AP), of nuclei that come with a score."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxnuc.metrics.average_precision import average_precision
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
        precision, recall = found.precision[counts], found.recall[counts]
        over = "over classes and IoU 0.50 to 0.95" if class_names else "over IoU 0.50 to 0.95"
        figures = [
            Figure("ap", _mean(precision), f"precision, averaged over recalls, {over}"),
            Figure("ap50", _mean(precision[:, 0]), "the same at IoU >= 0.50"),
            Figure("ap75", _mean(precision[:, 5]), "the same at IoU >= 0.75"),
            Figure("ar", _mean(recall), f"recall of all predictions, {over}"),
        ]
        of_class = {int(c): k for k, c in enumerate(found.classes)}
        for number, name in enumerate(class_names, 1):
            k = of_class.get(number)
            for figure, values in (("ap", found.class_ap), ("ar", found.class_ar)):
                value = float("nan") if k is None else float(values[k])
                figures.append(Figure(f"{figure}/{name}", value, f"{figure} of {name}"))
        return figures


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
