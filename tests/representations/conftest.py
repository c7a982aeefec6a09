"""Drawn nuclei, the maps of a network that makes no error, and a representation from outside."""

import sys

import numpy as np
import pytest
from scipy import special

OUTSIDE = '''
"""A representation as somebody else would write it."""

from dataclasses import dataclass

import numpy as np

from jaxnuc import representations
from jaxnuc.postprocess import label_components
from jaxnuc.representations import Nuclei, OutputMap, base


@dataclass(frozen=True)
class Representation(representations.Representation):
    min_size: int = 0

    @property
    def output_maps(self):
        return {"inside": OutputMap(1, "logits", "inside of nuclei")}

    def encode(self, instances, classes=None, ignore=None, covered=None):
        return base.with_valid({"inside": (instances > 0).astype(np.uint8)[..., None]}, ignore)

    def loss(self, maps, targets, axis_name=None, factors=None):
        from jaxnuc import losses

        valid = targets["valid"].astype("float32") if "valid" in targets else None
        loss = losses.binary_cross_entropy(
            maps["inside"], targets["inside"].astype("float32"), weights=valid, axis_name=axis_name
        )
        return loss, {"inside/bce": loss}

    def decode(self, maps, shape=None):
        probability = base.foreground_probability(maps["inside"], "inside")
        instances = label_components(probability > 0.5, self.min_size)
        return Nuclei(instances, None, base.mean_scores(probability, instances))
'''


@pytest.fixture(scope="session")
def outside(tmp_path_factory):
    """The folder of a package of somebody else, which is on the path: `their_package.inside`."""
    folder = tmp_path_factory.mktemp("outside")
    package = folder / "their_package_of_maps"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inside.py").write_text(OUTSIDE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def draw(shape=(72, 90)):
    """(H, W) ellipses that do not touch, none of them at the border."""
    rows, cols = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    ellipses = [(18, 20, 11, 9), (20, 60, 9, 13), (50, 24, 9, 11), (52, 66, 12, 12)]
    for number, (row, col, height, width) in enumerate(ellipses, 1):
        labels[((rows - row) / height) ** 2 + ((cols - col) / width) ** 2 <= 1] = number
    return labels


def perfect(representation, targets):
    """The maps (H, W, C) of a network that gives its targets without an error."""
    maps = {}
    for name, each in representation.output_maps.items():
        target = targets[name]
        if each.kind != "logits":
            maps[name] = target
        elif each.channels == 1:
            maps[name] = special.logit(np.clip(target.astype(float), 1e-4, 1 - 1e-4))
        else:
            maps[name] = 12.0 * np.eye(each.channels)[np.maximum(target[..., 0], 0)] - 6
        maps[name] = maps[name].astype(np.float32)
    return maps


@pytest.fixture
def drawn():
    return draw()


@pytest.fixture
def perfect_maps():
    return perfect
