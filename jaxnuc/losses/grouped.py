"""Losses of class maps over the leaves of a label tree, where groups of leaves are annotated.

Logits are those of background and leaves. The probability of a group is the sum of its leaves'.
Which groups there are may differ from example to example, as data sets are mixed: `table` holds the
group matrix of each label set, and `label_sets` says which one an example has. With the identity as
its only matrix, these are the ordinary losses of classes.

Nuclei may be labeled at several levels of the tree, so that one group holds another. At a pixel,
those count that are its own group or share no leaf with it: whether an epithelial nucleus is a
tumoral one is unknown, and that a tumoral one is epithelial says no more than its own group.

How label sets combine: with n_k the summed weights of the pixels that have label set k, and L_k the
loss of the examples with label set k alone, the loss of a batch is `sum_k n_k L_k / sum_k n_k`;
where pixels are summed it is `sum_k L_k`. Ratios are pooled over the examples of one label set.

References:
  Parulekar et al., Combining Datasets with Different Label Sets for Improved Nucleus Segmentation
  and Classification, 2023.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Integer, Shaped
from numpy.typing import ArrayLike

from jaxnuc.losses.arrays import Array, Number, Scalar
from jaxnuc.losses.region import pooled_sum, weighted_mean
from jaxnuc.registry import one_of

_NEVER = -1e30  # the logarithm of no probability at all, finite so that its gradient is 0


def group_table(matrices: Sequence[ArrayLike]) -> np.ndarray:
    """Stacks the group matrices of several label sets, padded with rows of zeros: (K, G, L) uint8.

    Args:
      matrices: of each label set (groups, L), 1 where a group holds a leaf; group 0 is background.

    Raises:
      ValueError: the matrices have different numbers of leaves.

    Example:
      >>> group_table([[[1, 0, 0], [0, 1, 1]], np.eye(3)])[0]
      array([[1, 0, 0],
             [0, 1, 1],
             [0, 0, 0]], dtype=uint8)
    """
    arrays = [np.asarray(matrix, np.uint8) for matrix in matrices]
    leaves = {array.shape[1] for array in arrays}
    if len(leaves) != 1:
        raise ValueError(f"group matrices of {sorted(leaves)} leaves; all must be of one tree")
    most = max(len(array) for array in arrays)
    return np.stack([np.pad(array, ((0, most - len(array)), (0, 0))) for array in arrays])


class GroupLabels(NamedTuple):
    """What is annotated in a batch, and what the annotations of each example mean.

    Attributes:
      labels: (B, H, W) integer group of each pixel in its example's label set, 0 background, -1
        ignored. Any other number makes the loss NaN.
      label_sets: (B,) integer, the label set of each example.
      table: (K, G, L), 1 where group g of label set k holds leaf l; rows of zeros pad a label set
        that has fewer than G groups and add to nothing. See `group_table`.
      weights: (B, H, W) of the pixels; None: all are 1.
      class_weights: (K, G), or (G,) for all label sets, of the groups. Means are not divided by
        them, as in StarDist. Losses of whole groups have none. None: all are 1.
    """

    labels: Integer[Array, "b h w"]
    label_sets: Integer[Array, " b"]
    table: Shaped[Array, "k g l"]
    weights: Float[Array, "b h w"] | None = None
    class_weights: Float[Array, "..."] | None = None


@dataclass(frozen=True)
class FocalTversky:
    """Options of `grouped_focal_tversky`.

    Attributes:
      form: `"elementwise"`, as in StarDist's CoNIC variant: for every group
        `(1 - (t y + epsilon) / (alpha t + (1 - alpha) y + epsilon))^gamma`; or `"paper"`: with
        the sums over the groups inside the ratio.
      alpha: in [0, 1]; false negatives count alpha and false positives 1 - alpha.
      gamma: the exponent, above 0.
      epsilon: above 0, added to both sides of the ratio; in the numerator of `"paper"` once a
        group. A wrong group costs half at the probability `epsilon / (1 - alpha)`.
      clip: the ratio to [epsilon, 1 - epsilon], as the CoNIC variant's code does.
    """

    form: str = "elementwise"
    alpha: float = 0.7
    gamma: float = 1.0
    epsilon: float = 1e-6
    clip: bool = False

    def __post_init__(self) -> None:
        one_of("form", self.form, ("elementwise", "paper"))


def grouped_cross_entropy(
    logits: Float[Array, "b h w l"],
    labels: GroupLabels,
    reduction: str = "mean",
    *,
    focal_gamma: float = 0.0,
    axis_name: str | None = None,
) -> Scalar:
    """Cross entropy of the groups: minus the logarithm of the probability of the right group.

    Args:
      logits: (B, H, W, L) float of background and leaves.
      labels: of the pixels.
      reduction: `"mean"` over the pixels that are not ignored, weighted by the pixels' weights, 0
        where all of these are; `"mean_all"`, the ignored ones counting as pixels of loss 0, as in
        StarDist; or `"sum"`.
      focal_gamma: exponent of the factor `(1 - p)^gamma` of the focal loss, p the probability of
        the right group; class weights are its alpha.
      axis_name: pmapped axis that shares the batch.

    Raises:
      ValueError: unknown reduction, or shapes that do not fit together.

    References:
      Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 5.
    """
    x = _read(logits, labels)
    # The logarithm of a clipped sum would have no gradient where the right group is most unlikely.
    loss = -jax.nn.logsumexp(jnp.where(x.own_leaves, x.log_leaves, _NEVER), axis=-1)
    if focal_gamma:
        others = jax.nn.logsumexp(jnp.where(x.own_leaves, _NEVER, x.log_leaves), axis=-1)
        loss = loss * jnp.exp(focal_gamma * others)
    return _reduce(loss * (x.targets * x.class_weights).sum(-1), x.weights, reduction, axis_name)


def grouped_focal_tversky(
    logits: Float[Array, "b h w l"],
    labels: GroupLabels,
    options: FocalTversky = FocalTversky(),
    reduction: str = "mean",
    *,
    axis_name: str | None = None,
) -> Scalar:
    """Focal Tversky loss of every pixel, with t 1 for its group, 0 for others, y probabilities.

    Arguments and errors are those of `grouped_cross_entropy`. Class weights are, elementwise, those
    of every group's term; both means are over the pixels and, elementwise, over the groups of a
    pixel's own label set; `"sum"` is over both.

    References:
      Parulekar et al., 2023, Eq. 4; Weigert and Schmidt, "Nuclei Instance Segmentation and
      Classification in Histopathology Images with StarDist", 2022, and its code.
    """
    alpha, epsilon, gamma = options.alpha, options.epsilon, options.gamma
    x = _read(logits, labels)
    t, y = x.targets, x.groups
    count = jnp.maximum(x.present.sum(-1), 1)  # of groups; 0 where a pixel is ignored
    # 1 - y of the right group, without the cancellation of a difference.
    missed = jnp.where(x.own_leaves, 0, jnp.exp(x.log_leaves)).sum(-1)
    # Both are 1 minus the ratio, multiplied out: nearly right pixels keep their digits.
    if options.form == "elementwise":
        wrong = jnp.where(t > 0, alpha * missed[..., None], (1 - alpha) * y)
        base = wrong / (alpha * t + (1 - alpha) * y + epsilon)
    else:
        false = ((1 - t) * y).sum(-1)
        excess = (count - 1) * epsilon
        base = (alpha * missed + (1 - alpha) * false - excess) / (
            alpha + (1 - alpha) * y.sum(-1) + epsilon
        )
    if options.clip:
        base = jnp.clip(base, epsilon, 1 - epsilon)
    if gamma != 1:
        # The base of Eq. 4 is slightly negative for pixels that are right, and has no such power.
        positive = base > 1e-30
        base = jnp.where(positive, jnp.where(positive, base, 1) ** gamma, 0)
    if options.form == "paper":
        per_pixel = base * (t * x.class_weights).sum(-1)
    else:
        per_pixel = (base * x.class_weights * x.present).sum(-1)
        if reduction != "sum":
            per_pixel = per_pixel / count
    return _reduce(per_pixel, x.weights, reduction, axis_name)


def grouped_tversky(
    logits: Float[Array, "b h w l"],
    labels: GroupLabels,
    over_groups: str = "mean",
    *,
    alpha: Number = 0.7,
    smooth: Number = 1e-6,
    axis_name: str | None = None,
) -> Scalar:
    """Tversky loss of whole groups, with sums over all pixels of the examples of a label set.

    Of every group of every label set, background among them: `1 - (sum(t y) + smooth) / (alpha
    sum(t) + (1 - alpha) sum(y) + smooth)`, t 1 where the pixel is of the group and y its
    probability.

    Args:
      logits: (B, H, W, L) float of background and leaves.
      labels: of the pixels; their weights are each pixel's share in all sums.
      over_groups: `"mean"` or `"sum"` over the groups of a label set.
      alpha: in [0, 1]; false negatives count alpha and false positives 1 - alpha.
      smooth: added to both sides of the ratio.
      axis_name: pmapped axis that shares the batch.

    Returns:
      Scalar; 0 where all pixels are ignored.

    Raises:
      ValueError: unknown `over_groups`, class weights, or shapes that do not fit together.
    """
    one_of("over_groups", over_groups, ("mean", "sum"))
    if labels.class_weights is not None:
        raise ValueError("the losses of whole groups take no class_weights; leave them out")
    x = _read(logits, labels)
    present = jnp.asarray(labels.table).any(-1)
    of_set = jax.nn.one_hot(labels.label_sets, len(present))[..., None]

    def summed(per_pixel: jax.Array) -> jax.Array:
        """(B, H, W, G) to the weighted sums of each label set, (K, G)."""
        of_example = (per_pixel * x.weights[..., None]).sum((1, 2))
        return pooled_sum(of_set * of_example[:, None], axis_name, (0,))

    hit, truth, predicted = (summed(m) for m in (x.targets * x.groups, x.targets, x.groups))
    union = alpha * truth + (1 - alpha) * predicted + smooth
    losses = present * (1 - (hit + smooth) / jnp.where(union > 0, union, 1))
    losses = losses.sum(-1) / (present.sum(-1) if over_groups == "mean" else 1)
    share = summed(jnp.ones_like(x.weights[..., None]))[:, 0]
    return weighted_mean(losses, share, None)  # the sums are those of all devices already


def grouped_dice(
    logits: Float[Array, "b h w l"],
    labels: GroupLabels,
    over_groups: str = "mean",
    *,
    smooth: Number = 1e-3,
    axis_name: str | None = None,
) -> Scalar:
    """`grouped_tversky` of `1 - (2 sum(t y) + smooth) / (sum(t) + sum(y) + smooth)`."""
    return grouped_tversky(
        logits, labels, over_groups, alpha=0.5, smooth=smooth / 2, axis_name=axis_name
    )


class _Pixels(NamedTuple):
    """A batch read by its label sets."""

    log_leaves: jax.Array  # (B, H, W, L) of the probabilities of background and leaves
    groups: jax.Array  # (B, H, W, G) their probabilities, 0 where they do not count
    targets: jax.Array  # (B, H, W, G), 1 for the right group
    own_leaves: jax.Array  # (B, H, W, L) bool, those of the right group
    present: jax.Array  # (B, H, W, G), 1 for the groups that count at a pixel
    weights: jax.Array  # (B, H, W), 0 for ignored pixels
    class_weights: jax.Array  # (B, 1, 1, G)


def _read(logits: Array, given: GroupLabels) -> _Pixels:
    labels, label_sets, table, weights, class_weights = given
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    labels = labels.astype(jnp.int32)
    matrices = jnp.asarray(table, logits.dtype)
    leaves = logits.shape[-1]
    if matrices.ndim != 3 or matrices.shape[-1] != leaves:
        raise ValueError(
            f"table of shape {matrices.shape} for logits of {leaves} leaves; it must be "
            f"(label sets, groups, {leaves}): see group_table"
        )
    if labels.shape != logits.shape[:-1] or label_sets.shape != labels.shape[:1]:
        raise ValueError(
            f"logits {logits.shape}, labels {labels.shape} and label sets {label_sets.shape} do "
            "not belong together: they must be (B, H, W, L), (B, H, W) and (B,)"
        )
    k, g, _ = matrices.shape
    own = jnp.take(matrices, label_sets, axis=0)  # (B, G, L)
    exists = own.max(-1)
    targets = jax.nn.one_hot(labels, g, dtype=logits.dtype) * exists[:, None, None]
    apart = (jnp.einsum("bgl,bkl->bgk", own, own) == 0) * exists[:, None]
    present = jnp.einsum("bhwg,bgk->bhwk", targets, jnp.maximum(apart, jnp.eye(g)))
    # No label of a wrong label set goes by unnoticed.
    known = jnp.where(targets.any(-1), 1, jnp.where(labels == -1, 0, jnp.nan))
    if weights is not None:
        known = known * jnp.broadcast_to(weights, labels.shape)
    own_weights = jnp.ones_like(exists)[:, None, None]
    if class_weights is not None:
        of_sets = jnp.broadcast_to(jnp.asarray(class_weights, logits.dtype), (k, g))
        own_weights = jnp.take(of_sets, label_sets, axis=0)[:, None, None]
    log_leaves = jax.nn.log_softmax(logits)
    # By default, TPUs multiply matrices in bfloat16.
    exact = lax.Precision.HIGHEST
    return _Pixels(
        log_leaves=log_leaves,
        groups=jnp.einsum("bhwl,bgl->bhwg", jnp.exp(log_leaves), own, precision=exact) * present,
        targets=targets,
        own_leaves=jnp.einsum("bhwg,bgl->bhwl", targets, own) > 0,
        present=present,
        weights=known,
        class_weights=own_weights,
    )


def _reduce(
    per_pixel: jax.Array, weights: jax.Array, reduction: str, axis_name: str | None
) -> Scalar:
    one_of("reduction", reduction, ("mean", "mean_all", "sum"))
    if reduction == "mean":
        return weighted_mean(per_pixel, weights, axis_name)
    total = pooled_sum(per_pixel * weights, axis_name)
    return total if reduction == "sum" else total / pooled_sum(jnp.ones_like(weights), axis_name)
