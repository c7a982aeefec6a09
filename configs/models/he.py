"""The model `he`: nuclei in stained tissue at 20x to 40x, without classes.

It starts from the model `fluorescence`, whose network it has; its transforms vary colors. The model
that comes with the library started from `fluorescence` as of 2026-11-30, so that this makes another
one. Data, all CC0: NuCLS, the stained images of the 2018 Data Science Bowl, and synthetic ones.
`noncommercial` adds MoNuSeg and CoNSeP, which must not be used commercially: the model `he-nc`.

`models/he:steps=100` trains for fewer steps. FOLDER_OF_FOLDERS holds a folder for each data set, by
the name of its source: `nucls/`, `dsb2018/` and so on.

    jaxnuc train --config=models/he --workdir=runs/he --config.data.root=FOLDER_OF_FOLDERS
    jaxnuc train --config=models/he:noncommercial --workdir=runs/he-nc \
        --config.data.root=FOLDER_OF_FOLDERS
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments
from jaxnuc.config.pages import CONFIGURATIONS

CC0 = (
    {"name": "nucls", "weight": 0.2},
    {"name": "dsb2018", "modality": "stained", "weight": 0.45},
    {"name": "synthetic", "styles": ("he",), "size": 192, "weight": 0.35},
)
# Of 1000 x 1000 pixels: kept in memory, or each crop would read one anew.
NONCOMMERCIAL = (
    {"name": "nucls", "weight": 0.1},
    {"name": "dsb2018", "modality": "stained", "weight": 0.2},
    {"name": "synthetic", "styles": ("he",), "size": 192, "weight": 0.1},
    {"name": "monuseg", "weight": 0.3, "windows": {"size": 448, "stride": 276, "cache": 10}},
    {"name": "consep", "weight": 0.3, "windows": {"size": 448, "stride": 276, "cache": 22}},
)


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, noncommercial=False, steps=2000)
    config: ConfigDict = CONFIGURATIONS.make(f"models/fluorescence:steps={arg.steps}")
    # Chosen on the validation images; nuclei are paler and closer here than in fluorescence.
    config.representation.decoder.update(
        {"threshold": 0.45, "neck": 0.85, "contour_share": 0.4, "min_size": 25, "min_score": 0.8}
    )
    config.weights.file = "he" if arg.noncommercial else "fluorescence"
    sources = NONCOMMERCIAL if arg.noncommercial else CC0
    config.data.source = ConfigDict(
        {"name": "mixture", "sources": sources, "label_set": "none", "any_mpp": True}
    )
    config.data.normalize = "percentile"
    config.data.transforms = (
        "crop_at_diameter(128, 20, 0.6, 1.7)",
        "flip_turn()",
        "elastic(4, p=0.3)",
        "stain_matrix_jitter(0.15, 0.4, p=0.7)",
        "color_jitter(0.2, 0.2, 0.3, 0.04)",
        "gray(p=0.05)",
        "gamma(0.7, 1.5, p=0.3)",
        "uneven_light(0.2, 0.1, p=0.2)",
        "blur(1.5, p=0.3)",
        "noise(0.04, p=0.3)",
        "jpeg(30, 90, p=0.2)",
    )
    config.optimizer.learning_rate = 1e-3
    config.evaluation.every = f"{arg.steps} steps"
    config.evaluation.monitor = "pq_image_mean"
    return config
