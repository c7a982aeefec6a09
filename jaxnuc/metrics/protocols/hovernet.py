"""HoVer-Net's F1 of detection and of each type, by centroids."""

from collections.abc import Sequence

from jaxnuc.metrics.classification import ClassifiedPairs, classification_scores, image_pairs
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Figure


class Protocol(base.Protocol):
    """F_d, accuracy and F_c, pooled over the images, by the rules of HoVer-Net's code.

    An image without nuclei on one side is given a nucleus of no class at its corner, as that code
    does. The metrics `detection_f1`, `class_accuracy` and `class_f1` do without.

    References:
      Graham et al., HoVer-Net, 2019, section 4.2.
    """

    title = "HoVer-Net: detection and types, by centroids within 12 px"
    needs = ("maps", "classes")

    def state(self, image: ImagePair) -> ClassifiedPairs:
        return image_pairs(image, empty_images="reference")

    def figures(
        self, states: Sequence[ClassifiedPairs], class_names: Sequence[str]
    ) -> list[Figure]:
        classes = range(1, len(class_names) + 1)
        found = classification_scores(states, classes, exhaustive=False)
        return [
            Figure("f_d", found.detection_f1, "F1 of the nuclei, whatever their type"),
            Figure("accuracy", found.accuracy, "share of the matched nuclei with the right type"),
            *base.of_each("f_c", class_names, found.class_f1, "F1 of detection and type"),
        ]
