"""AL-Net with attention learning, for nuclei that touch or overlap: CNSeg, MoNuSeg, BNS, ISBI 2014.

Paper: Zhao et al., "AL-Net: Attention learning network based on multi-task learning for cervical
nucleus segmentation", IEEE JBHI 26(6), 2022; "CNSeg", Computer Methods and Programs in Biomedicine
241, 2023. Dice / AJI / PQ as HARU-Net's paper quotes them: MoNuSeg .823 / .649 / .610, BNS .790 /
.624 / .617; those of CNSeg are not known here.

Settings of the published code, which is later than the first paper: cross entropy of mask and
boundary, Adam with 1e-4, up to 300 epochs, the separation published with CNSeg. Not as there: tiles
of 224 pixels are not enlarged to 448; the validation's PQ lowers the rate, not the training loss;
batches of 16, not 2; the encoder starts from ImageNet only where weights are given
(`--config.weights.file=resnet34.pth`, docs/pretrained.md). Small, for a CPU: fewer blocks,
crops of 128, AdamW with 2e-3.

    jaxnuc train --config=alnet_attention_cnseg:source=cnseg --workdir=runs/alnet \
        --config.data.root=FOLDER
    jaxnuc evaluate --workdir=runs/alnet --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.registry import unknown

LARGE = {"windows": {"size": 320, "stride": 170, "cache": 40}}  # or an epoch were a few steps
SOURCES = {  # section, whether the contour runs along Canny edges
    "cnseg": ({"outlines": {"convention": "alnet", "min_points": 6}}, False),
    "monuseg": ({"convention": "alnet", **LARGE}, True),
    "bns2017": (LARGE, True),
    "isbi2014": (LARGE, False),
}


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, small=False, source="cnseg", subset="patch")
    if arg.source not in SOURCES:
        raise unknown("source", arg.source, SOURCES)
    section, canny = SOURCES[arg.source]
    subset = {"subset": arg.subset} if arg.source == "cnseg" else {}
    config = default()
    size = "small" if arg.small else "full"
    config.model = ConfigDict({"name": "alnet_attention", "variant": size})
    targets = {"name": "alnet", "canny": canny, "max_instances": 150}
    decoder = {"name": "overlaps", "max_instances": 150}
    contour = {"name": "contour", "loss": {"name": "ce"}, "targets": targets, "decoder": decoder}
    config.representation = ConfigDict(contour)
    config.data.source = ConfigDict({"name": arg.source, **section, **subset})
    config.data.transforms = ("random_crop(320)", "preset('alnet_attention')", "random_crop(224)")
    config.batch_size, config.duration, config.compute_dtype = 16, "300 epochs", "bfloat16"
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 1e-4})
    plateau = {"name": "plateau", "factor": 0.5, "patience": 10, "smallest": 5e-3}  # of 1e-4
    config.schedule = ConfigDict(plateau)
    config.evaluation.every = "1 epochs"
    config.evaluation.overlapping = arg.source == "cnseg" and arg.subset != "patch"  # as outlined
    if arg.small:
        crops = ("random_crop(192)", "preset('alnet_attention')", "random_crop(128)")
        config.data.transforms = crops
        config.batch_size, config.duration, config.compute_dtype = 8, "1000 steps", "float32"
        config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3})
        config.schedule = ConfigDict({"name": "cosine", "warmup": "50 steps"})
        config.clip_norm, config.evaluation.every = 1.0, "1000 steps"
    return config
