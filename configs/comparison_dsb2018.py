"""All methods, small, under one budget: the 2018 Data Science Bowl in minutes on 2 CPU cores.

No paper's setting: data, normalization, augmentation, crops of 128, batches of 8 and steps are
those of `flexible_unet_dsb2018.py` for all. AdamW with 2e-3 and a cosine too, but for
`alnet_adaptive`, whose own optimizer and loss schedule are scaled to the number of steps. What is a
method's own is in `METHODS`: targets, loss, post-processing. Networks without padding (DIST,
HoVer-Net) are padded here; StarDist's has batch normalization (without: PQ 0.43). The last four
learn a mask alone, as published: nuclei that touch stay one. HoVer-Net's marker threshold, 0.5, was
chosen on the validation images; its own 0.4 finds few of the small nuclei (PQ 0.55 for 0.64).

    jaxnuc train --config=comparison_dsb2018:method=hovernet --workdir=runs/hovernet \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    jaxnuc evaluate --workdir=runs/hovernet --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.registry import unknown

LARGE = {"min_size": 20}
MASK = {"name": "binary", "loss": {"name": "bce_dice"}, "decoder": LARGE}
FILL = {"name": "binary", "loss": {"name": "bce"}, "targets": {"name": "mask", "erode": True}}
FILL["decoder"] = {"name": "fill", "radius": 1, **LARGE}
CONTOUR = {"name": "contour", "decoder": LARGE}
OVERLAPS = {"name": "overlaps", "min_area_share": 0.1}
ALNET = {"name": "contour", "targets": {"name": "alnet"}, "loss": {"name": "ce"}}
DCAN = {"name": "contour", "targets": {"name": "dcan"}, "loss": {"name": "ce"}}
METHODS = {
    "flexible_unet": CONTOUR,
    "harunet": CONTOUR,
    "unet": FILL | {"targets": {"name": "weighted_mask", "erode": True}},
    "alnet_attention": ALNET | {"decoder": OVERLAPS},
    "alnet_adaptive": MASK | {"loss": {"name": "dice_boundary"}},
    "stardist": {"name": "stardist", "n_rays": 32, "grid": 2, "decoder": LARGE},
    "hovernet": {"name": "hover", "decoder": {"marker_threshold": 0.5, **LARGE}},
    "dcan": DCAN | {"decoder": {"name": "subtract", **LARGE}},
    "micro_net": FILL,
    "dist": {"name": "distance", "decoder": {"depth": 1, **LARGE}},
    **dict.fromkeys(("unet_plus_plus", "attention_unet", "ce_net"), MASK),
    **dict.fromkeys(("deeplabv3", "deeplabv3_plus"), MASK),
    "pspnet": MASK | {"loss": {"name": "bce_dice", "side_weight": 0.4}},
}
OWN = {"hovernet": {"mode": "conic"}, "dist": {"padding": "same"}, "stardist": {"batch_norm": True}}


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, method="flexible_unet", steps=600)
    if arg.method not in METHODS:
        raise unknown("method", arg.method, METHODS)
    part = {n: f"{max(arg.steps // n, 1)} steps" for n in (5, 6, 12, 20, 30, 60)}
    config, own = default(), OWN.get(arg.method, {})
    config.model = ConfigDict({"name": arg.method, "variant": "small", **own})
    config.representation = ConfigDict(METHODS[arg.method])
    config.data.source = ConfigDict({"name": "dsb2018"})
    config.data.normalize = "percentile"
    size = ("random_crop(192)", "scale(0.7, 1.4)", "random_crop(128)", "flip_turn()")
    config.data.transforms = (*size, "color_jitter()", "blur(1.0, p=0.2)", "noise(0.03, p=0.3)")
    config.batch_size, config.clip_norm, config.ema_decay = 8, 1.0, 0.99
    config.duration = config.evaluation.every = f"{arg.steps} steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": part[30]})
    config.evaluation.optimize_thresholds = arg.method == "stardist"
    if arg.method == "alnet_adaptive":
        lion = {"name": "lion_then_sgd", "learning_rate": 3e-4}
        rule = {"name": "dynamic", "smoothing": part[60], "warmup": part[12], "patience": part[12]}
        config.optimizer = ConfigDict(lion | {"criterion": rule})
        config.schedule = ConfigDict({"name": "constant"})
        stages = {"name": "self_scheduled", "smoothing": part[60], "window": part[12]}
        config.loss_schedule = ConfigDict(stages | {"earliest": part[6], "ramp": part[12]})
    elif arg.method == "dcan":
        config.loss_schedule = ConfigDict({"name": "side_steps", "every": part[5]})
    elif arg.method == "micro_net":
        config.loss_schedule = ConfigDict({"name": "side_decay", "every": part[20]})
    return config
