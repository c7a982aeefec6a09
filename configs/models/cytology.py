"""The model `cytology`: nuclei in gray and Papanicolaou-stained smears.

It starts from the model `he`, whose network and transforms it has. Data: the cytology images of
the 2018 Data Science Bowl and synthetic ones, both CC0, and ISBI 2014's real images.
FOLDER_OF_FOLDERS holds `dsb2018/` and `isbi2014/`.

    jaxnuc train --config=models/cytology --workdir=runs/cytology \
        --config.data.root=FOLDER_OF_FOLDERS
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments
from jaxnuc.config.pages import CONFIGURATIONS

SOURCES = (
    {"name": "dsb2018", "modality": "brightfield-grey", "weight": 0.4},
    {"name": "isbi2014", "weight": 0.3, "windows": {"size": 448, "stride": 288, "cache": 8}},
    {"name": "synthetic", "styles": ("pap",), "size": 192, "weight": 0.3},
)


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, steps=600)
    config: ConfigDict = CONFIGURATIONS.make(f"models/he:steps={arg.steps}")
    config.representation.decoder.update({"threshold": 0.4, "neck": 0.8, "min_size": 45})
    config.weights.file = "he"
    config.data.source = ConfigDict(
        {"name": "mixture", "sources": SOURCES, "label_set": "none", "any_mpp": True}
    )
    transforms = list(config.data.transforms)
    transforms[transforms.index("gray(p=0.05)")] = "gray(p=0.3)"
    config.data.transforms = tuple(transforms)
    return config
