"""HoVer-Net: a residual encoder and, for every map, a decoder of dense units.

Source: Graham et al., "HoVer-Net: Simultaneous segmentation and classification of nuclei in
multi-tissue histology images", Medical Image Analysis 58, 2019, and the code published with it:
variants `full` (mode `original`, 270 -> 80 pixels), `fast` (256 -> 164), and `conic` (256 -> 256),
the baseline of the CoNIC challenge.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models import _blocks
from jaxnuc.models._blocks import logits, upsample_nearest
from jaxnuc.models._gradients import convolve
from jaxnuc.models._initial_values import fan_out_normal
from jaxnuc.models.base import Block, FeatureMap, Images, Maps, Network, batch_norm
from jaxnuc.registry import one_of

# What the first phase of training leaves as it is, by the path below `params` joined by "/":
# groups d1 to d3 and the units of d0, but neither d0's shortcut nor its closing normalization.
FROZEN_FIRST = r"^(d[1-3]/.*|d0/unit\d+/.*)$"

GROUPS = 4  # of the wide convolution of a dense unit
STRIDES = (1, 2, 2, 2)  # of the encoder's groups


class Mode(NamedTuple):
    """What one of the published networks is.

    `kernel` and `padding` are of the decoders, `stem` pads the first convolution, `preactivated`
    is the order within residual units: normalization first.
    """

    kernel: int
    padding: str
    stem: str
    preactivated: bool


MODES = {
    "original": Mode(kernel=5, padding="VALID", stem="VALID", preactivated=True),
    "fast": Mode(kernel=3, padding="VALID", stem="SAME", preactivated=True),
    "conic": Mode(kernel=3, padding="SAME", stem="SAME", preactivated=False),
}

# A convolution as all but the last of each decoder are: no bias, He normal by fan-out.
conv = partial(_blocks.conv, use_bias=False, kernel_init=fan_out_normal)


def center_crop(x: FeatureMap, height: int, width: int) -> FeatureMap:
    """The middle of `x: (B, H, W, C)`; of an odd surplus the larger part goes below and right."""
    _, h, w, _ = x.shape
    top, left = (h - height) // 2, (w - width) // 2
    return x[:, top : top + height, left : left + width]


def add_skip(x: FeatureMap, skip: FeatureMap) -> FeatureMap:
    """Doubles the size of `x` and adds the middle of `skip`; the smaller of the two sizes stays."""
    y = upsample_nearest(x, like=skip)
    _, h, w, _ = y.shape
    return y + center_crop(skip, h, w)


class Bottleneck(Block):
    """The residual of a unit, without its shortcut: 1x1, 3x3, 1x1 with 4 times the features.

    Pre-activated (original, fast), or with a normalization at the end (conic). The first unit of
    a group takes its input as it is.
    """

    features: int
    stride: int = 1
    preactivated: bool = True
    first: bool = False

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        _, h, w, _ = x.shape
        padding = [(1, 1), (1, 1)]
        if self.stride == 2 and self.preactivated:
            # As TensorFlow pads even sides. It would pad odd ones by (1, 1), which would move the
            # grid by a pixel; so the second window begins at pixel 2 whatever the size is. The
            # published sizes have no odd sides here.
            padding = [(0, 1 + h % 2), (0, 1 + w % 2)]
        if self.preactivated and not self.first:
            x = nn.relu(batch_norm(self, train, "norm0")(x))
        x = conv(self, self.features, name="conv1")(x)
        x = nn.relu(batch_norm(self, train, "norm1")(x))
        x = conv(self, self.features, 3, "conv2", strides=self.stride, padding=padding)(x)
        x = nn.relu(batch_norm(self, train, "norm2")(x))
        x = conv(self, 4 * self.features, name="conv3")(x)
        return x if self.preactivated else batch_norm(self, train, "norm3")(x)


class ResidualGroup(Block):
    """Residual units of one size: `(B, H, W, C) -> (B, ceil(H / stride), ..., 4 * features)`."""

    features: int
    units: int
    stride: int = 1
    preactivated: bool = True

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        shortcut = conv(self, 4 * self.features, name="shortcut", strides=self.stride)(x)
        if not self.preactivated:
            shortcut = batch_norm(self, train, "shortcut_norm")(shortcut)
        for i in range(self.units):
            first, stride = i == 0, self.stride if i == 0 else 1
            residual = Bottleneck(
                self.features, stride, self.preactivated, first, name=f"unit{i}", **self.common
            )(x, train)
            x = residual + (shortcut if first else x)
            if not self.preactivated:
                x = nn.relu(x)
        if self.preactivated:
            x = nn.relu(batch_norm(self, train, "closing_norm")(x))
        return x


class GroupedConv(Block):
    """A convolution in groups: parameters and values of `nn.Conv(feature_group_count=groups)`.

    Written as one convolution a group: XLA on a CPU differentiates that 20 to 50 times faster.
    """

    features: int
    kernel: int
    groups: int
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: FeatureMap) -> FeatureMap:
        shape = (self.kernel, self.kernel, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", fan_out_normal, shape, jnp.float32).astype(self.dtype)
        inputs = jnp.split(x, self.groups, axis=-1)
        kernels = jnp.split(kernel, self.groups, axis=-1)
        parts = [
            convolve(part, own, (1, 1), self.padding)
            for part, own in zip(inputs, kernels, strict=True)
        ]
        return jnp.concatenate(parts, axis=-1)


class DenseBlock(Block):
    """Units that each add `growth` channels to the middle of what came before, and a closing norm.

    A unit: norm, ReLU, 1x1 to 4 times `growth`, norm, ReLU, a convolution in groups.
    """

    units: int
    growth: int
    kernel: int
    padding: str

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        for i in range(self.units):
            y = nn.relu(batch_norm(self, train, f"unit{i}_norm1")(x))
            y = conv(self, 4 * self.growth, name=f"unit{i}_conv1")(y)
            y = nn.relu(batch_norm(self, train, f"unit{i}_norm2")(y))
            y = GroupedConv(
                self.growth, self.kernel, GROUPS, self.padding, name=f"unit{i}_conv2", **self.common
            )(y)
            _, h, w, _ = y.shape
            x = jnp.concatenate([center_crop(x, h, w), y], axis=-1)
        return nn.relu(batch_norm(self, train, "closing_norm")(x))


class Decoder(Block):
    """From the encoder's maps to the logits of one map; `width` is that of its last features."""

    channels: int
    width: int
    dense_units: Sequence[int]
    mode: Mode

    @nn.compact
    def __call__(self, x: FeatureMap, skips: Sequence[jax.Array], train: bool) -> FeatureMap:
        d0, d1, d2 = skips
        kernel, padding = self.mode.kernel, self.mode.padding
        levels = (("u3", d2, 4 * self.width), ("u2", d1, 2 * self.width))
        for (level, skip, features), units in zip(levels, self.dense_units, strict=True):
            x = conv(self, features, kernel, f"{level}_in", padding=padding)(add_skip(x, skip))
            x = DenseBlock(
                units, self.width // 2, kernel, padding, name=f"{level}_dense", **self.common
            )(x, train)
            x = conv(self, 2 * features, name=f"{level}_out")(x)
        x = conv(self, self.width, kernel, "u1")(add_skip(x, d0))
        x = nn.relu(batch_norm(self, train, "u0_norm")(x))
        return _blocks.conv(self, self.channels, name="u0", kernel_init=fan_out_normal)(x)


class Model(Network):
    """HoVer-Net; every map has a decoder of its own.

    Attributes:
      outputs: channels of each map; `{"np": 2, "hv": 2}` in the paper, with `"class"` for the type
        branch (its channels count the background).
      mode: `"original"` and `"fast"` have decoders without padding: `margin` is 190 and 92, and
        the sides of the maps are multiples of 4. `"conic"` pads, and takes any size; its encoder
        has the common order of residual units, convolution first.
      width: of the first features, a multiple of 8; all others follow it.
      units: residual units in each of the four groups of the encoder.
      dense_units: units of the two dense blocks of a decoder, from the deeper one up.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "fast": {"mode": "fast"},
        "conic": {"mode": "conic"},
        "small": {"mode": "fast", "width": 8, "units": (2, 2, 2, 2)},
        "small_original": {"width": 8, "units": (2, 2, 2, 2)},
        "tiny": {"mode": "conic", "width": 8, "units": (1, 1, 1, 1), "dense_units": (1, 1)},
    }

    mode: str = "original"
    width: int = 64
    units: Sequence[int] = (3, 4, 6, 3)
    dense_units: Sequence[int] = (8, 4)

    @property
    def margin(self) -> int:
        """Side of the image minus side of the maps in pixels, as `full` 190 and as `fast` 92."""
        mode = self._mode()
        # Without padding the 7x7 stem takes 6 px. In a decoder the first convolution of a level
        # and each of its dense units take `kernel - 1` px of a map at a quarter (u3) or a half
        # (u2) of the resolution.
        stem = 6 if mode.stem == "VALID" else 0
        if mode.padding == "SAME":
            return stem
        u3, u2 = (1 + units for units in self.dense_units)
        return stem + (mode.kernel - 1) * (4 * u3 + 2 * u2)

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        mode = self._mode()
        self._check(images.shape[1:3])
        x = conv(self, self.width, 7, "conv0", padding=mode.stem)(images.astype(self.dtype))
        x = nn.relu(batch_norm(self, train, "conv0_norm")(x))
        skips = []
        for level, (units, stride) in enumerate(zip(self.units, STRIDES, strict=True)):
            features = self.width * 2**level
            x = ResidualGroup(
                features, units, stride, mode.preactivated, name=f"d{level}", **self.common
            )(x, train)
            skips.append(x)
        x = conv(self, 16 * self.width, name="conv_bot")(x)
        maps = {}
        for name, channels in self.outputs.items():
            decoder = Decoder(
                channels, self.width, self.dense_units, mode, name=f"{name}_decoder", **self.common
            )
            maps[name] = logits(decoder(x, skips[:3], train))
        return maps

    def _mode(self) -> Mode:
        one_of("mode", self.mode, MODES)
        return MODES[self.mode]

    def _check(self, sides: Sequence[int]) -> None:
        if self.width < 8 or self.width % 8:
            raise ValueError(f"width={self.width} must be a positive multiple of 8")
        if len(self.units) != len(STRIDES) or min(self.units) < 1:
            raise ValueError(f"units={tuple(self.units)} must be 4 numbers, each at least 1")
        if len(self.dense_units) != 2 or min(self.dense_units) < 1:
            units = tuple(self.dense_units)
            raise ValueError(f"dense_units={units} must be 2 numbers, each at least 1")
        if not self.margin:
            return
        for side in sides:
            out = side - self.margin
            if out < 4 or out % 4:
                below = out // 4 * 4 + self.margin
                fitting = [s for s in (below, below + 4) if s > self.margin] or [self.margin + 4]
                raise ValueError(
                    f"a side of {side} pixels does not fit: mode {self.mode!r} takes "
                    f"{self.margin} from it, and what stays must be a multiple of 4, at least 4; "
                    f"nearest: {' or '.join(map(str, fitting))}"
                )
