"""A small flexible U-Net learns synthetic nuclei: the first thing to run.

Mask and contour on fluorescence-, H&E- and Pap-like pictures; minutes on 2 CPU cores.

    jaxnuc train --config=quickstart --workdir=runs/quickstart
    jaxnuc evaluate --workdir=runs/quickstart
"""

from ml_collections import ConfigDict

from jaxnuc.config import default


def get_config() -> ConfigDict:
    config = default()
    config.model = ConfigDict({"name": "flexible_unet", "variant": "small", "layers": 4})
    config.representation = ConfigDict(
        {"name": "contour", "decoder": {"name": "necks", "min_size": 15}}
    )
    config.data.source = ConfigDict({"name": "synthetic", "size": 96})
    config.data.normalize = "percentile"
    # The crop is for images of other sizes, with which the network may be trained further.
    config.data.transforms = ("random_crop(96)", "flip_turn()")
    config.batch_size = 4
    config.duration = "700 steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 3e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": "50 steps"})
    config.clip_norm = 1.0
    config.ema_decay = 0.98
    config.evaluation.every = "350 steps"
    return config
