"""The methods that others are compared with: U-Net, DIST, Micro-Net, DCAN, and six later networks.

Quoted Dice / AJI / PQ: MoNuSeg, Table 1 of HARU-Net's paper: `unet` .758 / .556 / .478, `dist` .786
/ .560 / .443, `dcan` .793 / .525 / .492, `micro_net` .797 / .560 / .519. BNS (here TNBC), its Table
3: `unet_plus_plus` .777 / .572 / .549, `attention_unet` .782 / .576 / .554, `ce_net` .779 / .582 /
.548. CoNSeP, Parulekar et al., Table 3: `deeplabv3_plus` PQ .373; MoNuSAC, their text: `unet` .350,
`deeplabv3` .396, `pspnet` .387.

Settings of the first four: Graham et al., "HoVer-Net", 2019, who reimplemented them; rate and input
of DCAN and the batch of DIST are choices made here, and windows stay inside the image. The others
learn a mask by cross entropy and Dice, with AL-Net's rate and epochs and batches of 8. `small`, for
a CPU: thin networks, padded, crops of 128, AdamW.

    jaxnuc train --config=references_monuseg:method=dcan --workdir=runs/dcan \
        --config.data.root=FOLDER
    jaxnuc evaluate --workdir=runs/dcan --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.registry import unknown

CE, BCE, BCE_DICE = {"name": "ce"}, {"name": "bce"}, {"name": "bce_dice"}
FILL, SUBTRACT = {"name": "fill"}, {"name": "subtract"}
MASK = {"name": "binary", "channels": 2, "loss": BCE, "decoder": FILL}
BORDERS = {"name": "weighted_mask", "erode": True}
OUTLINES = {"name": "contour", "channels": 2, "targets": {"name": "dcan"}, "loss": CE}
# Representation, crop, batch, epochs.
METHODS = {
    "unet": (MASK | {"targets": BORDERS}, 268, 8, 240),
    "dist": ({"name": "distance"}, 268, 8, 80),
    "micro_net": (MASK | {"decoder": FILL | {"radius": 1}}, 252, 4, 250),
    "dcan": (OUTLINES | {"decoder": SUBTRACT}, 256, 4, 240),
}
LATER = (MASK | {"channels": 1, "loss": BCE_DICE}, 256, 8, 300)
NAMES = ("unet_plus_plus", "attention_unet", "ce_net", "deeplabv3", "deeplabv3_plus")
METHODS |= dict.fromkeys(NAMES, LATER)
METHODS["pspnet"] = (LATER[0] | {"loss": BCE_DICE | {"side_weight": 0.4}}, *LATER[1:])
L2 = {"micro_net": {"weight_decay": 1e-5}}
ADAM = L2 | {"dist": {"learning_rate": 1e-3, "weight_decay": 5e-6}}
STEPS = {"unet": {"every": "120 epochs"}, "dist": {"every": "10 epochs", "factor": 0.96}}
STEPS |= {"micro_net": {"every": "125 epochs"}}
WINDOWS = {"size": 540, "stride": 80, "cache": 40}
SIDE = {"micro_net": {"name": "side_decay"}, "dcan": {"name": "side_steps", "every": "50 epochs"}}


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, small=False, method="unet", source="monuseg")
    name = arg.method
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    representation, crop, batch, epochs = METHODS[name]
    config = default()
    config.model = ConfigDict({"name": name, "variant": "valid" if name == "unet" else "full"})
    config.representation = ConfigDict(representation)
    config.data.source = ConfigDict({"name": arg.source, "windows": WINDOWS})
    config.data.transforms = ("preset('hovernet')", f"center_crop({crop})")
    config.batch_size, config.duration = batch, f"{epochs} epochs"
    config.compute_dtype = "bfloat16"
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 1e-4, **ADAM.get(name, {})})
    step = {"name": "step" if name in STEPS else "constant", **STEPS.get(name, {})}
    config.schedule = ConfigDict(step)
    config.loss_schedule = ConfigDict({"name": "constant", **SIDE.get(name, {})})
    config.evaluation.every = "5 epochs"
    if arg.small:
        config.model = ConfigDict({"name": name, "variant": "small"})
        if name == "dist":
            config.model.padding = "same"
        config.data.transforms = ("random_crop(192)", "preset('he_medium')", "random_crop(128)")
        config.batch_size, config.duration, config.compute_dtype = 8, "1000 steps", "float32"
        config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3})
        config.schedule = ConfigDict({"name": "cosine", "warmup": "50 steps"})
        config.clip_norm, config.evaluation.every = 1.0, "1000 steps"
    return config
