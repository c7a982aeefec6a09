"""CryoNuSeg: 30 tiles of frozen sections of ten organs, annotated three times.

Mahbod et al., "CryoNuSeg: a dataset for nuclei instance segmentation of cryosectioned
H&E-stained histological images", Computers in Biology and Medicine 132, 2021. Published under
CC BY-NC-SA 4.0 at https://www.kaggle.com/datasets/ipateam/segmentation-of-nuclei-in-cryosectioned-he
"""

import re
from collections.abc import Sequence
from pathlib import Path

from jaxnuc import registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._archives import open_files
from jaxnuc.data.sources._label_images import in_folder, read_labels, same_stems
from jaxnuc.data.sources._splitting import random_split

IMAGES = "tissue images"
# Where nuclei overlap, the folder `label masks` has ids of their own; here they are resolved.
LABELS = "label masks modify"
ANNOTATORS = {
    "biologist": "Annotator 1 (biologist)",
    "biologist again": "Annotator 1 (biologist second round of manual marks up)",
    "bioinformatician": "Annotator 2 (bioinformatician)",
}
EXPECTED = (
    f"expected the folders `{IMAGES}` and `{ANNOTATORS['biologist']}/{LABELS}`, as published at "
    "https://www.kaggle.com/datasets/ipateam/segmentation-of-nuclei-in-cryosectioned-he"
)


class Source:
    """CryoNuSeg's tiles, 512x512 at a nominal 0.25 microns per pixel (40x).

    Args:
      root: the folder of `tissue images` and the annotators' folders, at any depth, or the zip.
      split: `"train"`, `"val"`, `"test"` or `"all"`; none is published, so the tiles are permuted
        by `seed` and cut by `fractions`.
      annotator: whose nuclei: `"biologist"`, `"biologist again"`, the same one's second round, or
        `"bioinformatician"`.
      seed: of the split.
      fractions: shares of train, val and test.

    Attributes:
      name: `"cryonuseg"`.
      ids: the stems, `Human_AdrenalGland_01`, ..., in natural order.

    Raises:
      FileNotFoundError: the images or the annotator's label images are not there.
      ValueError: unknown split or annotator; an image or label image without the other; on
        reading, a damaged file, another size, or values that are no ids.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        annotator: str = "biologist",
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        self.name = "cryonuseg"
        if annotator not in ANNOTATORS:
            raise registry.unknown("annotator of CryoNuSeg", annotator, ANNOTATORS)
        self._files = open_files(root, lambda name: f"{IMAGES}/" in name, EXPECTED)
        images = in_folder(self._files, IMAGES)
        # The second round and the second annotator lie in a folder of the same name again.
        labels = in_folder(self._files, LABELS, within=ANNOTATORS[annotator])
        if not images or not labels:
            missing = ANNOTATORS[annotator] + "/" + LABELS if images else IMAGES
            raise FileNotFoundError(f"{self._files.path}: no images in {missing!r}; {EXPECTED}")
        self._images = {stem: file for (_, stem), file in images.items()}
        self._labels = {stem: file for (_, stem), file in labels.items()}
        same_stems(self._files, self._images, self._labels, LABELS)
        self.ids = random_split(list(self._images), split, seed, fractions)
        self._annotator = annotator

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        image = self._files.rgb(self._images[name])
        instances = read_labels(self._files, self._labels[name], image.shape[:2])
        organ = re.fullmatch(r"Human_(.+)_[0-9]+", name)
        meta = {
            "name": name,
            "source": self.name,
            "mpp": 0.25,
            "tissue": organ[1] if organ else None,
            "modality": "H&E, frozen",
            "annotator": self._annotator,
        }
        return Sample(image, instances, None, meta)
