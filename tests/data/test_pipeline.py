import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data.pipeline import batches, with_unlabeled
from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.sources.folder import Source as Folder
from jaxnuc.data.transforms import Transform, parse

CHAIN = parse(["random_crop(24)", "scale(0.8, 1.25)", "random_crop(16)", "flip_turn()",
               "elastic(2, grid=8)", "color_jitter()", "noise(p=1.0)"])  # fmt: skip


class Numbered(Source):
    """Sample i is an image of the value i."""

    def __init__(self, length=10, side=16, endless=False):
        self.name, self.length, self.side, self.endless = "numbered", length, side, endless

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        image = np.full((self.side, self.side, 3), index % 256, np.uint8)
        instances = np.full((self.side, self.side), index + 1, np.int32)
        return Sample(image, instances, None, {"name": str(index)})


def encode(instances, classes, ignore=None, covered=None):
    return {"mask": (instances > 0)[..., None].astype(np.float32), "id": instances[..., None]}


def stream(source=None, transforms=(), batch_size=4, seed=0, **arguments):
    return batches(source or Numbered(), transforms, encode, batch_size, seed, **arguments)


def take(count, iterator):
    result = [next(iterator) for _ in range(count)]
    iterator.close()
    return result


def ids(batch):
    return (batch["targets"]["id"][:, 0, 0, 0] - 1).tolist()


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
        assert a["targets"].keys() == b["targets"].keys()
        for name in a["targets"]:
            np.testing.assert_array_equal(a["targets"][name], b["targets"][name])


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for i in range(7):
        image = rng.integers(0, 256, (20 + i, 30, 3), np.uint8)
        labels = np.kron(rng.integers(0, 200, (4, 3)), np.ones((8, 10)))[: 20 + i]
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "labels" / f"{i}.png")
    return Folder(tmp_path)


class PartlyAnnotated(Numbered):
    """The left half of every other sample is to be ignored."""

    ignores = True

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        ignore = np.zeros(sample.instances.shape, bool)
        ignore[:, : self.side // 2] = True
        return dataclasses.replace(sample, ignore=None if index % 2 else ignore)


def test_ignored_regions_reach_the_encoder_and_move_along():
    def masked(instances, classes, ignore, covered):
        return {"id": instances[..., None], "ignore": ignore[..., None]}

    turned = parse(["flip_turn()"])
    stream = batches(PartlyAnnotated(), turned, masked, 4, 0, shuffle=False)
    shapes = set()
    for batch in take(6, stream):
        for number, ignore in zip(batch["targets"]["id"], batch["targets"]["ignore"], strict=True):
            odd = (number[0, 0, 0] - 1) % 2
            assert ignore.sum() == (0 if odd else 16 * 8)
            shapes.add((bool(ignore[0, 0, 0]), bool(ignore[-1, 0, 0]), bool(ignore[0, -1, 0])))
    assert len(shapes) > 2


def test_regions_to_ignore_must_be_announced():
    class Silent(PartlyAnnotated):
        ignores = False

    with pytest.raises(ValueError, match=r"sample '0' has regions to ignore.*`ignores = True`"):
        take(1, stream(Silent(), shuffle=False))


@pytest.mark.parametrize(
    "text",
    [
        "coarse_dropout(p=0.5)",
        "rotate(p=0.5)",
        "one_of(['coarse_dropout(p=1)', 'blur(p=1)'])",
    ],
)
def test_what_a_transform_makes_to_ignore_is_in_all_batches(text):
    def masked(instances, classes, ignore, covered):
        maps = {"id": instances[..., None]}
        return maps if ignore is None else {**maps, "ignore": ignore[..., None]}

    found = take(12, batches(Numbered(side=32), parse([text]), masked, 3, 0))
    assert {frozenset(batch["targets"]) for batch in found} == {frozenset({"id", "ignore"})}
    some = [sample.any() for batch in found for sample in batch["targets"]["ignore"]]
    assert 5 < sum(some) < 31


def test_what_a_transform_makes_to_ignore_must_be_announced():
    class Hide(Transform):
        def __call__(self, sample, rng):
            return dataclasses.replace(sample, ignore=np.zeros(sample.instances.shape, bool))

    with pytest.raises(ValueError, match=r"sample '0' has regions to ignore.*`ignores = True`"):
        take(1, stream(transforms=[Hide()], shuffle=False))
    Hide.ignores = True
    take(1, stream(transforms=[Hide()]))


def test_shapes_and_dtypes(folder):
    (batch,) = take(1, stream(folder, CHAIN, batch_size=3))
    assert (batch["image"].shape, batch["image"].dtype) == ((3, 16, 16, 3), np.uint8)
    assert batch["targets"]["mask"].shape == (3, 16, 16, 1)
    assert batch["targets"]["mask"].dtype == np.float32
    assert batch["targets"]["id"].dtype == np.int32


def test_targets_have_channels():
    flat = lambda instances, classes, ignore=None, covered=None: {"depth": instances}
    with pytest.raises(ValueError, match=r"the target 'depth' as \(16, 16\); \(H, W, C\) is"):
        next(batches(Numbered(), (), flat, 4, 0))


def test_every_epoch_holds_each_sample_once_in_a_new_order():
    seen = [i for b in take(15, stream(batch_size=2)) for i in ids(b)]
    epochs = [seen[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_without_shuffle_the_order_is_the_source():
    seen = [i for b in take(5, stream(batch_size=4, shuffle=False)) for i in ids(b)]
    assert seen == [*range(10), *range(10)]


def test_epochs_draw_new_transforms():
    source = Numbered(1, side=64)
    first, second = take(2, stream(source, parse(["noise(0.2, p=1.0)"]), batch_size=1))
    assert (first["image"] != second["image"]).any()


def test_seeds_differ_and_repeat(folder):
    first = take(3, stream(folder, CHAIN, seed=1))
    assert_same(first, take(3, stream(folder, CHAIN, seed=1)))
    other = take(3, stream(folder, CHAIN, seed=2))
    assert any((a["image"] != b["image"]).any() for a, b in zip(first, other, strict=True))


@pytest.mark.slow
def test_workers_give_the_same_batches_and_take_over_a_state(folder):
    def local(instances, classes, ignore, covered):  # a closure, as configurations make them
        return {"mask": (instances > 0)[..., None], "id": instances[..., None]}

    def make(workers):
        return batches(folder, CHAIN, local, 3, 5, workers=workers)

    expected = take(7, make(0))
    several = make(2)
    assert_same([next(several) for _ in range(4)], expected[:4])
    state = several.get_state()
    several.close()
    single = make(0)
    single.set_state(state)
    assert_same(take(3, single), expected[4:])


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_each_batch(count, folder):
    whole = take(4, stream(folder, CHAIN, batch_size=4))
    parts = [take(4, stream(folder, CHAIN, batch_size=4, process=(p, count))) for p in range(count)]
    for k, batch in enumerate(whole):
        assert all(len(part[k]["image"]) == 4 // count for part in parts)
        union = np.concatenate([part[k]["image"] for part in parts])
        assert sorted(x.tobytes() for x in union) == sorted(x.tobytes() for x in batch["image"])


@pytest.mark.slow
def test_restart_from_a_state_equals_the_uninterrupted_run(folder):
    run = stream(folder, CHAIN, batch_size=3)
    assert run.get_state() == {"next_batch": 0}
    for _ in range(3):
        next(run)
    state = json.loads(json.dumps(run.get_state()))
    assert state == {"next_batch": 3}
    rest = [next(run) for _ in range(5)]  # over the end of an epoch of 7
    run.set_state(state)
    assert_same(take(5, run), rest)
    fresh = stream(folder, CHAIN, batch_size=3)
    fresh.set_state(state)
    assert_same(take(5, fresh), rest)
    later = stream(folder, CHAIN, batch_size=3)
    later.set_state({"next_batch": 3})
    assert_same(take(5, later), rest)


def test_far_position_is_reached_at_once():
    run = stream(Numbered(10), batch_size=5, shuffle=False)
    run.set_state({"next_batch": 10**12 + 1})
    assert ids(next(run)) == [5, 6, 7, 8, 9]
    assert run.get_state() == {"next_batch": 10**12 + 2}
    run.close()


def test_reading_goes_on_after_close():
    run = stream(shuffle=False)
    next(run)
    run.close()
    assert ids(next(run)) == [4, 5, 6, 7]
    run.close()


def test_endless_source_is_read_in_order():
    source = Numbered(2**62, endless=True)
    run = stream(source, batch_size=3)
    run.set_state({"next_batch": 2})
    assert [ids(b) for b in take(2, run)] == [[6, 7, 8], [9, 10, 11]]


def test_classes_reach_the_encoder():
    class Classed(Numbered):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return Sample(sample.image, sample.instances, sample.instances * 2)

    def both(instances, classes, ignore, covered):
        return {"ratio": (classes // instances)[..., None]}

    (batch,) = take(1, batches(Classed(), [], both, 2, 0))
    assert (batch["targets"]["ratio"] == 2).all()


def test_sizes_that_differ_are_named(folder):
    with pytest.raises(ValueError, match=r"images of sizes \[\(2.*random_crop"):
        take(1, stream(folder))


def test_an_error_of_the_source_reaches_the_reader():
    class Broken(Numbered):
        def __getitem__(self, index):
            raise ValueError("a.png: truncated")

    with pytest.raises(ValueError, match=r"a\.png: truncated"):
        take(1, stream(Broken()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 10, "process": (0, 4)}, "batch size 10 does not divide over 4 processes"),
        ({"batch_size": 0}, "batch size 0"),
        ({"process": (2, 2)}, "process 2 of 2: they are numbered 0 to 1"),
        ({"workers": -1}, "workers=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"source": Numbered(0)}, "source 'numbered' is empty"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        batches(**{"source": Numbered(), "transforms": [], "encode": encode, "batch_size": 2,
                   "seed": 0, **arguments})  # fmt: skip


@pytest.mark.parametrize("state", [{}, {"next_batch": -1}, {"next_batch": "3"}])
def test_refuses_a_foreign_state(state):
    with pytest.raises(ValueError, match="next_batch"):
        stream().set_state(state)


# --- with unlabeled images


class Annotated(Numbered):
    """Its nuclei, classes and regions to ignore must not be looked at."""

    ignores = True

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        image = sample.image + np.arange(self.side, dtype=np.uint8)[:, None]
        ignore = np.ones(sample.instances.shape, bool)
        return Sample(image, sample.instances, sample.instances, sample.meta, ignore)


def both(source=None, transforms=(), student=("invert(p=1.0)",), count=6, **arguments):
    labeled = stream(transforms=parse(["flip_turn()"]), **arguments)
    source = Annotated(7) if source is None else source
    return with_unlabeled(labeled, source, parse(transforms), parse(student), count, seed=0)


def test_unlabeled_images_come_with_the_same_labeled_batches():
    chain = ("random_crop(8)", "flip_turn()", "foreground_crop(8)")
    joined = take(9, both(transforms=chain))
    assert_same(joined, take(9, stream(transforms=parse(["flip_turn()"]))))
    for batch in joined:
        images, student = batch["unlabeled"]["image"], batch["unlabeled"]["student"]
        assert images.shape == student.shape == (6, 8, 8, 3)
        np.testing.assert_array_equal(student, 255 - images)  # the same crop of each
    first = [image.min() for batch in joined for image in batch["unlabeled"]["image"]]
    assert len({*first}) > 7


@pytest.mark.slow
def test_both_streams_go_on_from_one_position():
    chain, student = ("random_crop(8)", "flip_turn()"), ("noise(p=1.0)", "color_jitter()")
    expected = take(6, both(transforms=chain, student=student))
    run = both(transforms=chain, student=student)
    for _ in range(3):
        next(run)
    state = run.get_state()
    assert state == {"next_batch": 3}
    for workers in (0, 1):
        again = both(transforms=chain, student=student, workers=workers)
        again.set_state(state)
        found = take(3, again)
        assert_same(found, expected[3:])
        for a, b in zip(found, expected[3:], strict=True):
            for name in ("image", "student"):
                np.testing.assert_array_equal(a["unlabeled"][name], b["unlabeled"][name])


def test_processes_share_unlabeled_images_too():
    whole = take(3, both(batch_size=4))
    parts = []
    for index in range(2):
        labeled = stream(transforms=parse(["flip_turn()"]), process=(index, 2))
        run = with_unlabeled(
            labeled, Annotated(7), [], parse(["invert(p=1.0)"]), 6, 0, process=(index, 2)
        )
        parts.append(take(3, run))
    for batch, *halves in zip(whole, *parts, strict=True):
        merged = np.empty_like(batch["unlabeled"]["image"])
        merged[0::2], merged[1::2] = (half["unlabeled"]["image"] for half in halves)
        np.testing.assert_array_equal(merged, batch["unlabeled"]["image"])


@pytest.mark.parametrize("text", ["flip_turn()", "random_crop(8)", "pad(20)", "elastic(p=1.0)"])
def test_pixels_of_the_student_stay_where_they_are(text):
    with pytest.raises(ValueError, match="student_transforms moves pixels"):
        take(4, both(student=(text,)))


def test_an_unlabeled_stream_needs_images_and_a_batch():
    with pytest.raises(ValueError, match="is empty"):
        both(Annotated(0))
    with pytest.raises(ValueError, match="batch size 0 does not divide"):
        both(count=0)
