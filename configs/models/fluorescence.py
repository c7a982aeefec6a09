"""The model `fluorescence`: nuclei in fluorescence images, of any camera and magnification.

A small flexible U-Net (0.5 M parameters) that sees nuclei at about 20 pixels across: images are
brought to that size in training and in use. Data: the fluorescence images of the 2018 Data Science
Bowl and synthetic ones, both CC0. About half an hour on 2 CPU cores.

    jaxnuc train --config=models/fluorescence --workdir=runs/fluorescence \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    jaxnuc evaluate --workdir=runs/fluorescence --source='dsb2018(modality="fluorescence")'
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, steps=4000)
    config = default()
    config.model = ConfigDict({"name": "flexible_unet", "variant": "small", "layers": 4})
    # At 20 pixels across, nuclei have 300 pixels; chosen on the validation images.
    decoder = {
        "name": "necks",
        "threshold": 0.55,
        "neck": 0.95,
        "contour_share": 0.6,
        "min_size": 40,
        "min_score": 0.8,
    }
    config.representation = ConfigDict({"name": "contour", "decoder": decoder})
    sources = (
        {"name": "dsb2018", "modality": "fluorescence", "weight": 0.8},
        {"name": "synthetic", "styles": ("fluorescence",), "weight": 0.2},
    )
    config.data.source = ConfigDict({"name": "mixture", "sources": sources, "label_set": "none"})
    config.data.normalize = "dark_background"
    config.data.transforms = (
        "crop_at_diameter(128, 20, 0.6, 1.7)",
        "flip_turn()",
        "elastic(4, p=0.3)",
        "invert(p=0.15)",
        "gamma(0.6, 1.7, p=0.5)",
        "uneven_light()",
        "intensity(0.4, 1.4, shift=0.1, p=0.5)",
        "blur(1.5, p=0.3)",
        "noise(0.05, p=0.4)",
        "hot_pixels()",
        "few_levels()",
        "low_resolution(5, p=0.3)",
    )
    config.batch_size = 8
    config.duration = f"{arg.steps} steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": "100 steps"})
    config.clip_norm = 1.0
    config.ema_decay = 0.995
    config.evaluation.every = f"{arg.steps // 2} steps"
    config.evaluation.monitor = "dsb2018/pq_image_mean"
    return config
