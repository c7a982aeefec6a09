"""What every representation has to do; a new file is tested by being there."""

import functools
import json
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxnuc import representations
from jaxnuc.labels import LabelTree
from jaxnuc.metrics import score
from jaxnuc.prediction.symmetries import augmented
from jaxnuc.representations import REGISTRY, OutputMap, Representation, Wrapper
from jaxnuc.representations.symmetries import restore

OUTSIDE = "their_package_of_maps.inside"
NAMES = [*REGISTRY.names(), OUTSIDE]
LABELS = LabelTree.of({"immune": {"lymphocyte": {}, "plasma": {}}, "tumor": {}}).level()
pytestmark = pytest.mark.usefixtures("outside")


@functools.cache
def create(name, classes="none", grid=1):
    options = {} if grid == 1 else {"grid": grid}
    return representations.create(name, {"name": classes}, (LABELS,), **options)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=["none", "groups"])
def representation(request, name):
    return create(name, request.param)


def classes_of(labels):
    return np.array([0, 1, 2, 3, 1], np.int32)[labels]


def test_members(representation):
    assert isinstance(representation, Representation)
    for key, each in representation.output_maps.items():
        assert isinstance(each, OutputMap)
        assert each.channels == representation.outputs[key] >= 1
        assert each.meaning
    assert representation.grid >= 1
    assert representation.outputs.keys() >= representation.without_classes.outputs.keys()
    assert (representation.label_set is None) == ("class" not in representation.outputs)


def test_a_foreground_is_a_map_of_where_nuclei_are(representation, drawn):
    name = representation.foreground
    if name is None:
        return
    assert representation.output_maps[name].kind == "logits"
    assert representation.outputs[name] in (1, 2)
    np.testing.assert_array_equal(representation.encode(drawn)[name][..., 0], drawn > 0)


def test_decoding_is_the_inverse_of_encoding(representation, drawn, perfect_maps):
    targets = representation.encode(drawn, classes_of(drawn))
    nuclei = representation.decode(perfect_maps(representation, targets), drawn.shape)
    assert nuclei.instances.dtype == np.int32
    assert nuclei.scores.dtype == np.float32
    assert len(nuclei.scores) == nuclei.instances.max() == drawn.max()
    assert ((nuclei.scores >= 0) & (nuclei.scores <= 1)).all()
    assert score(drawn, nuclei.instances).pq > 0.9
    if representation.label_set is not None:
        for number, given in enumerate(nuclei.classes, 1):
            owner = np.bincount(drawn[nuclei.instances == number]).argmax()
            assert given == classes_of(np.array(owner))
        np.testing.assert_allclose(nuclei.class_probabilities.sum(axis=1), 1, atol=1e-5)


def test_symmetries_average_to_the_same_nuclei_or_are_refused(name, drawn, perfect_maps):
    representation = create(name)
    oracle = lambda labels: perfect_maps(representation, representation.encode(labels))
    kinds = [(each.kind, each.undo) for each in representation.output_maps.values()]
    if ("directions", None) in kinds:
        with pytest.raises(ValueError, match="cannot be averaged over symmetries"):
            augmented(oracle, representation)
        return
    one, eight = (
        representation.decode(augmented(oracle, representation, ks)(drawn), drawn.shape)
        for ks in ((0,), range(8))
    )
    assert len(one.scores) == len(eight.scores)
    assert score(one.instances, eight.instances).pq > 0.95
    assert score(drawn, eight.instances).pq > 0.9


@pytest.mark.parametrize("shape", [(32, 48), (33, 41), (9, 70)])
def test_shapes_of_targets_and_nuclei(representation, shape, perfect_maps):
    labels = np.zeros(shape, np.int32)
    labels[2:8, 3:30] = 1
    sides = tuple(-(-side // representation.grid) for side in shape)
    targets = representation.encode(labels)
    assert {target.shape[:2] for target in targets.values()} == {sides}
    maps = perfect_maps(representation, targets)
    assert {key: m.shape for key, m in maps.items()} == {
        key: (*sides, channels) for key, channels in representation.outputs.items()
    }
    assert representation.decode(maps, shape).instances.shape == shape
    with pytest.raises(ValueError, match=r"map '.*' holds \d+ NaN"):
        representation.decode({key: np.full_like(m, np.nan) for key, m in maps.items()}, shape)


def batch(representation, labels, ignore=None):
    targets = representation.encode(labels, classes_of(labels), ignore)
    return {key: target[None] for key, target in targets.items()}


@functools.cache
def gradient_of(representation):
    total = lambda maps, targets: representation.loss(maps, targets)[0]
    return jax.jit(jax.value_and_grad(total))


def test_the_loss_falls_towards_the_truth(representation, drawn, perfect_maps):
    targets = batch(representation, drawn)
    right = perfect_maps(representation, {key: t[0] for key, t in targets.items()})
    loss = gradient_of(representation)
    values = [loss({k: s * m[None] for k, m in right.items()}, targets)[0] for s in (-1, 0, 0.5, 1)]
    assert np.isfinite(values).all()
    assert values == sorted(values, reverse=True)
    total, parts = jax.jit(representation.loss)({k: m[None] for k, m in right.items()}, targets)
    assert all(np.shape(part) == () for part in (total, *parts.values()))
    assert all(key.split("/")[0] in representation.outputs for key in parts)


def test_ignored_pixels_do_not_train(representation, drawn):
    ignore = np.zeros(drawn.shape, bool)
    ignore[:, 44:] = True
    targets = batch(representation, drawn, ignore)
    np.testing.assert_array_equal(targets["valid"][0, ..., 0], ~ignore)
    rng = np.random.default_rng(0)
    maps = {
        key: rng.normal(0, 2, (1, *drawn.shape, channels)).astype(np.float32)
        for key, channels in representation.outputs.items()
    }
    value, gradients = gradient_of(representation)(maps, targets)
    assert np.isfinite(value)
    for key, gradient in jax.device_get(gradients).items():
        assert np.abs(gradient[:, :, :44]).max() > 0, key
        assert not np.abs(gradient[:, :, 44:]).any(), key
    changed = {key: np.where(ignore[None, ..., None], 3.0, m) for key, m in maps.items()}
    np.testing.assert_allclose(gradient_of(representation)(changed, targets)[0], value, rtol=1e-5)


def test_side_maps_have_a_loss_that_a_schedule_weighs(representation, drawn):
    targets = batch(representation, drawn)
    maps = {
        key: np.ones((1, *drawn.shape, channels), np.float32)
        for key, channels in representation.outputs.items()
    }
    plain, _ = representation.loss(maps, targets)
    deep = {**maps, "side": {key: [m] for key, m in maps.items()}}
    _, parts = representation.loss(deep, targets)
    off, _ = representation.loss(deep, targets, None, {"side": 0.0})
    np.testing.assert_allclose(off, plain, rtol=1e-6)
    if "side" in parts:  # a representation may do without side maps
        both, _ = representation.loss(deep, targets)
        np.testing.assert_allclose(both, plain + parts["side"], rtol=1e-6)


def noisy(representation, shape, seed, scale=3.0):
    rng = np.random.default_rng(seed)
    return {
        key: rng.normal(0, scale, (2, *shape, channels)).astype(np.float32)
        for key, channels in representation.outputs.items()
    }


def test_a_student_is_compared_with_a_teacher_who_is_confident(representation):
    student, teacher = (noisy(representation, (9, 9), seed) for seed in (0, 1))
    compare = jax.jit(jax.value_and_grad(representation.consistency, has_aux=True))
    (value, share), gradients = compare(student, teacher, 0.8)
    assert value > 0
    assert 0 < share < 1
    assert all(g.any() for g in gradients.values())

    (value, _), gradients = compare(teacher, teacher, 0.8)
    np.testing.assert_allclose(value, 0, atol=1e-6)  # its minimum
    for key, each in representation.output_maps.items():
        if each.kind == "logits":  # an absolute difference has no derivative there
            np.testing.assert_allclose(gradients[key], 0, atol=1e-6)

    (value, share), gradients = compare(student, teacher, 1.01)
    assert value == share == 0
    assert not any(g.any() for g in gradients.values())


@pytest.mark.parametrize("k", range(1, 8))
def test_a_student_may_see_a_turned_image(name, k):
    """Maps are turned back, as arrays of JAX too; and turning both changes nothing."""
    representation = create(name)
    maps = representation.output_maps
    if any(each.kind == "directions" and each.undo is None for each in maps.values()):
        pytest.skip("its maps cannot be turned")
    back = jax.vmap(lambda m: restore(m, maps, k))
    student, teacher = (noisy(representation, (9, 9), seed) for seed in (0, 1))
    for key, found in jax.jit(back)(student).items():
        literal = [restore({n: m[i] for n, m in student.items()}, maps, k)[key] for i in (0, 1)]
        np.testing.assert_array_equal(found, literal, err_msg=key)
    compare = jax.jit(lambda *maps: representation.consistency(*maps, 0.8))
    both = compare(jax.jit(back)(student), jax.jit(back)(teacher))
    np.testing.assert_allclose(both, compare(student, teacher), rtol=1e-5)


def test_thresholds(representation, drawn, perfect_maps):
    before = dict(representation.thresholds)
    with pytest.raises(ValueError, match="no threshold 'nothing'; known: "):
        representation.with_thresholds({"nothing": 0.5})
    assert representation.with_thresholds({}) == representation
    maps = perfect_maps(representation, representation.encode(drawn, classes_of(drawn)))
    for key in before:
        changed = representation.with_thresholds({key: 0.125})
        assert changed.thresholds == {**before, key: 0.125}
        assert representation.thresholds == before
        assert changed.outputs == representation.outputs
    if not before:
        return
    first = next(iter(before))
    lower, higher = (representation.with_thresholds({first: value}) for value in (0.05, 0.99))
    few, many = (each.decode(maps, drawn.shape) for each in (higher, lower))
    assert len(few.scores) <= len(many.scores)
    if representation.filters_by_score:
        np.testing.assert_array_equal(few.scores, many.scores[many.scores > 0.99])


def test_a_configuration_makes_it_again(representation):
    sections = json.loads(json.dumps(representation.sections()))
    again = representations.create(
        classes=sections["classes"],
        label_sets=representation.label_sets,
        **sections["representation"],
    )
    assert again == representation
    assert pickle.loads(pickle.dumps(representation)) == representation


def test_the_network_s_part_can_be_exported(name):
    """The loss of a batch of any size, as StableHLO."""
    representation = create(name)
    shape = jax.export.symbolic_shape("b, 32, 32")
    targets = representation.encode(np.zeros((32, 32), np.int32))
    given = lambda channels, dtype: jax.ShapeDtypeStruct((*shape, channels), dtype)
    maps = {key: given(c, np.float32) for key, c in representation.outputs.items()}
    encoded = {key: given(t.shape[-1], t.dtype) for key, t in targets.items()}
    loss = jax.jit(lambda maps, targets: representation.loss(maps, targets)[0])
    (scalar,) = jax.export.export(loss)(maps, encoded).out_avals
    assert scalar.shape == ()


def test_input_workers_do_not_import_jax(outside):
    code = (
        f"import sys, numpy as np; sys.path.insert(0, {str(outside)!r})\n"
        "from jaxnuc import representations as r\n"
        "labels = np.eye(8, dtype=np.int32)\n"
        f"for name in {NAMES}:\n"
        "    made = r.create(name)\n"
        "    made.encode(labels, labels, labels > 0)\n"
        "    maps = {k: np.zeros((8, 8, c)) for k, c in made.outputs.items()}\n"
        "    made.decode(maps, (8, 8))\n"
        "    assert not {'jax', 'flax'} & set(sys.modules), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("grid", [2, 4])
def test_maps_on_a_grid(grid, drawn, perfect_maps):
    representation = create("stardist", "groups", grid)
    test_decoding_is_the_inverse_of_encoding(representation, drawn, perfect_maps)
    test_shapes_of_targets_and_nuclei(representation, (33, 41), perfect_maps)


# --- representations that wrap another one


class FourMembers(Representation):
    """The four members that have no default, each that of another representation."""

    def __init__(self, base):
        self.base = base

    output_maps = property(lambda self: self.base.output_maps)

    def encode(self, *arguments):
        return self.base.encode(*arguments)

    def loss(self, *arguments):
        return self.base.loss(*arguments)

    def decode(self, *arguments):
        return self.base.decode(*arguments)


@pytest.mark.parametrize("wrapper", [FourMembers, Wrapper])
def test_a_wrapped_representation_loses_nothing(wrapper, name, drawn, perfect_maps):
    base = create(name)
    wrapped = wrapper(base)
    oracle = lambda labels: perfect_maps(base, base.encode(labels))
    expected = base.decode(augmented(oracle, base)(drawn), drawn.shape)
    found = wrapped.decode(augmented(oracle, wrapped)(drawn), drawn.shape)
    np.testing.assert_array_equal(found.instances, expected.instances)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert wrapped.outputs == base.outputs


def test_a_wrapper_passes_on_every_member():
    members = {key for key in vars(Representation) if not key.startswith("_")}
    derived = {"outputs"}  # from `output_maps`
    assert members - derived == {key for key in vars(Wrapper) if not key.startswith("_")}
    representation = Wrapper(create("stardist", "groups", 2))
    numbers = ("grid", "decoder", "threshold_choices", "thresholds")
    numbers = (*numbers, "factors", "foreground", "filters_by_score")
    for key in (*numbers, "label_set", "label_sets"):
        assert getattr(representation, key) == getattr(representation.base, key)
    assert representation.with_thresholds({"nms_thresh": 0.2}).base.thresholds["nms_thresh"] == 0.2
    assert representation.without_classes == Wrapper(create("stardist", grid=2))
    with pytest.raises(TypeError, match="define `sections`"):
        representation.sections()


def test_a_grid_that_a_wrapper_does_not_pass_on_is_noticed(drawn, perfect_maps):
    wrapped = FourMembers(create("stardist", grid=2))
    assert wrapped.grid == 1  # so the network is made for maps of the image's size
    maps = {key: np.zeros((*drawn.shape, c)) for key, c in wrapped.outputs.items()}
    with pytest.raises(ValueError, match="on a grid of 2, these have"):
        wrapped.decode(maps, drawn.shape)


def test_a_missing_member_is_named_at_once():
    class OnlyChannels(Representation):
        outputs = property(lambda self: {"np": 2, "hv": 2})
        encode = decode = loss = lambda self, *arguments: None

    with pytest.raises(TypeError, match=r"abstract .*output_maps"):
        OnlyChannels()


def test_what_a_map_means_has_to_be_said(drawn, perfect_maps):
    with pytest.raises(TypeError, match="kind"):
        OutputMap(2, meaning="a map")
    with pytest.raises(ValueError, match="known: logits, values, directions"):
        OutputMap(2, "vectors", "a map")
    with pytest.raises(ValueError, match="nothing to undo; its kind is 'directions'"):
        OutputMap(2, "values", "a map", lambda m, k: m)
    base = create("hover")

    class Silent(FourMembers):
        output_maps = property(
            lambda self: {**self.base.output_maps, "hv": OutputMap(2, "directions", "flow")}
        )

    oracle = lambda labels: perfect_maps(base, base.encode(labels))
    augmented(oracle, Silent(base), (0,))
    for symmetries in (range(8), (4,)):
        with pytest.raises(ValueError, match=r"map 'hv' has directions .* symmetries=\(0,\)"):
            augmented(oracle, Silent(base), symmetries)


def test_what_is_no_representation_is_refused(tmp_path, monkeypatch):
    (tmp_path / "not_a_representation.py").write_text("class Representation: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="is not derived from"):
        representations.create("not_a_representation.Representation")
    with pytest.raises(ValueError, match="cannot be imported"):
        representations.create("no_such_package.maps")
