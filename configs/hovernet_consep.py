"""HoVer-Net on CoNSeP, Kumar, PanNuke and MoNuSAC, trained in two phases.

Paper: Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019. Figures of its published code in
PyTorch, Dice / PQ / AJI: Kumar .8211 / .5904 / .6321, CoNSeP .8504 / .5464 / .6009, and F1 by class
on CoNSeP: detection .748, epithelial .635, inflammatory .631, spindle .566, miscellaneous .426.

Settings of that code: 270 pixels in, 80 out (256, 164 for PanNuke, MoNuSAC and by `fast`), Adam
with 1e-4 that falls tenfold after 25 epochs, in each of two phases of 50; decoders first. What
differs: batches of 8, where it has 16 and then 4 on each of two GPUs, which cannot change within a
run here; windows stay inside the image, not mirrored at its border; a fifth of the training images
validates. The first phase is of use with an encoder from ImageNet,
`--config.weights.file=FILE.pth` (docs/pretrained.md); `scratch` trains everything from the
start. `small`, for a CPU: thin, padded, crops of 128, AdamW, one phase.

    jaxnuc train --config=hovernet_consep:source=consep --workdir=runs/hovernet \
        --config.data.root=FOLDER --config.weights.file=ImageNet-ResNet50-Preact_pytorch.tar
    jaxnuc evaluate --workdir=runs/hovernet --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.models.hovernet import FROZEN_FIRST
from jaxnuc.registry import unknown

CLASSES = {"consep": {"merge": True}, "pannuke": {}, "monusac": {"mpp": 0.25}}
SOURCES = CLASSES | {name: {} for name in ("kumar", "monuseg", "cpm17", "tnbc")}


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, small=False, source="consep", fast=False, scratch=False)
    if arg.source not in SOURCES:
        raise unknown("source", arg.source, SOURCES)
    fast = arg.fast or arg.source in ("pannuke", "monusac")
    config = default()
    config.model = ConfigDict({"name": "hovernet", "variant": "fast" if fast else "full"})
    config.representation = ConfigDict({"name": "hover"})
    if arg.source in CLASSES:
        losses = [{"name": "cross_entropy"}, {"name": "dice"}]
        config.classes = ConfigDict({"name": "groups", "loss": losses, "vote": "majority"})
    config.data.source = ConfigDict({"name": arg.source, **SOURCES[arg.source]})
    if arg.source != "pannuke":  # tiles of 256 pixels
        windows = {"size": 540, "stride": 164 if fast else 80, "cache": 30}
        config.data.source.windows = ConfigDict(windows)
    config.data.transforms = ("preset('hovernet_fast')" if fast else "preset('hovernet')",)
    config.batch_size = 8
    config.duration = "100 epochs"
    config.compute_dtype = "bfloat16"
    adam = {"name": "adam", "learning_rate": 1e-4}
    if not arg.scratch:
        adam |= {"frozen": FROZEN_FIRST, "frozen_until": "50 epochs"}
    config.optimizer = ConfigDict(adam)
    config.schedule = ConfigDict({"name": "step", "every": "25 epochs", "restart": "50 epochs"})
    config.evaluation.every = "5 epochs"
    if arg.small:
        config.model = ConfigDict({"name": "hovernet", "variant": "small", "mode": "conic"})
        config.data.transforms = ("random_crop(192)", "preset('he_medium')", "random_crop(128)")
        config.duration, config.compute_dtype = "1000 steps", "float32"
        config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3})
        config.schedule = ConfigDict({"name": "cosine", "warmup": "50 steps"})
        config.clip_norm, config.evaluation.every = 1.0, "1000 steps"
    return config
