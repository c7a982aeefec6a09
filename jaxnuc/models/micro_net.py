"""Micro-Net: every level of the encoder sees the image itself again, at its own resolution.

Source: Raza, Cheung, Shaban, Graham, Epstein, Pelengaris, Khan, Rajpoot, "Micro-Net: A unified
model for segmentation of various objects in microscopy images", Medical Image Analysis 52, 2019;
the layers are those of the reimplementation for Graham et al., "HoVer-Net", Medical Image
Analysis 58, 2019.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models._blocks import Dtype, batch_norm, logits, max_pool_ceil

VARIANTS: dict[str, dict] = {"full": {}, "small": {"widths": (6, 12, 24, 48), "bottom": 192}}

BIAS = nn.initializers.constant(0.1)


def conv(features: int, kernel: int, dtype: Dtype, pad: int = 0, **arguments: Any) -> nn.Conv:
    """An unpadded convolution; `pad=kernel - 1` adds to the sides what it would take."""
    return nn.Conv(
        features,
        (kernel, kernel),
        padding=pad,
        kernel_init=nn.initializers.glorot_uniform(),
        bias_init=BIAS,
        dtype=dtype,
        **arguments,
    )


def shrink(images: jax.Array, height: int, width: int) -> jax.Array:
    """Bicubic: (B, H, W, C) to (B, height, width, C).

    The kernel widens with the factor. The reimplementation samples single 4x4 neighbourhoods, of
    which the coarsest image skips most pixels.
    """
    b, _, _, c = images.shape
    return jax.image.resize(images, (b, height, width, c), "cubic")


class Enlarge(nn.Module):
    """Transposed convolution, kernel and stride `factor`: one matrix product a pixel."""

    features: int
    factor: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, _ = x.shape
        f = self.factor
        cells = (f, f, self.features)
        x = nn.DenseGeneral(cells, use_bias=False, dtype=self.dtype, name="cells")(x)
        bias = self.param("bias", BIAS, (self.features,), jnp.float32)
        x = x.swapaxes(2, 3).reshape(b, h * f, w * f, self.features)
        return x + bias.astype(self.dtype)


class Down(nn.Module):
    """Two convolutions and a maximum on the features, beside two convolutions on the image."""

    features: int
    axis_name: str | None
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, image: jax.Array, train: bool) -> jax.Array:
        def convs(x: jax.Array, name: str) -> jax.Array:
            x = conv(self.features, 3, self.dtype, use_bias=False, name=f"{name}_1")(x)
            x = nn.relu(batch_norm(self, train, f"{name}_norm")(x))
            return nn.relu(conv(self.features, 3, self.dtype, name=f"{name}_2")(x))

        main, resized = max_pool_ceil(convs(x, "main")), convs(image, "resized")
        return jnp.concatenate([main, resized], axis=-1)


class Up(nn.Module):
    """Twice the size, two convolutions, and the skip beside, both padded to the level's size."""

    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, skip: jax.Array) -> jax.Array:
        _, h, w, _ = skip.shape  # four less than the level's, and `x` may have one too many
        x = Enlarge(self.features, 2, self.dtype, name="double")(x)[:, : h + 4, : w + 4]
        for i in (1, 2):
            x = nn.relu(conv(self.features, 3, self.dtype, name=f"conv{i}")(x))
        # A 5x5 transposed convolution of stride 1 is a convolution padded by 4.
        x = conv(self.features, 5, self.dtype, pad=4, name="extend")(x)
        skip = conv(self.features, 5, self.dtype, pad=4, name="extend_skip")(skip)
        x = jnp.concatenate([x, skip], axis=-1)
        return nn.relu(conv(self.features, 1, self.dtype, name="fuse")(x))


class Model(nn.Module):
    """Micro-Net: `{"mask": 2}` is the paper's map; 252 pixels in, 252 out.

    The convolutions are unpadded, but levels grow back what they lose, and the `margin` is 0.
    With `train=True`, `side` holds the three auxiliary outputs, from the deepest to the finest.

    Halving and doubling the levels fit each other at any size, save at the bottom: half the pixels
    must go, and its convolutions take 8. At 237 to 252 there are 16 of them; at other sizes the
    bottom's input is resized to what its convolutions need. As the bottom sees another scale then,
    it is best to train and to predict at one size.

    Attributes:
      outputs: channels of each map. The auxiliary branches have as many channels as the maps
        together, and at least 2; the maps share them, each with its own last convolution.
      widths: channels of each half (features, resized image) of the encoder's levels.
      bottom: channels of the deepest level.
      dropout_rate: of the auxiliary branches.
      axis_name: pmapped axis over which batch statistics are taken.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: Mapping[str, int]
    widths: Sequence[int] = (64, 128, 256, 512)
    bottom: int = 2048
    dropout_rate: float = 0.5
    axis_name: str | None = None
    dtype: Dtype = jnp.float32

    @property
    def margin(self) -> int:
        """Input side minus output side."""
        return 0

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> dict:
        b, height, width, _ = images.shape
        smallest = 4 * 2 ** len(self.widths) - 3
        if height < smallest or width < smallest:
            raise ValueError(
                f"images of {height} x {width} px do not fit: the unpadded convolutions "
                f"leave nothing of them; the nearest side that fits is {smallest}"
            )

        h, w = height + 4, width + 4  # of a level; the last two convolutions take the 4 off
        x = images.astype(self.dtype)
        skips = []
        for level, features in enumerate(self.widths, start=1):
            h, w = (h + 1) // 2, (w + 1) // 2
            image = shrink(images, h, w).astype(self.dtype)
            x = Down(features, self.axis_name, self.dtype, name=f"down{level}")(x, image, train)
            skips.append(x)  # (B, h - 4, w - 4, 2 * features)

        h, w = (h + 1) // 2, (w + 1) // 2
        x = jax.image.resize(x, (b, h + 4, w + 4, x.shape[-1]), "linear")
        for i in (1, 2):
            x = nn.relu(conv(self.bottom, 3, self.dtype, name=f"bottom{i}")(x))

        branches = []
        branch_features = max(2, sum(self.outputs.values()))
        for level in range(len(self.widths), 0, -1):
            x = Up(2 * self.widths[level - 1], self.dtype, name=f"up{level}")(x, skips[level - 1])
            if level == len(self.widths):
                continue  # the deepest level has no auxiliary output
            y = Enlarge(x.shape[-1], 2**level, self.dtype, name=f"branch{level}_enlarge")(x)
            y = y[:, : height + 4, : width + 4]
            y = nn.relu(conv(branch_features, 3, self.dtype, name=f"branch{level}")(y))
            branches.append(nn.Dropout(self.dropout_rate, deterministic=not train)(y))

        maps: dict = {}
        side: dict = {}
        fused = jnp.concatenate(branches, axis=-1)
        for name, channels in self.outputs.items():
            maps[name] = logits(conv(channels, 3, self.dtype, name=f"{name}_head")(fused))
            side[name] = [
                logits(conv(channels, 3, self.dtype, name=f"{name}_side{level}")(branch))
                for level, branch in zip(range(len(branches), 0, -1), branches, strict=True)
            ]
        if train:
            maps["side"] = side
        return maps
