"""U2-Net: HARU-Net's graph without attention, fused by a 1x1 convolution, convolutions with bias.

Source: Qin et al., "U2-Net: Going deeper with nested U-structure for salient object detection",
Pattern Recognition 106, 2020. Variants `full` (U2-Net) and `small` (U2-Net-P).
"""

from jaxnuc.models import harunet


class Model(harunet.Model):
    """U2-Net; the arguments are those of `jaxnuc.models.harunet.Model`."""

    attention: str = "none"
    fusion: str = "conv"
    use_bias: bool = True
