"""The layouts of HoVer-Net's checkpoints: whole networks, and the encoder pretrained on ImageNet.

The names are those of the modules in `models/hovernet/net_desc.py` and `net_utils.py` of
github.com/vqdang/hover_net (MIT). All published PyTorch files have them, of both modes, those
converted from TensorFlow included. Dots join modules; slashes are part of their names.

Channels: `np` is background, nucleus; `hv` horizontal, vertical; of `tp`, our `class`, channel 0 is
background and channel k class k of the training data. For PanNuke these are neoplastic,
inflammatory, connective, dead, non-neoplastic epithelial; for CoNSeP, of which 4 classes are kept
apart, other, inflammatory, epithelial, spindle. That is the order of `jaxnuc.labels.label_set`.
"""

from collections.abc import Iterator

from jaxnuc.pretrained import layout
from jaxnuc.pretrained.layout import Layout

MAPS = {"np": "np", "hv": "hv", "class": "tp"}

ENCODER_RULES = (
    ("conv0", "conv0./"),
    ("conv0_norm", "conv0.bn"),
    (r"(d\d)/unit(\d+)/norm0", r"\1.units.\2.preact/bn"),
    (r"(d\d)/unit(\d+)/norm([12])", r"\1.units.\2.conv\3/bn"),
    (r"(d\d)/unit(\d+)/conv([123])", r"\1.units.\2.conv\3"),
    (r"(d\d)/shortcut", r"\1.shortcut"),
    (r"(d\d)/closing_norm", r"\1.blk_bna.bn"),
)
DECODER_RULES = (
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
IGNORED = rf"{layout.IGNORED}|upsample2x\.unpool_mat"


def decoder_rules() -> Iterator[tuple[str, str]]:
    """The names in the decoder of each map."""
    for our_map, their_map in MAPS.items():
        for ours, theirs in DECODER_RULES:
            yield f"{our_map}_decoder/{ours}", f"decoder.{their_map}.{theirs}"


LAYOUT = Layout(
    sign="decoder.np.u0.conv.weight",
    rules=(*ENCODER_RULES, ("conv_bot", "conv_bot"), *decoder_rules()),
    advice=(
        "files without types are of outputs={'np': 2, 'hv': 2}, those with types of 'class' as "
        "well, with the background among its channels (PanNuke 6, CoNSeP 5); mode is 'original' or "
        "'fast'"
    ),
    ignored=IGNORED,
)

# `ImageNet-ResNet50-Preact_pytorch.tar`, which the authors' training begins with.
ENCODER = Layout(
    sign="conv0./.weight",
    rules=ENCODER_RULES,
    advice="the encoder is that of modes 'original' and 'fast' with width=64, units=(3, 4, 6, 3)",
    covers=r"(conv0|conv0_norm|d\d)/.*",
    ignored=IGNORED,
)
