"""A network overfits a real image; every system does in benchmarks/overfit.py."""

import jax
import numpy as np

from jaxnuc import metrics, models, optim, representations
from jaxnuc.data.normalize import Normalize
from jaxnuc.data.sources import dsb2018
from jaxnuc.durations import TrainingLength
from jaxnuc.training import state
from jaxnuc.training.step import as_input, make_train_step

IMAGE = "0ddd8deaf169"  # fluorescence; its corner holds nine nuclei that do not touch
STEPS = 80


def test_one_real_image(shared_data):
    source = dsb2018.Source(shared_data("dsb2018"), cache=False)
    (index,) = [i for i, name in enumerate(source.ids) if name.startswith(IMAGE)]
    sample = source[index]
    image = Normalize("percentile").image(sample.image)[None, :96, :96]
    instances = sample.instances[:96, :96]

    bridge = representations.create("contour")
    model = models.create("flexible_unet", bridge.outputs, "small", layers=3, base_filters=8)
    optimizer = optim.make(
        {"name": "adam", "learning_rate": 5e-3}, lambda step: 5e-3, TrainingLength(STEPS)
    )
    current = state.create(model, optimizer, seed=0)
    targets = {name: m[None] for name, m in bridge.encode(instances).items()}
    step = jax.jit(make_train_step(model, bridge, optimizer), donate_argnums=0)
    for _ in range(STEPS):
        current, _ = step(current, {"image": image, "targets": targets}, jax.random.key(0))

    apply = jax.jit(lambda v, x: model.apply(v, as_input(x), train=False))
    maps = {name: np.asarray(m[0]) for name, m in apply(current.variables(), image).items()}
    assert metrics.score(instances, bridge.decode(maps).instances).pq > 0.9
