"""StarDist on the 2018 Data Science Bowl, with the settings of its published examples.

Paper: Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI 2018. Its figures are
average precisions on 497 fluorescence images of this set, 50 of them for testing, and are not
those of all images; `fluorescence` takes only those images, where a `split.csv` tells them.

32 rays on a grid of 2, percentiles to 0 and 255, crops of 256 around nuclei mostly, Adam with 3e-4,
batches of 4, 400 epochs of 100 steps, thresholds chosen on the validation images at the end. What
differs: images in color; the 10 % that validate are whole images, whose PQ, and not the loss,
lowers the rate. `small`, for a CPU: half the channels, batches of 8 crops of 128, AdamW.

    jaxnuc train --config=stardist_dsb2018 --workdir=runs/stardist \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    jaxnuc evaluate --workdir=runs/stardist --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, small=False, fluorescence=False)
    config = default()
    size = "small" if arg.small else "full"
    config.model = ConfigDict({"name": "stardist", "variant": size})
    config.representation = ConfigDict({"name": "stardist", "n_rays": 32, "grid": 2})
    config.data.source = ConfigDict({"name": "dsb2018"})
    if arg.fluorescence:
        config.data.source.modality = "fluorescence"
    config.data.normalize = "percentile"
    config.data.transforms = ("foreground_crop(256, p=0.9)", "preset('stardist')")
    config.batch_size = 4
    config.duration = "40000 steps"
    config.compute_dtype = "bfloat16"
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 3e-4, "eps": 1e-7})
    config.schedule = ConfigDict({"name": "plateau", "factor": 0.5, "patience": 10})
    config.evaluation.every = "400 steps"
    config.evaluation.optimize_thresholds = True
    if arg.small:
        config.data.transforms = ("foreground_crop(128, p=0.9)", "preset('stardist')")
        config.batch_size = 8
        config.duration = "1500 steps"
        config.compute_dtype = "float32"
        config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 1e-3})
        config.schedule = ConfigDict({"name": "cosine", "warmup": "50 steps"})
        config.clip_norm = 1.0
        config.evaluation.every = "1500 steps"
    return config
