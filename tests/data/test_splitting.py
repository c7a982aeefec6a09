import shutil

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data.splits import open_split, open_splits
from jaxnuc.data.splitting import published_split, random_split

SIDES = ("train", "val", "test")
FRACTIONS = (0.6, 0.2, 0.2)


def test_published_split_cuts_val_from_train():
    sides = {f"t{i}": "train" for i in range(10)} | {f"s{i}": "test" for i in range(3)}
    parts = {s: published_split(sides, s, 0, 0.2) for s in ("train", "val", "test", "all")}
    assert [len(part) for part in parts.values()] == [8, 2, 3, 13]
    assert sorted(parts["train"] + parts["val"]) == [f"t{i}" for i in range(10)]
    assert parts["test"] == ["s0", "s1", "s2"]
    assert len({tuple(published_split(sides, "val", seed, 0.2)) for seed in range(9)}) > 3
    assert len(published_split(sides, "train", 0, 0)) == 10
    only_train = {name: side for name, side in sides.items() if side == "train"}
    for case in (("test", 0.2), ("val", 0)):
        with pytest.raises(ValueError, match=f"split '{case[0]}' is empty"):
            published_split(only_train, case[0], 0, case[1])
    with pytest.raises(ValueError, match=r"unknown split 'vla'.*did you mean 'val'"):
        published_split(sides, "vla", 0, 0.2)
    with pytest.raises(ValueError, match="val_fraction=1: a share"):
        published_split(sides, "val", 0, 1)


def test_patients_stay_together():
    patients = {f"{p}_{k}": p for p in "abcdefghij" for k in range(3)}
    parts = [
        random_split(list(patients), s, 0, (0.6, 0.2, 0.2), patients.get)
        for s in ("train", "val", "test")
    ]
    assert [len({n[0] for n in part}) for part in parts] == [6, 2, 2]
    assert sorted(n for part in parts for n in part) == sorted(patients)


def test_patients_of_training_images_stay_together():
    sides = {f"{p}_{k}": "test" if p in "ab" else "train" for p in "abcdefghijkl" for k in range(3)}
    parts = [published_split(sides, s, 3, 0.3, lambda n: n[0]) for s in ("train", "val", "test")]
    assert [len({n[0] for n in part}) for part in parts] == [7, 3, 2]
    assert [n for n in sides if n in parts[1]] == parts[1]


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_folds_are_disjoint_complete_and_keep_groups_whole(seed, stratified):
    rng = np.random.default_rng(seed)
    groups = {f"i{k}": f"g{rng.integers(12)}" for k in range(60)}
    names = list(groups)
    amounts = rng.integers(0, 50, (60, 4)) * rng.integers(0, 2, 4) + np.eye(4)[0]
    count = len(set(groups.values())) - seed

    def side(split, fold):
        given = {"fold": (fold, count), "amounts": amounts if stratified else None}
        return random_split(names, split, seed, (0.5, 0.5, 0), groups.get, **given)

    tests = [side("test", fold) for fold in range(count)]
    assert sorted(n for test in tests for n in test) == sorted(names)
    for fold, test in enumerate(tests):
        parts = [side("train", fold), side("val", fold), test]
        assert sorted(n for part in parts for n in part) == sorted(names)
        of = [{groups[n] for n in part} for part in parts]
        assert sum(map(len, of)) == len(set(groups.values()))
        assert side("train", fold) == parts[0]


def test_stratified_sides_get_like_shares():
    rng = np.random.default_rng(1)
    names = [f"i{k}" for k in range(200)]
    # Nuclei of three classes, of which the last one is in a few images only.
    rare = rng.permutation(200) < 15
    amounts = np.stack([np.ones(200), rng.lognormal(3, 1, 200), rng.poisson(9, 200), rare * 40], 1)

    def error(**given):
        """The largest departure of a side's share of anything from its fraction."""
        parts = [random_split(names, s, 0, FRACTIONS, **given) for s in SIDES]
        assert sorted(n for part in parts for n in part) == sorted(names)
        rows = np.array([amounts[[names.index(n) for n in part]].sum(0) for part in parts])
        return np.abs(rows / amounts.sum(0) - np.array(FRACTIONS)[:, None]).max()

    assert error(amounts=amounts) < 0.02 < 0.05 < error()


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """12 images of 4 patients, of which the last one has the large nuclei."""
    root = tmp_path_factory.mktemp("splits") / "cells"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(12):
        labels = np.zeros((24, 24), np.uint8)
        labels[2:5, 2:5] = 1
        labels[8:18, 8:18] = 2 * (k >= 9)
        image = rng.integers(0, 255, (24, 24, 3), np.uint8)
        Image.fromarray(image).save(root / "images" / f"p{k // 3}_{k}.png")
        Image.fromarray(labels).save(root / "labels" / f"p{k // 3}_{k}.png")
    write_groups(root, {f"p{k // 3}_{k}": k // 3 for k in range(12)})
    return root


def write_groups(root, groups, file="groups.csv"):
    lines = ["image,group", *(f"{image},{group}" for image, group in groups.items())]
    (root / file).write_text("\n".join(lines) + "\n")


def ids(root, split, **split_by):
    section = {"name": "folder", "fractions": (0.5, 0.25, 0.25), "split_by": split_by}
    return open_split(section, root, split).ids


def test_a_source_is_divided_by_a_file_a_pattern_folds_and_nuclei(cells):
    for groups in ("groups.csv", {"pattern": r"^(p\d)_"}):
        parts = [ids(cells, s, groups=groups) for s in SIDES]
        assert [len({n[:2] for n in part}) for part in parts] == [2, 1, 1]
        assert sorted(n for part in parts for n in part) == sorted(ids(cells, "all", groups=groups))
    tests = [ids(cells, "test", groups="groups.csv", fold=f"{k}/4") for k in range(4)]
    assert sorted(n[:2] for test in tests for n in test) == sorted(f"p{k // 3}" for k in range(12))
    assert all(len({n[:2] for n in test}) == 1 for test in tests)
    # One of the three images with large nuclei in each of three folds.
    large = {"p3_9", "p3_10", "p3_11"}
    folds = [ids(cells, "test", stratify=True, fold=f"{k}/3") for k in range(3)]
    assert [(len(test), len(large & {*test})) for test in folds] == [(4, 1)] * 3
    section = {"groups": "groups.csv", "fold": "1/4"}
    arguments = {"fractions": (0.5, 0.25, 0.25), "split_by": section}
    splits, problems = open_splits("folder", str(cells), arguments=arguments)
    assert [len(source) for source in splits.values()] == [6, 3, 3]
    assert problems == []
    assert splits["test"].ids == ids(cells, "test", **section)
    assert splits["test"][0].meta["name"] == splits["test"].ids[0]


def test_groups_that_do_not_fit_are_refused(cells):
    whole = {f"p{k // 3}_{k}.png": k // 3 for k in range(12)}
    for name, changed in {
        "missing": {k: v for k, v in whole.items() if k != "p0_1.png"},
        "absent": whole | {"p0_22.png": 1},
        "empty": whole | {"p0_2.png": ""},
        "two": whole | {"p0_2": 3},
    }.items():
        write_groups(cells, changed, f"{name}.csv")
    (cells / "columns.csv").write_text("name,patient\n")
    for split_by, message in (
        ({"groups": "missing.csv"}, r"missing\.csv: image 'p0_1' has no group; add a line"),
        (
            {"groups": "absent.csv"},
            r"unknown .*absent\.csv, line 14: image 'p0_22\.png'.*did you mean",
        ),
        ({"groups": "empty.csv"}, r"image 'p0_2\.png' has no group; write one"),
        ({"groups": "two.csv"}, r"image 'p0_2' has two groups, '0' and '3'; keep one"),
        ({"groups": "columns.csv"}, r"no column image, group .*, only name"),
        ({"groups": {"pattern": r"p([0-2])_"}}, r"image 'p3_9' has no group by the pattern"),
        ({"groups": {"pattern": "p._"}}, r"has 0 pairs of parentheses"),
        ({"groups": {"patern": "p"}}, r"did you mean 'pattern'"),
        (
            {"groups": {"pattern": "(p"}},
            r"groups.pattern='\(p' is no regular expression: miss",
        ),
        ({"group": "groups.csv"}, r"argument of split_by: 'group'.*did you mean 'groups'"),
        ({"fold": "5/5"}, r"fold='5/5': expected 'i/k'"),
        ({"fold": "0/13"}, r"fold 0/13: more folds than the 12 groups"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            ids(cells, "train", **split_by)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"no files other\.csv below it"):
        ids(cells, "train", groups="other.csv")
    with pytest.raises(ValueError, match="'synthetic' is divided as it was published"):
        open_split({"name": "synthetic", "split_by": {"fold": "0/5"}}, "", "train")
    (cells / "sides" / "train").mkdir(parents=True)
    shutil.copytree(cells / "images", cells / "sides" / "train" / "images")
    with pytest.raises(FileNotFoundError, match="folders of its own splits, train"):
        ids(cells / "sides", "train", fold="0/5")
