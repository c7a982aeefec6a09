"""All methods, small, under one budget: the 2018 Data Science Bowl in minutes on 2 CPU cores.

No paper's setting: data, normalisation, augmentation, crops of 128, batches of 8 and steps are
those of `flexible_unet_dsb2018.py` for all. AdamW with 2e-3 and a cosine too, but for
`alnet_adaptive`, whose own optimizer and loss schedule are scaled to the number of steps. What is a
method's own is in `METHODS`: targets, loss, post-processing. Networks without padding (DIST,
HoVer-Net) are padded here; StarDist's has batch normalisation (without: PQ 0.43). The last four
learn a mask alone, as published: nuclei that touch stay one. HoVer-Net's marker threshold, 0.5, was
chosen on the validation images; its own 0.4 finds few of the small nuclei (PQ 0.55 for 0.64).

    python train.py --config=configs/comparison_dsb2018.py:method=hovernet --workdir=runs/hovernet \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    python eval.py --workdir=runs/hovernet --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.registry import unknown

MASK = {"name": "binary", "loss_name": "bce_dice", "min_size": 20}
FILL = MASK | {"loss_name": "bce", "erode": True, "decode_by": "fill", "radius": 1}
CONTOUR = {"name": "contour", "min_size": 20}
ALNET = {"name": "contour", "targets": "alnet", "form": "bce", "decode_by": "overlaps"}
METHODS = {
    "flexible_unet": CONTOUR,
    "harunet": CONTOUR,
    "unet": FILL | {"weight_map": True},
    "alnet_attention": ALNET | {"min_area_share": 0.1},
    "alnet_adaptive": MASK | {"loss_name": "dice_boundary"},
    "stardist": {"name": "stardist", "n_rays": 32, "grid": 2, "min_size": 20},
    "hovernet": {"name": "hover", "min_size": 20, "marker_threshold": 0.5},
    "dcan": CONTOUR | {"targets": "dcan", "form": "bce", "decode_by": "subtract"},
    "micro_net": FILL,
    "dist": {"name": "distance", "depth": 1, "min_size": 20},
    **dict.fromkeys(("unet_plus_plus", "attention_unet", "ce_net", "deeplabv3_plus"), MASK),
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
    config.data.transforms = (*size, "colour_jitter()", "blur(1.0, p=0.2)", "noise(0.03, p=0.3)")
    config.batch_size, config.duration = 8, f"{arg.steps} steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": part[30]})
    config.clip_norm, config.ema_decay = 1.0, 0.99
    config.evaluation.every = f"{arg.steps} steps"
    config.evaluation.optimize_thresholds = arg.method == "stardist"
    if arg.method == "alnet_adaptive":
        lion = {"name": "lion_then_sgd", "learning_rate": 3e-4, "smoothing": part[60]}
        config.optimizer = ConfigDict(lion | {"warmup": part[12], "patience": part[12]})
        config.schedule = ConfigDict({"name": "constant"})
        stages = {"name": "self_scheduled", "smoothing": part[60], "window": part[12]}
        config.loss_schedule = ConfigDict(stages | {"earliest": part[6], "ramp": part[12]})
    elif arg.method == "dcan":
        config.loss_schedule = ConfigDict({"name": "side_steps", "every": part[5]})
    elif arg.method == "micro_net":
        config.loss_schedule = ConfigDict({"name": "side_decay", "every": part[20]})
    return config
