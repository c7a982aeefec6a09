"""A small flexible U-Net learns synthetic nuclei: the first thing to run.

Mask and contour, 3 minutes on 2 CPU cores.

    python train.py --config=configs/quickstart.py --workdir=runs/quickstart
    python eval.py --workdir=runs/quickstart
"""

from ml_collections import ConfigDict

from jaxnuc.config import default


def get_config() -> ConfigDict:
    config = default()
    config.model = ConfigDict({"name": "flexible_unet", "variant": "small"})
    config.representation = ConfigDict({"name": "contour", "min_size": 15})
    config.data.source = ConfigDict({"name": "synthetic"})
    config.data.transforms = ("random_crop(128)", "flip_turn()")
    config.batch_size = 8
    config.duration = "60 steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": "20 steps"})
    config.evaluation.every = "200 steps"
    return config
