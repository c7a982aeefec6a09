"""CryoNuSeg: 30 tiles of frozen sections of ten organs, annotated three times.

Mahbod et al., "CryoNuSeg: a dataset for nuclei instance segmentation of cryosectioned
H&E-stained histological images", Computers in Biology and Medicine 132, 2021. Published under
CC BY-NC-SA 4.0 at https://www.kaggle.com/datasets/ipateam/segmentation-of-nuclei-in-cryosectioned-he
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxnuc.data.annotations import instance_map, lossless
from jaxnuc.data.layouts import IMAGE, find, pair
from jaxnuc.data.sources.base import Annotation, PairedSource
from jaxnuc.data.splitting import random_split
from jaxnuc.registry import unknown

ANNOTATORS = {
    "biologist": "Annotator 1 (biologist)",
    "biologist again": "Annotator 1 (biologist second round of manual marks up)",
    "bioinformatician": "Annotator 2 (bioinformatician)",
}


class Source(PairedSource):
    """CryoNuSeg's tiles, 512x512 at a nominal 0.25 microns per pixel (40x).

    Args:
      annotator: whose nuclei: `"biologist"`, `"biologist again"`, the same one's second round, or
        `"bioinformatician"`.
    """

    name = "cryonuseg"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        annotator: str = "biologist",
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        if annotator not in ANNOTATORS:
            raise unknown("annotator of CryoNuSeg", annotator, ANNOTATORS)
        self._annotator, folder = annotator, ANNOTATORS[annotator]
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
        pairs = pair(find(root, "*.zip", expected, [layout]))
        super().__init__(pairs, split, random_split(list(pairs), split, seed, fractions))

    def read_annotation(self, name: str, shape: tuple[int, int]) -> Annotation:
        file = self.pairs[name].label
        return Annotation(instance_map(lossless(file), file.where))

    def about(self, name: str) -> dict[str, Any]:
        organ = re.fullmatch(r"Human_(.+)_[0-9]+", name)
        return {
            "mpp": 0.25,
            "tissue": organ[1] if organ else None,
            "modality": "H&E, frozen",
            "annotator": self._annotator,
        }
