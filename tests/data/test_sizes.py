"""Areas of the nuclei of a training."""

import numpy as np

from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.sizes import area_quantiles
from jaxnuc.data.transforms import parse


class Squares(Source):
    """Image k of n has squares of k + 1 pixels a side, of which one is not annotated."""

    def __init__(self, count):
        self.ids, self.read = [str(k) for k in range(count)], []

    def __getitem__(self, index):
        self.read.append(index)
        instances, side = np.zeros((64, 64), np.int32), index + 1
        instances[:side, :side], instances[-side:, :side] = 7, 9
        ignore = np.zeros((64, 64), bool)
        ignore[-side:] = True
        return Sample(np.zeros((64, 64, 3), np.uint8), instances, ignore=ignore)


def test_they_are_those_of_images_at_equal_distances():
    source = Squares(21)
    found = area_quantiles(source, (), 0)
    sides = 1 + np.array([21 * k // 16 for k in range(16)])
    assert source.read == (sides - 1).tolist()
    np.testing.assert_allclose(found, np.quantile(sides**2, [0.05, 0.5, 0.95]))


def test_they_are_as_the_network_sees_them():
    large = area_quantiles(Squares(9), parse(("scale(2.0, 2.0)",)), 0)
    np.testing.assert_allclose(large, 4 * np.array(area_quantiles(Squares(9), (), 0)), rtol=0.2)


def test_there_may_be_none():
    nothing = parse(("random_crop(8)",))
    source = Squares(1)  # its one pixel lies in a corner
    assert area_quantiles(source, nothing, 0) == ()
