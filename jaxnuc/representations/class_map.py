"""A class map beside the maps of any representation: a softmax over classes, a vote by nucleus."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from scipy import special

from jaxnuc.labels import LabelSet
from jaxnuc.postprocess.checks import float_map, within
from jaxnuc.registry import Registry, choice, one_of
from jaxnuc.representations import base
from jaxnuc.representations.base import Covered, IgnoreMask, LabelMap, Loss, Tree

CLASS = "class"  # name of the map, and of the target that holds groups
LABEL_SET = "label_set"  # name of the target that says whose groups they are


@dataclass(frozen=True)
class Term(abc.ABC):
    """One term of the loss of the class map.

    Attributes:
      weight: of the term, above 0.
    """

    weight: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"weight={self.weight} of a class loss must be above 0; leave it out")

    @abc.abstractmethod
    def __call__(self, logits: Any, labels: Any, axis_name: str | None) -> Any:
        """The term, not weighted, of logits (B, H, W, L) and `losses.GroupLabels`."""


class CrossEntropy(Term):
    """The mean grouped cross entropy."""

    def __call__(self, logits: Any, labels: Any, axis_name: str | None) -> Any:
        from jaxnuc import losses

        return losses.grouped_cross_entropy(logits, labels, axis_name=axis_name)


class Dice(Term):
    """The grouped soft Dice loss, summed over classes with smoothing 1e-3, as HoVer-Net has."""

    def __call__(self, logits: Any, labels: Any, axis_name: str | None) -> Any:
        from jaxnuc import losses

        return losses.grouped_dice(logits, labels, "sum", smooth=1e-3, axis_name=axis_name)


@dataclass(frozen=True)
class Focal(Term):
    """The grouped focal loss.

    Attributes:
      gamma: its exponent.
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gamma >= 0:
            raise ValueError(f"gamma={self.gamma} of the focal loss must be 0 or more")

    def __call__(self, logits: Any, labels: Any, axis_name: str | None) -> Any:
        from jaxnuc import losses

        return losses.grouped_cross_entropy(
            logits, labels, focal_gamma=self.gamma, axis_name=axis_name
        )


@dataclass(frozen=True)
class Tversky(Term):
    """The grouped Tversky loss of regions.

    Attributes:
      alpha: in [0, 1]: the weight of false negatives; false positives weigh `1 - alpha`.
    """

    alpha: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.alpha, "alpha")

    def __call__(self, logits: Any, labels: Any, axis_name: str | None) -> Any:
        from jaxnuc import losses

        return losses.grouped_tversky(logits, labels, alpha=self.alpha, axis_name=axis_name)


@dataclass(frozen=True)
class FocalTversky(Tversky):
    """The grouped focal Tversky loss by pixel.

    StarDist's CoNIC variant and the training over several label sets have it.

    Attributes:
      gamma: its exponent, above 0.
      form: `"elementwise"` or `"paper"`: see `losses.FocalTversky`.
    """

    gamma: float = 1.0
    form: str = "elementwise"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("form", self.form, ("elementwise", "paper"))
        if not self.gamma > 0:
            raise ValueError(f"gamma={self.gamma} of the focal Tversky loss must be above 0")

    def __call__(self, logits: Any, labels: Any, axis_name: str | None) -> Any:
        from jaxnuc import losses

        options = losses.FocalTversky(self.form, self.alpha, self.gamma)
        return losses.grouped_focal_tversky(logits, labels, options, axis_name=axis_name)


LOSSES = Registry(
    "class loss",
    table={
        "cross_entropy": CrossEntropy,
        "dice": Dice,
        "focal": Focal,
        "tversky": Tversky,
        "focal_tversky": FocalTversky,
    },
)


@dataclass(frozen=True)
class NoClasses:
    """No class map."""

    def added_to(
        self, representation: base.Representation, label_sets: tuple[LabelSet, ...]
    ) -> base.Representation:
        return representation


@dataclass(frozen=True)
class Groups:
    """A class map whose classes are those of the only label set.

    Attributes:
      loss: terms, which are summed.
      side_weight: of each side map of a network with deep supervision.
      vote: what gives a nucleus its class: `"majority"` of its pixels' classes (HoVer-Net), the
        `"mean"` of its pixels' probabilities (CoNIC, which also weighs pixels by the probability of
        an object; label trees), or those at its `"center"`, of which background is never taken
        (StarDist).
    """

    loss: tuple[Term, ...] = choice((CrossEntropy(),), LOSSES)
    side_weight: float = 1.0
    vote: str = "mean"

    def __post_init__(self) -> None:
        one_of("classes.vote", self.vote, ("majority", "mean", "center"))
        if not self.loss:
            raise ValueError("classes.loss is empty; give a term: {'name': 'cross_entropy'}")

    def predicted(self, label_sets: tuple[LabelSet, ...]) -> LabelSet:
        """The label set of the map."""
        for label_set in label_sets:
            if label_set.finest != label_set:
                raise ValueError(
                    f"classes='groups', but of {label_set.groups} one holds another; take "
                    "classes.name='leaves'"
                )
        if any(label_set.leaves != label_sets[0].leaves for label_set in label_sets):
            raise ValueError(
                "classes='groups', but the data sets have different ones: "
                f"{', '.join(str(label_set.groups) for label_set in label_sets)}; take "
                "classes.name='leaves', or give the mixture a common label_set"
            )
        return label_sets[0]

    def added_to(
        self, representation: base.Representation, label_sets: tuple[LabelSet, ...]
    ) -> "ClassMap":
        """Adds the class map to a representation of the nuclei.

        Args:
          representation: of the nuclei.
          label_sets: the label set of each data set trained on, all of one tree.

        Raises:
          ValueError: no label set, or several that cannot be joined.
        """
        if not label_sets:
            raise ValueError(
                f"classes={CLASSES.name_of(type(self))!r} needs a data set with classes; take "
                "another, or classes.name='none'"
            )
        if any(label_set.tree != label_sets[0].tree for label_set in label_sets):
            raise ValueError("the data sets' classes are label sets of different label trees")
        return ClassMap(representation, label_sets, self.predicted(label_sets), self)


class Leaves(Groups):
    """A class map whose classes are the leaves of the tree, of which each label set sees groups."""

    def predicted(self, label_sets: tuple[LabelSet, ...]) -> LabelSet:
        return label_sets[0].tree.level()


CLASSES = Registry(
    "class map",
    table={"none": NoClasses, "groups": Groups, "leaves": Leaves},
    elsewhere={
        "base": "set the section representation",
        "label_sets": "the label sets are those of the data",
    },
)


@dataclass(frozen=True)
class _ClassLoss(base.MapLoss):
    """The loss of the class map."""

    maps: ClassVar[tuple[str, ...]] = (CLASS,)
    terms: tuple[Term, ...]
    table: np.ndarray

    def of_map(self, name: str, output: Any, batch: base.Batch) -> Loss:
        import jax.numpy as jnp

        from jaxnuc import losses

        target = batch.targets[name][..., 0].astype(jnp.int32)
        label_sets = batch.targets.get(LABEL_SET, jnp.zeros(len(target), jnp.int32))
        labels = losses.GroupLabels(target, label_sets, self.table)
        values = [term(output, labels, batch.axis_name) for term in self.terms]
        names = [LOSSES.name_of(type(term)) for term in self.terms]
        total = sum(term.weight * v for term, v in zip(self.terms, values, strict=True))
        return total, dict(zip(names, values, strict=True))


@dataclass(frozen=True)
class ClassMap(base.Wrapper):
    """A representation and a class map.

    Attributes:
      base: the representation of the nuclei.
      trained: the label sets of the targets; a batch may hold examples of all of them.
      predicted: the label set of the map: its channels are background and its groups.
      options: of the class map.
    """

    trained: tuple[LabelSet, ...]
    predicted: LabelSet
    options: Groups = Groups()

    def __post_init__(self) -> None:
        if self.options.vote != "center":
            return
        # Refuses what it cannot work with now, and not after the first epoch.
        maps = {name: np.zeros((4, 4, channels)) for name, channels in self.base.outputs.items()}
        if self.base.decode(maps).points is None:
            raise ValueError(
                "classes.vote='center' needs a representation that detects nuclei at points, such "
                "as stardist; take 'majority' or 'mean'"
            )

    @property
    def output_maps(self) -> Mapping[str, base.OutputMap]:
        meaning = "class of the nucleus, in the order of classes"
        channels = 1 + len(self.predicted.groups)
        return {**self.base.output_maps, CLASS: base.OutputMap(channels, "logits", meaning)}

    @property
    def label_set(self) -> LabelSet:
        return self.predicted

    @property
    def label_sets(self) -> tuple[LabelSet, ...]:
        return self.trained

    @property
    def without_classes(self) -> base.Representation:
        return self.base

    def sections(self) -> dict[str, Any]:
        return {**self.base.sections(), "classes": CLASSES.section(self.options)}

    @cached_property
    def table(self) -> np.ndarray:
        """(label sets, groups + 1, channels) uint8: which channels each group of each set sums."""
        from jaxnuc import losses

        own = self.predicted.leaves
        return losses.group_table(
            [np.eye(1 + len(s.groups)) if s.leaves == own else s.matrix for s in self.trained]
        )

    def encode(
        self,
        instances: LabelMap,
        classes: LabelMap | None = None,
        ignore: IgnoreMask | None = None,
        covered: Covered | None = None,
    ) -> dict[str, np.ndarray]:
        """The base's targets and `class`: (H, W, 1) int8 groups, -1 ignored, on the base's grid.

        Which label set the groups are of is the target `label_set`, a number for each image, which
        the input pipeline adds where there are several.
        """
        if classes is None:  # nuclei of unknown class; what is no nucleus is known to be background
            classes = -(instances > 0).astype(np.int8)
        objects = self.base.target_instances(instances)
        filled = objects != instances
        if filled.any():  # a filled hole has the class of the nucleus around it
            ids, first = np.unique(instances, return_index=True)
            classes = classes.copy()
            classes[filled] = classes.ravel()[first[np.searchsorted(ids, objects[filled])]]
        if ignore is not None:
            classes = np.where(ignore, -1, classes)
        groups = classes[:: self.grid, :: self.grid].astype(np.int8)[..., None]
        return {**self.base.encode(instances, classes, ignore, covered), CLASS: groups}

    def loss(
        self, maps: Tree, targets: Tree, axis_name: str | None = None, factors: Tree | None = None
    ) -> Loss:
        """The base's loss and that of the class map, whose parts are `class/...`."""
        own_loss = _ClassLoss(self.options.loss, self.table, side_weight=self.options.side_weight)
        total, parts = self.base.loss(maps, targets, axis_name, factors)
        own, own_parts = own_loss(maps, targets, axis_name, factors)
        if "side" in parts:
            own_parts["side"] = own_parts["side"] + parts["side"]
        return total + own, {**parts, **own_parts}

    def consistency(self, maps: Tree, teacher: Tree, confidence: Any) -> tuple[Any, Any]:
        """The base's, and that of the class map, which has its own confident pixels."""
        from jaxnuc import losses

        total, share = self.base.consistency(maps, teacher, confidence)
        own, _ = losses.consistency(maps, teacher, {CLASS: "logits"}, confidence)
        return total + own, share

    def decode(self, maps: base.Maps, shape: base.Shape | None = None) -> base.Nuclei:
        """The base's nuclei with their classes, which are groups of `label_set`."""
        nuclei = self.base.decode(maps, shape)
        logits = float_map(maps[CLASS], f"map {CLASS!r}", (None, None, self.outputs[CLASS]))
        if self.options.vote == "center":
            assert nuclei.points is not None
            h, w, _ = logits.shape
            points = np.rint(nuclei.points).astype(int) // self.grid
            row, col = np.minimum(points, [h - 1, w - 1]).T
            return _with_shares(nuclei, special.softmax(logits[row, col], axis=-1))
        return _with_shares(nuclei, self._shares(logits, nuclei.instances, len(nuclei.scores)))

    def _shares(self, logits: np.ndarray, instances: np.ndarray, n: int) -> np.ndarray:
        """(n, channels): the mean over the pixels of each instance 1..n; 0 where it has none."""
        place = np.flatnonzero(instances)
        owner = instances.ravel()[place]
        row, col = np.divmod(place, instances.shape[1])
        chosen = logits[row // self.grid, col // self.grid]
        # A nucleus that others cover has no pixel.
        areas = np.maximum(np.bincount(owner, minlength=n + 1)[1:, None], 1)
        if self.options.vote == "majority":
            shape = (n + 1, logits.shape[-1])
            votes = np.bincount(owner * shape[1] + chosen.argmax(-1), minlength=np.prod(shape))
            return votes.reshape(shape)[1:] / areas
        probabilities = special.softmax(chosen, axis=-1)
        sums = [np.bincount(owner, p, minlength=n + 1)[1:] for p in probabilities.T]
        return np.stack(sums, axis=-1) / areas

    def read_at(self, nuclei: base.Nuclei, label_set: LabelSet) -> base.Nuclei:
        """Nuclei, from `decode`, with their classes at another label set of the same tree.

        The probability of a group is the sum over the predicted classes that it holds. What no
        group holds is left out: rows sum to less than 1 then, and a nucleus has the most probable
        of the groups that there are, or 0 where none has a part in it.

        Where one group holds another, the classes are those of `label_set.finest`. What is left of
        the larger one competes with them without being a class: a macrophage is 0 at `immune` and
        `lymphocyte`, of which `lymphocyte` is the only finest group.

        Raises:
          ValueError: the trees differ, or a predicted class would have to be divided.
        """
        assert nuclei.class_probabilities is not None
        lookup = self.predicted.to(label_set, outside=-1)[:-1]  # refuses what cannot be read
        sums = lookup[:, None] == np.arange(len(label_set.groups) + 1)
        # Rounded shares may sum to slightly more than 1.
        shares = np.minimum(nuclei.class_probabilities @ sums.astype(float), 1)
        found = _with_shares(nuclei, shares)
        if label_set.finest == label_set:
            return found
        finest = label_set.to(label_set.finest)
        return found._replace(
            classes=np.maximum(finest[found.classes], 0),
            class_probabilities=shares[:, finest[:-1] >= 0].astype(np.float32),
        )


def _with_shares(nuclei: base.Nuclei, shares: Float[np.ndarray, "n c"]) -> base.Nuclei:
    """Nuclei with the most probable classes of (N, classes + 1) shares, the background first."""
    best = 1 + shares[:, 1:].argmax(axis=1)
    # Where no pixel votes for any class, a nucleus has none.
    classes = np.where(shares[:, 1:].any(axis=1), best, 0).astype(np.int32)
    return nuclei._replace(classes=classes, class_probabilities=shares.astype(np.float32))
