"""Annotations of one domain, images of another: a mean teacher, with and without.

Methods: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017; French et al.,
"Self-ensembling for visual domain adaptation", ICLR 2018. No paper's setting. `shift=dsb2018` has
the nuclei of fluorescence images of the 2018 Data Science Bowl, and its stained and gray images
without theirs; `shift=consep` those of CoNSeP, and the images of MoNuSeg. `without` leaves the
unlabeled images out. See docs/domains.md.

    jaxnuc train --config=self_training:small --workdir=runs/self_training \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    jaxnuc evaluate --workdir=runs/self_training --split=test \
        --source='dsb2018(modality=("stained", "brightfield-grey"))'
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.registry import check_known

# The source with annotations, that of the images without, transforms of the former, normalization.
OTHERS = ("stained", "brightfield-grey")
SHIFTS = {
    "dsb2018": (
        {"name": "dsb2018", "modality": "fluorescence"},
        {"name": "dsb2018", "modality": OTHERS},
        ("invert()", "color_jitter()"),
        "percentile",
    ),
    "consep": (
        {"name": "consep"},
        {"name": "monuseg"},
        ("stain_jitter()", "color_jitter()"),
        "none",
    ),
}


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, shift="dsb2018", small=False, without=False)
    check_known("shift", arg.shift, SHIFTS)
    source, unlabeled, colors, normalize = SHIFTS[arg.shift]
    config = default()
    config.model = ConfigDict({"name": "unet", "variant": "small" if arg.small else "full"})
    config.representation = ConfigDict({"name": "contour", "decoder": {"min_size": 20}})
    config.data.source = ConfigDict(source)
    config.data.normalize = normalize
    crop = 128 if arg.small else 256
    geometry = (f"random_crop({crop * 3 // 2})", "scale(0.7, 1.4)", f"random_crop({crop})")
    config.data.transforms = (*geometry, "flip_turn()", *colors, "blur(1.0)", "noise()")
    config.batch_size = 8 if arg.small else 16
    if not arg.without:
        config.self_training.source = ConfigDict(unlabeled)
    config.self_training.transforms = (*geometry, "flip_turn()")
    config.self_training.student_transforms = (
        "color_jitter(0.4, 0.4, 0.4)",
        "blur(1.0)",
        "noise(0.05)",
    )
    config.self_training.batch_size = config.batch_size
    config.duration = "400 steps" if arg.small else "20000 steps"
    config.self_training.warmup = "200 steps" if arg.small else "2000 steps"
    config.compute_dtype = "float32" if arg.small else "bfloat16"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": "50 steps"})
    config.clip_norm = 1.0
    config.ema_decay = 0.99
    config.evaluation.every = config.duration if arg.small else "5000 steps"
    return config
