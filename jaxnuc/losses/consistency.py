"""How far the maps of a student are from those of its teacher, where the teacher is confident."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Float

from jaxnuc.losses.arrays import Array, Number, Scalar


def consistency(
    student: Mapping[str, Array],
    teacher: Mapping[str, Array],
    kinds: Mapping[str, str],
    confidence: Number,
) -> tuple[Scalar, Scalar]:
    """The sum over maps of their mean differences, 0 in pixels where the teacher is not confident.

    Of maps that are logits the difference is the Kullback-Leibler divergence from the teacher's
    probabilities: the cross entropy less its smallest value, so that equal maps have 0. It counts
    where the largest of the teacher's probabilities, of the same map, is at least `confidence`. Of
    all other maps it is the absolute difference, the mean over channels, where the first map that
    is logits is so confident of a nucleus: outside of nuclei their values mean nothing.

    Means are over all pixels and images, confident or not: few confident pixels weigh little.

    Args:
      student: `{map: (B, H, W, C)}`.
      teacher: the same of the teacher; has no gradient.
      kinds: of the maps that count, in order: `"logits"` (of a sigmoid where there is one channel,
        else of a softmax whose channel 0 is the background) or another.
      confidence: a probability.

    Returns:
      The sum, and the share of pixels where the first map that is logits is confident.

    Raises:
      ValueError: no map is logits.

    References:
      Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, for the teacher;
      French et al., "Self-ensembling for visual domain adaptation", ICLR 2018, for the threshold.
    """
    logits = [name for name, kind in kinds.items() if kind == "logits"]
    if not logits:
        raise ValueError(
            f"none of the maps {', '.join(kinds)} is logits, so that nothing says where a teacher "
            "is confident; the representation must define `consistency`"
        )
    teacher = jax.lax.stop_gradient(dict(teacher))
    known = {name: log_probabilities(teacher[name]) for name in logits}
    sure = {name: jnp.exp(p.max(axis=-1, keepdims=True)) >= confidence for name, p in known.items()}
    nucleus = 1 - jnp.exp(known[logits[0]][..., :1]) >= confidence
    total = jnp.float32(0)
    for name, kind in kinds.items():
        if kind == "logits":
            ratio = known[name] - log_probabilities(student[name])
            divergence = (jnp.exp(known[name]) * ratio).sum(axis=-1, keepdims=True)
            total += masked_mean(divergence, sure[name])
        else:
            total += masked_mean(jnp.abs(student[name] - teacher[name]), nucleus)
    return total, sure[logits[0]].mean()


def log_probabilities(logits: Float[Array, "b h w c"]) -> Float[Array, "b h w k"]:
    """Logarithms of probabilities, of two where the logits are those of a sigmoid."""
    if logits.shape[-1] == 1:  # a sigmoid is a softmax with 0 for the background
        logits = jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)
    return jax.nn.log_softmax(logits)


def masked_mean(x: Float[Array, "b h w c"], mask: Array) -> Scalar:
    """The mean over all elements of what is 0 outside of a mask (B, H, W, 1)."""
    return jnp.where(mask, x, 0).mean()
