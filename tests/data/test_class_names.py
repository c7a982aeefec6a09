import pytest

from jaxnuc.data.class_names import misspelled
from jaxnuc.labels import label_set


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"dark": 46, "drak": 1, "pale": 119}, [("drak", "dark")]),
        ({"Dark": 40, "dark": 60}, [("Dark", "dark")]),
        ({"dark": 5, "Dark": 5}, [("Dark", "dark")]),
        ({"plasma cell": 3, "plasma_cell": 9}, [("plasma cell", "plasma_cell")]),
        ({"lymphocyt": 2, "lymphocyte": 30, "lymphocytes": 1}, None),
        ({"drak": 5, "dark": 46}, []),  # not that much rarer
        ({"drak": 0, "dark": 46}, []),
        ({"type 1": 1, "type 2": 90}, []),
        ({"Tumor": 90, "Non-Tumor": 2}, []),
        ({"dark": 90, "pale": 1}, []),
        ({}, []),
    ],
)
def test_misspelled_names(counts, expected):
    if expected is None:
        expected = [("lymphocyt", "lymphocyte"), ("lymphocytes", "lymphocyte")]
    assert list(misspelled(counts)) == expected


@pytest.mark.parametrize("name", ["pannuke", "monusac", "consep", "lizard", "nucls"])
def test_classes_of_data_sets_are_not_taken_for_each_other(name):
    groups = label_set(name).groups
    for rare in groups:
        assert not list(misspelled({group: 1 if group == rare else 10**6 for group in groups}))
