"""Context coding and attention learning: the blocks of CE-Net and AL-Net."""

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models._blocks import ConvNormAct, max_pool_ceil, upsample_nearest
from jaxnuc.models.base import Dtype, FeatureMap


class DenseAtrous(nn.Module):
    """Dense atrous convolution: four chains of dilated convolutions, added to their input.

    The chains share their convolutions, and only their ends are rectified.

    References:
      Gu et al., "CE-Net: Context encoder network for 2D medical image segmentation", IEEE TMI 2019,
      section II-B.
    """

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: FeatureMap) -> FeatureMap:
        c = x.shape[-1]
        near, middle, far = (
            nn.Conv(c, (3, 3), kernel_dilation=d, dtype=self.dtype, name=f"dilated{d}")
            for d in (1, 3, 5)
        )
        point = nn.Conv(c, (1, 1), dtype=self.dtype, name="point")
        first = near(x)
        second = middle(first)
        ends = (first, point(middle(x)), point(second), point(far(second)))
        return x + sum(nn.relu(end) for end in ends)


class ContextCode(nn.Module):
    """AL-Net's context coding: `x + s * w`, `s` the dense atrous convolution, `w` its excitation.

    `w = sigmoid(W2 relu(W1 mean(s)))`, one weight a channel.
    """

    reduction: int = 8
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: FeatureMap) -> FeatureMap:
        c = x.shape[-1]
        coded = DenseAtrous(self.dtype, name="dense_atrous")(x)
        hidden = nn.Dense(max(c // self.reduction, 1), use_bias=False, dtype=self.dtype)
        excite = nn.Dense(c, use_bias=False, dtype=self.dtype)
        weights = nn.sigmoid(excite(nn.relu(hidden(coded.mean(axis=(1, 2))))))
        return x + coded * weights[:, None, None, :]


class AttentionLearn(nn.Module):
    """AL-Net's attention learning: `x + x * psi`, `psi` a saliency map learned by a small codec.

    The codec works from twice the resolution down to a quarter and back: `width` channels, twice
    and four times as many; `psi` has one channel.
    """

    width: int = 16
    axis_name: str | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        def conv(y: FeatureMap, multiple: int) -> FeatureMap:
            return ConvNormAct(
                multiple * self.width, use_bias=True, axis_name=self.axis_name, dtype=self.dtype
            )(y, train)

        skips = []
        y = upsample_nearest(x)
        for multiple in (1, 2, 4):
            y = max_pool_ceil(conv(y, multiple))
            skips.append(y)
        for multiple, skip in ((2, skips[1]), (1, skips[0])):
            y = conv(upsample_nearest(y, skip), multiple)
            y = conv(jnp.concatenate([skip, y], axis=-1), multiple)
        y = conv(upsample_nearest(y), 1)
        psi = nn.sigmoid(max_pool_ceil(nn.Conv(1, (1, 1), dtype=self.dtype)(y)))
        return x + x * psi
