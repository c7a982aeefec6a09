"""One network for data sets with different label sets: PanNuke, CoNSeP and MoNuSAC.

Paper: Parulekar et al., "Combining Datasets with Different Label Sets for Improved Nucleus
Segmentation and Classification". PQ on the test images of the second set, after epochs of the first
and of the second (Table 2; PQ without classes, of which kind the paper does not say):

    consep 100: .540; monusac 175, consep 75: .555; pannuke 250, consep 75: .571
    monusac 175: .579; consep 100, monusac 130: .587; pannuke 250, monusac 130: .602
    pannuke 250: .610; consep 100, pannuke 187: .605; monusac 175, pannuke 187: .610

Unseen (Table 4), MoNuSAC after consep 100: .433, and pannuke 62: .563; CoNSeP after monusac 175:
.344, and pannuke 62: .449; PanNuke after monusac 175: .396, and consep 25: .405.

The 11 leaves of the label tree are predicted; the loss sums them up to the classes of each image's
set. The paper gives neither rate, batch, rays nor losses' weights: they are those of StarDist for
CoNIC, on which it builds, and so are an epoch of 1024 samples, refined shapes and thresholds. An
episode ends early, the paper says by the validation's loss, and here after 50 epochs in which that
of its own set is not lower; after 25 the rate is halved. The best checkpoint is one of the last
episode. `mixed` has both sets in each batch, each as often. One set alone: `second_epochs=0`.
`small`, for a CPU: narrow, epochs of 4 batches of 8, no refinement, evaluated after each episode.

    jaxnuc train --config=stardist_labeltree_pannuke_consep \
        --workdir=runs/labeltree --config.data.root=FOLDER_THAT_HOLDS_pannuke_AND_consep
    jaxnuc evaluate --workdir=runs/labeltree
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default
from jaxnuc.registry import unknown

SETS = {  # all at 0.25 microns per pixel
    "pannuke": {},
    "consep": {"windows": {"size": 256, "stride": 248, "cache": 22}},
    "monusac": {"mpp": 0.25, "windows": {"size": 256, "stride": 256, "cache": 50}},
}


def get_config(text: str = "") -> ConfigDict:
    pair = {"first": "pannuke", "first_epochs": 250, "second": "consep", "second_epochs": 75}
    arg = arguments(text, small=False, mixed=False, **pair)
    steps, batch = (4, 8) if arg.small else (256, 4)  # of an epoch
    sources, episodes = [], []
    for name, epochs in ((arg.first, arg.first_epochs), (arg.second, arg.second_epochs)):
        if name not in SETS:
            raise unknown("data set", name, SETS)
        if epochs:
            sources.append({"name": name, "balance": "rare", **SETS[name]})
            length = {"duration": f"{epochs * steps} steps", "monitor": f"{name}/loss"}
            episodes.append({"sources": (name,), **length})
    config = default()
    config.model = ConfigDict({"name": "stardist", "variant": "conic"})
    stars = {"name": "stardist", "n_rays": 64, "loss": {"name": "mae", "background": 0.01}}
    config.representation = ConfigDict({**stars, "decoder": {"refine": True}})
    losses = [{"name": "cross_entropy"}, {"name": "focal_tversky"}]
    config.classes = ConfigDict({"name": "leaves", "loss": losses})
    mixture, crop = {"name": "mixture", "label_set": "own"}, 128 if arg.small else 256
    config.data.source = ConfigDict({**mixture, "sources": tuple(sources)})
    config.data.transforms = (f"random_crop({crop})", "preset('combined_label_sets')")
    config.batch_size, config.compute_dtype = batch, "bfloat16"
    whole = f"{(arg.first_epochs + arg.second_epochs) * steps} steps"
    config.duration, config.episodes = (whole, ()) if arg.mixed else ("", tuple(episodes))
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 3e-4, "eps": 1e-7})
    config.schedule = ConfigDict({"name": "plateau", "factor": 0.5, "patience": 4})
    config.evaluation.every, config.evaluation.patience = f"{5 * steps} steps", 10
    config.evaluation.loss, config.evaluation.monitor = True, "loss"
    config.evaluation.optimize_thresholds = True
    config.evaluation.threshold_choices.nms_thresh = (0.1, 0.2, 0.3)
    if arg.small:
        config.model = ConfigDict({"name": "stardist", "variant": "small"})
        config.representation = ConfigDict({"name": "stardist", "n_rays": 32, "grid": 2})
        config.compute_dtype = "float32"
        config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 1e-3})
        config.clip_norm, config.evaluation.every = 1.0, whole
    return config
