"""NuInsSeg: 665 tiles of 31 human and mouse organs with their ambiguous areas.

Mahbod et al., "NuInsSeg: a fully annotated dataset for nuclei instance segmentation in H&E-stained
histological images", Scientific Data 11, 2024. Published under CC BY 4.0 at
https://zenodo.org/records/10518968 and https://www.kaggle.com/datasets/ipateam/nuinsseg.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._archives import open_files
from jaxnuc.data.sources._arrays import foreground
from jaxnuc.data.sources._label_images import (
    check_size,
    in_folder,
    read_labels,
    read_lossless,
    same_stems,
)
from jaxnuc.data.sources._splitting import random_split

IMAGES = "tissue images"
# Where nuclei overlap, the folder `label masks` has ids of their own; here they are resolved.
LABELS = "label masks modify"
VAGUE = "vague areas/mask binary"
EXPECTED = (
    f"expected folders of organs such as `human bladder` with `{IMAGES}/*.png` and "
    f"`{LABELS}/*.tif`, as published at https://zenodo.org/records/10518968"
)


class Source:
    """NuInsSeg's tiles, 512x512. The size of a pixel is not stated with the data.

    Args:
      root: the folder of the organs, at any depth, or the zip.
      split: `"train"`, `"val"`, `"test"` or `"all"`; the tiles are permuted by `seed` and cut by
        `fractions`.
      ignore_vague: leave the areas where not even experts tell the nuclei apart to the ignore mask,
        with the nuclei that are marked in them. Tiles without such a mask have none.
      seed: of the split.
      fractions: shares of train, val and test.

    Attributes:
      name: `"nuinsseg"`.
      ids: the stems, `human_bladder_01`, ..., in natural order; where organs share a stem, the
        organ and the stem.
      ignores: whether samples have regions to ignore: where vague areas are there and left out.

    Raises:
      FileNotFoundError: there are no images or no label images.
      ValueError: unknown split; an image without label image, or a label image or vague area
        without image; on reading, a damaged file, another size, or values that are no ids.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        ignore_vague: bool = True,
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        self.name = "nuinsseg"
        self._files = open_files(root, lambda name: f"{IMAGES}/" in name, EXPECTED)
        self._images = in_folder(self._files, IMAGES)
        # There, too, are label images: of the areas.
        self._labels = in_folder(self._files, LABELS, outside="vague areas")
        vague = in_folder(self._files, VAGUE)
        if not self._images or not self._labels:
            missing = LABELS if self._images else IMAGES
            raise FileNotFoundError(f"{self._files.path}: no images in {missing!r}; {EXPECTED}")
        same_stems(self._files, self._images, self._labels, LABELS)
        with_vague = {key: file for key, file in self._images.items() if key in vague}
        same_stems(self._files, with_vague, vague, VAGUE)
        self._vague = vague if ignore_vague else {}
        self.ignores = bool(self._vague)
        stems = Counter(stem for _, stem in self._images)
        self._keys = {
            stem if stems[stem] == 1 else f"{organ} {stem}": (organ, stem)
            for organ, stem in self._images
        }
        self.ids = random_split(list(self._keys), split, seed, fractions)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        key = self._keys[name]
        image = self._files.rgb(self._images[key])
        instances = read_labels(self._files, self._labels[key], image.shape[:2])
        species, _, organ = key[0].partition(" ")
        meta = {
            "name": name,
            "source": self.name,
            "mpp": None,
            "tissue": organ or key[0],
            "modality": "H&E",
            "species": species if organ else None,
        }
        ignore = self._read_vague(self._vague[key], image.shape[:2]) if key in self._vague else None
        return Sample(image, instances, None, meta, ignore)

    def _read_vague(self, file: str, shape: tuple[int, ...]) -> np.ndarray:
        where = self._files.where(file)
        mask = foreground(read_lossless(self._files, file), where)
        check_size("vague areas", mask, shape, where)
        return mask
