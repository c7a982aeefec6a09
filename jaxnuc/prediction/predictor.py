"""Trained networks with their representation: from an image array to its nuclei."""

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from jaxnuc import build, labels
from jaxnuc import config as configs
from jaxnuc.data import transforms
from jaxnuc.data.normalize import Normalize
from jaxnuc.data.transforms.diameter import CropAtDiameter
from jaxnuc.io import ArrayImage, LargeImage, at_mpp
from jaxnuc.io.rgb import to_rgb
from jaxnuc.labels import LabelSet
from jaxnuc.postprocess.regions import disc_diameter
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.prediction.diameter import WINDOW, estimate_diameter
from jaxnuc.prediction.patches import STRIDE
from jaxnuc.prediction.segmentation import Segmentation
from jaxnuc.prediction.sized import at_diameter, resized, scale_of
from jaxnuc.prediction.symmetries import MapAverage, Maps
from jaxnuc.registry import check_known
from jaxnuc.representations import Nuclei, Representation
from jaxnuc.run import checkpoints

logger = logging.getLogger(__name__)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Any image array, as `jaxnuc.io.rgb.to_rgb` takes it, to (H, W, 3) uint8."""
    return to_rgb(np.asarray(image), "the image")


Diameter = float | str | None
SIZES = ("auto", "off")  # beside a number of pixels


def check_diameter(diameter: Diameter) -> None:
    """Checks a diameter: a number of pixels above 0, `"auto"`, `"off"` or None.

    Raises:
      ValueError: another value.
    """
    if isinstance(diameter, str):
        check_known("diameter", diameter, SIZES)
    elif diameter is not None and not 0 < diameter < math.inf:
        raise ValueError(f"diameter={diameter}: a number of pixels above 0 is expected")


def diameter_of_crops(config: ConfigDict) -> float | None:
    """That of `crop_at_diameter` among the transforms of a training; None where it has none."""
    for text in config.data.transforms:
        if str(text).startswith("crop_at_diameter("):  # others may be of packages that are not here
            (crop,) = transforms.parse([text])
            assert isinstance(crop, CropAtDiameter)
            return crop.diameter
    return None


@dataclass(frozen=True)
class Origin:
    """Where a trained network is from.

    Attributes:
      checkpoint: its folder.
      saved: when it was written.
      areas: 5th, 50th and 95th percentile of the areas of nuclei in its training, in pixels as the
        network saw them; empty where there were none.
    """

    checkpoint: str
    saved: str
    areas: tuple[float, ...]


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its parameters.

    Attributes:
      forward: jitted `(variables, (B, H, W, 3) uint8) -> {map: (B, H, W, C)}` logits.
      variables: parameters and running statistics.
      margin: sides of the image minus sides of the maps, in pixels.
      origin: the checkpoint, None where it is from none.
    """

    forward: Callable[[Any, Any], dict[str, jax.Array]]
    variables: Any
    margin: int = 0
    origin: Origin | None = None


@dataclass(frozen=True)
class Predictor:
    """One network or several with their representation.

    Attributes:
      networks: an ensemble, where there are several; their maps are averaged.
      representation: decodes the maps.
      normalize: of the image, as in training.
      config: of the training of the first network.
      symmetries: of the square, over which maps are averaged as well (test-time augmentation).
      merge: how maps are averaged, `"mean"` or `"median"`: see `symmetries.augmented`.
      agreement: measure how far the members of the average agree on each nucleus, for which each
        member is decoded: see `agreement.agreement`.
      label_set: at which classes are read; None: that of the class map.
      diameter: typical diameter of the nuclei of an image in pixels, which is enlarged or shrunk so
        that the network sees that of its training; `"auto"`: estimated for each image; `"off"`: it
        is not enlarged or shrunk by its nuclei; None: `"auto"` if the network was trained at one
        diameter, and else `"off"`. It is for `__call__` and `view`; `maps` takes images as they
        are.

    Raises:
      ValueError: agreement of a single member; the symmetries or `merge` as in `MapAverage`; a
        label set where no classes are predicted, or at which they cannot be read.
    """

    networks: tuple[TrainedNetwork, ...]
    representation: Representation
    normalize: Normalize
    config: ConfigDict
    symmetries: tuple[int, ...] = (0,)
    merge: str = "mean"
    agreement: bool = False
    label_set: LabelSet | None = None
    diameter: Diameter = None

    def __post_init__(self) -> None:
        check_diameter(self.diameter)
        if self.diameter not in (None, "off") and self.trained_diameter is None:
            raise ValueError(
                f"diameter={self.diameter!r}, but at which diameter the network was trained is "
                "unknown; leave it out"
            )
        if self.label_set is not None and self.label_set.finest != self.label_set:
            raise ValueError(
                f"of the classes {self.label_set.groups} one holds another; take its finest groups"
            )
        if self.label_set is not None and self.decode.class_names is None:
            raise ValueError(
                f"a label set to read classes at, {self.label_set.groups}, but the network "
                "predicts no classes; take one with classes, or no label set"
            )
        count = len(self.networks) * len(self.average.symmetries)
        if self.agreement and count < 2:
            raise ValueError(
                "agreement=True, but there is one network and one symmetry; take several "
                "checkpoints, or symmetries=range(8), which is --symmetries=8"
            )

    @property
    def margin(self) -> int:
        """Sides of the image minus sides of the maps, in pixels."""
        return self.networks[0].margin

    @property
    def average(self) -> MapAverage:
        """The average over symmetries and networks."""
        return MapAverage(self.representation, self.symmetries, self.merge)

    @property
    def variables(self) -> tuple[Any, ...]:
        """Of each network."""
        return tuple(network.variables for network in self.networks)

    @property
    def expects_one_diameter(self) -> bool:
        """Whether the network was trained on crops in which nuclei have about one diameter."""
        return diameter_of_crops(self.config) is not None

    @property
    def trained_diameter(self) -> float | None:
        """The typical diameter of nuclei in the training, in pixels as the network saw them.

        It is that of `crop_at_diameter` among the transforms; otherwise, that of the disc of the
        median area. None where neither is known.
        """
        of_crops = diameter_of_crops(self.config)
        if of_crops is not None:
            return of_crops
        origin = self.networks[0].origin
        if origin is None or not origin.areas:
            return None
        return float(disc_diameter(origin.areas[1]))

    @property
    def sizes(self) -> float | str:
        """By which diameter images are sized: pixels, `"auto"`, or empty: they are left as are."""
        if self.diameter is None:
            return "auto" if self.expects_one_diameter else ""
        return "" if self.diameter == "off" else self.diameter

    def diameter_of(self, image: LargeImage) -> float | None:
        """The typical diameter of the nuclei of an image, in pixels, by which it is to be sized.

        None where the image is to be left as it is, also because no nucleus was found for an
        estimate.

        Raises:
          CorruptRegion: a window that an estimate needs cannot be read.
        """
        if not self.sizes:
            return None
        if self.sizes != "auto":
            return float(self.sizes)

        def find(pixels: np.ndarray) -> Nuclei:
            maps = self.average.average(self._members(pixels))
            return self.decode(maps, (WINDOW, WINDOW))

        assert self.trained_diameter is not None  # checked above
        return estimate_diameter(image, find, self.trained_diameter, self.normalize)

    def view(self, image: LargeImage) -> LargeImage:
        """The image at the size at which the network is to see it.

        That is the size by `diameter_of`, or where images are not sized by their nuclei, that of
        the microns per pixel of the training, if it had one (`data.mpp`).

        Raises:
          ValueError: the microns per pixel of the image are needed and unknown.
        """
        if not self.sizes:
            mpp = self.config.data.mpp
            return at_mpp(image, mpp) if mpp else image
        diameter = self.diameter_of(image)
        if diameter is None or self.trained_diameter is None:
            return image
        return at_diameter(image, diameter, self.trained_diameter)

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The logits of an image as `as_rgb` takes it, (H, W, C) or on the representation's grid.

        The image is mirrored at its borders where a network needs more of it.
        """
        return self.average.average(self.members(image))

    def members(self, image: np.ndarray) -> tuple[Maps, ...]:
        """The maps that `maps` averages: all symmetries of one network after those of another."""
        return self._members(self.normalize.image(as_rgb(image)))

    def _members(self, pixels: np.ndarray) -> tuple[Maps, ...]:
        """The same of normalized pixels (H, W, 3) uint8."""
        networks = [partial(self._maps, network) for network in self.networks]
        return self.average.members(networks, pixels)

    def _maps(self, network: TrainedNetwork, image: np.ndarray) -> Maps:
        # The padding up to a multiple of the stride is cropped from the maps again; the margin is
        # what the network itself takes off.
        h, w, _ = image.shape
        first = self.margin // 2
        last = self.margin - first
        sides = ((first, last + -h % STRIDE), (first, last + -w % STRIDE), (0, 0))
        padded = np.pad(image, sides, mode="symmetric")
        maps = jax.device_get(network.forward(network.variables, padded[None]))
        grid = self.average.grid
        return {name: m[0, : -(-h // grid), : -(-w // grid)] for name, m in maps.items()}

    @property
    def decode(self) -> Decoder:
        """The second step, from maps to nuclei: NumPy only, and picklable."""
        return Decoder(self.representation, self.label_set)

    def __call__(self, image: np.ndarray, mpp: float | None = None) -> Segmentation:
        """The nuclei of an image, which a notebook shows.

        Args:
          image: as `as_rgb` takes it.
          mpp: its microns per pixel, which only networks need that expect some, see `view`.

        Raises:
          ValueError: the array is not an image, or its microns per pixel are needed.
        """
        pixels, decode = as_rgb(image), self.decode
        view = self.view(ArrayImage(pixels, mpp=mpp))
        seen = view.read(0, 0, *view.shape)
        members = self.members(seen)
        compared = members if self.agreement else ()
        found = decode(self.average.average(members), view.shape, compared)
        found = resized(found, scale_of(view), pixels.shape[:2])
        return Segmentation.of(found, pixels, decode.class_names, decode.colors)


def make_forward(model: nn.Module) -> jax.stages.Wrapped:
    """The jitted evaluation of a network on bytes."""
    return jax.jit(
        lambda variables, images: model.apply(
            variables, images.astype(jnp.float32) / 255, train=False
        )
    )


def make_predictor(
    config: ConfigDict, model: nn.Module, representation: Representation, variables: Any
) -> Predictor:
    """A predictor of a network made by `jaxnuc.build`."""
    normalize = Normalize(config.data.normalize)
    network = TrainedNetwork(make_forward(model), variables, model.margin)
    return Predictor((network,), representation, normalize, config)


def load(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    checkpoint: str | int = "best",
    *,
    symmetries: Sequence[int] = (0,),
    merge: str = "mean",
    agreement: bool = False,
    label_set: str | LabelSet | None = None,
    decoder: Mapping[str, Any] | None = None,
    diameter: Diameter = None,
) -> Predictor:
    """Loads a trained network: one that comes with this library, or your own.

    Several are an ensemble: their maps are averaged. The networks may differ, but not what their
    maps mean, nor what they expect of the image. The thresholds are those of the first checkpoint;
    `optimize_thresholds` finds those of the ensemble on its maps.

    Args:
      path: the name of a model (`jaxnuc models` lists them), the file of one, a workdir of a
        training, or the folder of one checkpoint; or several of them.
      checkpoint: of a workdir: `"best"` by the monitored figure, `"latest"` or a step.
      symmetries: test-time augmentation, `range(8)` for all symmetries of the square.
      merge: of probabilities over symmetries and networks, `"mean"` or `"median"`.
      agreement: measure how far symmetries and networks agree on each nucleus.
      label_set: at which the classes of nuclei are read, by name as in `jaxnuc.labels.label_set`,
        or any label set of the tree of the predicted classes, such as `labels.label_set("consep",
        merge=True)`. The probability of a class is the sum over the predicted classes within it;
        see `ClassMap.read_at`. None: the predicted classes.
      decoder: section `{"name": ..., **arguments}` in place of the one with which the network was
        trained, such as `{"name": "watershed"}`; a decoder has no part in the training.
      diameter: of the nuclei of an image in pixels, `"auto"` or `"off"`: see `Predictor`.

    Raises:
      FileNotFoundError: no such workdir or checkpoint.
      ValueError: a checkpoint is damaged, there is none, they do not fit together, or agreement of
        one network without symmetries; an unknown label set, or one at which the predicted classes
        cannot be read.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if not paths:
        raise ValueError("no checkpoint to load; give one workdir or several")
    # Missing folders are an error before the first checkpoint is restored, which takes longer.
    folders = [checkpoints.find(each, checkpoint) for each in paths]
    logger.info("restoring %s", ", ".join(map(str, folders)))
    members = [_restore(folder, decoder) for folder in folders]
    for folder, member in zip(folders[1:], members[1:], strict=True):
        _check_same(members[0], folders[0], member, folder)
    if isinstance(label_set, str):
        predicted = members[0].representation.label_set
        tree = {} if predicted is None else {"tree": predicted.tree}
        label_set = labels.label_set(label_set, **tree)
    return replace(
        members[0],
        networks=tuple(network for member in members for network in member.networks),
        symmetries=tuple(symmetries),
        merge=merge,
        agreement=agreement,
        label_set=label_set,
        diameter=diameter,
    )


def _restore(folder: Path, decoder: Mapping[str, Any] | None) -> Predictor:
    """The predictor of one checkpoint, perhaps with another decoder."""
    stored = checkpoints.read_model(folder)
    config = configs.from_json(stored.config)
    if decoder is not None:
        config.representation = ConfigDict({**config.representation, "decoder": dict(decoder)})
    representation = build.make_representation(config, stored.label_sets)
    model = build.make_model(config, representation)
    side = STRIDE + model.margin
    # All within the function, or programs that make its arguments would be compiled first.
    template = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3))))
    checkpoints.check_shapes(folder, stored.variables, template)
    representation = representation.with_thresholds(stored.thresholds)
    found = make_predictor(config, model, representation, jax.device_put(stored.variables))
    origin = Origin(str(folder), stored.date, stored.areas)
    return replace(found, networks=(replace(found.networks[0], origin=origin),))


def _check_same(first: Predictor, first_folder: Path, other: Predictor, folder: Path) -> None:
    """Refuses an ensemble whose maps cannot be averaged."""
    one, two = _meaning(first), _meaning(other)
    for key in [*one, *(key for key in two if key not in one)]:
        if key not in one or key not in two or one[key] != two[key]:
            raise ValueError(
                f"{key} is {one.get(key)!r} in {first_folder} and {two.get(key)!r} in {folder}; "
                "an ensemble needs networks whose maps mean the same"
            )


def _meaning(predictor: Predictor) -> dict[str, Any]:
    """The meaning of the maps by keys of the configuration, thresholds left out."""
    config, representation = predictor.config, predictor.representation
    sections = flatten_dict(representation.sections(), sep=".")
    found = {key.removesuffix(".name"): value for key, value in sections.items()}
    predicted = representation.label_set
    if predicted is not None:
        found |= {"classes.tree": predicted.tree.paths, "classes.leaves": predicted.leaves}
    for threshold in representation.thresholds:
        found = {key: v for key, v in found.items() if not key.endswith(f".{threshold}")}
    found |= {"data.normalize": predictor.normalize.name, "data.mpp": config.data.mpp}
    return found | {"margin": predictor.margin}
