"""HARU-Net on the nuclei of the 2018 Data Science Bowl.

Paper: Chen et al., "Enhancing Nucleus Segmentation with HARU-Net", which has no figure for this
data set. The paper's network (44 M parameters) at 256 px, for an accelerator. What differs: sigmoid
heads, AdamW in place of SGD with 1e-5 (which hardly moves a mean loss), images stretched to their
percentiles. `small`, for a CPU, has blocks of one width as in U2-Net-P (1.1 M parameters):
test Dice 0.875, AJI 0.668, PQ 0.679 (seed 0) after 49 minutes on 2 CPU cores.

    jaxnuc train --config=harunet_dsb2018:small --workdir=runs/harunet_dsb2018 \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    jaxnuc evaluate --workdir=runs/harunet_dsb2018 --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, small=False)
    config = default()
    config.model = ConfigDict({"name": "harunet", "variant": "small" if arg.small else "full"})
    config.representation = ConfigDict({"name": "contour", "decoder": {"min_size": 20}})
    config.data.source = ConfigDict({"name": "dsb2018"})
    config.data.normalize = "percentile"
    crop = 128 if arg.small else 256
    config.data.transforms = (
        f"random_crop({crop * 3 // 2})",
        "scale(0.7, 1.4)",
        f"random_crop({crop})",
        "flip_turn()",
        "color_jitter()",
        "blur(1.0, p=0.2)",
        "noise(0.03, p=0.3)",
    )
    config.batch_size = 8 if arg.small else 16
    config.duration = "1500 steps" if arg.small else "20000 steps"
    config.compute_dtype = "float32" if arg.small else "bfloat16"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": "100 steps"})
    config.clip_norm = 1.0
    config.ema_decay = 0.99
    config.evaluation.every = "750 steps" if arg.small else "5000 steps"
    return config
