"""HARU-Net, small (1.1 M parameters), on the nuclei of the 2018 Data Science Bowl.

Paper: Chen et al., "Enhancing Nucleus Segmentation with HARU-Net", which has no figure for this
data set. What differs: blocks of one width as in U2-Net-P, sigmoid heads, AdamW in place of SGD
with 1e-5 (which hardly moves a mean loss), images stretched to their percentiles. `full` is the
paper's network (44 M parameters) at 256 px, for an accelerator; its figures are not known yet.

Small: test Dice 0.875, AJI 0.668, PQ 0.679 (seed 0) after 49 minutes on 2 CPU cores.

    python train.py --config=configs/harunet_dsb2018.py --workdir=runs/harunet_dsb2018 \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    python eval.py --workdir=runs/harunet_dsb2018 --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, full=False)
    config = default()
    config.model = ConfigDict({"name": "harunet", "variant": "full" if arg.full else "small"})
    config.representation = ConfigDict({"name": "contour", "min_size": 20})
    config.data.source = ConfigDict({"name": "dsb2018"})
    config.data.normalize = "percentile"
    crop = 256 if arg.full else 128
    config.data.transforms = (
        f"random_crop({crop * 3 // 2})",
        "scale(0.7, 1.4)",
        f"random_crop({crop})",
        "flip_turn()",
        "colour_jitter()",
        "blur(1.0, p=0.2)",
        "noise(0.03, p=0.3)",
    )
    config.batch_size = 16 if arg.full else 8
    config.duration = "20000 steps" if arg.full else "1500 steps"
    config.compute_dtype = "bfloat16" if arg.full else "float32"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": "100 steps"})
    config.clip_norm = 1.0
    config.ema_decay = 0.99
    config.evaluation.every = "5000 steps" if arg.full else "750 steps"
    return config
