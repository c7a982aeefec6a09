"""The layouts of published checkpoints: their names for the arrays of one of our networks.

HoVer-Net's names are those of the modules in `models/hovernet/net_desc.py` and `net_utils.py` of
github.com/vqdang/hover_net (MIT). All published PyTorch files have them, of both modes, those
converted from TensorFlow included. Dots join modules; slashes are part of their names. Channels:
`np` is background, nucleus; `hv` horizontal, vertical; of `tp`, our `class`, channel 0 is
background and channel k class k of the training data, in the order of `jaxnuc.labels.label_set`:
for PanNuke neoplastic, inflammatory, connective, dead, non-neoplastic epithelial; for CoNSeP, of
which 4 classes are kept apart, other, inflammatory, epithelial, spindle.

The names of residual networks are those of the modules in `torchvision/models/resnet.py` of
github.com/pytorch/vision (BSD-3); `fc`, the classifier behind the encoder, is left out. The weights
were trained on images in [0, 1], then normalized by the mean and the deviation of ImageNet.

U2-Net's names, of `u2net.pth` and `u2netp.pth`, are those of the modules in `model/u2net.py` of
github.com/xuebinqin/U-2-Net (Apache-2.0). Its sigmoids are of the same convolutions as our logits.
It was trained on images divided by their maximum, then normalized likewise.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

# the last part of our path and of their name
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
IGNORED = r".*\.num_batches_tracked"


@dataclass(frozen=True)
class Layout:
    """The names of a published checkpoint.

    Attributes:
      sign: a name by which a file of this layout is known.
      rules: the table of names: a regular expression of the whole path of a module of ours, its
        parts joined by "/", and the name of theirs, with `\\1` and so on for the groups.
      advice: what to look at where a network and a file do not fit.
      covers: regular expression of the paths of our arrays that a file of this layout holds.
      ignored: regular expression of their names that mean nothing to us.
      reorder: by the path of a kernel, what permutes its channels to their order and back.
    """

    sign: str
    rules: tuple[tuple[str, str], ...]
    advice: str
    covers: str = ".*"
    ignored: str = IGNORED
    reorder: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)

    def name(self, path: str) -> str:
        """Their name for our array `path`, empty where they have none."""
        module, _, leaf = path.rpartition("/")
        for ours, theirs in self.rules:
            match = re.fullmatch(ours, module)
            if match and leaf in LEAVES:
                return f"{match.expand(theirs)}.{LEAVES[leaf]}"
        return ""

    def to_theirs(self, path: str, array: np.ndarray) -> np.ndarray:
        """Our array `path` as torch has it; convolutions in groups need nothing else."""
        if array.ndim == 4:
            array = self._reordered(path, array).transpose(3, 2, 0, 1)
        return np.ascontiguousarray(array)

    def to_ours(self, path: str, array: np.ndarray) -> np.ndarray:
        """The inverse of `to_theirs`."""
        if array.ndim == 4:
            array = self._reordered(path, array.transpose(2, 3, 1, 0))
        return np.ascontiguousarray(array)

    def _reordered(self, path: str, kernel: np.ndarray) -> np.ndarray:
        return self.reorder[path](kernel) if path in self.reorder else kernel


def shape_of_theirs(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that an array of ours has in torch: (H, W, in, out) becomes (out, in, H, W)."""
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else tuple(shape)


HOVERNET_ENCODER = (
    ("conv0", "conv0./"),
    ("conv0_norm", "conv0.bn"),
    (r"(d\d)/unit(\d+)/norm0", r"\1.units.\2.preact/bn"),
    (r"(d\d)/unit(\d+)/norm([12])", r"\1.units.\2.conv\3/bn"),
    (r"(d\d)/unit(\d+)/conv([123])", r"\1.units.\2.conv\3"),
    (r"(d\d)/shortcut", r"\1.shortcut"),
    (r"(d\d)/closing_norm", r"\1.blk_bna.bn"),
)
HOVERNET_DECODER = (
    (r"(u[23])_in", r"\1.conva"),
    (r"(u[23])_dense/unit(\d+)_norm1", r"\1.dense.units.\2.preact_bna/bn"),
    (r"(u[23])_dense/unit(\d+)_norm2", r"\1.dense.units.\2.conv1/bn"),
    (r"(u[23])_dense/unit(\d+)_conv([12])", r"\1.dense.units.\2.conv\3"),
    (r"(u[23])_dense/closing_norm", r"\1.dense.blk_bna.bn"),
    (r"(u[23])_out", r"\1.convf"),
    ("u1", "u1.conva"),
    ("u0_norm", "u0.bn"),
    ("u0", "u0.conv"),
)
# the matrix of ones by which theirs doubles the size of a map
HOVERNET_IGNORED = rf"{IGNORED}|upsample2x\.unpool_mat"
HOVERNET = Layout(
    sign="decoder.np.u0.conv.weight",
    rules=(
        *HOVERNET_ENCODER,
        ("conv_bot", "conv_bot"),
        *(
            (f"{our_map}_decoder/{ours}", f"decoder.{their_map}.{theirs}")
            for our_map, their_map in (("np", "np"), ("hv", "hv"), ("class", "tp"))
            for ours, theirs in HOVERNET_DECODER
        ),
    ),
    advice=(
        "files without types are of outputs={'np': 2, 'hv': 2}, those with types of 'class' as "
        "well, with the background among its channels (PanNuke 6, CoNSeP 5); mode is 'original' or "
        "'fast'"
    ),
    ignored=HOVERNET_IGNORED,
)

# `ImageNet-ResNet50-Preact_pytorch.tar`, which the authors' training begins with.
HOVERNET_ONLY_ENCODER = Layout(
    sign="conv0./.weight",
    rules=HOVERNET_ENCODER,
    advice="the encoder is that of modes 'original' and 'fast' with width=64, units=(3, 4, 6, 3)",
    covers=r"(conv0|conv0_norm|d\d)/.*",
    ignored=HOVERNET_IGNORED,
)


def _conic_rules() -> Iterator[tuple[str, str]]:
    """The encoder of HoVer-Net in mode `conic`, whose groups count from 0."""
    yield "conv0", "conv1"
    yield "conv0_norm", "bn1"
    for group in range(4):
        ours, theirs = f"d{group}", f"layer{group + 1}"
        yield rf"{ours}/unit(\d+)/conv(\d)", rf"{theirs}.\1.conv\2"
        yield rf"{ours}/unit(\d+)/norm(\d)", rf"{theirs}.\1.bn\2"
        yield f"{ours}/shortcut", f"{theirs}.0.downsample.0"
        yield f"{ours}/shortcut_norm", f"{theirs}.0.downsample.1"


RESNET = Layout(
    sign="layer1.0.conv1.weight",
    rules=(
        (r"encoder/(conv1|bn1)", r"\1"),
        (r"encoder/(layer\d)_(\d+)/((?:conv|bn)\d)", r"\1.\2.\3"),
        (r"encoder/(layer\d)_(\d+)/downsample_([01])", r"\1.\2.downsample.\3"),
        *_conic_rules(),
    ),
    advice=(
        "ResNet-18 and 34 have basic, 50 and 101 bottleneck blocks, (2, 2, 2, 2), (3, 4, 6, 3), "
        "(3, 4, 6, 3) and (3, 4, 23, 3) of them, all with base_width=64; HoVer-Net has ResNet-50 "
        "in mode 'conic'"
    ),
    covers=r"(encoder|conv0|conv0_norm|d\d)/.*",
    ignored=rf"{IGNORED}|fc\.(weight|bias)",
)


def _u2net_rules() -> Iterator[tuple[str, str]]:
    """Our convolutions count as they are called: in, down to the bottom, and up again."""
    heights = 7, 6, 5, 4, 4, 4  # from full resolution down; the dilated blocks count as height 4
    for kind, suffix, n in (("encoder", "", 6), ("decoder", "d", 5)):
        for stage, height in enumerate(heights[:n], 1):
            down = [f"{level}" for level in range(1, height + 1)]
            up = [f"{level}d" for level in range(height - 1, 0, -1)]
            for i, level in enumerate(["in", *down, *up]):
                ours = f"{kind}{stage}/ConvNormAct_{i}"
                theirs = f"stage{stage}{suffix}.rebnconv{level}"
                yield f"{ours}/Conv_0", f"{theirs}.conv_s1"
                yield f"{ours}/BatchNorm_0", f"{theirs}.bn_s1"


def _other_way_round(kernel: np.ndarray) -> np.ndarray:
    """Theirs fuses the side maps from the finest to the deepest, ours from the deepest on."""
    h, w, inputs, channels = kernel.shape
    sides = kernel.reshape(h, w, inputs // channels, channels, channels)
    return sides[:, :, ::-1].reshape(kernel.shape)


U2NET = Layout(
    sign="stage1.rebnconvin.conv_s1.weight",
    rules=(*_u2net_rules(), (r"mask_side(\d)", r"side\1"), ("mask_fusion", "outconv")),
    advice="its only map is outputs={'mask': 1}; u2net.pth is variant 'full', u2netp.pth 'small'",
    reorder={"mask_fusion/kernel": _other_way_round},
)

# "auto" takes the first whose sign is among the names.
LAYOUTS: dict[str, Layout] = {
    "hovernet": HOVERNET,
    "hovernet_encoder": HOVERNET_ONLY_ENCODER,
    "resnet": RESNET,
    "u2net": U2NET,
}
