"""Published checkpoints: names, shapes and totals as published, to our variables and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxnuc import models, pretrained

MASK = {"mask": 1}
HOVER = {"np": 2, "hv": 2}
TYPES = {**HOVER, "class": 6}
THIN = {"base_width": 4}
THIN_STAGES = {
    "encoder": [(h, 2, 3) for h in (7, 6, 5, 4, "4f", "4f")],
    "decoder": [(h, 2, 3) for h in ("4f", 4, 5, 6, 7)],
}


def template(name, outputs=MASK, **arguments):
    """A network and the shapes of its variables; nothing is computed."""
    model = models.create(name, outputs, **arguments)
    side = 64 + model.margin
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return model, jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)


def filled(variables, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda leaf: rng.uniform(0.5, 2, leaf.shape).astype(np.float32)
    return jax.tree.map(draw, variables)


def zeros(variables):
    """Exports shapes alone, at no cost in memory."""
    return jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)


def same(first, second):
    pairs = jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), first, second)
    return all(jax.tree.leaves(pairs))


def parameters(state):
    return sum(a.size for name, a in state.items() if not name.endswith(("_mean", "_var")))


U2NET = {
    "stage1.rebnconvin.conv_s1.weight": (64, 3, 3, 3),
    "stage1.rebnconvin.conv_s1.bias": (64,),
    "stage1.rebnconvin.bn_s1.running_var": (64,),
    "stage1.rebnconv7.conv_s1.weight": (32, 32, 3, 3),
    "stage1.rebnconv6d.conv_s1.weight": (32, 64, 3, 3),
    "stage1.rebnconv1d.conv_s1.weight": (64, 64, 3, 3),
    "stage2.rebnconv6.bn_s1.weight": (32,),
    "stage4.rebnconv1.conv_s1.weight": (128, 512, 3, 3),
    "stage6.rebnconv4.conv_s1.weight": (256, 256, 3, 3),
    "stage5d.rebnconvin.conv_s1.weight": (512, 1024, 3, 3),
    "stage4d.rebnconv3d.conv_s1.weight": (128, 256, 3, 3),
    "stage1d.rebnconv2d.bn_s1.bias": (16,),
    "side1.weight": (1, 64, 3, 3),
    "side3.weight": (1, 128, 3, 3),
    "side6.weight": (1, 512, 3, 3),
    "outconv.weight": (1, 6, 1, 1),
    "outconv.bias": (1,),
}
U2NETP = {
    "stage1.rebnconv6d.conv_s1.weight": (16, 32, 3, 3),
    "stage6.rebnconv3d.conv_s1.weight": (16, 32, 3, 3),
    "stage5d.rebnconvin.conv_s1.weight": (64, 128, 3, 3),
    "side6.weight": (1, 64, 3, 3),
}
ENCODER = {
    "conv0./.weight": (64, 3, 7, 7),
    "conv0.bn.running_mean": (64,),
    "d0.units.0.conv1.weight": (64, 64, 1, 1),
    "d0.units.0.conv2/bn.weight": (64,),
    "d0.units.2.preact/bn.bias": (256,),
    "d0.shortcut.weight": (256, 64, 1, 1),
    "d1.units.3.conv1/bn.running_mean": (128,),
    "d2.units.5.conv3.weight": (1024, 256, 1, 1),
    "d3.units.0.conv2.weight": (512, 512, 3, 3),
    "d3.blk_bna.bn.running_var": (2048,),
}
HOVERNET = {
    **ENCODER,
    "conv_bot.weight": (1024, 2048, 1, 1),
    "decoder.np.u3.conva.weight": (256, 1024, 5, 5),
    "decoder.np.u3.dense.units.0.preact_bna/bn.weight": (256,),
    "decoder.np.u3.dense.units.7.preact_bna/bn.running_var": (480,),
    "decoder.np.u3.dense.units.7.conv1.weight": (128, 480, 1, 1),
    "decoder.hv.u3.dense.units.7.conv1/bn.bias": (128,),
    "decoder.hv.u3.dense.units.7.conv2.weight": (32, 32, 5, 5),
    "decoder.np.u3.dense.blk_bna.bn.weight": (512,),
    "decoder.np.u3.convf.weight": (512, 512, 1, 1),
    "decoder.hv.u2.conva.weight": (128, 512, 5, 5),
    "decoder.hv.u2.dense.units.3.conv1.weight": (128, 224, 1, 1),
    "decoder.hv.u2.convf.weight": (256, 256, 1, 1),
    "decoder.np.u1.conva.weight": (64, 256, 5, 5),
    "decoder.np.u0.bn.weight": (64,),
    "decoder.np.u0.conv.weight": (2, 64, 1, 1),
    "decoder.hv.u0.conv.bias": (2,),
}
FAST = {
    **ENCODER,
    "decoder.tp.u3.conva.weight": (256, 1024, 3, 3),
    "decoder.tp.u2.dense.units.3.conv2.weight": (32, 32, 3, 3),
    "decoder.tp.u1.conva.weight": (64, 256, 3, 3),
    "decoder.tp.u0.conv.weight": (6, 64, 1, 1),
}
RESNET = {
    "conv1.weight": (64, 3, 7, 7),
    "bn1.running_mean": (64,),
    "bn1.running_var": (64,),
    "layer2.0.downsample.1.bias": (128,),
}
RESNET34 = {
    **RESNET,
    "layer1.0.conv1.weight": (64, 64, 3, 3),
    "layer1.2.bn2.weight": (64,),
    "layer2.0.conv1.weight": (128, 64, 3, 3),
    "layer2.0.downsample.0.weight": (128, 64, 1, 1),
    "layer3.5.conv2.weight": (256, 256, 3, 3),
    "layer4.0.downsample.0.weight": (512, 256, 1, 1),
    "layer4.2.bn2.running_var": (512,),
}
RESNET50 = {
    "conv1.weight": (64, 3, 7, 7),
    "layer1.0.conv1.weight": (64, 64, 1, 1),
    "layer1.0.conv3.weight": (256, 64, 1, 1),
    "layer1.0.downsample.0.weight": (256, 64, 1, 1),
    "layer1.0.downsample.1.running_mean": (256,),
    "layer1.1.conv1.weight": (64, 256, 1, 1),
    "layer2.0.conv2.weight": (128, 128, 3, 3),
    "layer2.3.bn3.bias": (512,),
    "layer3.5.conv3.weight": (1024, 256, 1, 1),
    "layer4.0.downsample.0.weight": (2048, 1024, 1, 1),
    "layer4.2.conv2.weight": (512, 512, 3, 3),
    "layer4.2.bn3.running_var": (2048,),
}
RESNET101 = {**RESNET50, "layer3.22.conv3.weight": (1024, 256, 1, 1)}
BASIC18 = {"blocks": (2, 2, 2, 2), "block": "basic"}

# network, layout, some names and shapes, how many there are (without num_batches_tracked), how many
# parameters; torchvision's totals are less its classifier of 1000 classes
PUBLISHED = [
    (("u2net", MASK), {}, "u2net", U2NET, 686, 44_009_869),
    (("u2net", MASK), {"variant": "small"}, "u2net", U2NETP, 686, 1_131_181),
    (("hovernet", HOVER), {}, "hovernet", HOVERNET, 528, 45_028_676),
    (("hovernet", TYPES), {"mode": "fast"}, "hovernet", FAST, 667, 37_639_626),
    (("hovernet", HOVER), {"mode": "fast"}, "hovernet_encoder", ENCODER, 249, 23_500_352),
    (("alnet_attention",), {}, "resnet", RESNET34, 180, 21_797_672 - 513_000),
    (("ce_net",), {}, "resnet", RESNET34, 180, 21_797_672 - 513_000),
    (("deeplabv3_plus",), BASIC18, "resnet", RESNET, 100, 11_689_512 - 513_000),
    (("deeplabv3_plus",), {}, "resnet", RESNET50, 265, 25_557_032 - 2_049_000),
    (("deeplabv3",), {}, "resnet", RESNET50, 265, 25_557_032 - 2_049_000),
    (("pspnet",), {}, "resnet", RESNET50, 265, 25_557_032 - 2_049_000),
    (("deeplabv3_plus",), {"variant": "resnet101"}, "resnet", RESNET101, 520, 42_500_160),
    (("hovernet", TYPES), {"mode": "conic"}, "resnet", RESNET50, 265, 23_508_032),
]


@pytest.mark.parametrize(("network", "arguments", "layout", "names", "entries", "total"), PUBLISHED)
def test_names_shapes_and_totals_are_the_published_ones(
    network, arguments, layout, names, entries, total
):
    state = pretrained.export(zeros(template(*network, **arguments)[1]), layout)
    assert {name: state[name].shape for name in names} == names
    assert len(state) == entries
    assert parameters(state) == total


THIN_NETWORKS = [
    ("u2net", MASK, {"variant": "small"}, "u2net"),
    ("hovernet", TYPES, {"variant": "small"}, "hovernet"),
    ("hovernet", HOVER, {"variant": "small_original"}, "hovernet"),
    ("hovernet", HOVER, {"variant": "small"}, "hovernet_encoder"),
    ("hovernet", TYPES, {"variant": "small", "mode": "conic"}, "resnet"),
    ("alnet_attention", MASK, THIN, "resnet"),
    ("ce_net", MASK, THIN, "resnet"),
    ("deeplabv3_plus", MASK, THIN, "resnet"),
]


@pytest.mark.parametrize(("name", "outputs", "arguments", "layout"), THIN_NETWORKS)
def test_export_and_load_give_the_same_to_the_bit(name, outputs, arguments, layout):
    model, shapes = template(name, outputs, **arguments)
    source, target = filled(shapes, 1), filled(shapes, 2)
    state = pretrained.export(source, layout)
    loaded = pretrained.load(state, model, target)
    found = pretrained.match(state, model, target)

    assert found.layout == layout
    assert sorted(found.filled.values()) == sorted(state)  # each of theirs once
    partial = layout in ("resnet", "hovernet_encoder")
    assert bool(found.kept) is partial
    flat = {
        "/".join(key.key for key in path[1:]): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(loaded)
    }
    for expected, paths in ((source, found.filled), (target, found.kept)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
            key = "/".join(part.key for part in path[1:])
            if key in paths:
                np.testing.assert_array_equal(flat[key], leaf)
    assert len(found.filled) + len(found.kept) == len(flat)
    assert all(a.flags.c_contiguous for a in state.values())
    if not partial:
        assert same(loaded, source)


def test_context_coding_and_all_else_of_alnet_stays():
    model, shapes = template("alnet_attention", {"mask": 1, "contour": 1}, **THIN)
    state = pretrained.export(filled(shapes), "resnet")
    kept = {path.split("/")[0] for path in pretrained.match(state, model, shapes).kept}
    assert kept >= {"context1", "context4", "attention1", "decoder2", "mask_head", "contour_head1"}
    assert "encoder" not in kept


@pytest.fixture(scope="module")
def hover():
    model, shapes = template("hovernet", TYPES, variant="small")
    return model, shapes, filled(shapes)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_files(hover, tmp_path, suffix):
    model, shapes, variables = hover
    state = pretrained.export(variables, "hovernet")
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, **state)
    else:
        save_file(state, path)
    assert same(pretrained.read(path), state)  # slashes in names survive
    assert same(pretrained.load(path, model, shapes), variables)
    assert same(pretrained.load(str(path), model, shapes, "hovernet"), variables)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"weights{suffix} is damaged or no {suffix} file"):
        pretrained.read(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.npz: no such file"):
        pretrained.read(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"net\.txt: weights are read from files \.pth, .* \.npz"):
        pretrained.read(tmp_path / "net.txt")


def test_as_published(hover):
    """Below `desc`, trained on several devices, with counters and the matrix of ones."""
    model, shapes, variables = hover
    state = pretrained.export(variables, "hovernet")
    state["upsample2x.unpool_mat"] = np.ones((2, 2), np.float32)
    state["conv0.bn.num_batches_tracked"] = np.int64(7)
    published = {"desc": {f"module.{name}": array for name, array in state.items()}}
    assert same(pretrained.load(published, model, shapes), variables)


def test_the_classifier_of_a_residual_network_is_left_out():
    model, shapes = template("ce_net", **THIN)
    state = pretrained.export(filled(shapes), "resnet")
    state |= {"fc.weight": np.zeros((1000, 32)), "fc.bias": np.zeros(1000)}
    state["bn1.num_batches_tracked"] = np.int64(7)
    assert not {"fc.weight", "fc.bias"} & set(
        pretrained.match(state, model, shapes).filled.values()
    )


def test_other_collections_stay(hover):
    model, shapes, variables = hover
    state = pretrained.export(variables, "hovernet")
    assert pretrained.load(state, model, {**shapes, "other": {"x": 1}})["other"] == {"x": 1}


def test_arrays_take_the_type_of_the_network(hover):
    model, shapes, variables = hover
    state = pretrained.export(variables, "hovernet")
    half = {name: array.astype(np.float16) for name, array in state.items()}
    loaded = pretrained.load(half, model, shapes)
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}


def test_another_number_of_types(hover):
    _, _, variables = hover
    state = pretrained.export(variables, "hovernet")
    model, shapes = template("hovernet", {**HOVER, "class": 5}, variant="small")
    expected = (
        r"shapes differ: decoder\.tp\.u0\.conv\.bias is \(6,\), and class_decoder/u0/bias \(5,\) "
        r"would be \(5,\), decoder\.tp\.u0\.conv\.weight is \(6, 8, 1, 1\), and "
        r"class_decoder/u0/kernel \(1, 1, 8, 5\) would be \(5, 8, 1, 1\)\. .*PanNuke 6, CoNSeP 5"
        r".*keep="
    )
    with pytest.raises(ValueError, match=expected):
        pretrained.load(state, model, shapes)
    ours = filled(shapes, 3)
    loaded = pretrained.load(state, model, ours, keep="class_decoder/u0/.*")
    assert same(loaded["params"]["class_decoder"]["u0"], ours["params"]["class_decoder"]["u0"])
    assert same(loaded["params"]["class_decoder"]["u1"], variables["params"]["class_decoder"]["u1"])


def test_types_on_one_side_only(hover):
    model, shapes, variables = hover
    state = pretrained.export(variables, "hovernet")
    plain, plain_shapes = template("hovernet", HOVER, variant="small")
    with pytest.raises(
        ValueError, match=r"hovernet has no place for decoder\.tp.* 136 more.*drop="
    ):
        pretrained.load(state, plain, plain_shapes)
    drop = r"decoder\.tp\..*"
    loaded = pretrained.load(state, plain, plain_shapes, drop=drop)
    assert same(loaded["params"]["np_decoder"], variables["params"]["np_decoder"])

    without = pretrained.export(loaded, "hovernet")
    missing = r"the weights lack decoder\.tp\.u0\.bn\.bias for class_decoder/u0_norm/bias"
    with pytest.raises(ValueError, match=missing):
        pretrained.load(without, model, shapes)
    assert len(pretrained.match(without, model, shapes, keep="class_.*").kept) == 139


def test_weights_that_do_not_fit(hover):
    model, shapes, variables = hover
    state = pretrained.export(variables, "hovernet")
    with pytest.raises(ValueError, match=r"no known layout: a, b; known by .*\(u2net\)"):
        pretrained.load({"a": np.zeros(1), "b": np.zeros(1)}, model, shapes)
    with pytest.raises(ValueError, match=r"unknown layout of weights 'u2ned'.*mean 'u2net'"):
        pretrained.load(state, model, shapes, "u2ned")
    with pytest.raises(ValueError, match=r"unknown layout of weights 'auto'"):
        pretrained.export(variables, "auto")
    with pytest.raises(ValueError, match=r"layout 'hovernet' has no name for"):
        pretrained.load(state, *template("harunet", **THIN_STAGES))
    with pytest.raises(ValueError, match=r"'state' is of type dict; .* under desc, state_dict"):
        pretrained.load({"state": state}, model, shapes)
    conic = template("hovernet", TYPES, variant="small", mode="conic")
    with pytest.raises(ValueError, match=r"'hovernet' has no name for .*mode is 'original'"):
        pretrained.load(state, *conic)
    with pytest.raises(ValueError, match=r"'hovernet' has no name for d0/shortcut_norm/bias"):
        pretrained.export(filled(conic[1]), "hovernet")
    with pytest.raises(ValueError, match=r"keep='clas_.\*' is the path of no array of hovernet"):
        pretrained.load(state, model, shapes, keep="clas_.*")
    with pytest.raises(ValueError, match=r"keep='\(' is no regular expression: missing"):
        pretrained.load(state, model, shapes, keep="(")
    with pytest.raises(ValueError, match=r"drop='tp' is no name among those"):
        pretrained.load(state, model, shapes, drop="tp")


def test_other_maps_of_u2net_are_named():
    source = filled(template("u2net", **THIN_STAGES)[1])
    state = pretrained.export(source, "u2net")
    both = template("u2net", {"mask": 1, "contour": 1}, **THIN_STAGES)
    with pytest.raises(ValueError, match=r"no name for contour_fusion/bias.* 11 more.*'mask': 1"):
        pretrained.load(state, *both)
    loaded = pretrained.load(state, *both, keep="contour_.*")
    assert same(loaded["params"]["mask_side3"], source["params"]["mask_side3"])


def test_encoders_of_another_depth_are_refused():
    state = pretrained.export(filled(template("ce_net", **THIN)[1]), "resnet")
    deeper = template("ce_net", **THIN, blocks=(3, 4, 6, 4))
    with pytest.raises(
        ValueError, match=r"lack layer4\.3\.bn1\.bias for encoder/layer4_3/bn1/bias"
    ):
        pretrained.load(state, *deeper)
    shallower = template("ce_net", **THIN, blocks=(2, 2, 2, 2))
    with pytest.raises(ValueError, match=r"ce_net has no place for layer1\.2\.bn1\.bias"):
        pretrained.load(state, *shallower)
