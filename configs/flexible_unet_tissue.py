"""The flexible U-Net, small (1.9 M parameters), on any set of stained tissue or cytology.

Network: the TensorFlow project "Slightly Flexible UNet" (antillia), with batch normalization and
mask and contour in place of a mask alone. No published figure; for a first look at a data set,
a few minutes on 2 CPU cores. Large images are read faster packed: `jaxnuc pack`.

    jaxnuc train --config=flexible_unet_tissue:source=consep --workdir=runs/consep \
        --config.data.root=FOLDER_OR_ZIP
    jaxnuc evaluate --workdir=runs/consep --split=val
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, source="consep", steps=400, crop=128, preset="he_medium")
    config = default()
    config.model = ConfigDict({"name": "flexible_unet", "variant": "small"})
    config.representation = ConfigDict({"name": "contour", "decoder": {"min_size": 20}})
    config.data.source = ConfigDict({"name": arg.source})
    config.data.transforms = (
        f"random_crop({arg.crop * 3 // 2})",
        f"preset({arg.preset!r})",
        f"random_crop({arg.crop})",
    )
    config.batch_size = 8
    config.duration = f"{arg.steps} steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": "50 steps"})
    config.clip_norm = 1.0
    config.ema_decay = 0.99
    config.evaluation.every = f"{arg.steps} steps"
    return config
