"""The additive attention gate on a skip connection."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from jaxnuc.models._blocks import batch_norm
from jaxnuc.models.base import AnyArray, Dtype, FeatureMap


class AttentionGate(nn.Module):
    """Weighs each pixel of a skip by how it agrees with the decoder.

    `x * sigmoid(psi(relu(norm(conv(g)) + norm(conv(x)))))`, all convolutions 1x1.

    Attributes:
      features: inner width.
      use_bias: biases in the convolutions before the sum; psi always has one.
      norm_psi: a batch normalization between psi and the sigmoid.
      axis_name: pmapped axis over which batch statistics are taken.
      dtype: of the computation.

    References:
      Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", 2018, section 2.2.
      There g is a level coarser and the gate resamples its weights; here both have one size.
    """

    features: int
    use_bias: bool = False
    norm_psi: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "b h w c"], g: Float[AnyArray, "b h w _"], train: bool
    ) -> Float[AnyArray, "b h w c"]:
        """Weighs the skip `x` by the decoder's map `g`."""

        def conv_norm(y: FeatureMap, name: str) -> FeatureMap:
            y = nn.Conv(
                self.features,
                (1, 1),
                use_bias=self.use_bias,
                dtype=self.dtype,
                name=f"conv_{name}",
            )(y)
            return batch_norm(self, train, f"norm_{name}")(y)

        inner = nn.relu(conv_norm(g, "g") + conv_norm(x, "x"))
        psi = nn.Conv(1, (1, 1), dtype=self.dtype, name="psi")(inner)
        if self.norm_psi:
            psi = batch_norm(self, train, "norm_psi")(psi)
        return x * nn.sigmoid(psi)
