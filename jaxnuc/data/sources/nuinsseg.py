"""NuInsSeg: 665 tiles of 31 human and mouse organs with their ambiguous areas.

Mahbod et al., "NuInsSeg: a fully annotated dataset for nuclei instance segmentation in H&E-stained
histological images", Scientific Data 11, 2024. Published under CC BY 4.0 at
https://zenodo.org/records/10518968 and https://www.kaggle.com/datasets/ipateam/nuinsseg.
"""

from dataclasses import dataclass
from typing import Any

from jaxnuc.data.annotations import check_size, foreground, label_image, lossless
from jaxnuc.data.layouts import IMAGE, Pair, check_partners, find, pair
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.io.files import File

# Where nuclei overlap, the folder `label masks` has ids of their own; here they are resolved. The
# vague areas have label images, too, in a folder of the same name.
LAYOUT = {
    "image": rf"([^/]+)/tissue images/([^/]+){IMAGE}",
    "label": rf"(?!vague areas/)([^/]+)/label masks modify/([^/]+){IMAGE}",
}
VAGUE = {"vague": rf"([^/]+)/vague areas/mask binary/([^/]+){IMAGE}"}


@dataclass(eq=False)
class Source(RandomSplit):
    """NuInsSeg's tiles, 512x512. The size of a pixel is not stated with the data.

    Args:
      ignore_vague: leave the areas where not even experts tell the nuclei apart to the ignore mask,
        with the nuclei that are marked in them. Tiles without such a mask have none.
    """

    name = "nuinsseg"
    layouts = (LAYOUT | VAGUE, LAYOUT)
    expected = (
        "expected folders of organs such as `human bladder` with `tissue images/*.png` and `label "
        "masks modify/*.tif`, as published at https://zenodo.org/records/10518968"
    )

    ignore_vague: bool = True

    def find_pairs(self) -> dict[str, Pair]:
        found = find(self.root, self.archives, self.expected, self.layouts)
        pairs, vague = pair(found), found.get("vague", {})
        check_partners("image", vague, found["image"])
        self._vague = vague if self.ignore_vague else {}
        self.ignores = bool(self._vague)
        return pairs

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        areas, ignore = self._vague.get(self.pairs[name].key), None
        if areas is not None:
            ignore = foreground(lossless(areas), areas.where)
            check_size("vague areas", ignore, shape, areas.where)
        return Annotation(label_image(file), ignore=ignore)

    def about(self, name: str) -> dict[str, Any]:
        folder = self.pairs[name].key[0]
        species, _, organ = folder.partition(" ")
        return {"tissue": organ or folder, "modality": "H&E", "species": species if organ else None}
