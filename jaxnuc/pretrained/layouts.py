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

StarDist's names are those of the layers in `stardist/models/model2d.py` of
github.com/stardist/stardist and `csbdeep/internals/blocks.py` of github.com/CSBDeep/CSBDeep (both
BSD-3). The flexible U-Net's layers have no names, and are known by their order.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

# Of a table of names: a regular expression of the whole path of a module of ours, its parts joined
# by "/", and the name of theirs, with `\1` and so on for the groups.
Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Framework:
    """How a framework names and orders arrays.

    Attributes:
      leaves: the last part of its names by that of our paths.
      norm_bias: the last part of the bias of a normalization.
      joint: what stands before the last part.
      kernel: the order in which it has the axes of our (H, W, in, out).
      transposed: the same of a transposed convolution.
    """

    leaves: Mapping[str, str]
    norm_bias: str
    joint: str
    kernel: tuple[int, int, int, int]
    transposed: tuple[int, int, int, int]


TORCH = Framework(
    leaves={
        "kernel": "weight",
        "scale": "weight",
        "bias": "bias",
        "mean": "running_mean",
        "var": "running_var",
    },
    norm_bias="bias",
    joint=".",
    kernel=(3, 2, 0, 1),
    transposed=(2, 3, 0, 1),
)
KERAS = Framework(
    leaves={
        "kernel": "kernel",
        "bias": "bias",
        "scale": "gamma",
        "mean": "moving_mean",
        "var": "moving_variance",
    },
    norm_bias="beta",
    joint="/",
    kernel=(0, 1, 2, 3),
    transposed=(0, 1, 3, 2),
)
IGNORED = r".*\.num_batches_tracked"


@dataclass(frozen=True)
class Layout:
    """The names of a published checkpoint.

    Attributes:
      sign: a name by which a file of this layout is known.
      rules: the table of names, or what makes it from the paths of a network's arrays.
      advice: what to look at where a network and a file do not fit.
      framework: whose names and axes these are.
      covers: regular expression of the paths of our arrays that a file of this layout holds.
      ignored: regular expression of their names that mean nothing to us.
      transposed: regular expression of the paths of kernels of transposed convolutions.
      reorder: by the path of a kernel, what permutes its channels to their order and back.
    """

    sign: str
    rules: Rules | Callable[[Collection[str]], Rules]
    advice: str
    framework: Framework = TORCH
    covers: str = ".*"
    ignored: str = IGNORED
    transposed: str = ""
    reorder: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)

    def fitted(self, paths: Collection[str]) -> "Layout":
        """The layout of a network whose arrays have these paths."""
        return replace(self, rules=self.rules(paths)) if callable(self.rules) else self

    def name(self, path: str) -> str:
        """Their name for our array `path`, empty where they have none; of a fitted layout."""
        module, _, leaf = path.rpartition("/")
        assert not callable(self.rules)
        for ours, theirs in self.rules:
            match = re.fullmatch(ours, module)
            if match and leaf in self.framework.leaves:
                norm = re.search("norm|bn", module.rpartition("/")[2], re.IGNORECASE)
                own = self.framework.leaves[leaf]
                own = self.framework.norm_bias if norm and leaf == "bias" else own
                return f"{match.expand(theirs)}{self.framework.joint}{own}"
        return ""

    def shape(self, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that our array `path` has there."""
        return tuple(shape[axis] for axis in self._axes(path)) if len(shape) == 4 else tuple(shape)

    def to_theirs(self, path: str, array: np.ndarray) -> np.ndarray:
        """Our array `path` as they have it; convolutions in groups need nothing else."""
        if array.ndim == 4:
            array = self._reordered(path, array).transpose(self._axes(path))
        return np.ascontiguousarray(array)

    def to_ours(self, path: str, array: np.ndarray) -> np.ndarray:
        """The inverse of `to_theirs`."""
        if array.ndim == 4:
            array = self._reordered(path, array.transpose(np.argsort(self._axes(path))))
        return np.ascontiguousarray(array)

    def _axes(self, path: str) -> tuple[int, ...]:
        transposed = re.fullmatch(self.transposed, path)
        return self.framework.transposed if transposed else self.framework.kernel

    def _reordered(self, path: str, kernel: np.ndarray) -> np.ndarray:
        return self.reorder[path](kernel) if path in self.reorder else kernel


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


HEADS = ("prob", "dist", "class")  # as StarDist makes them, one after the other


def _stardist_rules(paths: Collection[str]) -> Iterator[tuple[str, str]]:
    """Names, and the order of the layers that have none: those of the grid and of the heads."""
    modules = {path.rpartition("/")[0] for path in paths}
    block = rf"({'|'.join(HEADS)})_block(\d+)/Conv_(\d)"
    blocks = {m: re.fullmatch(block, m) for m in modules}
    order = {m: (HEADS.index(x[1]), int(x[2]), int(x[3])) for m, x in blocks.items() if x}
    steps = [f"grid{i}_conv{j}" for i in (0, 1) for j in (1, 2)]
    unnamed = [*(m for m in steps if m in modules), *sorted(order, key=lambda m: order[m])]
    for number, module in enumerate(unnamed):
        yield module, f"conv2d_{number}"
    yield from STARDIST_NAMES


STARDIST_NAMES: Rules = (
    (r"down(\d+)_conv1", r"down_level_\1_no_0"),
    (r"down(\d+)_conv2", r"down_level_\1_no_1"),
    ("middle_conv1", "middle_0"),
    ("middle_conv2", "middle_2"),
    (r"up(\d+)_conv1", r"up_level_\1_no_0"),
    (r"up(\d+)_conv2", r"up_level_\1_no_2"),
    ("features", "features"),
    ("class_features", "features_class"),
    ("(prob|dist)_head", r"\1"),
    ("class_head", "prob_class"),
)
STARDIST = Layout(
    sign="middle_0/kernel",
    rules=lambda paths: tuple(_stardist_rules(paths)),
    advice=(
        "the maps are outputs={'prob': 1, 'dist': RAYS}, with classes 'class' as well, the "
        "background among its channels; grid, depth and widths are in its config.json"
    ),
    framework=KERAS,
)


def _flexible_unet_rules(paths: Collection[str]) -> Iterator[tuple[str, str]]:
    """By order: down to the deepest level, up again, and the head."""
    levels = len({path.partition("/")[0] for path in paths if path.startswith("down")})
    blocks = [f"down{k}" for k in range(levels)] + [f"up{k}" for k in reversed(range(levels - 1))]
    for number, block in enumerate(blocks):
        for k in (0, 1):
            yield f"{block}/Conv_{k}", f"conv2d_{2 * number + k}"
            yield f"{block}/BatchNorm_{k}", f"batch_normalization_{2 * number + k}"
    for level in range(levels - 1):
        yield f"double{level}", f"conv2d_transpose_{levels - 2 - level}"
    yield "mask_head", f"conv2d_{2 * len(blocks)}"


FLEXIBLE_UNET = Layout(
    sign="conv2d_transpose_0/kernel",
    rules=lambda paths: tuple(_flexible_unet_rules(paths)),
    advice=(
        "its only map is outputs={'mask': CLASSES}; layers, base_filters, kernel and dilation are "
        "those of the training, and variant is 'neoplastic' or 'base'"
    ),
    framework=KERAS,
    transposed=r"double\d+/kernel",
)

# "auto" takes the first whose sign is among the names.
LAYOUTS: dict[str, Layout] = {
    "flexible_unet": FLEXIBLE_UNET,
    "hovernet": HOVERNET,
    "hovernet_encoder": HOVERNET_ONLY_ENCODER,
    "resnet": RESNET,
    "stardist": STARDIST,
    "u2net": U2NET,
}
