import numpy as np
import pytest

from jaxnuc.data.annotations import check_classes, equal_components, foreground, instance_map


def test_instance_map_takes_whole_numbers_only():
    np.testing.assert_array_equal(instance_map(np.array([[0.0, 7.0]]), "f"), [[0, 7]])
    assert instance_map(np.array([[True]]), "f").dtype == np.int32
    for bad in ([[0.5]], [[np.nan]], [[np.inf]], [[-1]], [[2**31]], [1, 2], [["a"]], [[]]):
        with pytest.raises(ValueError, match=r"^f: "):
            instance_map(np.array(bad), "f")


def test_every_nucleus_has_one_class():
    instances = np.array([[9, 9, 0, 2**31 - 1]], np.int32)
    check_classes(instances, np.array([[1, 1, 0, 3]], np.int32), "f")
    for classes, message in (
        ([[1, 2, 0, 3]], r"f: nucleus 9 has pixels of several classes, \[1, 2\]"),
        ([[1, 0, 0, 3]], "f: 1 pixels have a nucleus and no class"),
        ([[1, 1, 1, 3]], "f: 1 pixels have a nucleus and no class"),
        ([[1], [1]], r"a class map of \(2, 1\) pixels for nuclei of \(1, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check_classes(instances, np.array(classes, np.int32), "f")


def test_foreground_ignores_alpha():
    gray = np.array([[0, 3]], np.uint8)
    opaque = np.full_like(gray, 255)
    zero = np.zeros_like(gray)
    for mask in (
        gray,
        gray.astype(bool),
        np.stack([gray, opaque], -1),
        np.stack([zero, gray, zero, opaque], -1),
    ):
        np.testing.assert_array_equal(foreground(mask, "f"), [[False, True]])
    with pytest.raises(ValueError, match=r"f: a mask of shape \(2,\)"):
        foreground(np.zeros(2), "f")


def test_equal_components_by_flood_fill():
    rng = np.random.default_rng(0)
    for connectivity, steps in ((1, 4), (2, 8)):
        labels = rng.integers(0, 3, (9, 11))
        parts = equal_components(labels, connectivity)
        expected = np.zeros_like(labels)
        around = [(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)][:steps]
        n = 0
        for label in (1, 2):
            for start in zip(*np.nonzero(labels == label), strict=True):
                if expected[start]:
                    continue
                n += 1
                queue = [start]
                while queue:
                    y, x = queue.pop()
                    inside = 0 <= y < 9 and 0 <= x < 11
                    if inside and labels[y, x] == label and not expected[y, x]:
                        expected[y, x] = n
                        queue += [(y + dy, x + dx) for dy, dx in around]
        np.testing.assert_array_equal(parts, expected)
