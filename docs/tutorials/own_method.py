# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A method of your own
#
# A network, a representation, a loss and a metric that jaxnuc does not have, in a file of yours: trained, validated
# and evaluated as its own are, without a change to it. You need `pip install .`, and to have written a network in Flax.
#
# The method here finds the **centers** of nuclei. The network gives two maps, the foreground and how near the center
# of its nucleus each pixel is; nuclei grow from the peaks of the second within the first.
#
# ## The file
#
# A module beside your notebook, or in a package that is installed. Each class derives from the base class of its kind,
# which documents every member: `jaxnuc.models.Network`, `jaxnuc.representations.Representation`,
# `jaxnuc.representations.base.MapLoss`, `jaxnuc.metrics.Metric`. All of it is in one file here; with `data.workers`, a
# file for the representation that imports JAX only within the loss lets the workers start some seconds earlier.

# %%
# %%writefile centers.py
"""Nuclei by their centers: a network, a representation with its loss, and a metric."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from scipy import ndimage, special
from skimage import feature, segmentation

from jaxnuc import losses, metrics, models
from jaxnuc.registry import Registry, choice
from jaxnuc.representations import Nuclei, OutputMap, Representation, base


class Dilated(models.Network):
    """Convolutions at half the resolution whose dilation doubles, and one of all of it."""

    width: int = 24
    depth: int = 4

    VARIANTS = {"full": {}, "tiny": {"width": 4}}

    @nn.compact
    def __call__(self, images, train=False):
        def layer(x, stride=1, dilation=1):
            x = nn.Conv(self.width, (3, 3), stride, kernel_dilation=dilation, dtype=self.dtype)(x)
            return nn.relu(nn.GroupNorm(4, dtype=self.dtype)(x))

        images = images.astype(self.dtype)
        x = layer(images, stride=2)
        for k in range(self.depth):
            x = x + layer(x, dilation=2**k)
        shape = (*images.shape[:3], self.width)
        x = layer(jnp.concatenate([jax.image.resize(x, shape, "linear"), images], axis=-1))
        return {
            name: nn.Conv(channels, (1, 1), name=name)(x.astype(jnp.float32))
            for name, channels in self.outputs.items()
        }


@dataclass(frozen=True)
class EntropyAndError(base.MapLoss):
    """Cross entropy of the mask, squared error of the nearness."""

    maps: ClassVar = ("mask", "center")
    factor: float = 10.0

    def of_map(self, name, output, batch):
        target = batch.targets[name].astype(jnp.float32)
        if name == "mask":
            errors = optax.sigmoid_binary_cross_entropy(output, target)
        else:
            errors = self.factor * (output - target) ** 2
        # Where nothing is annotated, `valid` is 0, and pixels must not count.
        known = jnp.ones_like(target) if batch.valid is None else batch.valid
        value = losses.masked_mean(errors, known > 0)
        return value, {"error": value}


LOSSES = Registry("loss of centers", table={"entropy_and_error": EntropyAndError})


@dataclass(frozen=True)
class Centers(Representation):
    """The foreground, and exp(-(distance to the centroid)² / 2 sigma²) within each nucleus."""

    sigma: float = 4.0
    peak: float = 0.3
    loss: base.MapLoss = choice(EntropyAndError(), LOSSES)

    @property
    def output_maps(self):
        return {
            "mask": OutputMap(1, "logits", "inside of nuclei"),
            "center": OutputMap(1, "values", "1 at the center of a nucleus, falling to 0"),
        }

    def encode(self, instances, classes=None, ignore=None, covered=None):
        ids = np.arange(1, instances.max(initial=0) + 1)
        centers = ndimage.center_of_mass(instances > 0, instances, ids)
        nearness = np.zeros(instances.shape, np.float32)
        rows, columns = np.indices(instances.shape)
        for k, (row, column) in zip(ids, centers):
            inside = instances == k
            squares = (rows - row) ** 2 + (columns - column) ** 2
            nearness[inside] = np.exp(-squares[inside] / (2 * self.sigma**2))
        mask = (instances > 0).astype(np.uint8)
        return base.with_valid({"mask": mask[..., None], "center": nearness[..., None]}, ignore)

    def decode(self, maps, shape=None):
        probability = special.expit(maps["mask"][..., 0])
        inside = probability > 0.5
        nearness = ndimage.gaussian_filter(maps["center"][..., 0], 1)
        peaks = feature.peak_local_max(
            nearness, min_distance=3, threshold_abs=self.peak, labels=inside.astype(int)
        )
        seeds = np.zeros(inside.shape, np.int32)
        seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        instances = segmentation.watershed(-nearness, seeds, mask=inside).astype(np.int32)
        return Nuclei(instances, None, base.mean_scores(probability, instances))


class CenterError(metrics.Metric):
    """The mean distance between the centroids of matched nuclei, in pixels."""

    title = "Distance of centroids"
    unit = "px"
    higher_is_better = False
    best, worst = 0.0, float("nan")
    needs = ("maps",)

    def value(self, image):
        truth, prediction = image.maps
        pairs = metrics.match(truth, prediction, image.conventions.threshold)
        if not len(pairs.truth):
            return float("nan")
        ours = ndimage.center_of_mass(prediction > 0, prediction, pairs.prediction)
        theirs = ndimage.center_of_mass(truth > 0, truth, pairs.truth)
        return float(np.linalg.norm(np.subtract(ours, theirs), axis=1).mean())


# %% [markdown]
# ## Before training: does it do what it should?
#
# What a representation encodes it must decode again, or no network can be right. A picture of the targets shows more
# than any loss.

# %%
import matplotlib.pyplot as plt
import numpy as np
from centers import Centers

from jaxnuc import metrics
from jaxnuc.data.synthetic import generate

sample = generate(5, size=128, style="fluorescence")
centers = Centers()
targets = centers.encode(sample.instances)
perfect = {"mask": 20.0 * targets["mask"] - 10, "center": targets["center"]}  # logits of the mask
nuclei = centers.decode(perfect)

figure, places = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
shown = {
    "image": sample.image,
    "mask": targets["mask"][..., 0],
    "center": targets["center"][..., 0],
    "decoded": np.where(nuclei.instances, nuclei.instances * 7 % 19 + 1, 0),
}
for place, (name, picture) in zip(places, shown.items()):
    place.imshow(picture, cmap="magma")
    place.set(title=name, xticks=[], yticks=[])
print("PQ of decoded targets:", metrics.score(sample.instances, nuclei.instances).pq)

# %% [markdown]
# Is the loss at its smallest for perfect maps, and does it have a gradient?

# %%
import jax

batch = {name: m[None] for name, m in targets.items()}
maps = {name: m[None].astype(np.float32) for name, m in perfect.items()}
zeros = {name: np.zeros_like(m) for name, m in maps.items()}
of = lambda maps: centers.loss(maps, batch)[0]
print("loss of perfect maps:", of(maps), " of zeros:", of(zeros))
print("gradient:", {name: float(np.abs(g).sum()) for name, g in jax.grad(of)(zeros).items()})

# %% [markdown]
# ## Train
#
# A configuration names the classes with their module. Any page of the library serves as the start; `quickstart` brings
# the optimizer and the schedule. The images are the fluorescent ones that the library draws.

# %% language="bash"
# jaxnuc train --config=quickstart --workdir=runs/centers \
#     --config.model=centers.Dilated --config.representation=centers.Centers \
#     --config.evaluation.metrics="('standard', 'centers.CenterError')" \
#     --config.data.source="synthetic(size=96, styles=('fluorescence',))" \
#     --config.duration="200 steps" --config.evaluation.every="100 steps" | grep -E "^(dice|pq|center)"

# %% [markdown]
# The metric stands beside the others from the first validation on, and could be `evaluation.monitor`, by which the best
# checkpoint is chosen. The curves are in `runs/centers/curves.png`:

# %%
from IPython.display import Image

Image("runs/centers/curves.png")

# %% [markdown]
# ## Evaluate and predict
#
# All commands know the method now, since the run's `config.json` names it.

# %% language="bash"
# jaxnuc evaluate --workdir=runs/centers --split=test --overlays=2

# %%
import jaxnuc

image = generate(3, size=192, style="fluorescence", split="test").image
jaxnuc.segment(image, jaxnuc.load("runs/centers"))

# %% [markdown]
# One changed line gives the same network another representation, and [`jaxnuc compare`](judge.md) says whether the difference is
# more than chance. That is how a new part is judged: everything else stays the same.
#
# ## Where to go on
#
# - Every kind that can come from outside, with an example of each: [Your own package](../extending.md).
# - A training checks names and shapes of maps and targets before its first step. Copy the checks above into tests of
#   yours; those of the library's own, for a clone, are listed in [the architecture](../architecture.md).
# - Train it as a published system would be, and report it honestly: [Train and judge](judge.md).
