"""CPM-17: the MICCAI 2017 challenge on nuclei in tissue images of four kinds of tumor.

Vu et al., "Methods for segmentation and classification of digital microscopy tissue images",
Frontiers in Bioengineering and Biotechnology 7, 2019; redistributed with HoVer-Net (Graham et al.,
Medical Image Analysis 58, 2019), see https://github.com/vqdang/hover_net. No license is stated.
"""

from dataclasses import dataclass
from typing import Any

from jaxnuc.data.sources.base import Annotation, PublishedSplit
from jaxnuc.data.sources.cpm15 import read_instances
from jaxnuc.io.files import File


@dataclass(eq=False)
class Source(PublishedSplit):
    """Images of CPM-17, 500x500 to 600x600 pixels from scans at 20x and at 40x.

    32 images are published for training and 32 for the test; their ids are such as
    `"train/image_00"`, since both use the same names.
    """

    name = "cpm17"
    archives = "*cpm*17*.zip"
    layouts = (
        {
            "image": r"(train|test)/images/([^/]+)\.png",
            "label": r"(train|test)/labels/([^/]+)\.mat",
        },
        {
            "image": r"[^/]*(train|test)[^/]*/(image_?\d+)\.png",
            "label": r"[^/]*(train|test)[^/]*/(image_?\d+)_mask\.txt",
        },
    )
    expected = (
        "expected the folder `cpm17/` with {train,test}/Images/*.png and "
        "{train,test}/Labels/*.mat, as redistributed with HoVer-Net, or folders with `train` and "
        "`test` in their names that hold imageNN.png with imageNN_mask.txt, as the challenge of "
        "MICCAI 2017 published them"
    )

    mpp: float | None = None

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        return Annotation(read_instances(file))

    def about(self, name: str) -> dict[str, Any]:
        return {"mpp": self.mpp}
