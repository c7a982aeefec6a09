"""The flexible U-Net, small (1.9 M parameters), on the nuclei of the 2018 Data Science Bowl.

Network: the TensorFlow project "Slightly Flexible UNet" (antillia), which publishes no figure for
this data set. What differs: batch normalization, no dropout, and mask and contour in place of a
mask alone (`representation=binary` gives that), since touching nuclei are to come apart.

Test Dice 0.874, AJI 0.676, PQ 0.686 (seed 0) after 20 minutes on 2 CPU cores.

    jaxnuc train --config=flexible_unet_dsb2018 --workdir=runs/flexible_unet_dsb2018 \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    jaxnuc evaluate --workdir=runs/flexible_unet_dsb2018 --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, representation="contour")
    config = default()
    config.model = ConfigDict({"name": "flexible_unet", "variant": "small"})
    config.representation = ConfigDict({"name": arg.representation, "decoder": {"min_size": 20}})
    config.data.source = ConfigDict({"name": "dsb2018"})
    config.data.normalize = "percentile"
    config.data.transforms = (
        "random_crop(192)",
        "scale(0.7, 1.4)",
        "random_crop(128)",
        "flip_turn()",
        "color_jitter()",
        "blur(1.0, p=0.2)",
        "noise(0.03, p=0.3)",
    )
    config.batch_size = 8
    config.duration = "3000 steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": "100 steps"})
    config.clip_norm = 1.0
    config.ema_decay = 0.99
    config.evaluation.every = "1000 steps"
    return config
