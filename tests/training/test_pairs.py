"""Every network with every representation: a step's shapes, gradients, descent, nuclei.

Compiling a step for each pair would take an hour. So it is computed from its two halves, each
compiled once: the gradients of a network with the maps of all representations, and the gradients of
a representation's loss with respect to its maps. That the halves make the step is tested on one
pair whose step is compiled; steps are traced for each representation, and with side maps.
"""

import functools
import gc
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from jaxnuc import build, models, representations
from jaxnuc import config as configs
from jaxnuc.data import sources
from jaxnuc.labels import LabelTree
from jaxnuc.training import state
from jaxnuc.training.step import as_input, central, make_train_step

NETWORKS = models.REGISTRY.names()
ARGUMENTS = {"stardist": {"n_rays": 8}}
REPRESENTATIONS = {name: ARGUMENTS.get(name, {}) for name in representations.REGISTRY.names()}
CUT = LabelTree.of({"immune": {"lymphocyte": {}, "plasma": {}}, "tumour": {}}).level()
MAPS = {
    key: channels
    for name, arguments in REPRESENTATIONS.items()
    for key, channels in representations.create(
        name, {"name": "leaves"}, [CUT], **arguments
    ).outputs.items()
}
SIDE = 64  # of the maps
KEY = jax.random.key(1)

# Biases in front of a normalization, which takes their sum out with the mean; what is left of their
# gradients is rounding. Between them may be convolutions, if nothing is padded. A network that
# is not listed may have such biases anywhere.
WITHOUT_GRADIENT = {
    **dict.fromkeys(("alnet_adaptive", "dcan", "deeplabv3", "deeplabv3_plus", "flexible_unet"), ""),
    **dict.fromkeys(("harunet", "hovernet", "micro_net", "pspnet", "stardist"), ""),
    "alnet_attention": r"(attention\d/ConvNormAct_\d|decoder\d|up\d)/Conv_0/bias",
    "attention_unet": (
        r"((down|up)\d/ConvNormAct_\d/Conv_0|double\d/Conv_0|gate\d/(conv_g|conv_x|psi))/bias"
    ),
    "ce_net": r"decoder\d/(ConvNormAct_\d/Conv_0|ConvTranspose_0)/bias|pooling/Conv_0/bias",
    "dist": r"((down|up)\d/ConvNormAct_\d/Conv_0|double\d)/bias",
    "u2net": r"(en|de)coder\d/ConvNormAct_\d/Conv_0/bias",
    "unet": r"(down|up)\d/ConvNormAct_\d/Conv_0/bias",
    "unet_plus_plus": r"node\d_\d/ConvNormAct_\d/Conv_0/bias",
}

PAIRS = [(network, name) for network in NETWORKS for name in REPRESENTATIONS]
every_pair = pytest.mark.parametrize(("network", "name"), PAIRS)


@pytest.fixture(autouse=True, scope="module")
def _no_garbage_collection():
    """A third of the time, as a trace allocates millions of objects."""
    gc.disable()
    yield
    gc.enable()


def config(network, name="binary", **arguments):
    made = configs.default().to_dict()
    made["model"] = {"name": network, "variant": "tiny"}
    made["representation"] = {"name": name, **REPRESENTATIONS[name], **arguments}
    made["classes"] = {"name": "leaves"}
    return configs.from_json(made)


def pair(network, name, **arguments):
    """The network and the representation of a configuration, with a class map."""
    given = config(network, name, **arguments)
    representation = build.make_representation(given, [CUT])
    return build.make_model(given, representation), representation


@functools.cache
def samples(side):
    """Two images (2, H, W, 3) uint8 with instances and classes (H, W) of each."""
    source = sources.create("synthetic", size=side)
    labels = [source[index].instances for index in (0, 1)]
    classes = [np.where(x > 0, 1 + x % 3, 0).astype(np.int32) for x in labels]
    return np.stack([source[index].image for index in (0, 1)]), labels, classes


def batch(representation, margin):
    images, labels, classes = samples(SIDE + margin)
    targets = [representation.encode(*maps) for maps in zip(labels, classes, strict=True)]
    return {"image": images, "targets": jax.tree.map(lambda *x: np.stack(x), *targets)}


def shapes(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def check_step_shapes(model, representation):
    optimizer = optax.sgd(0.1, momentum=0.9)
    before = state.shapes(state.initialization(model).shapes, optimizer)
    step = make_train_step(model, representation, optimizer)
    given = batch(representation, model.margin)
    after, metrics = jax.eval_shape(step, before, given, jax.random.key(0))
    assert shapes(after) == shapes(before)
    assert {x.dtype for x in jax.tree.leaves(before.params)} == {jnp.dtype(jnp.float32)}
    assert all(x.shape == () for x in metrics.values())
    assert {key.split("/")[0] for key in metrics if "/" in key} == set(representation.outputs)


def test_maps_of_one_name_have_the_same_channels():
    """All are asked of one network; a representation with others needs another name for its map."""
    for name in REPRESENTATIONS:
        assert pair("unet", name)[1].outputs.items() <= MAPS.items()


@pytest.mark.parametrize(
    ("network", "name"), [*(("unet", name) for name in REPRESENTATIONS), ("u2net", "contour")]
)
def test_a_step_keeps_the_shapes_of_the_state(network, name):
    check_step_shapes(*pair(network, name))


@pytest.mark.parametrize("grid", [2, 4])
def test_a_step_on_a_grid(grid):
    model, representation = pair("stardist", "stardist", grid=grid)
    assert model.grid == grid
    check_step_shapes(model, representation)


def test_a_step_of_hovernet_with_its_margin():
    representation = pair("hovernet", "hover")[1]
    given = config("hovernet", "hover")
    given.model.update(mode="fast", dense_units=(8, 4))
    model = build.make_model(given, representation)
    assert model.margin == 92
    check_step_shapes(model, representation)


@pytest.mark.parametrize(
    "network", [n for n in NETWORKS if "grid" not in models.REGISTRY.parameters(n)]
)
def test_a_grid_is_refused_by_networks_without_one(network):
    with pytest.raises(ValueError, match=rf"representation.grid=2.*{network}.*take .*grid=1"):
        pair(network, "stardist", grid=2)


def initial(shapes):
    """Variables of these shapes: kernels as He draws them, scales and variances 1, means 0."""
    rng = np.random.default_rng(4)  # with others all of the few units of a gate may be dead

    def leaf(path, x):
        if path[-1].key in ("scale", "var", "mean"):
            return np.full(x.shape, path[-1].key != "mean", np.float32)
        if path[-1].key == "bias":  # above 0, so that no ReLU of so few is dead from the start
            return np.full(x.shape, 0.2, np.float32)
        spread = np.sqrt(2 / np.prod(x.shape[:-1]))
        return rng.normal(0, spread, x.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


class Network:
    """A network with the maps of all representations and the classes, and two images.

    Attributes:
      margin: of the network.
      params: its parameters.
      maps: `{map: (2, SIDE, SIDE, C)}` at these, with `side` where there are some.
      batch_stats: running statistics after a step.
    """

    def __init__(self, network):
        model = build.make_model(config(network), SimpleNamespace(outputs=MAPS, grid=1))
        self.margin = model.margin
        images = as_input(samples(SIDE + self.margin)[0])
        keys = {"params": KEY, "dropout": KEY}
        init = functools.partial(model.init_with_output, train=True)
        level, shapes = jax.eval_shape(init, keys, images)
        self.variables = initial(shapes)
        self.params = self.variables["params"]
        self._level = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), level)

        def run(params, variables, images, slopes):
            def maps_of(params):
                maps, updated = model.apply(
                    {**variables, "params": params},
                    images,
                    train=True,
                    rngs={"dropout": KEY},
                    mutable=["batch_stats"],
                )
                return maps, updated.get("batch_stats", {})

            maps, pull, batch_stats = jax.vjp(maps_of, params, has_aux=True)
            return maps, batch_stats, pull(slopes)[0]

        given = (self.params, self.variables, images, self._level)
        compiled = jax.jit(run).lower(*given).compile()
        self._run = lambda params, slopes: compiled(params, self.variables, images, slopes)
        self.maps, self.batch_stats, _ = self._run(self.params, self._level)

    def maps_at(self, params):
        """The maps with other parameters."""
        return self._run(params, self._level)[0]

    def gradients(self, slopes):
        """The gradients of the parameters, from those of some of the maps."""
        given = {**self._level, **slopes}
        if "side" in given:
            given["side"] = {**self._level["side"], **slopes["side"]}
        return self._run(self.params, given)[2]


network_of = functools.cache(Network)


@functools.cache
def loss_of(name):
    """A representation, and `(maps, targets) -> (loss, its gradients)`."""
    representation = pair("unet", name)[1]
    loss = lambda maps, targets: representation.loss(maps, targets)[0]
    return representation, jax.jit(jax.value_and_grad(loss))


@functools.cache
def targets_of(name, margin):
    return central(batch(loss_of(name)[0], margin)["targets"], margin)


def asked_for(outputs, maps):
    """Some of the maps, with their side maps."""
    chosen = {key: maps[key] for key in outputs}
    if "side" in maps:
        chosen["side"] = {key: maps["side"][key] for key in outputs}
    return chosen


@functools.cache
def step_of(network, name):
    """Loss, gradients of the parameters, and the loss as a function of other parameters."""
    half, (representation, loss) = network_of(network), loss_of(name)
    targets = targets_of(name, half.margin)
    value, slopes = loss(asked_for(representation.outputs, half.maps), targets)

    def loss_at(params):
        return loss(asked_for(representation.outputs, half.maps_at(params)), targets)[0]

    return float(value), jax.device_get(half.gradients(slopes)), lambda p: float(loss_at(p))


def without_gradient(gradients):
    """The paths of parameters with no gradient, or one that is lost beside its module's."""
    squares = {k: np.square(g, dtype=float).sum() for k, g in flat(gradients).items()}
    modules = {k.rpartition("/")[0]: 0.0 for k in squares}
    for key, square in squares.items():
        modules[key.rpartition("/")[0]] += square
    return {k for k, square in squares.items() if square <= 1e-8 * modules[k.rpartition("/")[0]]}


def flat(tree):
    return flatten_dict(tree, sep="/")


@every_pair
def test_every_parameter_behind_the_maps_gets_a_gradient(network, name):
    half, outputs = network_of(network), loss_of(name)[0].outputs
    _, gradients, _ = step_of(network, name)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves((gradients, half.batch_stats)))
    before, after = half.variables.get("batch_stats", {}), half.batch_stats
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: np.any(a != b), before, after)))
    others = tuple(key + end for key in MAPS if key not in outputs for end in "_/")
    found = without_gradient(gradients)
    pattern = WITHOUT_GRADIENT.get(network)
    expected = {
        path
        for path in flat(half.params)
        if path.startswith(others)
        or (
            path in found and path.endswith("bias")
            if pattern is None
            else re.fullmatch(pattern, path)
        )
    }
    assert found == expected
    assert not any(g.any() for path, g in flat(gradients).items() if path.startswith(others))


@every_pair
def test_descent_lowers_the_loss_as_the_gradient_says(network, name):
    loss, gradients, loss_at = step_of(network, name)
    assert loss > 0
    squares = sum(np.square(g, dtype=float).sum() for g in jax.tree.leaves(gradients))
    rate = 1e-3 * loss / squares  # takes a thousandth off, to first order
    params = jax.tree.map(
        lambda p, g: p - np.float32(rate) * g, network_of(network).params, gradients
    )
    assert 0.5e-3 * loss < loss - loss_at(params) < 1.5e-3 * loss


@every_pair
def test_maps_are_decoded_to_nuclei_with_classes(network, name):
    maps, representation = network_of(network).maps, loss_of(name)[0]
    nuclei = representation.decode(
        {key: np.asarray(maps[key][0]) for key in representation.outputs}
    )
    number = len(nuclei.scores)
    assert nuclei.instances.shape == (SIDE, SIDE)
    assert np.unique(nuclei.instances[nuclei.instances > 0]).tolist() == [*range(1, number + 1)]
    assert nuclei.scores.min(initial=0) >= 0
    assert nuclei.scores.max(initial=1) <= 1
    assert set(nuclei.classes) <= {1, 2, 3}
    assert nuclei.class_probabilities.shape == (number, 4)


def test_a_compiled_step_is_made_of_the_two_halves():
    """Of a network with side maps and running statistics."""
    model, representation = pair("u2net", "contour")
    half, (loss, gradients, _) = network_of("u2net"), step_of("u2net", "contour")
    shape = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)))
    own = lambda tree: {key: tree[key] for key in shape["params"]}
    optimizer = optax.sgd(0.01)
    before = state.TrainState(
        step=np.int32(0),
        params=own(half.params),
        batch_stats=half.variables["batch_stats"],
        opt_state=optimizer.init(own(half.params)),
    )
    step = jax.jit(make_train_step(model, representation, optimizer))
    after, metrics = step(before, batch(representation, 0), KEY)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    moves = jax.tree.map(lambda a, b: a - b, before.params, jax.device_get(after.params))
    for path, move in flat(moves).items():
        expected = 0.01 * flat(gradients)[path]
        # Rounding decides which of two near maxima is pooled, and which units are rectified.
        assert np.linalg.norm(move - expected) < 0.02 * np.linalg.norm(expected) + 1e-5, path
    for path, value in flat(half.batch_stats).items():
        found = flat(after.batch_stats)[path]
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5, err_msg=path)
