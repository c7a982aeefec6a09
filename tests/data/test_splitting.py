import pytest

from jaxnuc.data.splitting import published_split, random_split


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
