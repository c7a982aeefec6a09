"""What sources of images with a file of annotations each have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jaxnuc.data.annotations import check_size
from jaxnuc.data.grouping import count_nuclei, find_groups
from jaxnuc.data.layouts import Pair, find, pair
from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.splitting import SplitBy, published_split, random_split
from jaxnuc.io.files import File


class Annotation(NamedTuple):
    """What the annotations of an image say.

    Attributes:
      instances: (H, W) int32, 0 is background.
      classes: (H, W) int32 numbers of the label set as the data set has them; None: no classes.
      ignore: (H, W) bool, where nothing is annotated; None: everything is.
      meta: what else they say of the image, such as `mpp`.
      covered: (H, W, D) int32, see `Sample`; None: no nuclei overlap.
    """

    instances: np.ndarray
    classes: np.ndarray | None = None
    ignore: np.ndarray | None = None
    meta: Mapping[str, Any] = {}
    covered: np.ndarray | None = None


@dataclass(eq=False)
class PairedSource(Source):
    """Images that each have annotations of their own.

    A subclass derives from `RandomSplit` or `PublishedSplit`, says by `layouts`, `archives` and
    `expected` where its files are, and defines `read_annotation` and, where it can, `about`.
    Its own arguments are fields of a dataclass.

    Attributes:
      layouts: of the files, see `jaxnuc.data.layouts.find`.
      archives: the names of its zips in small letters, such as `"*tnbc*.zip"`.
      expected: the layouts in words, and where the set is published.
      pairs: image and annotation file by the name of the image.
      cache: keep the annotations in memory, in each process that reads.
      cache_images: with the annotations, keep the images: for a set of many small ones.
    """

    root: str | Path
    split: str = "train"
    seed: int = 0

    layouts: ClassVar[Sequence[Mapping[str, str]]] = ()
    archives = "*.zip"
    expected = ""
    cache = False
    cache_images = False

    def __post_init__(self) -> None:
        self.pairs = self.find_pairs()
        self._keep(self.choose())

    def _keep(self, names: list[str]) -> None:
        """Makes these the images of the source."""
        self.ids = names
        self.pairs = {name: self.pairs[name] for name in names}
        self._kept: dict[int, tuple[np.ndarray | None, Annotation]] | None = (
            {} if self.cache else None
        )

    def find_pairs(self) -> dict[str, Pair]:
        """All images with their annotation files, by name."""
        return pair(find(self.root, self.archives, self.expected, self.layouts))

    def choose(self) -> list[str]:
        """The names of the images in the split."""
        raise NotImplementedError

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        """Reads the annotations of an image.

        Args:
          name: of the image, one of `ids`.
          file: of the annotations.
          shape: (H, W) of the image.
        """
        raise NotImplementedError

    def about(self, name: str) -> dict[str, Any]:
        """What is known of an image without reading it, for the meta of its sample."""
        return {}

    def read_image(self, file: File) -> tuple[np.ndarray, Mapping[str, Any]]:
        """An image, (H, W, 3) uint8, and what its file says of it, such as `mpp`."""
        return file.rgb(), {}

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        pair = self.pairs[name]
        image, found = (self._kept or {}).get(index, (None, None))
        of_file: Mapping[str, Any] = {}
        if image is None:
            image, of_file = self.read_image(pair.image)
        else:
            image = np.broadcast_to(image, (*image.shape[:2], 3)).copy()
        if found is None:
            found = self._checked(name, pair, image.shape[:2])
            if self._kept is not None:
                found = found._replace(
                    instances=_smallest(found.instances),
                    classes=_smallest(found.classes),
                    covered=_smallest(found.covered),
                    meta={**of_file, **found.meta},
                )
                self._kept[index] = _one_channel(image) if self.cache_images else None, found
        about = {
            "name": name,
            "source": self.name,
            "mpp": None,
            **self.about(name),
            **of_file,
            **found.meta,
        }
        # New arrays, which may be changed.
        instances = found.instances.astype(np.int32)
        classes, covered = (
            None if each is None else each.astype(np.int32)
            for each in (found.classes, found.covered)
        )
        ignore = None if found.ignore is None else found.ignore.copy()
        return Sample(image, instances, classes, about, ignore, covered)

    def _checked(self, name: str, pair: Pair, shape: tuple[int, int]) -> Annotation:
        found = self.read_annotation(name, pair.label, shape)
        check_size("labels", found.instances, shape, pair.label.where, pair.image.name)
        if found.classes is None or self.label_set is None:
            return found._replace(classes=None)
        try:
            return found._replace(classes=self.label_set.from_native(found.classes))
        except ValueError as error:
            raise ValueError(f"{pair.label.where}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None if self._kept is None else {}}


@dataclass(eq=False)
class RandomSplit(PairedSource):
    """Images without a published split: permuted by `seed` and cut by `fractions`."""

    fractions: Sequence[float] = (0.8, 0.1, 0.1)

    def choose(self) -> list[str]:
        return random_split(list(self.pairs), self.split, self.seed, self.fractions, self.group)

    def group(self, name: str) -> str:
        """What an image belongs to, such as its patient: all images of one are in one split."""
        return name

    def divide(self, split: str, by: SplitBy) -> None:
        """Keeps the images of a split of another division; the source holds all of them before.

        Raises:
          FileNotFoundError: there is no such file of groups.
          ValueError: groups that do not fit the images, or a split that is empty.
        """
        unit: Callable[[str], str] = self.group
        if by.groups is not None:
            images = {name: pair.image.name for name, pair in self.pairs.items()}
            unit = find_groups(by.groups, self.root, images).__getitem__
        amounts = count_nuclei(self) if by.stratify and split != "all" else None
        names = random_split(
            self.ids, split, self.seed, self.fractions, unit, fold=by.part, amounts=amounts
        )
        self._keep(names)
        self.split = split


@dataclass(eq=False)
class PublishedSplit(PairedSource):
    """Images published for train and test; val is cut from those for training."""

    val_fraction: float = 0.2

    def choose(self) -> list[str]:
        sides = {name: self.side(name) for name in self.pairs}
        return published_split(sides, self.split, self.seed, self.val_fraction)

    def side(self, name: str) -> str:
        """`"train"` or `"test"`; by default the first group of the layout's patterns."""
        return self.pairs[name].key[0]


def _one_channel(image: np.ndarray) -> np.ndarray:
    """A copy, with a single channel where all are alike."""
    return image[..., : 1 if (image == image[..., :1]).all() else 3].copy()


def _smallest(array: np.ndarray | None) -> Any:
    """The same in the smallest integers that hold the numbers."""
    if array is None:
        return None
    ends = array.min(initial=0), array.max(initial=0)
    return array.astype(np.result_type(*map(np.min_scalar_type, ends)))
