"""Models that StarDist saves: a folder with config.json, thresholds.json and the weights.

The keys of config.json are those of `Config2D` in `stardist/models/model2d.py` of
github.com/stardist/stardist (BSD-3); `head_blocks` is of its branch conic-2022.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnuc.io.text_files import read_json

WEIGHTS = ("weights_best.h5", "weights_last.h5", "weights_now.h5")
# What our network does, and theirs by default; a config.json need not have these.
FIXED = {
    "n_dim": 2,
    "backbone": "unet",
    "unet_kernel_size": [3, 3],
    "unet_n_conv_per_depth": 2,
    "unet_pool": [2, 2],
    "unet_activation": "relu",
    "unet_last_activation": "relu",
    "unet_batch_norm": False,
    "unet_prefix": "",
}


@dataclass(frozen=True)
class StarDistModel:
    """A model as StarDist saved it.

    Attributes:
      weights: the file of the weights.
      network: arguments of our network `stardist`.
      representation: arguments of our representation `stardist`.
      classes: how many there are, without the background.
    """

    weights: Path
    network: Mapping[str, Any]
    representation: Mapping[str, Any]
    classes: int

    @property
    def conic(self) -> bool:
        """Whether it is of the variant with which CoNIC was won, which has residual heads."""
        return bool(self.network["head_blocks"])


def read_stardist(folder: Path) -> StarDistModel:
    """Reads what a folder says of its model.

    Raises:
      ValueError: no config.json or no weights, or a network that is not ours.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no config.json, as the folder of a StarDist model has")
    config = _mapping(path)
    for key, value in FIXED.items():
        if (given := config.get(key, value)) != value:
            raise ValueError(f"{path}: {key} is {given!r}; networks with {value!r} are known here")
    grid, channels = _key(config, "grid", path), _key(config, "n_channel_in", path)
    if grid not in ([1, 1], [2, 2], [4, 4]):
        raise ValueError(f"{path}: grid is {grid}; known are [1, 1], [2, 2] and [4, 4]")
    if channels not in (1, 3):
        raise ValueError(f"{path}: n_channel_in is {channels}; known are 1 and 3")
    blocks = config.get("head_blocks", 0)
    if not isinstance(blocks, int) or blocks < 0:
        raise ValueError(f"{path}: head_blocks is {blocks!r}, not a number of residual blocks")
    weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not weights:
        raise ValueError(f"{folder} has no weights: {', '.join(WEIGHTS)}")
    network = {
        "grid": grid[0],
        "n_depth": _key(config, "unet_n_depth", path),
        "base": _key(config, "unet_n_filter_base", path),
        "features": _key(config, "net_conv_after_unet", path),
        "head_blocks": blocks,
        "in_channels": channels,
    }
    representation = {"n_rays": _key(config, "n_rays", path), "grid": grid[0]}
    decoder: dict[str, Any] = {"refine": True} if blocks else {}
    thresholds = folder / "thresholds.json"
    if thresholds.is_file():
        found = _mapping(thresholds)
        decoder |= {f"{name}_thresh": _key(found, name, thresholds) for name in ("prob", "nms")}
    if decoder:
        representation["decoder"] = decoder
    classes = config.get("n_classes") or 0
    return StarDistModel(weights[0], network, representation, classes)


def _mapping(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}, not names with values")
    return values


def _key(values: Mapping[str, Any], key: str, path: Path) -> Any:
    if key not in values:
        raise ValueError(f"{path} has no {key!r}")
    return values[key]
