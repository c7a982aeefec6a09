"""CryoNuSeg: 30 tiles of frozen sections of ten organs, annotated three times.

Mahbod et al., "CryoNuSeg: a dataset for nuclei instance segmentation of cryosectioned
H&E-stained histological images", Computers in Biology and Medicine 132, 2021. Published under
CC BY-NC-SA 4.0 at https://www.kaggle.com/datasets/ipateam/segmentation-of-nuclei-in-cryosectioned-he
"""

import re
from dataclasses import dataclass
from typing import Any

from jaxnuc.data.annotations import label_image
from jaxnuc.data.layouts import IMAGE, Pair, find, pair
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.io.files import File
from jaxnuc.registry import check_known

ANNOTATORS = {
    "biologist": "Annotator 1 (biologist)",
    "biologist again": "Annotator 1 (biologist second round of manual marks up)",
    "bioinformatician": "Annotator 2 (bioinformatician)",
}


@dataclass(eq=False)
class Source(RandomSplit):
    """CryoNuSeg's tiles, 512x512 at a nominal 0.25 microns per pixel (40x).

    Args:
      annotator: whose nuclei: `"biologist"`, `"biologist again"`, the same one's second round, or
        `"bioinformatician"`.
    """

    name = "cryonuseg"

    annotator: str = "biologist"

    def find_pairs(self) -> dict[str, Pair]:
        check_known("annotator of CryoNuSeg", self.annotator, ANNOTATORS)
        folder = ANNOTATORS[self.annotator]
        expected = (
            f"expected the folders `tissue images` and `{folder}/label masks modify`, as published "
            "at https://www.kaggle.com/datasets/ipateam/segmentation-of-nuclei-in-cryosectioned-he"
        )
        # The second round and the second annotator lie in a folder of the same name again. Where
        # nuclei overlap, the folder `label masks` has ids of their own; here they are resolved.
        own = re.escape(folder)
        layout = {
            "image": rf"tissue images/([^/]+){IMAGE}",
            "label": rf"{own}/(?:{own}/)?label masks modify/([^/]+){IMAGE}",
        }
        return pair(find(self.root, self.archives, expected, [layout]))

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        return Annotation(label_image(file))

    def about(self, name: str) -> dict[str, Any]:
        organ = re.fullmatch(r"Human_(.+)_[0-9]+", name)
        tissue = organ[1] if organ else None
        known = {"mpp": 0.25, "tissue": tissue, "modality": "H&E, frozen"}
        return {**known, "annotator": self.annotator}
