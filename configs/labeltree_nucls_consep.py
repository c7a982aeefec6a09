"""Two data sets with different label sets in one network, small: NuCLS (2 classes) and CoNSeP (7).

Method: Parulekar et al., "Combining Datasets with Different Label Sets for Improved Nucleus
Segmentation and Classification", which does not use NuCLS; no figure to compare with, for a CPU.
The network gives the 11 leaves of the label tree, and the loss of an image sums them up to the
classes of its own set. What differs: a small StarDist with batch normalization (or HoVer-Net:
`network=hovernet`), both sets in every batch, AdamW. `sets=nucls` and `sets=consep` train on one
alone with the same leaves.

The tiles of NuCLS do not state their microns per pixel. Their nuclei are about as large, in pixels,
as those of CoNSeP, so both are read at the latter's 0.25; nothing is resampled.

    jaxnuc train --config=labeltree_nucls_consep --workdir=runs/labeltree \
        --config.data.root=FOLDER_THAT_HOLDS_nucls_AND_consep
    jaxnuc evaluate --workdir=runs/labeltree --split=val
    jaxnuc evaluate --workdir=runs/labeltree --source=nucls --root=FOLDER --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.registry import unknown

SECTIONS = {
    "nucls": {"name": "nucls", "mpp": 0.25},
    # Of 1000 x 1000 pixels: all 22 are kept in memory, or each crop would read one anew.
    "consep": {"name": "consep", "windows": {"size": 192, "stride": 136, "cache": 22}},
}
SETS = {"both": ("nucls", "consep"), "nucls": ("nucls",), "consep": ("consep",)}
NETWORKS = {
    "stardist": (
        {"name": "stardist", "variant": "small", "batch_norm": True},
        {"name": "stardist", "n_rays": 32, "grid": 2, "decoder": {"min_size": 20}},
    ),
    "hovernet": (
        {"name": "hovernet", "variant": "small", "mode": "conic"},
        {"name": "hover", "decoder": {"min_size": 20}},
    ),
}


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, sets="both", network="stardist", steps=1200)
    for given, known in ((arg.sets, SETS), (arg.network, NETWORKS)):
        if given not in known:
            raise unknown("choice", given, known)
    network, representation = NETWORKS[arg.network]
    config = default()
    config.model = ConfigDict(network)
    config.representation = ConfigDict(representation)
    losses = [{"name": "cross_entropy"}, {"name": "focal_tversky"}]
    config.classes = ConfigDict({"name": "leaves", "loss": losses})
    sources = tuple(SECTIONS[name] for name in SETS[arg.sets])
    config.data.source = ConfigDict({"name": "mixture", "label_set": "own", "sources": sources})
    config.data.transforms = ("scale(0.8, 1.25)", "preset('he_light')", "random_crop(128)")
    config.batch_size = 8
    config.duration = f"{arg.steps} steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3})
    config.schedule = ConfigDict({"name": "cosine", "warmup": f"{arg.steps // 16} steps"})
    config.clip_norm = 1.0
    config.ema_decay = 0.99
    config.evaluation.every = f"{arg.steps} steps"
    config.evaluation.optimize_thresholds = arg.network == "stardist"
    return config
