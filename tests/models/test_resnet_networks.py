"""Residual encoders and networks on them: AL-Net (attention learning), CE-Net, DeepLab, PSPNet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnuc import models
from jaxnuc.models import _attention, _blocks, _resnet, ce_net, deeplabv3_plus, pspnet

BOTH = {"mask": 1, "contour": 2}
THIN = {"blocks": (1, 1, 1, 1), "base_width": 4}
THIN_ALNET = {**THIN, "attention_width": 2}
THIN_DEEPLAB = {**THIN, "features": 4, "low_features": 3}


def shapes(model, *arguments, size=(1, 64, 64, 3)):
    images = jax.ShapeDtypeStruct(size, jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, *arguments), images)


def size_of(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def parts_of(model, *arguments):
    return {k: size_of(v) for k, v in shapes(model, *arguments)["params"].items()}


def total(name, outputs, **arguments):
    return sum(parts_of(models.create(name, outputs, **arguments)).values())


def randomized(variables):
    """No zero bias, no unit scale: each parameter and statistic has to be at its place."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key == "kernel":
            spread = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return rng.normal(scale=spread, size=leaf.shape).astype(np.float32)
        low, high = (0.5, 2) if path[-1].key in ("scale", "var") else (-0.2, 0.5)
        return rng.uniform(low, high, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, variables)


def convolved(x, params, dilation=1, stride=1):
    """The literal sum over the window, zeros around."""
    kernel, bias = params["kernel"], params.get("bias", 0)
    side = kernel.shape[0]
    pad = dilation * (side // 2)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    _, h, w, _ = x.shape
    result = 0
    for i in range(side):
        for j in range(side):
            u, v = i * dilation, j * dilation
            result = result + padded[:, u : u + h, v : v + w] @ kernel[i, j]
    return (result + bias)[:, ::stride, ::stride]


def normalized(x, variables, name):
    params, stats = (variables[c][name] for c in ("params", "batch_stats"))
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * params["scale"] + params["bias"]


def inside(variables, name):
    return {collection: tree[name] for collection, tree in variables.items()}


def conv_norm_relu(x, variables, name, dilation=1):
    variables = inside(variables, name)
    y = convolved(x, variables["params"]["Conv_0"], dilation)
    return np.maximum(normalized(y, variables, "BatchNorm_0"), 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def doubled(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def halved(x):
    b, h, w, c = x.shape
    result = np.full((b, -(-h // 2), -(-w // 2), c), -np.inf, np.float32)
    for i in range(h):
        for j in range(w):
            result[:, i // 2, j // 2] = np.maximum(result[:, i // 2, j // 2], x[:, i, j])
    return result


# Encoders


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (_resnet.RESNET18, 11_176_512),
        (_resnet.RESNET34, 21_284_672),
        (_resnet.RESNET50, 23_508_032),
        (_resnet.RESNET101, 42_500_160),
    ],
)
def test_parameters_of_resnets(layout, expected):
    assert sum(parts_of(_resnet.ResNet(**layout), False).values()) == expected


def test_parameters_of_the_layers_of_resnet34():
    parts = parts_of(_resnet.ResNet(**_resnet.RESNET34), False)
    assert parts["conv1"] + parts["bn1"] == 9_536
    layers = [sum(n for k, n in parts.items() if k.startswith(f"layer{i}_")) for i in (1, 2, 3, 4)]
    assert layers == [221_952, 1_116_416, 6_822_400, 13_114_368]


def test_names_are_those_of_torchvision():
    params = shapes(_resnet.ResNet(**_resnet.RESNET50), False)["params"]
    names = [
        "conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample_0", "downsample_1",
    ]  # fmt: skip
    expected = {"conv1", "bn1"}
    for layer, number in enumerate((3, 4, 6, 3), start=1):
        for block in range(number):
            expected |= {f"layer{layer}_{block}_{n}" for n in names[: 8 if block == 0 else 6]}
    leaves = jax.tree_util.tree_leaves_with_path(params)
    assert {"_".join(k.key for k in path[:-1]) for path, _ in leaves} == expected
    kernels = {k: v["kernel"].shape for k, v in params["layer2_0"].items() if "kernel" in v}
    assert kernels == {
        "conv1": (1, 1, 256, 128),
        "conv2": (3, 3, 128, 128),
        "conv3": (1, 1, 128, 512),
        "downsample_0": (1, 1, 256, 512),
    }


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_sides_of_the_feature_maps_are_rounded_up(block, output_stride):
    encoder = _resnet.ResNet((1, 2, 1, 2), block, 4, output_stride)
    images = jax.ShapeDtypeStruct((2, 70, 101, 3), jnp.float32)
    features, _ = jax.eval_shape(
        lambda x: encoder.init_with_output(jax.random.key(0), x, False), images
    )
    strides = [min(s, output_stride) for s in (2, 4, 8, 16, 32)]
    assert [f.shape[1:3] for f in features] == [(-(-70 // s), -(-101 // s)) for s in strides]
    expansion = {"basic": 1, "bottleneck": 4}[block]
    assert [f.shape[-1] for f in features] == [4] + [4 * expansion * 2**i for i in range(4)]


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_dilation_computes_between_the_pixels_of_the_strided_network(block):
    strided = _resnet.ResNet((1, 1, 1, 2), block, 2)
    dilated = _resnet.ResNet((1, 1, 1, 2), block, 2, output_stride=8)
    images = jax.random.uniform(jax.random.key(1), (1, 97, 160, 3))
    variables = randomized(shapes(strided, False))
    coarse = jax.jit(strided.apply, static_argnums=2)(variables, images, False)
    fine = jax.jit(dilated.apply, static_argnums=2)(variables, images, False)
    assert fine[4].shape[1:3] == (13, 20)
    assert np.ptp(coarse[4]) > 0.1
    np.testing.assert_allclose(fine[3][:, ::2, ::2], coarse[3], atol=1e-4)
    np.testing.assert_allclose(fine[4][:, ::4, ::4], coarse[4], atol=1e-4)


def test_the_stem_pads_alike_on_both_sides_and_layers_take_what_is_put_between():
    encoder = _resnet.ResNet((1, 1, 1, 1), "basic", 2)
    images = np.random.default_rng(0).uniform(size=(1, 34, 36, 3)).astype(np.float32)
    variables = randomized(shapes(encoder, False))
    levels = []

    def between(level, x):
        levels.append((level, x))
        return x + level

    features = encoder.apply(variables, images, False, between)
    y = convolved(images, variables["params"]["conv1"], stride=2)
    stem = np.maximum(normalized(y, variables, "bn1"), 0)
    np.testing.assert_allclose(features[0], stem, atol=1e-4)
    padded = np.pad(stem, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    pooled = [
        [padded[0, i : i + 3, j : j + 3].max((0, 1)) for j in range(0, 18, 2)]
        for i in range(0, 17, 2)
    ]
    assert [level for level, _ in levels] == [0, 1, 2, 3]
    np.testing.assert_allclose(levels[0][1][0], pooled, atol=1e-4)
    for level in (1, 2, 3):
        np.testing.assert_array_equal(features[level], levels[level][1] + level)
    block = _resnet.Block(4, "basic", stride=2)
    expected = block.apply(inside(variables, "layer2_0"), features[1], False)
    np.testing.assert_allclose(levels[2][1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("block", "convs"),  # stride and dilation of each
    [("basic", [(2, 3), (1, 2)]), ("bottleneck", [(1, 1), (2, 3), (1, 1)])],
)
def test_blocks_equal_their_formula(block, convs):
    layer = _resnet.Block(2, block, stride=2, first_dilation=3, dilation=2)
    x = np.random.default_rng(1).normal(size=(2, 6, 7, 3)).astype(np.float32)
    variables = randomized(shapes(layer, False, size=x.shape))
    y = x
    for i, (stride, dilation) in enumerate(convs, start=1):
        y = convolved(np.maximum(y, 0) if i > 1 else y, variables["params"][f"conv{i}"], dilation)
        y = normalized(y[:, ::stride, ::stride], variables, f"bn{i}")
    shortcut = convolved(x, variables["params"]["downsample_0"], stride=2)
    expected = np.maximum(y + normalized(shortcut, variables, "downsample_1"), 0)
    found = jax.jit(layer.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_allclose(found, expected, atol=1e-4)

    layer = _resnet.Block(2, block)  # as wide as its input: nothing on the shortcut
    x = np.abs(x[..., :1]).repeat(2 * _resnet.EXPANSION[block], axis=-1)
    variables = randomized(shapes(layer, False, size=x.shape))
    assert "downsample_0" not in variables["params"]
    last = f"bn{len(convs)}"
    variables["params"][last] = jax.tree.map(np.zeros_like, variables["params"][last])
    np.testing.assert_array_equal(layer.apply(variables, x, False), x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block": "wide"}, "block='wide'; known: basic, bottleneck"),
        ({"output_stride": 4}, "output_stride=4; known: 8, 16, 32"),
        ({"blocks": (2, 2, 2)}, r"blocks=\(2, 2, 2\); one number for each of the 4 layers"),
    ],
)
def test_what_no_resnet_has_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        shapes(_resnet.ResNet(**arguments), False)


# Images in


class Fed(Exception):
    pass


def fed_to_the_encoder(images, name, **arguments):
    def intercept(call, args, kwargs, context):
        if isinstance(context.module, _resnet.ResNet):
            raise Fed(args[0])
        return call(*args, **kwargs)

    with nn.intercept_methods(intercept), pytest.raises(Fed) as caught:
        models.create(name, BOTH, **arguments).apply({}, images)
    return caught.value.args[0]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("alnet_attention", -1.6, 1.6), ("ce_net", -1.6, 1.6), ("deeplabv3_plus", -1.0, 1.0)],
)
def test_images_are_scaled_as_the_paper_or_the_arguments_say(name, low, high):
    images = np.random.default_rng(0).uniform(size=(1, 32, 32, 3)).astype(np.float32)
    found = fed_to_the_encoder(images, name)
    np.testing.assert_allclose(found, low + (high - low) * images, atol=1e-6)
    plain = fed_to_the_encoder(images, name, input_scale=1, input_offset=0)
    np.testing.assert_array_equal(plain, images)


def test_bgr_turns_the_channels_around():
    images = np.random.default_rng(0).uniform(size=(1, 32, 32, 3)).astype(np.float32)
    turned = fed_to_the_encoder(images, "alnet_attention", bgr=True)
    expected = fed_to_the_encoder(images, "alnet_attention")
    np.testing.assert_array_equal(turned, expected[..., ::-1])


# AL-Net


def test_parameters_of_alnet():
    model = models.create("alnet_attention", {"mask": 1, "contour": 1})
    parts = parts_of(model)
    assert sum(parts.values()) == 27_442_441
    assert parts == {
        "encoder": 9_536 + 221_952 + 1_116_416 + 6_822_400 + 13_114_368,
        "context1": 115_968,
        "context2": 115_968,
        "context3": 463_360,
        "context4": 1_852_416,
        "attention1": 81_329,
        "attention2": 81_329,
        "attention3": 90_545,
        "attention4": 108_977,
        "up5": 1_180_416,
        "decoder5": 1_180_416,
        "up4": 295_296,
        "decoder4": 295_296,
        "up3": 73_920,
        "decoder3": 73_920,
        "up2": 37_056,
        "decoder2": 73_920,
        "up1": 37_056,
        "mask_head": 65,
        "contour_head1": 65,
        "contour_head2": 65,
        "contour_head3": 129,
        "contour_head4": 257,
    }


def test_maps_of_alnet_come_from_where_they_are_asked_for():
    heads = lambda **kw: {
        k for k in parts_of(models.create("alnet_attention", **THIN, **kw)) if "head" in k
    }
    assert heads(outputs={"mask": 1}) == {"mask_head"}
    assert heads(outputs=BOTH, attention_outputs=()) == {"mask_head", "contour_head"}
    edges = {f"edge_head{i}" for i in (1, 2, 3, 4)}
    assert heads(outputs={"edge": 1, "x": 1}, attention_outputs=("edge",)) == edges | {"x_head"}


def test_context_code_equals_its_formula():
    block = _attention.ContextCode(reduction=2)
    x = np.random.default_rng(1).normal(size=(2, 7, 6, 4)).astype(np.float32)
    variables = randomized(shapes(block, size=x.shape))
    params = variables["params"]
    near, middle, far, point = (
        lambda y, n=n, d=d: convolved(y, params["dense_atrous"][n], d)
        for n, d in (("dilated1", 1), ("dilated3", 3), ("dilated5", 5), ("point", 1))
    )
    relu = lambda y: np.maximum(y, 0)
    chains = (
        near(x),
        point(middle(x)),
        point(middle(near(x))),
        point(far(middle(near(x)))),
    )
    s = x + sum(relu(chain) for chain in chains)
    hidden = relu(s.mean((1, 2)) @ params["Dense_0"]["kernel"])
    w = sigmoid(hidden @ params["Dense_1"]["kernel"])
    assert size_of(params) == 3 * (9 * 16 + 4) + 16 + 4 + 2 * 8
    np.testing.assert_allclose(
        block.apply(variables, x), x + s * w[:, None, None], rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("size", [(5, 3), (1, 2)])
def test_attention_learn_equals_its_formula(size):
    block = _attention.AttentionLearn(width=2)
    x = np.random.default_rng(1).normal(size=(2, *size, 3)).astype(np.float32)
    variables = randomized(shapes(block, False, size=x.shape))
    conv = lambda y, i: conv_norm_relu(y, variables, f"ConvNormAct_{i}")
    crop = lambda y, like: y[:, : like.shape[1], : like.shape[2]]
    join = lambda a, b: np.concatenate([a, b], axis=-1)
    a1 = halved(conv(doubled(x), 0))
    a2 = halved(conv(a1, 1))
    a3 = halved(conv(a2, 2))
    y = conv(crop(doubled(a3), a2), 3)
    y = conv(join(a2, y), 4)
    y = conv(crop(doubled(y), a1), 5)
    y = conv(join(a1, y), 6)
    y = conv(doubled(y), 7)
    psi = sigmoid(halved(convolved(y, variables["params"]["Conv_0"])))
    assert psi.shape == (2, *size, 1)
    assert np.ptp(psi) > 0.01
    found = jax.jit(block.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_allclose(found, x + x * psi, atol=1e-4)


def test_the_boundary_map_comes_from_the_attention_features_alone():
    model = models.create("alnet_attention", {"mask": 1, "contour": 1}, **THIN_ALNET)
    images = jax.random.uniform(jax.random.key(1), (1, 64, 33, 3))
    variables = randomized(shapes(model))
    params = variables["params"]
    apply = jax.jit(lambda params: model.apply({**variables, "params": params}, images))
    before = apply(params)
    reached = {"mask": set(), "contour": set()}
    for part in params:
        after = apply({**params, part: jax.tree.map(lambda x: 0.9 * x, params[part])})
        for name, parts in reached.items():
            if np.any(after[name] != before[name]):
                parts.add(part)
    levels = (1, 2, 3, 4)
    shared = {"encoder", *(f"{part}{i}" for part in ("context", "attention") for i in levels)}
    assert reached["contour"] == shared | {f"contour_head{i}" for i in levels}
    decoder = {f"{part}{i + 1}" for part in ("up", "decoder") for i in levels}
    assert reached["mask"] == shared | decoder | {"up1", "mask_head"}


def test_upsample_nearest_repeats_and_crops():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    assert _blocks.upsample_nearest(x, factor=3).shape == (1, 6, 6, 1)
    found = _blocks.upsample_nearest(x, jnp.zeros((1, 3, 4, 5)))[0, :, :, 0]
    np.testing.assert_array_equal(found, [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]])


# CE-Net


def test_parameters_of_ce_net():
    parts = parts_of(models.create("ce_net", {"mask": 1}))
    assert sum(parts.values()) == 29_003_093
    assert parts["encoder"] == 21_284_672
    assert parts["dense_atrous"] == 3 * (9 * 512**2 + 512) + 512**2 + 512
    assert parts["pooling"] == 513
    assert total("ce_net", {"mask": 1, "contour": 1}) - 29_003_093 == 9 * 32 + 1


@pytest.mark.parametrize("kernel", [3, 4])
def test_transposed_convolutions_have_the_output_of_torch(kernel):
    layer = ce_net.double_by_transposed(2, kernel, jnp.float32)
    x = np.random.default_rng(1).normal(size=(1, 3, 4, 5)).astype(np.float32)
    variables = randomized(shapes(layer, size=x.shape))
    weights = variables["params"]["kernel"][::-1, ::-1]  # torch's are turned by half a circle
    wide = np.zeros((1, 6 + kernel, 8 + kernel, 2), np.float32)
    for i in range(3):
        for j in range(4):
            wide[:, 2 * i : 2 * i + kernel, 2 * j : 2 * j + kernel] += np.einsum(
                "bc,ijcf->bijf", x[:, i, j], weights
            )
    expected = wide[:, 1:7, 1:9] + variables["params"]["bias"]
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-5)


def test_multi_kernel_pooling_appends_a_channel_a_window():
    layer = ce_net.MultiKernelPooling(windows=(1, 2, 9))
    x = np.random.default_rng(1).normal(size=(2, 5, 4, 3)).astype(np.float32)
    variables = randomized(shapes(layer, size=x.shape))
    y = np.asarray(layer.apply(variables, x))
    point = lambda v: convolved(v, variables["params"]["Conv_0"])[..., 0]
    assert y.shape == (2, 5, 4, 6)
    np.testing.assert_array_equal(y[..., 3:], x)
    np.testing.assert_allclose(y[..., 0], point(x), atol=1e-5)
    pooled = point(halved(x[:, :4]))  # windows of 2; the fifth row fills none
    np.testing.assert_allclose(y[:, 0, 0, 1], pooled[:, 0, 0], atol=1e-5)
    np.testing.assert_allclose(y[:, 4, 3, 1], pooled[:, 1, 1], atol=1e-5)
    whole = point(x.max(axis=(1, 2), keepdims=True))  # larger than the map: all of it
    np.testing.assert_allclose(y[..., 2], np.broadcast_to(whole, (2, 5, 4)), atol=1e-5)


def test_decoder_blocks_equal_their_formula():
    layer = ce_net.DecoderBlock(3)
    x = np.random.default_rng(1).normal(size=(2, 4, 5, 8)).astype(np.float32)
    variables = randomized(shapes(layer, False, size=x.shape))
    y = conv_norm_relu(x, variables, "ConvNormAct_0")
    transposed = {"params": variables["params"]["ConvTranspose_0"]}
    y = ce_net.double_by_transposed(2, 3, jnp.float32).apply(transposed, y)
    y = np.maximum(normalized(y, variables, "BatchNorm_0"), 0)
    y = conv_norm_relu(y, variables, "ConvNormAct_1")
    np.testing.assert_allclose(layer.apply(variables, x, False), y, atol=1e-4)


def test_skips_of_ce_net_are_added():
    model = models.create("ce_net", {"mask": 1}, **THIN)
    images = jax.random.uniform(jax.random.key(1), (1, 40, 33, 3))

    @jax.jit
    def decoder_calls(variables):
        calls = []

        def intercept(call, args, kwargs, context):
            result = call(*args, **kwargs)
            if isinstance(context.module, _resnet.ResNet | ce_net.DecoderBlock):
                calls.append((args[0], result))
            return result

        with nn.intercept_methods(intercept):
            model.apply(variables, images)
        return calls

    (_, (_, *skips, _)), *decoder = decoder_calls(randomized(shapes(model)))
    assert len(decoder) == 4
    for (_, above), (below, _), skip in zip(decoder, decoder[1:], reversed(skips), strict=False):
        _, h, w, _ = skip.shape
        np.testing.assert_allclose(below, above[:, :h, :w] + skip, atol=1e-5)


# DeepLabV3+


@pytest.mark.parametrize("arguments", [{}, {"output_stride": 8}])
def test_the_pyramid_is_at_the_output_stride(arguments):
    model = models.create("deeplabv3_plus", {"mask": 1}, **THIN_DEEPLAB, **arguments)
    apply = lambda v, x: model.apply(v, x, capture_intermediates=True, mutable=["intermediates"])
    images = jax.ShapeDtypeStruct((1, 65, 96, 3), jnp.float32)
    _, state = jax.eval_shape(apply, shapes(model), images)
    (pyramid,) = state["intermediates"]["pyramid"]["__call__"]
    assert pyramid.shape == ((1, 9, 12, 4) if arguments else (1, 5, 6, 4))
    (low,) = state["intermediates"]["low"]["__call__"]
    assert low.shape == (1, 17, 24, 3)


@pytest.mark.parametrize(("variant", "encoder"), [("full", 23_508_032), ("resnet101", 42_500_160)])
def test_parameters_of_deeplab(variant, encoder):
    norm = 2
    pyramid = 256 * (2048 * (1 + 3 * 9 + 1) + 5 * 256 + 6 * norm)
    low = 48 * (256 + norm)
    decoder = 256 * (9 * (256 + 48) + norm) + 256 * (9 * 256 + norm)
    found = parts_of(models.create("deeplabv3_plus", {"mask": 3}, variant=variant))
    assert found["pyramid"] == pyramid
    assert sum(found.values()) == encoder + pyramid + low + decoder + 3 * 257


def test_pyramid_pooling_equals_its_formula():
    layer = deeplabv3_plus.PyramidPooling(3, rates=(1, 3), dropout_rate=0.5)
    x = np.random.default_rng(1).normal(size=(2, 5, 6, 4)).astype(np.float32)
    variables = randomized(shapes(layer, False, size=x.shape))
    conv = lambda y, name, dilation=1: conv_norm_relu(y, variables, name, dilation)
    mean = conv(x.mean(axis=(1, 2), keepdims=True), "image")
    branches = [
        conv(x, "point"),
        conv(x, "rate1"),
        conv(x, "rate3", 3),
        np.broadcast_to(mean, (2, 5, 6, 3)),
    ]
    expected = conv(np.concatenate(branches, axis=-1), "fuse")
    found = jax.jit(layer.apply, static_argnums=2)(variables, x, False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("variant", "published"), [("full", 42_004_074), ("resnet101", 60_996_202)]
)
def test_parameters_of_deeplab_without_a_decoder(variant, published):
    """torchvision's, of 21 classes, but for the auxiliary head on the 1024 channels of layer 3."""
    auxiliary = 256 * (9 * 1024 + 2) + 21 * 257
    assert total("deeplabv3", {"mask": 21}, variant=variant) == published - auxiliary


# PSPNet


def test_parameters_of_pspnet():
    found = parts_of(models.create("pspnet", {"mask": 3}))
    grids = {f"grid{bins}": 512 * (2048 + 2) for bins in (1, 2, 3, 6)}
    assert found == {
        "encoder": 23_508_032,
        **grids,
        "last": 512 * (9 * (2048 + 4 * 512) + 2),
        "mask_head": 3 * 513,
        "auxiliary": 256 * (9 * 1024 + 2),
        "mask_auxiliary_head": 3 * 257,
    }
    without = parts_of(models.create("pspnet", {"mask": 3}, auxiliary=0))
    assert without == {k: n for k, n in found.items() if "auxiliary" not in k}


@pytest.mark.parametrize("sides", [(7, 5), (12, 6), (2, 1)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_means_of_cells(bins, sides):
    h, w = sides
    x = np.random.default_rng(0).normal(size=(2, h, w, 3)).astype(np.float32)
    found = np.asarray(pspnet.mean_of_cells(x, bins))
    for i in range(bins):
        for j in range(bins):
            rows = slice(int(np.floor(i * h / bins)), int(np.ceil((i + 1) * h / bins)))
            columns = slice(int(np.floor(j * w / bins)), int(np.ceil((j + 1) * w / bins)))
            expected = x[:, rows, columns].mean(axis=(1, 2))
            np.testing.assert_allclose(found[:, i, j], expected, atol=1e-6)
