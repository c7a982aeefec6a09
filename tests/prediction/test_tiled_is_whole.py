"""An image in patches against the image in one pass, with real networks of every representation."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnuc
from jaxnuc.data.synthetic import generate
from jaxnuc.prediction.predictor import TrainedNetwork, make_predictor
from jaxnuc.prediction.segment import PatchwisePredictor

IMAGE = generate(0, size=384, style="he").image[:200, :330]
SPREAD = {"dist": (8.0, 2.0), "distance": (2.0, 3.0)}  # of logits: (0, 3)
REPRESENTATIONS = {
    "binary": {},
    "contour": {},
    "distance": {},
    "hover": {"min_area": 1, "decoder": {"min_size": 1}},
}
NETWORKS = {
    "flexible_unet": ({"layers": 2, "base_filters": 4}, REPRESENTATIONS),
    "stardist": ({"n_depth": 1, "grid": 2}, {"stardist": {"n_rays": 8, "grid": 2}}),
}


def talkative(predictor):
    """The maps of an untrained network are nearly constant: they are moved and stretched."""
    (network,) = predictor.networks
    shifts = {}
    for name, m in predictor.maps(IMAGE).items():
        mean, deviation = SPREAD.get(name, (0.0, 3.0))
        gain = deviation / m.std(axis=(0, 1))
        shifts[name] = mean - gain * m.mean(axis=(0, 1)), gain

    def forward(variables, images):
        maps = network.forward(variables, images)
        maps = {name: shifts[name][0] + shifts[name][1] * m for name, m in maps.items()}
        if "hv" in maps:  # noise has no centers: those of the mask
            mask = maps["mask"][..., 0]
            around = jnp.pad(mask, ((0, 0), (2, 2), (2, 2)), mode="edge")
            across = around[:, 2:-2, :-4] - around[:, 2:-2, 4:]
            down = around[:, :-4, 2:-2] - around[:, 4:, 2:-2]
            maps |= {"hv": jnp.stack([across, down], -1) / 9, "np": jnp.stack([-mask, mask], -1)}
        return maps

    return replace(predictor, networks=(TrainedNetwork(forward, network.variables),))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_nuclei_at_every_offset(name):
    arguments, known = NETWORKS[name]
    representations = [jaxnuc.representations.create(n, **known[n]) for n in known]
    outputs = {k: v for each in representations for k, v in each.outputs.items()}
    model = jaxnuc.models.create(name, outputs, variant="small", **arguments)
    variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
    config = jaxnuc.config.default()
    speaker = talkative(make_predictor(config, model, representations[0], variables))
    for representation in representations:
        predictor = replace(speaker, representation=representation)
        whole = jaxnuc.segment(IMAGE, predictor)
        assert whole.instances.max() > 5, representation
        maps = PatchwisePredictor(predictor, 128, 64).maps(IMAGE)
        for key, expected in predictor.maps(IMAGE).items():
            np.testing.assert_allclose(maps[key], expected, atol=1e-3)
        for offset in ((0, 0), (32, 0), (64, 96), (96, 32)):
            tile = 384 + 64 * (offset != (0, 0))  # one tile wherever the grid begins
            sizes = {"patch": 128, "overlap": 64, "tile": tile, "offset": offset}
            found = jaxnuc.segment(IMAGE, predictor, **sizes)
            different = np.mean((found.instances > 0) != (whole.instances > 0))
            assert different < 1e-4, (representation, offset)  # next to a threshold
            scores = jaxnuc.metrics.score(whole.instances, found.instances)
            assert scores.pq > 0.99, (representation, offset)
