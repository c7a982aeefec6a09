"""CPM-17: the MICCAI 2017 challenge on nuclei in tissue images of four kinds of tumour.

Vu et al., "Methods for segmentation and classification of digital microscopy tissue images",
Frontiers in Bioengineering and Biotechnology 7, 2019; redistributed with HoVer-Net (Graham et al.,
Medical Image Analysis 58, 2019), see https://github.com/vqdang/hover_net. No licence is stated.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.data.sources._arrays import instance_map
from jaxnuc.data.sources._cpm_text import text_labels
from jaxnuc.data.sources._mat import read_mat
from jaxnuc.data.sources._pairs import File, PairedSource, find, pair, published_split

EXPECTED = (
    "expected the folder `cpm17/` with {train,test}/Images/*.png and {train,test}/Labels/*.mat, as "
    "redistributed with HoVer-Net, or folders with `train` and `test` in their names that hold "
    "imageNN.png with imageNN_mask.txt, as the challenge of MICCAI 2017 published them"
)
LAYOUTS = (
    {
        "image": r"(train|test)/images/([^/]+)\.png",
        "label": r"(train|test)/labels/([^/]+)\.mat",
    },
    {
        "image": r"[^/]*(train|test)[^/]*/(image_?\d+)\.png",
        "label": r"[^/]*(train|test)[^/]*/(image_?\d+)_mask\.txt",
    },
)


class Source(PairedSource):
    """Images of CPM-17, 500x500 to 600x600 pixels, as distributed (folder or zip).

    Args:
      root: the folder with `cpm17.zip` or `cpm17/`, one of these two itself, or the folder that
        holds the folders of training and test images.
      split: `"train"` or `"val"`, which is cut from the 32 published training images, `"test"`,
        the 32 published ones, or `"all"`.
      seed: of the permutation that cuts val from train.
      val_fraction: share of the training images that is val.
      mpp: microns per pixel, which the set does not state; the images are from scans at 20x and
        at 40x. Where given, every sample carries it.

    Attributes:
      name: `"cpm17"`.
      ids: such as `"train/image_00"`, for train and test use the same names; in natural order.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split, or files that do not match; on reading, a damaged file, sizes
        that differ, or labels that are none.
    """

    name = "cpm17"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        val_fraction: float = 0.2,
        mpp: float | None = None,
    ):
        pairs = pair(find(root, "*cpm*17*.zip", EXPECTED, LAYOUTS))
        super().__init__(published_split(pairs, split, seed, val_fraction))
        self._mpp = mpp

    def _labels(self, file: File) -> tuple[np.ndarray, None]:
        if file.suffix == ".txt":
            return text_labels(file), None
        labels = read_mat(file.files, file.name, ["inst_map"])["inst_map"]
        return instance_map(labels, file.where), None

    def _meta(self, name: str) -> dict[str, Any]:
        return {"mpp": self._mpp}
