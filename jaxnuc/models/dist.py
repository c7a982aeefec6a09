"""DIST: a U-Net of unpadded convolutions, half as wide and normalized, regresses the distance map.

Source: Naylor, Laé, Reyal, Walter, "Segmentation of nuclei in histopathology images by deep
regression of the distance map", IEEE Transactions on Medical Imaging 38(2), 2019; the layers are
those of the reimplementation for Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019:
`{"distance": 1}`, 268 pixels in, 84 out.
"""

from collections.abc import Sequence
from typing import ClassVar

from jaxnuc.models import unet


class Model(unet.Model):
    """DIST; the arguments are those of `jaxnuc.models.unet.Model`."""

    VARIANTS: ClassVar = {
        "full": {},
        "small": {"widths": (8, 16, 32, 64, 128)},
        "tiny": {"widths": (4, 8, 8)},
    }

    widths: Sequence[int] = (32, 64, 128, 256, 512)
    padding: str = "valid"
    halve_on_the_way_up: bool = False
