"""PraNet's redistribution of five polyp data sets: one training set, five test sets.

Fan et al., "PraNet: parallel reverse attention network for polyp segmentation", MICCAI 2020.
Published at https://github.com/DengPingFan/PraNet; the rights stay with those of the data sets,
Kvasir-SEG, CVC-ClinicDB, CVC-300 (EndoScene), CVC-ColonDB and ETIS-LaribPolypDB.
"""

from pathlib import Path

from jaxnuc.data.layouts import IMAGE, Pair, find, pair
from jaxnuc.data.sources.base import PairedSource
from jaxnuc.data.sources.masks import MaskSource
from jaxnuc.data.splitting import check_split, random_split
from jaxnuc.registry import unknown

TEST_SETS = ("CVC-300", "CVC-ClinicDB", "CVC-ColonDB", "ETIS-LaribPolypDB", "Kvasir")


class Source(MaskSource):
    """PraNet's folders: `TrainDataset/{image,mask}`, `TestDataset/<set>/{images,masks}`.

    The split `"test"` is a test set or all five; `"train"` and `"val"` are cut from `TrainDataset`,
    since there is no validation set; `"all"` is all of `TrainDataset`, on which PraNet trains.

    Args:
      test_set: one of `TEST_SETS`, or None for all five in this order, with the name of the set
        before that of the image.
    """

    name = "pranet"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        test_set: str | None = None,
        seed: int = 0,
        val_fraction: float = 0.1,
    ):
        check_split(split)
        if test_set not in (*TEST_SETS, None):
            raise unknown("test set of PraNet", str(test_set), TEST_SETS)
        if split == "test":
            pairs: dict[str, Pair] = {}
            for one in TEST_SETS if test_set is None else (test_set,):
                found = _find(root, "TestDataset", f"/{one}")
                pairs |= {name if test_set else f"{one}_{name}": p for name, p in found.items()}
            ids = list(pairs)
        else:
            pairs = _find(root, "TrainDataset", "")
            ids = random_split(list(pairs), split, seed, (1 - val_fraction, val_fraction, 0))
        PairedSource.__init__(self, pairs, split, ids)


def _find(root: str | Path, folder: str, below: str) -> dict[str, Pair]:
    expected = (
        f"expected `{folder}{below}` or {folder}.zip, as published at "
        "https://github.com/DengPingFan/PraNet"
    )
    layout = {
        "image": rf"{folder}{below}/images?/([^/]+){IMAGE}",
        "label": rf"{folder}{below}/masks?/([^/]+){IMAGE}",
    }
    return pair(find(root, f"{folder.lower()}.zip", expected, [layout]))
