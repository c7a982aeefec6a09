"""Nuclei in stained tissue with their types: not among the models yet.

It finds nuclei as `he-nc` does, and gives 56 % of those of CoNSeP's validation images their type
(mPQ 0.22, pooled; 0.25 with a fifth level and as many steps again): it may need more images.

It goes on from the model `he-nc`. Data: CoNSeP, its seven types merged to four, and NuCLS, read
through one tree of classes, so that each set teaches what it tells. Not for commercial use.

    jaxnuc train --config=models/he_types --workdir=runs/he-types \
        --config.data.root=FOLDER_OF_FOLDERS
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments
from jaxnuc.config.pages import CONFIGURATIONS

SOURCES = (
    {"name": "nucls", "weight": 0.3},
    {
        "name": "consep",
        "weight": 0.7,
        "merge": True,
        "balance": "rare",
        "windows": {"size": 448, "stride": 276, "cache": 22},
    },
)


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, steps=4000)
    config: ConfigDict = CONFIGURATIONS.make(f"models/he:steps={arg.steps}")
    config.weights.file = "he-nc"
    config.optimizer.learning_rate = 2e-3  # the class head begins anew
    losses = [{"name": "cross_entropy"}, {"name": "focal_tversky"}]
    config.classes = ConfigDict({"name": "leaves", "loss": losses})
    config.data.source = ConfigDict(
        {"name": "mixture", "sources": SOURCES, "label_set": "own", "any_mpp": True}
    )
    return config
