"""Attention: context coding and attention learning (CE-Net, AL-Net), and the additive gate."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from jaxnuc.models._blocks import ConvNormAct, conv, dense, upsample_nearest
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models.base import AnyArray, Block, FeatureMap, batch_norm


class DenseAtrous(Block):
    """Dense atrous convolution: four chains of dilated convolutions, added to their input.

    The chains share their convolutions, and only their ends are rectified.

    References:
      Gu et al., "CE-Net: Context encoder network for 2D medical image segmentation", IEEE TMI 2019,
      section II-B.
    """

    @nn.compact
    def __call__(self, x: FeatureMap) -> FeatureMap:
        c = x.shape[-1]
        near, middle, far = (conv(self, c, 3, f"dilated{d}", kernel_dilation=d) for d in (1, 3, 5))
        point = conv(self, c, name="point")
        first = near(x)
        second = middle(first)
        ends = (first, point(middle(x)), point(second), point(far(second)))
        return x + sum(nn.relu(end) for end in ends)


class ContextCode(Block):
    """AL-Net's context coding: `x + s * w`, `s` the dense atrous convolution, `w` its excitation.

    `w = sigmoid(W2 relu(W1 mean(s)))`, one weight a channel.
    """

    reduction: int = 8

    @nn.compact
    def __call__(self, x: FeatureMap) -> FeatureMap:
        c = x.shape[-1]
        coded = DenseAtrous(**self.common, name="dense_atrous")(x)
        hidden = dense(self, max(c // self.reduction, 1), use_bias=False)
        excite = dense(self, c, use_bias=False)
        weights = nn.sigmoid(excite(nn.relu(hidden(coded.mean(axis=(1, 2))))))
        return x + coded * weights[:, None, None, :]


class AttentionLearn(Block):
    """AL-Net's attention learning: `x + x * psi`, `psi` a saliency map learned by a small codec.

    The codec works from twice the resolution down to a quarter and back: `width` channels, twice
    and four times as many; `psi` has one channel.
    """

    width: int = 16

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        def convs(y: FeatureMap, multiple: int) -> FeatureMap:
            return ConvNormAct(multiple * self.width, use_bias=True, **self.common)(y, train)

        skips = []
        y = upsample_nearest(x)
        for multiple in (1, 2, 4):
            y = max_pool_ceil(convs(y, multiple))
            skips.append(y)
        for multiple, skip in ((2, skips[1]), (1, skips[0])):
            y = convs(upsample_nearest(y, skip), multiple)
            y = convs(jnp.concatenate([skip, y], axis=-1), multiple)
        y = convs(upsample_nearest(y), 1)
        return x + x * nn.sigmoid(max_pool_ceil(conv(self, 1)(y)))


class AttentionGate(Block):
    """The additive attention gate: weighs each pixel of a skip by how it agrees with the decoder.

    `x * sigmoid(psi(relu(norm(conv(g)) + norm(conv(x)))))`, all convolutions 1x1.

    Attributes:
      features: inner width.
      use_bias: biases in the convolutions before the sum; psi always has one.
      norm_psi: a batch normalization between psi and the sigmoid.

    References:
      Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", 2018, section 2.2.
      There g is a level coarser and the gate resamples its weights; here both have one size.
    """

    features: int
    use_bias: bool = False
    norm_psi: bool = False

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "b h w c"], g: Float[AnyArray, "b h w _"], train: bool
    ) -> Float[AnyArray, "b h w c"]:
        """Weighs the skip `x` by the decoder's map `g`."""

        def conv_norm(y: FeatureMap, name: str) -> FeatureMap:
            y = conv(self, self.features, name=f"conv_{name}", use_bias=self.use_bias)(y)
            return batch_norm(self, train, f"norm_{name}")(y)

        psi = conv(self, 1, name="psi")(nn.relu(conv_norm(g, "g") + conv_norm(x, "x")))
        if self.norm_psi:
            psi = batch_norm(self, train, "norm_psi")(psi)
        return x * nn.sigmoid(psi)
