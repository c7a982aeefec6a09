"""The layout of torchvision's residual networks, of which our networks have the encoder.

The names are those of the modules in `torchvision/models/resnet.py` of github.com/pytorch/vision
(BSD-3); `fc`, the classifier behind the encoder, is left out. The weights were trained on images in
[0, 1], then normalized by the mean and the deviation of ImageNet.
"""

from collections.abc import Iterator

from jaxnuc.pretrained import layout
from jaxnuc.pretrained.layout import Layout


def conic_rules() -> Iterator[tuple[str, str]]:
    """The encoder of HoVer-Net in mode `conic`, whose groups count from 0."""
    yield "conv0", "conv1"
    yield "conv0_norm", "bn1"
    for group in range(4):
        ours, theirs = f"d{group}", f"layer{group + 1}"
        yield rf"{ours}/unit(\d+)/conv(\d)", rf"{theirs}.\1.conv\2"
        yield rf"{ours}/unit(\d+)/norm(\d)", rf"{theirs}.\1.bn\2"
        yield f"{ours}/shortcut", f"{theirs}.0.downsample.0"
        yield f"{ours}/shortcut_norm", f"{theirs}.0.downsample.1"


LAYOUT = Layout(
    sign="layer1.0.conv1.weight",
    rules=(
        (r"encoder/(conv1|bn1)", r"\1"),
        (r"encoder/(layer\d)_(\d+)/((?:conv|bn)\d)", r"\1.\2.\3"),
        (r"encoder/(layer\d)_(\d+)/downsample_([01])", r"\1.\2.downsample.\3"),
        *conic_rules(),
    ),
    advice=(
        "ResNet-18 and 34 have basic, 50 and 101 bottleneck blocks, (2, 2, 2, 2), (3, 4, 6, 3), "
        "(3, 4, 6, 3) and (3, 4, 23, 3) of them, all with base_width=64; HoVer-Net has ResNet-50 "
        "in mode 'conic'"
    ),
    covers=r"(encoder|conv0|conv0_norm|d\d)/.*",
    ignored=rf"{layout.IGNORED}|fc\.(weight|bias)",
)
