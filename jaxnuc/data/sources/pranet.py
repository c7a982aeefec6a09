"""PraNet's redistribution of five polyp data sets: one training set, five test sets.

Fan et al., "PraNet: parallel reverse attention network for polyp segmentation", MICCAI 2020.
Published at https://github.com/DengPingFan/PraNet; the rights stay with those of the data sets,
Kvasir-SEG, CVC-ClinicDB, CVC-300 (EndoScene), CVC-ColonDB and ETIS-LaribPolypDB.
"""

from dataclasses import dataclass

from jaxnuc.data.layouts import Pair, find, pair
from jaxnuc.data.sources.masks import PAIRED, MaskSource
from jaxnuc.data.splitting import check_split, random_split
from jaxnuc.registry import unknown

TEST_SETS = ("CVC-300", "CVC-ClinicDB", "CVC-ColonDB", "ETIS-LaribPolypDB", "Kvasir")


@dataclass(eq=False)
class Source(MaskSource):
    """PraNet's folders: `TrainDataset/{image,mask}`, `TestDataset/<set>/{images,masks}`.

    The split `"test"` is a test set or all five; `"train"` and `"val"` are cut from `TrainDataset`,
    since there is no validation set; `"all"` is all of `TrainDataset`, on which PraNet trains.

    Args:
      test_set: one of `TEST_SETS`, or None for all five in this order, with the name of the set
        before that of the image.
    """

    name = "pranet"

    test_set: str | None = None
    val_fraction: float = 0.1

    def find_pairs(self) -> dict[str, Pair]:
        check_split(self.split)
        if self.test_set not in (*TEST_SETS, None):
            raise unknown("test set of PraNet", str(self.test_set), TEST_SETS)
        if self.split != "test":
            return self._find("TrainDataset")
        if self.test_set is not None:
            return self._find("TestDataset", f"/{self.test_set}")
        found = {each: self._find("TestDataset", f"/{each}") for each in TEST_SETS}
        return {f"{each}_{name}": p for each, pairs in found.items() for name, p in pairs.items()}

    def choose(self) -> list[str]:
        shares = (1 - self.val_fraction, self.val_fraction, 0)
        names = list(self.pairs)
        return names if self.split == "test" else random_split(names, self.split, self.seed, shares)

    def _find(self, folder: str, below: str = "") -> dict[str, Pair]:
        expected = (
            f"expected `{folder}{below}` or {folder}.zip, as published at "
            "https://github.com/DengPingFan/PraNet"
        )
        layout = {kind: f"{folder}{below}/{end}" for kind, end in PAIRED.items()}
        return pair(find(self.root, f"{folder.lower()}.zip", expected, [layout]))
