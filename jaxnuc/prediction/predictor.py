"""Trained networks with their representation: from an image array to its nuclei."""

import logging
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
from jaxnuc.data.normalize import Normalize
from jaxnuc.io.rgb import to_rgb
from jaxnuc.labels import LabelSet
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.prediction.patches import STRIDE
from jaxnuc.prediction.segmentation import Segmentation
from jaxnuc.prediction.symmetries import MapAverage, Maps
from jaxnuc.representations import Representation
from jaxnuc.run import checkpoints

logger = logging.getLogger(__name__)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Any image array, as `jaxnuc.io.rgb.to_rgb` takes it, to (H, W, 3) uint8."""
    return to_rgb(np.asarray(image), "the image")


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

    def __post_init__(self) -> None:
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

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The logits of an image as `as_rgb` takes it, (H, W, C) or on the representation's grid.

        The image is mirrored at its borders where a network needs more of it.
        """
        return self.average.average(self.members(image))

    def members(self, image: np.ndarray) -> tuple[Maps, ...]:
        """The maps that `maps` averages: all symmetries of one network after those of another."""
        networks = [partial(self._maps, network) for network in self.networks]
        return self.average.members(networks, self.normalize.image(as_rgb(image)))

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

    def __call__(self, image: np.ndarray) -> Segmentation:
        """The nuclei of an image, which a notebook shows."""
        pixels, decode = as_rgb(image), self.decode
        members = self.members(pixels)
        compared = members if self.agreement else ()
        found = decode(self.average.average(members), pixels.shape[:2], compared)
        return Segmentation.of(found, pixels, decode.class_names, decode.colors)


def make_forward(model: nn.Module) -> Callable[[Any, Any], dict[str, jax.Array]]:
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
) -> Predictor:
    """Restores trained networks with nothing but their checkpoints.

    Several are an ensemble: their maps are averaged. The networks may differ, but not what their
    maps mean, nor what they expect of the image. The thresholds are those of the first checkpoint;
    `optimize_thresholds` finds those of the ensemble on its maps.

    Args:
      path: a workdir of a training, or the folder of one checkpoint; or several of them.
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
    )


def _restore(folder: Path, decoder: Mapping[str, Any] | None) -> Predictor:
    """The predictor of one checkpoint, perhaps with another decoder."""
    config = configs.from_json(checkpoints.read_config(folder))
    if decoder is not None:
        config.representation = ConfigDict({**config.representation, "decoder": dict(decoder)})
    representation = build.make_representation(config, checkpoints.read_label_sets(folder))
    model = build.make_model(config, representation)
    side = STRIDE + model.margin
    # All within the function, or programs that make its arguments would be compiled first.
    template = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3))))
    variables = checkpoints.read_variables(folder, template, ema=config.ema_decay > 0)
    representation = representation.with_thresholds(checkpoints.read_thresholds(folder))
    found = make_predictor(config, model, representation, jax.device_put(variables))
    origin = Origin(str(folder), checkpoints.read_date(folder), checkpoints.read_areas(folder))
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
