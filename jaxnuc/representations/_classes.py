"""A class map beside the maps of any representation: a softmax over classes, a vote by nucleus."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from jaxnuc.labels import LabelSet
from jaxnuc.postprocess.checks import float_map, within
from jaxnuc.registry import unknown
from jaxnuc.representations import Nuclei, Representation, _maps
from jaxnuc.representations._decoders import unused

KINDS = ("groups", "leaves")
VOTES = ("majority", "mean", "centre")
CLASS, CUT = (
    "class",
    "label_set",
)  # names of the map and of the target that says whose classes they are


@dataclass(frozen=True)
class Losses:
    """How the losses of the class map weigh, and how its nuclei vote.

    Attributes:
      cross_entropy: weight of the mean grouped cross entropy.
      dice: weight of the grouped soft Dice loss, summed over classes with smoothing 1e-3, as
        HoVer-Net has.
      focal: weight of the grouped focal loss with exponent `focal_gamma`.
      tversky: weight of the grouped Tversky loss of regions.
      focal_tversky: weight of the grouped focal Tversky loss by pixel, as StarDist's CoNIC variant
        and the training over several label sets have.
      alpha: of both Tversky losses, in [0, 1]: the weight of what is missed against what is made
        up.
      gamma: exponent of the focal Tversky loss.
      reduction: of the focal Tversky loss, `"elementwise"` or `"paper"`.
      focal_gamma: exponent of the focal loss.
      side_weight: of each side map of a network with deep supervision.
      vote: what gives a nucleus its class: `"majority"` of its pixels' classes (HoVer-Net), the
        `"mean"` of its pixels' probabilities (CoNIC, which also weighs pixels by the probability of
        an object; label trees), or those at its `"centre"`, of which background is never taken
        (StarDist).
    """

    cross_entropy: float = 1.0
    dice: float = 0.0
    focal: float = 0.0
    tversky: float = 0.0
    focal_tversky: float = 0.0
    alpha: float = 0.7
    gamma: float = 1.0
    reduction: str = "elementwise"
    focal_gamma: float = 2.0
    side_weight: float = 1.0
    vote: str = "mean"

    def __post_init__(self) -> None:
        _maps.one_of("classes.vote", self.vote, VOTES)
        _maps.one_of("classes.reduction", self.reduction, ("elementwise", "paper"))
        weights = (self.cross_entropy, self.dice, self.focal, self.tversky, self.focal_tversky)
        if min(weights) < 0 or not any(weights):
            raise ValueError(f"weights {weights} of the class losses: one at least must be above 0")
        within(self.alpha, "classes.alpha")
        if not (self.gamma > 0 and self.focal_gamma >= 0):
            raise ValueError(
                f"classes.gamma={self.gamma} must be above 0, "
                f"classes.focal_gamma={self.focal_gamma} 0 or more"
            )
        if not self.focal:
            unused(self, "classes.focal=0", "focal_gamma")
        if not self.focal_tversky:
            unused(self, "classes.focal_tversky=0", "gamma", "reduction")
            if not self.tversky:
                unused(self, "classes.tversky=0 and classes.focal_tversky=0", "alpha")


def with_classes(
    base: Representation, label_sets: Sequence[LabelSet], name: str, **arguments: Any
) -> "Classified":
    """Adds a class map to a representation.

    Args:
      base: which finds the nuclei.
      label_sets: the label set of each data set trained on, all of one tree.
      name: `"groups"`: the classes are those of the only label set; `"leaves"`: they are the leaves
        of the tree, of which each label set sees groups.
      **arguments: of `Losses`.

    Raises:
      ValueError: no label set, or several that `name` cannot join; unknown names.
    """
    _maps.one_of("classes.name", name, KINDS)
    known = [field.name for field in dataclasses.fields(Losses)]
    for key in arguments:
        if key not in known:
            raise unknown("argument of classes", key, known)
    if not label_sets:
        raise ValueError(
            f"classes={name!r} needs a data set with classes; take another, or classes.name='none'"
        )
    if any(label_set.tree != label_sets[0].tree for label_set in label_sets):
        raise ValueError("the data sets' classes are cuts of different label trees")
    if name == "groups":
        if any(label_set.leaves != label_sets[0].leaves for label_set in label_sets):
            raise ValueError(
                f"classes='groups', but the data sets have different ones: "
                f"{', '.join(str(label_set.groups) for label_set in label_sets)}; take "
                "classes.name='leaves', or "
                "give the mixture a common label_set"
            )
        predicted = label_sets[0]
    else:
        predicted = label_sets[0].tree.level()
    return Classified(base, tuple(label_sets), predicted, Losses(**arguments))


@dataclass(frozen=True)
class Classified:
    """A representation and a class map.

    Attributes:
      base: which finds the nuclei.
      label_sets: the label sets of the targets; a batch may hold examples of all of them.
      predicted: the label set of the map: its channels are background and its groups.
      losses: of the class map.
    """

    base: Representation
    label_sets: tuple[LabelSet, ...]
    predicted: LabelSet
    losses: Losses = Losses()

    def __post_init__(self) -> None:
        if self.losses.vote != "centre":
            return
        # Refuses what it cannot work with now, and not after the first epoch.
        maps = {name: np.zeros((4, 4, channels)) for name, channels in self.base.outputs.items()}
        if self.base.decode(maps).points is None:
            raise ValueError(
                "classes.vote='centre' needs a representation that detects nuclei at points, such "
                "as stardist; take 'majority' or 'mean'"
            )

    def __getattr__(self, name: str) -> Any:
        # What else a representation may have (a grid, thresholds, regressions) is the base's.
        if name.startswith("__") or name == "base":
            raise AttributeError(name)
        return getattr(self.base, name)

    @property
    def outputs(self) -> dict[str, int]:
        return {**self.base.outputs, CLASS: 1 + len(self.predicted.groups)}

    @cached_property
    def table(self) -> np.ndarray:
        """(label sets, groups + 1, channels) uint8: which channels each group of each set sums."""
        most = 1 + max(len(label_set.groups) for label_set in self.label_sets)
        table = np.zeros((len(self.label_sets), most, self.outputs[CLASS]), np.uint8)
        for rows, label_set in zip(table, self.label_sets, strict=True):
            if self.predicted.leaves == label_set.leaves:
                rows[: len(label_set.groups) + 1] = np.eye(len(label_set.groups) + 1)
            else:
                rows[: len(label_set.groups) + 1] = label_set.matrix
        return table

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """The base's targets and `class`: (H, W, 1) int8 groups, -1 ignored, on the base's grid.

        Which label set the groups are of is the target `label_set`, a number for each image, which
        the input pipeline adds where there are several.
        """
        if classes is None:  # nuclei of unknown class among background that is none
            classes = -(instances > 0).astype(np.int8)
        if hasattr(self.base, "objects"):  # a filled hole has the class of what is around it
            classes = _as_objects(classes, instances, self.base.objects(instances))
        if ignore is not None:
            classes = np.where(ignore, -1, classes)
        grid = getattr(self.base, "grid", 1)
        groups = classes[::grid, ::grid].astype(np.int8)[..., None]
        return {**self.base.encode(instances, classes, ignore), CLASS: groups}

    def loss(
        self,
        maps: Mapping[str, Any],
        targets: Mapping[str, Any],
        axis_name: str | None = None,
        factors: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The base's loss and that of the class map, whose parts are `class/...`."""
        import jax
        import jax.numpy as jnp

        from jaxnuc import losses

        first = jnp.zeros(len(targets[CLASS]), jnp.int32)
        sets = (targets.get(CUT, first), self.table)
        weights = self.losses

        def one(
            logits: jax.Array, target: jax.Array, valid: jax.Array | None
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            given = (logits, target[..., 0].astype(jnp.int32), *sets)
            terms = {
                "cross_entropy": lambda: losses.grouped_cross_entropy(*given, axis_name=axis_name),
                "dice": lambda: losses.grouped_dice(
                    *given, smooth=1e-3, over_groups="sum", axis_name=axis_name
                ),
                "focal": lambda: losses.grouped_focal(
                    *given, gamma=weights.focal_gamma, axis_name=axis_name
                ),
                "tversky": lambda: losses.grouped_tversky(
                    *given, alpha=weights.alpha, axis_name=axis_name
                ),
                "focal_tversky": lambda: losses.grouped_focal_tversky(
                    *given,
                    alpha=weights.alpha,
                    gamma=weights.gamma,
                    form=weights.reduction,
                    axis_name=axis_name,
                ),
            }
            parts = {name: term() for name, term in terms.items() if getattr(weights, name)}
            return sum(getattr(weights, name) * value for name, value in parts.items()), parts

        found, parts = self.base.loss(maps, targets, axis_name, factors)
        own, own_parts = _maps.supervise(
            maps, targets, {CLASS: one}, self.losses.side_weight, factors
        )
        if "side" in parts:
            own_parts["side"] = own_parts["side"] + parts["side"]
        return found + own, {**parts, **own_parts}

    def decode(self, maps: Mapping[str, np.ndarray], **arguments: Any) -> Nuclei:
        """The base's nuclei with their classes, which are groups of `predicted`."""
        nuclei = self.base.decode(maps, **arguments)
        logits = float_map(maps[CLASS], f"map {CLASS!r}", (None, None, self.outputs[CLASS]))
        if self.losses.vote == "centre":
            assert nuclei.points is not None
            h, w, _ = logits.shape
            grid = getattr(self.base, "grid", 1)
            row, col = np.minimum(np.rint(nuclei.points).astype(int) // grid, [h - 1, w - 1]).T
            shares = special.softmax(logits[row, col], axis=-1)
        else:
            shares = self._shares(logits, nuclei.instances, len(nuclei.scores))
        return _with_shares(nuclei, shares)

    def _shares(self, logits: np.ndarray, instances: np.ndarray, n: int) -> np.ndarray:
        """(n, channels): the mean over the pixels of each instance 1..n; 0 where it has none."""
        grid = getattr(self.base, "grid", 1)
        w = instances.shape[1]
        place = np.flatnonzero(instances)
        owner = instances.ravel()[place]
        row, col = np.divmod(place, w)
        chosen = logits[row // grid, col // grid]
        number = n + 1
        # A nucleus that others cover has no pixel.
        areas = np.maximum(np.bincount(owner, minlength=number)[1:, None], 1)
        if self.losses.vote == "majority":
            channels = logits.shape[-1]
            votes = np.bincount(
                owner * channels + chosen.argmax(axis=-1), minlength=number * channels
            )
            return votes.reshape(number, channels)[1:] / areas
        probabilities = special.softmax(chosen, axis=-1)
        sums = [np.bincount(owner, p, minlength=number)[1:] for p in probabilities.T]
        return np.stack(sums, axis=-1) / areas

    def read_at(self, nuclei: Nuclei, label_set: LabelSet) -> Nuclei:
        """Nuclei with their classes at another label set of the same tree.

        The probability of a group is the sum over the predicted classes that it holds. What no
        group holds is left out: rows sum to less than 1 then, and a nucleus has the most probable
        of the groups that there are.

        Args:
          nuclei: from `decode`.
          label_set: at which to read.

        Returns:
          The nuclei with the groups of the cut as their classes, 0 where none of them has a part
          in a nucleus, and (N, groups + 1) probabilities, background first.

        Raises:
          ValueError: the trees differ, or the predicted classes would be torn apart.
        """
        assert nuclei.class_probabilities is not None
        lookup = self.predicted.to(label_set, outside=-1)[:-1]  # refuses what cannot be read
        sums = lookup[:, None] == np.arange(len(label_set.groups) + 1)
        # Rounded shares may sum to slightly more than 1.
        return _with_shares(nuclei, np.minimum(nuclei.class_probabilities @ sums.astype(float), 1))


def _with_shares(nuclei: Nuclei, shares: np.ndarray) -> Nuclei:
    """Nuclei with the most probable classes of (N, classes + 1) shares, the background first."""
    best = 1 + shares[:, 1:].argmax(axis=1)
    # Where no pixel votes for any class, a nucleus has none.
    classes = np.where(shares[:, 1:].any(axis=1), best, 0).astype(np.int32)
    return nuclei._replace(classes=classes, class_probabilities=shares.astype(np.float32))


def _as_objects(classes: np.ndarray, instances: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """The class map (H, W) with the class of its owner where an object is larger than before."""
    new = objects != instances
    if not new.any():
        return classes
    ids, first = np.unique(instances, return_index=True)
    classes = classes.copy()
    classes[new] = classes.ravel()[first[np.searchsorted(ids, objects[new])]]
    return classes
