"""What sources of images with a file of annotations each have in common."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxnuc.data.annotations import check_size
from jaxnuc.data.layouts import Pair
from jaxnuc.data.sample import Sample, Source
from jaxnuc.io.files import File


class Annotation(NamedTuple):
    """What the annotations of an image say.

    Attributes:
      instances: (H, W) int32, 0 is background.
      classes: (H, W) int32 numbers of the label set as the data set has them; None: no classes.
      ignore: (H, W) bool, where nothing is annotated; None: everything is.
      meta: what else they say of the image, such as `mpp`.
    """

    instances: np.ndarray
    classes: np.ndarray | None = None
    ignore: np.ndarray | None = None
    meta: Mapping[str, Any] = {}


class PairedSource(Source):
    """Images that each have annotations of their own.

    A subclass finds its files (`jaxnuc.data.layouts`), chooses those of the split
    (`jaxnuc.data.splitting`), and defines `read_annotation` and, where it can, `about`.

    Args:
      pairs: image and annotation file by the name of the image.
      split: that was opened.
      ids: names of the images in the split.
      cache: keep the annotations in memory, in each process that reads.

    Attributes:
      cache_images: with the annotations, keep the images: for a set of many small ones.
    """

    cache_images = False

    def __init__(
        self, pairs: Mapping[str, Pair], split: str | None, ids: Iterable[str], cache: bool = False
    ):
        self.ids, self.split = list(ids), split
        self.pairs = {name: pairs[name] for name in self.ids}
        self._kept: dict[int, tuple[np.ndarray | None, Annotation]] | None = {} if cache else None

    def read_annotation(self, name: str, shape: tuple[int, int]) -> Annotation:
        """Reads the annotations of an image.

        Args:
          name: of the image, one of `ids`.
          shape: (H, W) of the image.
        """
        raise NotImplementedError

    def about(self, name: str) -> dict[str, Any]:
        """What is known of an image without reading it, for the meta of its sample."""
        return {}

    def read_image(self, file: File) -> np.ndarray:
        """(H, W, 3) uint8."""
        return file.rgb()

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        pair = self.pairs[name]
        image, found = (self._kept or {}).get(index, (None, None))
        if image is None:
            image = self.read_image(pair.image)
        else:
            image = np.broadcast_to(image, (*image.shape[:2], 3)).copy()
        if found is None:
            found = self._checked(name, pair, image.shape[:2])
            if self._kept is not None:
                found = _packed(found)
                self._kept[index] = _one_channel(image) if self.cache_images else None, found
        instances, classes, ignore, meta = _unpacked(found)
        about = {"name": name, "source": self.name, "mpp": None, **self.about(name), **meta}
        return Sample(image, instances, classes, about, ignore)

    def _checked(self, name: str, pair: Pair, shape: tuple[int, int]) -> Annotation:
        found = self.read_annotation(name, shape)
        check_size("labels", found.instances, shape, pair.label.where, pair.image.name)
        if found.classes is None or self.label_set is None:
            return found._replace(classes=None)
        try:
            return found._replace(classes=self.label_set.from_native(found.classes))
        except ValueError as error:
            raise ValueError(f"{pair.label.where}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None if self._kept is None else {}}


def _one_channel(image: np.ndarray) -> np.ndarray:
    """A copy, with a single channel where all are alike."""
    return image[..., : 1 if (image == image[..., :1]).all() else 3].copy()


def _packed(found: Annotation) -> Annotation:
    """The same in the smallest integers that hold the numbers."""
    classes = None if found.classes is None else _smallest(found.classes)
    return found._replace(instances=_smallest(found.instances), classes=classes)


def _smallest(array: np.ndarray) -> np.ndarray:
    ends = array.min(initial=0), array.max(initial=0)
    return array.astype(np.result_type(*map(np.min_scalar_type, ends)))


def _unpacked(found: Annotation) -> Annotation:
    """The same in new arrays, which may be changed."""
    classes, ignore = found.classes, found.ignore
    return found._replace(
        instances=found.instances.astype(np.int32),
        classes=None if classes is None else classes.astype(np.int32),
        ignore=None if ignore is None else ignore.copy(),
    )
