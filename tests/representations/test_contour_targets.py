"""Contour maps against reference values and against what they are, nucleus by nucleus."""

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc import representations
from jaxnuc.data.synthetic import generate
from jaxnuc.io.polygons import Polygon, _fill, line_pixels, rasterize
from jaxnuc.postprocess.filters import over_cross
from jaxnuc.postprocess.masks import Mask
from jaxnuc.representations.targets.contours import (
    alnet_maps,
    canny_line,
    contour_map,
    dcan_contour,
    inner_line,
    largest_first,
    separated_mask,
)
from jaxnuc.representations.targets.dominant_points import dominant_points, outer_contour

CROSS = ndimage.generate_binary_structure(2, 1)


def literal_line(labels):
    line = np.zeros(labels.shape, bool)
    height, width = labels.shape
    for y, x in np.argwhere(labels > 0):
        for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= ny < height and 0 <= nx < width
            line[y, x] |= inside and labels[ny, nx] != labels[y, x]
    return line


def test_contour_map_equals_its_definition():
    labels = np.random.default_rng(0).integers(0, 3, (9, 11))
    line = literal_line(labels)
    np.testing.assert_array_equal(inner_line(labels), line)
    band = np.zeros_like(line)
    for y, x in np.argwhere(line):
        band[y : y + 2, x : x + 2] = True
    np.testing.assert_array_equal(contour_map(labels), band)


def drawn(polygon, shape):
    """A polygon as the published code paints it: filled with its outline, and the outline alone."""
    vertices, (height, width) = np.trunc(polygon), shape
    x, y = line_pixels(vertices, height, width)
    seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    line = np.zeros(shape, bool)
    line[y[seen], x[seen]] = True
    return _fill(vertices, height, width, even_odd=True) | line, line


@pytest.mark.parametrize("case", ["alnet_small", "alnet_keep_5", "alnet_square_512"])
def test_alnet_maps_of_polygons(golden, case):
    arrays, _ = golden("haru_targets")
    of_case = {k.removeprefix(f"{case}__"): v for k, v in arrays.items() if k.startswith(case)}
    shape = tuple(of_case["shape"].tolist())
    polygons = np.split(of_case["poly_xy"], np.cumsum(of_case["poly_len"])[:-1])
    pairs = [drawn(polygons[k], shape) for k in of_case["order"]]
    nuclei = [largest_first(filled.view(np.int8))[0] for filled, _ in pairs]
    mask = separated_mask(nuclei, shape, simplified=False)
    np.testing.assert_array_equal(mask, of_case["mask"])
    line = np.any([outline for _, outline in pairs], axis=0)
    np.testing.assert_array_equal(line, of_case["line"])
    np.testing.assert_array_equal(over_cross(np.logical_or, line), of_case["ring"])
    ring = over_cross(np.logical_or, canny_line(mask))
    np.testing.assert_array_equal(ring, of_case["canny_ring"])
    for filled, outline in pairs:  # of pixels the same, but for spikes that are all outline
        assert not (inner_line(filled) & ~outline).any()


def closed_line(corners, shape):
    """The pixels of a polygon of (row, col) corners in an image."""
    line = np.zeros(shape, bool)
    x, y = line_pixels(corners[:, ::-1], *shape)
    line[y, x] = True
    return line


@pytest.mark.parametrize("kind", ["apart", "overlap"])
def test_alnet_maps_are_those_of_the_published_code(golden, kind):
    """The published code draws polygons; their pixels say all but a few pixels of the ring."""
    arrays, about = golden("alnet_polygon_targets")
    alnet = representations.create("contour", targets={"name": "alnet", "max_instances": 150})
    dice = {"mask": [], "ring": []}
    for k in range(6):
        case = f"{kind}_{k}"
        polygons = [Polygon(np.array(points)) for points in about["polygons_xy"][case]]
        painted = rasterize(polygons, tuple(about["size"]), "alnet")
        maps = alnet.encode(painted.instances, covered=painted.covered)
        for name, values in dice.items():
            expected = np.unpackbits(arrays[f"{case}__{name}"], axis=1).astype(bool)
            found = maps["contour" if name == "ring" else name][..., 0] > 0
            values.append(2 * (found & expected).sum() / (found.sum() + expected.sum()))
    assert min(dice["mask"]) > 0.9999
    assert np.mean(dice["ring"]) > 0.999
    assert min(dice["ring"]) > 0.998


def alnet_literally(nuclei, keep=None):
    """The published steps, each nucleus (H, W) bool on the whole image."""
    shape = nuclei[0].shape
    mask, line = np.zeros(shape, bool), np.zeros(shape, bool)
    for own in sorted(nuclei, key=lambda own: -own.sum())[:keep]:
        mask |= own
        grown = ndimage.binary_dilation(own, CROSS, iterations=2)
        parts, count = ndimage.label(grown, np.ones((3, 3)))
        for part in range(1, count + 1):
            corners = dominant_points(outer_contour(parts == part))
            mask &= ~closed_line(corners, shape)
        line |= own & ~ndimage.binary_erosion(own, CROSS, border_value=1)
    return mask, ndimage.binary_dilation(line, CROSS)


def horseshoe():
    """A nucleus whose dilation encloses background, a smaller one within, and equal areas."""
    labels = np.zeros((30, 40), np.int32)
    labels[4:24, 4:24] = 9
    labels[8:20, 8:20] = 0
    labels[12:16, 4:8] = 0
    labels[13:16, 13:16] = 4
    labels[2:5, 30:33], labels[2:5, 33:36], labels[27:, 35:] = 7, 2, 5
    return labels


@pytest.mark.parametrize("keep", [None, 1, 3])
def test_alnet_maps_of_label_maps(keep):
    for labels in (horseshoe(), generate(2, size=96).instances, np.ones((7, 9), np.int32)):
        found = alnet_maps(labels, max_instances=keep)
        expected = alnet_literally([labels == k for k in np.unique(labels[labels > 0])], keep)
        np.testing.assert_array_equal(found, expected)
    assert ndimage.label(alnet_maps(horseshoe())[0])[1] == 5


def discs():
    """Three discs that overlap, and one within another: (4, H, W), the largest first."""
    row, col = np.mgrid[:60, :70]
    circles = ((28, 25, 20), (26, 45, 18), (45, 36, 14), (26, 47, 6))
    return np.array([(row - r) ** 2 + (col - c) ** 2 <= radius**2 for r, c, radius in circles])


def test_alnet_maps_of_nuclei_that_overlap():
    nuclei = discs()
    instances, covered = np.zeros((60, 70), np.int32), np.zeros((60, 70, 2), np.int32)
    for i, j in np.argwhere(nuclei.any(axis=0)):
        stack = [k + 1 for k in range(4) if nuclei[k, i, j]][::-1][:3]
        instances[i, j], covered[i, j, : len(stack) - 1] = stack[0], stack[1:]
    assert covered[..., 1].any()
    found = alnet_maps(instances, covered)
    np.testing.assert_array_equal(found, alnet_literally(nuclei))
    # The whole outline of a nucleus is in the ring, also where another one lies on it.
    assert found[1][nuclei[0] & ~ndimage.binary_erosion(nuclei[0])].all()
    assert not alnet_maps(instances)[1][nuclei[0] & ~ndimage.binary_erosion(nuclei[0])].all()


def test_alnets_nuclei_come_by_area_and_then_by_id():
    found = largest_first(horseshoe())
    assert [mask.sum() for _, _, mask in found] == [240, 15, 9, 9, 9]
    assert found[2][:2] == (2, 33)  # id 2
    assert found[3][:2] == (13, 13)  # id 4
    assert isinstance(found[0], Mask)


@pytest.mark.parametrize("radius", [1, 3])
def test_dcans_contours_are_dilations_without_erosions(radius):
    diamond = ndimage.iterate_structure(CROSS, radius)
    for labels in (horseshoe(), generate(2, size=96).instances, np.ones((9, 9), np.int32)):
        expected = np.zeros(labels.shape, bool)
        for k in np.unique(labels[labels > 0]):
            own = labels == k
            outer = ndimage.binary_dilation(own, diamond)
            expected |= outer & ~ndimage.binary_erosion(own, diamond, border_value=1)
        np.testing.assert_array_equal(dcan_contour(labels, radius), expected)


def test_dcans_diamond_is_seven_pixels_wide():
    labels = np.zeros((9, 9), np.int32)
    labels[4, 4] = 1
    dcan = representations.create("contour", targets={"name": "dcan"})
    contour = dcan.encode(labels)["contour"][..., 0]
    rows, cols = np.mgrid[-4:5, -4:5]
    np.testing.assert_array_equal(contour, np.abs(rows) + np.abs(cols) <= 3)


def test_canny_edges_of_a_square():
    """The slope is the same on both sides of an edge; the pixel to the left or above is taken."""
    mask = np.zeros((7, 8), bool)
    mask[2:6, 2:6] = True
    found = ["".join(" #"[int(x)] for x in row).rstrip() for row in canny_line(mask)]
    assert found == ["", "   ##", "  #  #", " #   #", " #   #", "  ####", ""]
    for same in (True, False):
        assert not canny_line(np.full((5, 6), same)).any()


@pytest.mark.parametrize(
    "targets",
    [{"name": "harunet"}, {"name": "alnet"}, {"name": "alnet", "canny": True}, {"name": "dcan"}],
)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (64, 5)])
def test_small_images_and_images_without_nuclei(targets, shape):
    representation = representations.create("contour", targets=targets)
    for labels in (np.zeros(shape, np.int32), np.ones(shape, np.int32)):
        maps = representation.encode(labels)
        assert {k: (v.shape, v.dtype) for k, v in maps.items()} == {
            "mask": ((*shape, 1), np.uint8),
            "contour": ((*shape, 1), np.uint8),
        }
        assert not maps["contour"].any() or "canny" in targets
        if not labels.any():
            assert not maps["mask"].any()


def test_only_the_largest_nuclei_are_targets():
    labels = horseshoe()
    two = {"name": "alnet", "max_instances": 2}
    maps = representations.create("contour", targets=two).encode(labels)
    kept = np.where((labels == 9) | (labels == 5), labels, 0)
    expected = representations.create("contour", targets={"name": "alnet"}).encode(kept)
    for name in maps:
        np.testing.assert_array_equal(maps[name], expected[name])
