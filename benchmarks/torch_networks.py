"""Networks of this library written in PyTorch, to compare speeds: see against_pytorch.py.

They have the same layers, and as many parameters, as ours. Images are (B, 3, H, W).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from jaxnuc.models.harunet import DECODER, ENCODER, uniform

Maps = dict[str, torch.Tensor]


def conv_norm_relu(
    inputs: int, features: int, kernel: int = 3, dilation: int = 1, bias: bool = False
) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, features, kernel, 1, padding, dilation, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(features), nn.ReLU(inplace=True))


def pool(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def resized(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """`unet`, and `flexible_unet` in its variant `small` with the activation before the norm."""

    def __init__(
        self, outputs: Mapping[str, int], widths: Sequence[int], norm_last: bool = False
    ) -> None:
        super().__init__()

        def double(inputs: int, features: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for first in (inputs, features):
                after = [nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
                conv = nn.Conv2d(first, features, 3, padding=1)
                layers += [conv, *(after[::-1] if norm_last else after)]
            return nn.Sequential(*layers)

        below = [3, *widths[:-1]]
        self.down = nn.ModuleList(double(a, b) for a, b in zip(below, widths, strict=True))
        pairs = [*zip(widths[:0:-1], widths[-2::-1], strict=True)]
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.up = nn.ModuleList(double(2 * b, b) for _, b in pairs)
        self.heads = nn.ModuleDict({k: nn.Conv2d(widths[0], c, 1) for k, c in outputs.items()})

    def forward(self, x: torch.Tensor) -> Maps:
        skips = []
        for level, down in enumerate(self.down):
            x = down(pool(x) if level else x)
            skips.append(x)
        for enlarge, up, skip in zip(self.enlarge, self.up, skips[-2::-1], strict=True):
            x = up(torch.cat([enlarge(x), skip], 1))
        return {name: head(x) for name, head in self.heads.items()}


class ResidualUBlock(nn.Module):
    """RSU-L, and `"4f"`, which dilates instead of pooling."""

    def __init__(self, inputs: int, height: int | str, middle: int, features: int) -> None:
        super().__init__()
        self.dilated = height == "4f"
        levels = 4 if self.dilated else int(height)
        dilation = [2**k if self.dilated else 1 for k in range(levels)]
        self.first = conv_norm_relu(inputs, features)
        self.down = nn.ModuleList(
            conv_norm_relu(middle if k else features, middle, 3, dilation[k])
            for k in range(levels - 1)
        )
        self.bottom = conv_norm_relu(middle, middle, 3, 8 if self.dilated else 2)
        self.up = nn.ModuleList(
            conv_norm_relu(2 * middle, middle if k else features, 3, dilation[k])
            for k in reversed(range(levels - 1))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = y = self.first(x)
        skips = []
        for level, down in enumerate(self.down):
            y = down(pool(y) if level and not self.dilated else y)
            skips.append(y)
        y = self.bottom(y)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            y = up(torch.cat([resized(y, skip), skip], 1))
        return y + inner


class Attention(nn.Module):
    """The channel gate, and the spatial gate behind it."""

    def __init__(self, features: int, reduction: int, spatial: bool) -> None:
        super().__init__()
        hidden = max(features // reduction, 1)
        self.gate = nn.Sequential(
            nn.Linear(features, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, features, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False) if spatial else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = self.gate(x.mean((2, 3))) + self.gate(x.amax((2, 3)))
        x = x * weights.sigmoid()[:, :, None, None]
        if self.spatial is None:
            return x
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * self.spatial(pooled).sigmoid()


class ContextFusion(nn.Module):
    """Weighs the side maps, then fuses them."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        hidden = inputs // features
        self.gate = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, inputs)
        )
        self.fuse = nn.Conv2d(inputs, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = self.gate(x.mean((2, 3)) + x.amax((2, 3))).sigmoid()
        return self.fuse(x * weights[:, :, None, None])


class HaruNet(nn.Module):
    """`harunet`; its side maps are computed in training as well as in use."""

    def __init__(self, outputs: Mapping[str, int], small: bool = False) -> None:
        super().__init__()
        encoder, decoder = ENCODER, DECODER
        if small:
            encoder, decoder = uniform(ENCODER, 16, 64), uniform(DECODER, 16, 64)
        widths = [stage[-1] for stage in encoder]
        self.encoder = nn.ModuleList(
            ResidualUBlock(inputs, *stage)
            for inputs, stage in zip([3, *widths], encoder, strict=False)
        )
        self.attention = nn.ModuleList()
        self.decoder = nn.ModuleList()
        x, finer = widths[-1], [widths[-1]]
        for k, (skip, stage) in enumerate(zip(widths[-2::-1], decoder, strict=True)):
            self.attention.append(Attention(skip, 32 if k == 0 else 16, spatial=k > 0))
            self.decoder.append(ResidualUBlock(x + skip, *stage))
            x = stage[-1]
            finer.append(x)
        self.side = nn.ModuleDict(
            {
                k: nn.ModuleList(nn.Conv2d(f, c, 3, padding=1) for f in finer)
                for k, c in outputs.items()
            }
        )
        self.fusion = nn.ModuleDict(
            {name: ContextFusion(len(finer) * c, c) for name, c in outputs.items()}
        )

    def forward(self, images: torch.Tensor) -> Maps:
        x, skips = images, []
        for level, stage in enumerate(self.encoder):
            x = stage(pool(x) if level else x)
            skips.append(x)
        features = [x]
        parts = zip(self.attention, self.decoder, skips[-2::-1], strict=True)
        for attention, stage, skip in parts:
            attended = attention(skip)
            x = stage(torch.cat([resized(x, attended), attended], 1))
            features.append(x)
        maps = {}
        for name, heads in self.side.items():
            side = [resized(h(f), images) for h, f in zip(heads, features, strict=True)]
            maps[name] = self.fusion[name](torch.cat(side, 1))
            maps |= {f"{name}_{k}": each for k, each in enumerate(side)} if self.training else {}
        return maps


class StarDist(nn.Module):
    """`stardist` on a grid of 1."""

    def __init__(self, outputs: Mapping[str, int], base: int, features: int, depth: int = 3):
        super().__init__()

        def double(inputs: int, first: int, second: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, first, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(first, second, 3, padding=1),
                nn.ReLU(inplace=True),
            )

        width = [base * 2**k for k in range(depth + 1)]
        below = [3, *width]
        self.down = nn.ModuleList(double(below[k], width[k], width[k]) for k in range(depth))
        self.middle = double(width[depth - 1], width[depth], width[depth - 1])
        self.up = nn.ModuleList(
            double(2 * width[k], width[k], width[max(k - 1, 0)]) for k in reversed(range(depth))
        )
        self.features = nn.Conv2d(base, features, 3, padding=1)
        self.heads = nn.ModuleDict({k: nn.Conv2d(features, c, 1) for k, c in outputs.items()})

    def forward(self, x: torch.Tensor) -> Maps:
        skips = []
        for down in self.down:
            skips.append(down(x))
            x = pool(skips[-1])
        x = self.middle(x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], 1))
        x = F.relu(self.features(x))
        return {name: head(x) for name, head in self.heads.items()}


def norm_relu(features: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(features), nn.ReLU(inplace=True))


def cropped(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    top, left = ((a - b) // 2 for a, b in zip(x.shape[2:], like.shape[2:], strict=True))
    return x[:, :, top : top + like.shape[2], left : left + like.shape[3]]


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, features: int, stride: int, first: bool) -> None:
        super().__init__()
        self.before = nn.Identity() if first else norm_relu(inputs)
        self.conv1 = nn.Conv2d(inputs, features, 1, bias=False)
        self.norm1 = norm_relu(features)
        # As TensorFlow pads even sides.
        self.pad = (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)
        self.conv2 = nn.Conv2d(features, features, 3, stride, bias=False)
        self.norm2 = norm_relu(features)
        self.conv3 = nn.Conv2d(features, 4 * features, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(self.norm1(self.conv1(self.before(x))), self.pad)
        return self.conv3(self.norm2(self.conv2(x)))


class ResidualGroup(nn.Module):
    def __init__(self, inputs: int, features: int, units: int, stride: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, 4 * features, 1, stride, bias=False)
        self.units = nn.ModuleList(
            Bottleneck(4 * features if k else inputs, features, 1 if k else stride, k == 0)
            for k in range(units)
        )
        self.after = norm_relu(4 * features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for k, unit in enumerate(self.units):
            x = unit(x) + (x if k else self.shortcut(x))
        return self.after(x)


class DenseBlock(nn.Module):
    def __init__(self, inputs: int, units: int, growth: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            nn.Sequential(
                norm_relu(inputs + k * growth),
                nn.Conv2d(inputs + k * growth, 4 * growth, 1, bias=False),
                norm_relu(4 * growth),
                nn.Conv2d(4 * growth, growth, 3, groups=4, bias=False),
            )
            for k in range(units)
        )
        self.after = norm_relu(inputs + units * growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for unit in self.units:
            y = unit(x)
            x = torch.cat([cropped(x, y), y], 1)
        return self.after(x)


class HoverDecoder(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        growth = width // 2
        self.u3 = nn.Sequential(
            nn.Conv2d(16 * width, 4 * width, 3, bias=False),
            DenseBlock(4 * width, 8, growth),
            nn.Conv2d(4 * width + 8 * growth, 8 * width, 1, bias=False),
        )
        self.u2 = nn.Sequential(
            nn.Conv2d(8 * width, 2 * width, 3, bias=False),
            DenseBlock(2 * width, 4, growth),
            nn.Conv2d(2 * width + 4 * growth, 4 * width, 1, bias=False),
        )
        self.u1 = nn.Conv2d(4 * width, width, 3, padding=1, bias=False)
        self.u0 = nn.Sequential(norm_relu(width), nn.Conv2d(width, channels, 1))

    def forward(self, x: torch.Tensor, skips: Sequence[torch.Tensor]) -> torch.Tensor:
        for layer, skip in zip((self.u3, self.u2, self.u1), reversed(skips), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = layer(x + cropped(skip, x))
        return self.u0(x)


class HoverNet(nn.Module):
    """`hovernet` in the mode `fast`."""

    def __init__(self, outputs: Mapping[str, int], width: int = 64) -> None:
        super().__init__()
        self.stem = conv_norm_relu(3, width, 7)
        self.groups = nn.ModuleList()
        inputs = width
        for k, (units, stride) in enumerate(zip((3, 4, 6, 3), (1, 2, 2, 2), strict=True)):
            self.groups.append(ResidualGroup(inputs, width * 2**k, units, stride))
            inputs = 4 * width * 2**k
        self.bottom = nn.Conv2d(inputs, 16 * width, 1, bias=False)
        self.heads = nn.ModuleDict({k: HoverDecoder(c, width) for k, c in outputs.items()})

    def forward(self, x: torch.Tensor) -> Maps:
        x, skips = self.stem(x), []
        for group in self.groups:
            x = group(x)
            skips.append(x)
        x = self.bottom(x)
        return {name: head(x, skips[:3]) for name, head in self.heads.items()}


# By the name and variant of ours.
NETWORKS: dict[tuple[str, str], Callable[[Mapping[str, int]], Any]] = {
    ("flexible_unet", "small"): lambda outputs: UNet(outputs, (16, 32, 64, 128, 256), True),
    ("unet", "small"): lambda outputs: UNet(outputs, (16, 32, 64, 128)),
    ("stardist", "small"): lambda outputs: StarDist(outputs, base=16, features=64),
    ("harunet", "small"): lambda outputs: HaruNet(outputs, small=True),
    ("harunet", "full"): HaruNet,
    ("hovernet", "fast"): HoverNet,
}
