"""The layout of U2-Net's checkpoints, `u2net.pth` and `u2netp.pth`.

The names are those of the modules in `model/u2net.py` of github.com/xuebinqin/U-2-Net (Apache-2.0).
Its sigmoids are of the same convolutions as our logits. It was trained on images divided by their
maximum, then normalized by the mean and the deviation of ImageNet.
"""

from collections.abc import Iterator

import numpy as np

from jaxnuc.pretrained.layout import Layout

# Heights of the residual U-blocks, from full resolution down; the dilated ones count as height 4.
HEIGHTS = {
    "encoder1": 7,
    "encoder2": 6,
    "encoder3": 5,
    "encoder4": 4,
    "encoder5": 4,
    "encoder6": 4,
    "decoder1": 7,
    "decoder2": 6,
    "decoder3": 5,
    "decoder4": 4,
    "decoder5": 4,
}


def stage_rules() -> Iterator[tuple[str, str]]:
    """Our convolutions count as they are called: in, down to the bottom, and up again."""
    for ours, height in HEIGHTS.items():
        theirs = f"stage{ours[-1]}" + ("d" if ours.startswith("decoder") else "")
        down = [f"{level}" for level in range(1, height + 1)]
        up = [f"{level}d" for level in range(height - 1, 0, -1)]
        for i, level in enumerate(["in", *down, *up]):
            yield f"{ours}/ConvNormAct_{i}/Conv_0", f"{theirs}.rebnconv{level}.conv_s1"
            yield f"{ours}/ConvNormAct_{i}/BatchNorm_0", f"{theirs}.rebnconv{level}.bn_s1"


def other_way_round(kernel: np.ndarray) -> np.ndarray:
    """Theirs fuses the side maps from the finest to the deepest, ours from the deepest on."""
    h, w, inputs, channels = kernel.shape
    sides = kernel.reshape(h, w, inputs // channels, channels, channels)
    return sides[:, :, ::-1].reshape(kernel.shape)


LAYOUT = Layout(
    sign="stage1.rebnconvin.conv_s1.weight",
    rules=(*stage_rules(), (r"mask_side(\d)", r"side\1"), ("mask_fusion", "outconv")),
    advice="its only map is outputs={'mask': 1}; u2net.pth is variant 'full', u2netp.pth 'small'",
    reorder={"mask_fusion/kernel": other_way_round},
)
