"""The model `he-types`: nuclei in stained tissue with four types, at 0.25 microns per pixel.

Types differ by their size, so images are seen at one number of microns per pixel, and not at one
size of nuclei as by the other models. It starts from `he-nc`, with a fifth level that is randomly
initialized. Data: CoNSeP, its seven types merged to four. Not for commercial use.

    jaxnuc train --config=models/he_types --workdir=runs/he-types \
        --config.data.root=FOLDER_OF_CONSEP
    jaxnuc evaluate --workdir=runs/he-types --split=val
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments
from jaxnuc.config.pages import CONFIGURATIONS


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, steps=2000)
    config: ConfigDict = CONFIGURATIONS.make(f"models/he:steps={arg.steps}")
    config.model.layers = 5
    config.weights.file = "he-nc"
    config.optimizer.learning_rate = 2e-3  # the class head and the fifth level begin anew
    losses = [{"name": "cross_entropy"}, {"name": "dice"}]
    config.classes = ConfigDict({"name": "groups", "loss": losses, "vote": "mean"})
    windows = {"size": 300, "stride": 233, "cache": 22}
    config.data.source = ConfigDict(
        {"name": "consep", "merge": True, "balance": "rare", "windows": windows}
    )
    config.data.mpp = 0.25
    _, *others = config.data.transforms
    config.data.transforms = ("scale(0.85, 1.2)", "random_crop(160)", *others)
    config.evaluation.monitor = "mpq_pooled"
    return config
