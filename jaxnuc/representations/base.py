"""What a representation is: everything that the rest of the library reads from it.

A new representation is one file of this package, or a module of a package elsewhere, with a frozen
dataclass `Representation` that derives from `base.Representation`. It has to define four members:
`output_maps`, `encode`, `loss` and `decode`. All others have a default that is safe: an operation
for which a representation does not say enough raises, and never gives a wrong result.

`encode` and `decode` run in worker processes, which start fast because they never import JAX: the
modules here import it only within the loss. One that imports it at the top works as well, and each
worker takes some seconds longer to start.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, Integer, Shaped
from scipy import special

from jaxnuc.labels import LabelSet
from jaxnuc.postprocess.checks import float_map
from jaxnuc.postprocess.masks import Mask
from jaxnuc.registry import Registry, one_of

PROBABILITIES = (0.3, 0.4, 0.5, 0.6, 0.7)  # thresholds of a mask to choose from
VALID = "valid"  # target that is 0 where nothing is annotated

LabelMap = Integer[np.ndarray, "h w"]
IgnoreMask = Bool[np.ndarray, "h w"]
Covered = Integer[np.ndarray, "h w d"]
Maps = Mapping[str, Shaped[np.ndarray, "_ _ _"]]  # {name: (H, W, C)}
Shape = tuple[int, ...]  # (H, W)
Tree = Mapping[str, Any]  # arrays of a batch by name, and the side maps
Loss = tuple[Any, dict[str, Any]]  # a scalar and its named parts, for the log


class Nuclei(NamedTuple):
    """The nuclei of one image.

    Attributes:
      instances: (H, W) int32 label map, 0 background, ids 1..N.
      classes: (N,) int32 class of each nucleus in the order of ids, or None.
      scores: (N,) float32 in [0, 1] in the order of ids.
      class_probabilities: (N, C) float32, background first, rows of sum 1, or of 0 where others
        cover all of a nucleus; None without classes.
      points: (N, 2) float32 (row, col) in pixels, where a representation detects nuclei at points.
      masks: the nuclei one by one where they may overlap, in the order of ids.
      agreement: (N,) float32 in [0, 1], how far the members of an average (networks, symmetries)
        find the same nucleus: see `jaxnuc.prediction.agreement`; None where it was not asked for.
    """

    instances: Int32[np.ndarray, "h w"]
    classes: Int32[np.ndarray, " n"] | None
    scores: Float32[np.ndarray, " n"]
    class_probabilities: Float32[np.ndarray, "n c"] | None = None
    points: Float32[np.ndarray, "n 2"] | None = None
    masks: tuple[Mask, ...] | None = None
    agreement: Float32[np.ndarray, " n"] | None = None


@dataclass(frozen=True)
class OutputMap:
    """One map that a network gives, and what its values mean.

    How maps of a turned image are averaged follows from this, so there is no default for `kind`.

    Attributes:
      channels: of the map.
      kind: `"logits"`: of a sigmoid where there is one channel, of a softmax where there are more;
        averages are those of the probabilities. `"values"`: numbers that do not change when the
        image is turned, such as distances. `"directions"`: numbers that do, such as vectors.
      meaning: one line for whoever reads an exported model.
      undo: of directions: takes a map (H, W, channels) of an image under symmetry k, whose pixels
        are moved back already, and k; returns the map of the image itself. Takes arrays of NumPy
        and, for self-training, of JAX; must be picklable. Without it, directions cannot be
        averaged over symmetries.
    """

    channels: int
    kind: str
    meaning: str
    undo: Callable[[np.ndarray, int], np.ndarray] | None = None

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("logits", "values", "directions"))
        if self.undo is not None and self.kind != "directions":
            raise ValueError(f"a map of {self.kind} has nothing to undo; its kind is 'directions'")

    @property
    def activation(self) -> str:
        """From the network's output to what it means: `"sigmoid"`, `"softmax"` or `"none"`."""
        if self.kind != "logits":
            return "none"
        return "sigmoid" if self.channels == 1 else "softmax"


class Representation(abc.ABC):
    """The bridge between nuclei and maps.

    A representation that wraps another one derives from `Wrapper`, which passes on all members.
    """

    @property
    @abc.abstractmethod
    def output_maps(self) -> Mapping[str, OutputMap]:
        """The maps that the network is to give, by name."""

    @abc.abstractmethod
    def encode(
        self,
        instances: LabelMap,
        classes: LabelMap | None = None,
        ignore: IgnoreMask | None = None,
        covered: Covered | None = None,
    ) -> dict[str, Shaped[np.ndarray, "gh gw _"]]:
        """Makes the target maps of an image; NumPy, in the input workers.

        Args:
          instances: label map, 0 is background.
          classes: class of each pixel, 0 background, -1 ignored; None: unknown.
          ignore: true where nothing is annotated.
          covered: ids of the nuclei that lie under those of `instances`, see `jaxnuc.data.Sample`;
            None: no nuclei overlap. For targets of whole nuclei; others are of the label map.

        Returns:
          `{target: (H, W, C)}`, on the grid. Where there is an ignore mask, the target `valid` is
          among them, (H, W, 1) uint8 and 0 in ignored pixels: see `with_valid`.
        """

    @abc.abstractmethod
    def loss(
        self, maps: Tree, targets: Tree, axis_name: str | None = None, factors: Tree | None = None
    ) -> Loss:
        """The loss of a batch; JAX. May be a field that holds a `MapLoss`.

        Args:
          maps: the network's output, `{map: (B, H, W, C)}`; `side` holds `{map: [logits, ...]}`
            where the network has deep supervision.
          targets: from `encode`, batched. Pixels in which `valid` is 0 must not count.
          axis_name: pmapped axis that shares the batch.
          factors: from a loss schedule (`jaxnuc.losses.schedules`), by name: `side`, which
            multiplies the weight of the side maps, and those of `self.factors`.
        """

    @abc.abstractmethod
    def decode(self, maps: Maps, shape: Shape | None = None) -> Nuclei:
        """Makes the nuclei of one image from its maps; NumPy.

        Args:
          maps: the network's output, `{map: (h, w, C)}`, without activation.
          shape: (H, W) of the image; None: that of the maps times the grid.

        Raises:
          ValueError: maps of another shape, or with NaN or infinite numbers.
        """

    # The following members have safe defaults.

    @property
    def outputs(self) -> dict[str, int]:
        """Channels of each map, as networks take them."""
        return {name: each.channels for name, each in self.output_maps.items()}

    @property
    def grid(self) -> int:
        """Pixels of the image from one value of the maps to the next, each way."""
        return 1

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors of a loss schedule that the loss reads, besides `side`.

        Those of a `MapLoss`; a representation whose loss is another function names its own.
        """
        return self.loss.factors if isinstance(self.loss, MapLoss) else ()

    def consistency(self, maps: Tree, teacher: Tree, confidence: Any) -> tuple[Any, Any]:
        """How far maps are from those of a teacher, for self-training without labels; JAX.

        By default see `losses.consistency`; the map whose probabilities say where the teacher is
        confident is the first that is logits.

        Args:
          maps: the network's output, `{map: (B, H, W, C)}`.
          teacher: the same of the teacher, for the same pixels.
          confidence: the probability from which a pixel counts.

        Returns:
          A scalar, 0 where both are equal, that is a mean over all pixels; and the share of pixels
          where the teacher is confident.

        Raises:
          ValueError: no map is logits.
        """
        from jaxnuc import losses

        kinds = {name: each.kind for name, each in self.output_maps.items()}
        return losses.consistency(maps, teacher, kinds, confidence)

    @property
    def foreground(self) -> str | None:
        """The map of logits, and its target of 0 and 1, that say where nuclei are; None: none."""
        return None

    def target_instances(self, instances: LabelMap) -> np.ndarray:
        """(H, W) instances as the targets show them, such as with holes filled."""
        return instances

    @property
    def decoder(self) -> Any:
        """What decodes, a `Decoder`, where it can be chosen; None otherwise."""
        return None

    @property
    def threshold_choices(self) -> Mapping[str, Sequence[float]]:
        """Thresholds that may be optimized after training: those of the decoder.

        The first is of the probability of the first of `outputs`. With none, there is nothing to
        optimize.
        """
        return getattr(self.decoder, "threshold_choices", {})

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The values that they have."""
        return {name: getattr(self.decoder, name) for name in self.threshold_choices}

    def with_thresholds(self, thresholds: Mapping[str, float]) -> "Representation":
        """The same representation with other thresholds.

        Args:
          thresholds: by name, from those of `self.thresholds`.

        Raises:
          ValueError: it has no threshold of this name.
        """
        for name in thresholds:
            if name not in self.thresholds:
                known = ", ".join(self.thresholds) or "none"
                raise ValueError(f"this representation has no threshold {name!r}; known: {known}")
        if not thresholds:
            return self
        decoder = dataclasses.replace(self.decoder, **dict[str, Any](thresholds))
        return dataclasses.replace(self, decoder=decoder)  # type: ignore[type-var]

    @property
    def filters_by_score(self) -> bool:
        """Whether a higher first threshold does no more than leave out nuclei of lower score.

        Then one decoding serves every threshold. False is always right, and slower.
        """
        return False

    # Of classes: without a class map there are none.

    @property
    def label_set(self) -> LabelSet | None:
        """The label set of predicted classes; None: there are none."""
        return None

    @property
    def label_sets(self) -> tuple[LabelSet, ...]:
        """The label sets of the training's data sets, in the order of the target `label_set`."""
        return ()

    @property
    def without_classes(self) -> "Representation":
        """The representation of the nuclei alone."""
        return self

    def read_at(self, nuclei: Nuclei, label_set: LabelSet) -> Nuclei:
        """Nuclei with their classes at another label set of the same tree; see `ClassMap`."""
        return nuclei

    def sections(self) -> dict[str, Any]:
        """The sections `representation` and `classes` of a configuration that make this again.

        Raises:
          TypeError: the representation is no dataclass.
        """
        return {"representation": REGISTRY.section(self), "classes": {"name": "none"}}


class _Passed:
    """A member that is the other representation's."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        return self if wrapper is None else getattr(wrapper.base, self.name)


@dataclass(frozen=True)
class Wrapper(Representation):
    """A representation that passes everything on to another one; derive from it to change some.

    Attributes:
      base: the other one.
    """

    base: Representation

    output_maps = _Passed()
    encode = _Passed()
    loss = _Passed()
    decode = _Passed()
    grid = _Passed()
    factors = _Passed()
    consistency = _Passed()
    foreground = _Passed()
    target_instances = _Passed()
    decoder = _Passed()
    threshold_choices = _Passed()
    thresholds = _Passed()
    filters_by_score = _Passed()
    label_set = _Passed()
    label_sets = _Passed()
    read_at = _Passed()

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Representation:
        return dataclasses.replace(self, base=self.base.with_thresholds(thresholds))

    @property
    def without_classes(self) -> Representation:
        bare = self.base.without_classes
        return self if bare is self.base else dataclasses.replace(self, base=bare)

    def sections(self) -> dict[str, Any]:
        raise TypeError(
            f"{type(self).__qualname__} wraps another representation, and no configuration "
            "describes that; define `sections`"
        )


class Batch(NamedTuple):
    """What the loss of a map may depend on besides the map.

    Attributes:
      targets: from `encode`, `{target: (B, H, W, C)}`.
      valid: (B, H, W, 1) float32, 0 where pixels do not count; None: all do.
      axis_name: pmapped axis that shares the batch. A loss that is a mean over pixels or images
        needs it not, since gradients are averaged over the devices; one that divides sums over the
        whole batch, such as a pooled Dice, sums them over this axis.
      factors: of the loss schedule, by name.
    """

    targets: Tree
    valid: Any
    axis_name: str | None
    factors: Tree


@dataclass(frozen=True)
class MapLoss(abc.ABC):
    """A loss that is the sum over maps, and over their side maps.

    Attributes:
      maps: names of the maps that have a loss.
      factors: that a loss schedule may set, besides `side`.
      side_weight: of each side map of a network with deep supervision; the outputs weigh 1.
    """

    maps: ClassVar[tuple[str, ...]]
    factors: ClassVar[tuple[str, ...]] = ()
    side_weight: float = field(default=1.0, kw_only=True)

    @abc.abstractmethod
    def of_map(self, name: str, output: Any, batch: Batch) -> Loss:
        """The loss of one map and its named parts; `output` (B, H, W, C) may be a side map."""

    def __call__(
        self, maps: Tree, targets: Tree, axis_name: str | None = None, factors: Tree | None = None
    ) -> Loss:
        """See `Representation.loss`; parts are `map/part` of the outputs, and `side`."""
        valid = targets[VALID].astype(np.float32) if VALID in targets else None
        batch = Batch(targets, valid, axis_name, factors or {})
        side_weight = self.side_weight * batch.factors.get("side", 1.0)
        total: Any = 0.0
        side: Any = 0.0
        parts: dict[str, Any] = {}
        for name in self.maps:
            value, named = self.of_map(name, maps[name], batch)
            total = total + value
            parts |= {f"{name}/{part}": v for part, v in named.items()}
            for output in maps.get("side", {}).get(name, ()):
                side = side + side_weight * self.of_map(name, output, batch)[0]
        if "side" in maps:
            parts["side"] = side
        return total + side, parts


class Decoder(abc.ABC):
    """From the maps of an image to its instances, for a `decode` whose decoder can be chosen.

    `decode` of the representation activates and checks the maps, and calls its decoder with them;
    which maps, and in which order, the two agree on.

    Attributes:
      smallest: the shape of each map that it is called with, on which it is tried once, so that
        wrong arguments are refused when it is made, and not after the first epoch.
      threshold_choices: its arguments that may be chosen on validation images, and the values to
        choose from. An empty sequence: of a probability, searched between half of the highest one
        in the maps and that.
    """

    threshold_choices: ClassVar[Mapping[str, Sequence[float]]] = {}
    smallest: ClassVar[tuple[tuple[int, ...], ...]] = ((2, 2),)

    def __post_init__(self) -> None:
        self(*map(np.zeros, self.smallest))

    @abc.abstractmethod
    def __call__(self, *maps: Any, **_: Any) -> Any:
        """The instances of an image; NumPy.

        Args:
          *maps: (H, W) or (H, W, C) arrays of the shapes of `smallest`, larger.

        Returns:
          (H, W) int32 label map, or what `decode` of the representation makes of it.
        """


def foreground_probability(
    logits: Float[np.ndarray, "h w c"], name: str
) -> Float[np.ndarray, "h w"]:
    """The probability of the foreground, from a sigmoid of one channel or a softmax of two.

    Raises:
      ValueError: the map `name` holds NaN or infinite numbers.
    """
    logits = float_map(logits, f"map {name!r}", (None, None, None))
    if logits.shape[-1] == 1:
        return special.expit(logits[..., 0])
    # A softmax of two is a sigmoid of their difference.
    return special.expit(logits[..., 1] - logits[..., 0])


def mean_scores(
    probability: Float[np.ndarray, "h w"], instances: Int[np.ndarray, "h w"]
) -> Float32[np.ndarray, " n"]:
    """The mean probability within each of the instances 1..N, as their scores."""
    labels = instances.ravel()
    sums = np.bincount(labels, probability.ravel(), minlength=1)
    return (sums[1:] / np.bincount(labels, minlength=1)[1:]).astype(np.float32)


def with_valid(targets: dict[str, np.ndarray], ignore: IgnoreMask | None) -> dict[str, np.ndarray]:
    """Adds the target `valid`, (H, W, 1) uint8 and 0 in ignored pixels, where there is a mask."""
    return targets if ignore is None else targets | {VALID: (~ignore).astype(np.uint8)[..., None]}


REGISTRY = Registry(
    "representation",
    "jaxnuc.representations",
    "Representation",
    helpers=("base", "class_map", "symmetries", "targets"),
    base=Representation,
    elsewhere={
        "classes": "set the section classes",
        "label_sets": "the label sets are those of the data",
    },
)
