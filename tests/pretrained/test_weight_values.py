"""Loaded networks compute what torch's layers compute with the same arrays, written out in NumPy.

The literal versions work on (B, C, H, W) and take their arrays by the published names.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import models, pretrained
from jaxnuc.models._resnet import ResNet
from jaxnuc.models.hovernet import GROUPS, GroupedConv

EPSILON = 1e-5


def network(name, outputs, layout, **arguments):
    """A network with weights at random, and the same under the published names."""
    model = models.create(name, outputs, **arguments)
    side = 64 + model.margin
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)
    blank = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes)
    rng = np.random.default_rng(0)

    def draw(name, array):
        if array.ndim == 4:
            return rng.normal(scale=np.sqrt(2 / array[0].size), size=array.shape)
        low, high = (0.5, 1.5) if name.endswith(("_var", ".weight")) else (-0.3, 0.3)
        return rng.uniform(low, high, array.shape)

    state = {name: draw(name, array) for name, array in pretrained.export(blank, layout).items()}
    return model, pretrained.load(state, model, shapes), state


def channels_last(x):
    return jnp.asarray(x.transpose(0, 2, 3, 1), jnp.float32)


def convolution(x, state, name, stride=1, dilation=1, groups=1):
    """`conv2d`, padded so that stride 1 keeps the size."""
    weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias", np.zeros(1))
    outs, per_group, side, _ = weight.shape
    pad = dilation * (side // 2)
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    h, w = ((n - dilation * (side - 1) - 1) // stride + 1 for n in x.shape[2:])
    result = np.zeros((len(x), outs, h, w)) + bias[:, None, None]
    for out in range(outs):
        first = out // (outs // groups) * per_group
        for i in range(side):
            for j in range(side):
                seen = x[:, first : first + per_group, dilation * i :, dilation * j :]
                seen = seen[:, :, : stride * h : stride, : stride * w : stride]
                result[:, out] += np.einsum("bchw,c->bhw", seen, weight[out, :, i, j])
    return result


def norm(x, state, name):
    weight, bias, mean, var = (
        state[f"{name}.{key}"][:, None, None]
        for key in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + EPSILON) * weight + bias


def relu(x):
    return np.maximum(x, 0)


def pool(x, kernel=2, padding=0):
    """`max_pool2d` of stride 2 for even sides."""
    h, w = (n // 2 for n in x.shape[2:])
    x = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), constant_values=-np.inf)
    windows = [x[:, :, i:, j:] for i in range(kernel) for j in range(kernel)]
    return np.max([window[:, :, : 2 * h : 2, : 2 * w : 2] for window in windows], axis=0)


def enlarged(x, like):
    """Bilinear, `align_corners=False`."""
    for axis in (2, 3):
        n, m = x.shape[axis], like.shape[axis]
        places = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
        corners = np.arange(n)
        hats = np.maximum(1 - np.abs(places[:, None] - corners), 0)
        x = np.moveaxis(np.tensordot(hats, x, (1, axis)), 0, axis)
    return x


def u2net(state, x):
    """Heights 7, 6, 5, 4, and two dilated blocks of 4; the side maps are joined from 1 to 6."""

    def layer(x, name, dilation=1):
        x = convolution(x, state, f"{name}.conv_s1", dilation=dilation)
        return relu(norm(x, state, f"{name}.bn_s1"))

    def block(x, stage, height, dilated):
        name = f"{stage}.rebnconv"
        rate = [2**level if dilated else 1 for level in range(height)]
        inner = layer(x, f"{name}in")
        down = [layer(inner, f"{name}1")]
        for level in range(1, height - 1):
            below = down[-1] if dilated else pool(down[-1])
            down.append(layer(below, f"{name}{level + 1}", rate[level]))
        y = layer(down[-1], f"{name}{height}", 8 if dilated else 2)
        for level in reversed(range(height - 1)):
            joined = np.concatenate([enlarged(y, down[level]), down[level]], axis=1)
            y = layer(joined, f"{name}{level + 1}d", rate[level])
        return y + inner

    blocks = [(7, False), (6, False), (5, False), (4, False), (4, True), (4, True)]
    skips, y = [], x
    for level, (height, dilated) in enumerate(blocks, start=1):
        y = block(y if level == 1 else pool(y), f"stage{level}", height, dilated)
        skips.append(y)
    sides = [y]
    for level in (5, 4, 3, 2, 1):
        joined = np.concatenate([enlarged(y, skips[level - 1]), skips[level - 1]], axis=1)
        y = block(joined, f"stage{level}d", *blocks[level - 1])
        sides.insert(0, y)
    maps = [
        enlarged(convolution(y, state, f"side{level}"), x) for level, y in enumerate(sides, start=1)
    ]
    return convolution(np.concatenate(maps, axis=1), state, "outconv")


def test_u2net():
    heights = (7, 6, 5, 4, "4f", "4f")
    model, variables, state = network(
        "u2net",
        {"mask": 1},
        "u2net",
        encoder=[(height, 2, 4) for height in heights],
        decoder=[(height, 2, 4) for height in reversed(heights[:-1])],
    )
    x = np.random.default_rng(1).uniform(size=(1, 3, 64, 64))
    expected = channels_last(u2net(state, x))
    result = jax.jit(model.apply)(variables, channels_last(x))["mask"]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(result, expected, atol=1e-4)


def resnet(state, x, blocks, convolutions):
    """The maps of layers 1 to 4; of a block's convolutions the first 3x3 has the stride."""
    x = pool(relu(norm(convolution(x, state, "conv1", stride=2), state, "bn1")), 3, padding=1)
    maps = []
    for layer in range(1, 5):
        for i in range(blocks):
            name = f"layer{layer}.{i}"
            stride = 2 if layer > 1 and i == 0 else 1
            y = x
            for k in range(1, convolutions + 1):
                own = stride if k == convolutions - 1 else 1
                y = norm(convolution(y, state, f"{name}.conv{k}", own), state, f"{name}.bn{k}")
                y = y if k == convolutions else relu(y)
            if f"{name}.downsample.0.weight" in state:
                x = convolution(x, state, f"{name}.downsample.0", stride)
                x = norm(x, state, f"{name}.downsample.1")
            x = relu(x + y)
        maps.append(x)
    return maps


@pytest.mark.parametrize(
    ("name", "block", "convolutions"),
    [("ce_net", "basic", 2), ("deeplabv3_plus", "bottleneck", 3)],
)
def test_resnet(name, block, convolutions):
    arguments = {"block": block} if name == "deeplabv3_plus" else {}
    blocks = (2, 2, 2, 2)
    _, variables, state = network(
        name, {"mask": 1}, "resnet", blocks=blocks, base_width=4, **arguments
    )
    x = np.random.default_rng(1).uniform(size=(1, 3, 64, 64))
    own = {collection: tree["encoder"] for collection, tree in variables.items()}
    encoder = ResNet(blocks, block, 4)
    _, *maps = jax.jit(lambda x: encoder.apply(own, x, False))(channels_last(x))
    for result, expected in zip(maps, resnet(state, x, 2, convolutions), strict=True):
        assert np.std(expected) > 0.1
        np.testing.assert_allclose(result, channels_last(expected), atol=1e-4)


def test_convolutions_in_groups_keep_their_groups():
    _, variables, state = network("hovernet", {"np": 2, "hv": 2}, "hovernet", variant="small")
    params = variables["params"]["hv_decoder"]["u3_dense"]["unit1_conv2"]
    name = "decoder.hv.u3.dense.units.1.conv2"
    assert state[f"{name}.weight"].shape == (4, 4, 3, 3)  # of 16 channels in 4 groups
    x = np.random.default_rng(1).normal(size=(1, 16, 3, 4))
    result = GroupedConv(4, 3, GROUPS).apply({"params": params}, channels_last(x))
    expected = convolution(x, state, name, groups=GROUPS)
    np.testing.assert_allclose(result, channels_last(expected), atol=1e-5)
