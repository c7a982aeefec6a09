"""NuInsSeg: 665 tiles of 31 human and mouse organs with their ambiguous areas.

Mahbod et al., "NuInsSeg: a fully annotated dataset for nuclei instance segmentation in H&E-stained
histological images", Scientific Data 11, 2024. Published under CC BY 4.0 at
https://zenodo.org/records/10518968 and https://www.kaggle.com/datasets/ipateam/nuinsseg.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxnuc.data.annotations import check_size, foreground, instance_map, lossless
from jaxnuc.data.layouts import IMAGE, check_partners, find, pair
from jaxnuc.data.sources.base import Annotation, PairedSource
from jaxnuc.data.splitting import random_split

EXPECTED = (
    "expected folders of organs such as `human bladder` with `tissue images/*.png` and "
    "`label masks modify/*.tif`, as published at https://zenodo.org/records/10518968"
)
# Where nuclei overlap, the folder `label masks` has ids of their own; here they are resolved. The
# vague areas have label images, too, in a folder of the same name.
LAYOUT = {
    "image": rf"([^/]+)/tissue images/([^/]+){IMAGE}",
    "label": rf"(?!vague areas/)([^/]+)/label masks modify/([^/]+){IMAGE}",
}
VAGUE = {"vague": rf"([^/]+)/vague areas/mask binary/([^/]+){IMAGE}"}


class Source(PairedSource):
    """NuInsSeg's tiles, 512x512. The size of a pixel is not stated with the data.

    Args:
      ignore_vague: leave the areas where not even experts tell the nuclei apart to the ignore mask,
        with the nuclei that are marked in them. Tiles without such a mask have none.
    """

    name = "nuinsseg"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        ignore_vague: bool = True,
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        found = find(root, "*.zip", EXPECTED, [LAYOUT | VAGUE, LAYOUT])
        pairs, vague = pair(found), found.get("vague", {})
        check_partners("image", vague, found["image"])
        self._vague = vague if ignore_vague else {}
        self.ignores = bool(self._vague)
        super().__init__(pairs, split, random_split(list(pairs), split, seed, fractions))

    def read_annotation(self, name: str, shape: tuple[int, int]) -> Annotation:
        key, _, file = self.pairs[name]
        instances, ignore = instance_map(lossless(file), file.where), None
        if key in self._vague:
            areas = self._vague[key]
            ignore = foreground(lossless(areas), areas.where)
            check_size("vague areas", ignore, shape, areas.where)
        return Annotation(instances, ignore=ignore)

    def about(self, name: str) -> dict[str, Any]:
        folder = self.pairs[name].key[0]
        species, _, organ = folder.partition(" ")
        return {
            "tissue": organ or folder,
            "modality": "H&E",
            "species": species if organ else None,
        }
