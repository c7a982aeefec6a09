"""A trained network goes on with your own images: other stains, other classes, another head.

Network, representation, classes, normalization, resolution, transforms and batch size are those of
the run, checkpoint or model that `weights.file` names, unless others are given. What of its arrays
fits is taken, and learns at the same rate as what starts fresh, which was measured to be better
than a tenth of it (docs/results.md); with `hold=200` it is held for the first 200 steps. The length
is 10 epochs, but 300 steps at least and 1000 at most: with 5 to 463 images, 1000 steps were no
better than 300. The network of the run is evaluated first, and stays the best checkpoint where
training on your images does not help. See docs/annotations.md.

    jaxnuc train --config=finetune --workdir=runs/cells --config.weights.file=runs/first \
        --config.data.root=FOLDER
    jaxnuc evaluate --workdir=runs/cells --split=val
"""

from pathlib import Path

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default, from_json
from jaxnuc.run.checkpoints import find, is_trained, read_config


def get_config(text: str = "", weights: str = "") -> ConfigDict:
    arg = arguments(text, hold=0)
    if not weights or (Path(weights).expanduser().is_file() and not is_trained(weights)):
        raise ValueError(
            f"weights.file={weights!r}: the page finetune goes on with a model, such as "
            "fluorescence, or the network of a run; give --config.weights.file=NAME_OR_WORKDIR (a "
            "published file goes with the page of its network)"
        )
    run = from_json(read_config(find(weights)))
    config = default()
    config.weights.file = weights
    # --- of the run
    config.model, config.representation, config.classes = run.model, run.representation, run.classes
    config.compute_dtype, config.batch_size = run.compute_dtype, run.batch_size
    config.data.normalize, config.data.mpp = run.data.normalize, run.data.mpp
    config.data.transforms = run.data.transforms
    # --- of this training
    config.data.source = ConfigDict({"name": "folder", "fractions": (0.8, 0.2, 0.0)})
    config.duration = "10 epochs, 300 to 1000 steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 1e-3})
    if arg.hold:
        config.optimizer.taken_frozen_until = f"{arg.hold} steps"
    config.schedule = ConfigDict({"name": "cosine", "warmup": "20 steps"})
    config.clip_norm, config.ema_decay = 1.0, 0.99
    config.evaluation.every, config.evaluation.at_start = "100 steps", True
    return config
