"""Classes are told apart by their colors, whatever color vision a reader has."""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from jaxnuc.outputs.palette import CLASSES

# What dichromats see, from linear RGB to linear RGB: Machado, Oliveira and Fernandes, "A
# physiologically-based model for simulation of color vision deficiency", IEEE TVCG 15(6), 2009.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(color):
    values = np.array(color) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def displayed(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("seen", VISION.values(), ids=VISION.keys())
def test_the_first_classes_are_distinct(seen):
    found = [rgb2lab(displayed(np.array(seen) @ linear(color))) for color in CLASSES[:5]]
    for one, other in combinations(found, 2):
        assert deltaE_ciede2000(one, other) > 10
    # All the more for the colors that normal vision tells apart by their hue.
    if seen is VISION["normal"]:
        assert min(deltaE_ciede2000(a, b) for a, b in combinations(found[:4], 2)) > 30


def test_no_color_is_given_twice():
    assert len({*CLASSES}) == len(CLASSES)
