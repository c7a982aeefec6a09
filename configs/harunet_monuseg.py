"""HARU-Net on the four data sets of its paper, and the rows of its ablation table.

Paper: Chen, Huang, Chen, Qian, Yu, "Enhancing Nucleus Segmentation with HARU-Net". Its Tables 1-4
(Dice / AJI / PQ): MoNuSeg .838 / .656 / .624, CoNSeP .856 / .554 / .518, CPM-17 .895 / .721 / .701,
BNS (here TNBC) .812 / .651 / .631. What it calls AJI is `aji_plus` by its code. Table 5, MoNuSeg:
`unet` .758 / .478 / .556, `rsu` .790 / .533 / .570, `rsu_cf` .808 / .580 / .579, `rsu_cbam` .820 /
.590 / .583 (`rsu_cbam_everywhere` .006 less of Dice and PQ), `rsu_cbam_cf` .827 / .598 / .589,
`all` .838 / .656 / .624. `all` ends in Algorithm 1, the others in an unspecified watershed.

Settings of the published code. Not as there: images held out of the training set decide on rate and
checkpoint, the code takes the test set; copies of an image are drawn, so an epoch is an eighth;
TNBC keeps its 512 pixels. `optimizer=paper` sums the losses over an image, for SGD with 1e-5; it
clips gradients. `small`, for a CPU, has narrow blocks, AdamW and stronger augmentation. What the
paper adds for CoNSeP is unspecified and left out: `preset('harunet_consep')`.

    jaxnuc train --config=harunet_monuseg:ablation=all --workdir=runs/haru \
        --config.data.root=FOLDER
    jaxnuc evaluate --workdir=runs/haru --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.registry import unknown

SOURCES = {  # arguments, crop, batch
    "monuseg": ({"convention": "haru"}, 1000, 4),
    "consep": ({}, 1000, 4),
    "cpm17": ({}, 512, 12),
    "tnbc": ({"fractions": (0.55, 0.15, 0.3)}, 512, 12),
}
UNET = {"block": "double_conv", "attention": "none", "fusion": "none", "deep_supervision": False}
ABLATION = {
    "unet": UNET,
    "rsu": {"attention": "none", "fusion": "conv"},
    "rsu_cf": {"attention": "none"},
    "rsu_cbam_everywhere": {"attention": "cbam_everywhere", "fusion": "conv"},
    "rsu_cbam": {"fusion": "conv"},
    "rsu_cbam_cf": {},
    "all": {},
}


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, small=False, source="monuseg", ablation="all", optimizer="code")
    choices = {"source": SOURCES, "ablation": ABLATION, "optimizer": ("code", "paper")}
    for key, known in choices.items():
        if arg[key] not in known:
            raise unknown(key, arg[key], known)
    section, crop, batch = SOURCES[arg.source]
    paper, size = arg.optimizer == "paper", "small" if arg.small else "full"
    config = default()
    config.model = ConfigDict({"name": "harunet", "variant": size, **ABLATION[arg.ablation]})
    maps = {"loss": {"name": "pixel_sum"}} if paper else {"channels": 2}
    growth = {"name": "growth", "erosion": 1 if arg.source == "consep" else 0}
    decoder = growth if arg.ablation == "all" else {"name": "watershed"}
    config.representation = ConfigDict({"name": "contour", **maps, "decoder": decoder})
    config.data.source = ConfigDict({"name": arg.source, **section})
    config.data.transforms = (f"random_crop({crop})", "preset('harunet')")
    config.batch_size, config.duration = batch, "1600 epochs"
    config.compute_dtype = "bfloat16"
    sgd = {"name": "sgd", "learning_rate": 1e-5}
    rmsprop = {"name": "rmsprop", "learning_rate": 1e-5, "momentum": 0.999, "weight_decay": 1e-8}
    config.optimizer = ConfigDict(sgd if paper else rmsprop)
    config.schedule = ConfigDict({"name": "plateau", "patience": 10})  # 10 published epochs
    config.clip_norm = 1e4 if paper else 1.0
    config.evaluation.every, config.evaluation.monitor = "8 epochs", "dice_image_mean"
    if arg.small:
        config.data.transforms = ("random_crop(192)", "preset('he_medium')", "random_crop(128)")
        config.batch_size, config.duration, config.compute_dtype = 8, "1500 steps", "float32"
        config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3})
        config.schedule = ConfigDict({"name": "cosine", "warmup": "100 steps"})
        config.clip_norm, config.evaluation.every = 1.0, "750 steps"
    return config
