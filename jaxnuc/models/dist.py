"""DIST: a U-Net of unpadded convolutions, half as wide and normalised, regresses the distance map.

Source: Naylor, Laé, Reyal, Walter, "Segmentation of nuclei in histopathology images by deep
regression of the distance map", IEEE Transactions on Medical Imaging 38(2), 2019; the layers are
those of the reimplementation for Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019:
`{"distance": 1}`, 268 pixels in, 84 out.
"""

from collections.abc import Sequence

from jaxnuc.models import unet

__all__ = ["VARIANTS", "Model"]

VARIANTS: dict[str, dict] = {"full": {}, "small": {"widths": (8, 16, 32, 64, 128)}}


class Model(unet.Model):
    """DIST; the arguments are those of `jaxnuc.models.unet.Model`."""

    widths: Sequence[int] = (32, 64, 128, 256, 512)
    padding: str = "valid"
    halve_on_the_way_up: bool = False
