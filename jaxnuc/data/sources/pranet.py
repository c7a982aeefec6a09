"""PraNet's redistribution of five polyp data sets: one training set, five test sets.

Fan et al., "PraNet: parallel reverse attention network for polyp segmentation", MICCAI 2020.
Published at https://github.com/DengPingFan/PraNet; the rights stay with those of the data sets,
Kvasir-SEG, CVC-ClinicDB, CVC-300 (EndoScene), CVC-ColonDB and ETIS-LaribPolypDB.
"""

from collections.abc import Sequence
from pathlib import Path

from jaxnuc import registry
from jaxnuc.data.sources._archives import open_files
from jaxnuc.data.sources._semantic import SemanticSource, pairs
from jaxnuc.data.sources._splitting import SPLITS, random_split

TEST_SETS = ("CVC-300", "CVC-ClinicDB", "CVC-ColonDB", "ETIS-LaribPolypDB", "Kvasir")
TRAIN, TEST = "TrainDataset", "TestDataset"


class Source(SemanticSource):
    """PraNet's folders: `TrainDataset/{image,mask}`, `TestDataset/<set>/{images,masks}`.

    Masks and instances are as in `jaxnuc.data.sources._semantic.SemanticSource`.

    Args:
      root: the folder with `TrainDataset` and `TestDataset`, or their zips, or one of them.
      split: `"test"`, a test set or all five; `"train"` and `"val"`, cut from `TrainDataset` by
        `seed`, since there is no validation set; `"all"`, all of `TrainDataset`, on which PraNet
        trains.
      test_set: one of `TEST_SETS`, or None for all five in this order, with the name of the set
        before that of the image.
      seed: of train and val.
      val_fraction: share of `TrainDataset` that is val.

    Attributes:
      name: `"pranet"`.
      ids: the stems, in natural order; of all five test sets `<set>_<stem>`.

    Raises:
      FileNotFoundError: the folder of this split, or a test set, is not there.
      ValueError: unknown split or test set, a share that leaves nothing, and what
        `SemanticSource` says.
    """

    name = "pranet"
    published = "https://github.com/DengPingFan/PraNet"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        test_set: str | None = None,
        seed: int = 0,
        val_fraction: float = 0.1,
    ):
        if split not in (*SPLITS, "all"):
            raise registry.unknown("split", split, (*SPLITS, "all"))
        if test_set not in (*TEST_SETS, None):
            raise registry.unknown("test set of PraNet", str(test_set), TEST_SETS)
        folder = TEST if split == "test" else TRAIN
        expected = f"expected `{folder}` or {folder}.zip, as published at {self.published}"
        root = Path(root)
        if (root / f"{folder}.zip").is_file() and not (root / folder).is_dir():
            root = root / f"{folder}.zip"
        elif (root / folder).is_dir():
            root = root / folder
        self._files = open_files(root, self._belongs, expected)
        if split == "test":
            chosen = TEST_SETS if test_set is None else (test_set,)
            self._pairs = {
                stem if test_set else f"{one}_{stem}": pair
                for one in chosen
                for stem, pair in pairs(self._files, self.layouts, one, expected).items()
            }
            self.ids = list(self._pairs)
        else:
            # Never the test images of a root that has no others.
            inside = any(f"{TRAIN}/" in name for name in self._files.names)
            below = "" if not inside and self._files.path.resolve().stem == TRAIN else TRAIN
            self._pairs = pairs(self._files, self.layouts, below, expected)
            shares: Sequence[float] = (1 - val_fraction, val_fraction, 0)
            self.ids = random_split(list(self._pairs), split, seed, shares)
