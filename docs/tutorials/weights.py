# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Published weights, and networks for other programs
#
# In: weights that other projects published with PyTorch, read without PyTorch. Out: a trained network as a folder that
# runs without jaxnuc, on CPU, CUDA, ROCm or TPU. You need `pip install '.[export]'`.
#
# ## In: HoVer-Net and StarDist, as their authors published them
#
# HoVer-Net's files and StarDist's folders become a run with one command (`'.[weights]'` for the latter's files of Keras);
# every other command then works with it. They are not ours to distribute: get one from its authors, and
#
# ```
# jaxnuc convert hovernet_fast_pannuke_type_tf2pytorch.tar --output=runs/pannuke
# jaxnuc convert 2D_versatile_fluo --output=runs/fluo
# jaxnuc predict --workdir=runs/pannuke --input=slide.svs --output=found
# ```
#
# ## In: an encoder for a training, or any other layout
#
# `--config.weights.file=resnet34.pth` begins a training with torchvision's encoder. The layouts are known by the names of
# the arrays, see [Pretrained weights](../pretrained.md). To see what would be filled from what before anything is trained,
# ask. Here with a file in U2-Net's published layout, which this page makes itself, with random numbers:

# %%
import jax
import numpy as np
from safetensors.numpy import save_file

from jaxnuc import models, pretrained

model = models.create("u2net", outputs={"mask": 1}, variant="small")
variables = models.initialize(model, 0, np.zeros((1, 64, 64, 3), np.float32))
theirs = {k: np.array(v) for k, v in pretrained.export(variables, "u2net").items()}
save_file(theirs, "u2netp.safetensors")
print(len(theirs), "arrays, such as", *sorted(theirs)[:3])

# %% [markdown]
# A network with one map more than the file: `keep` says what may stay random, and everything else has to fit.

# %%
wider = models.create("u2net", outputs={"mask": 1, "contour": 1}, variant="small")
fresh = jax.eval_shape(wider.init, jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
try:
    pretrained.match("u2netp.safetensors", wider, fresh)
except ValueError as error:
    print("error:", str(error)[:300], "...")
match = pretrained.match("u2netp.safetensors", wider, fresh, keep="contour_.*")
print(len(match.filled), "arrays filled,", len(match.kept), "stay random")

# %% [markdown]
# A PyTorch file is a program: loading it with PyTorch may run what somebody put into it. Here it is read, not run; what it
# names beyond tensors and plain containers is refused.
#
# ## Out: a folder that needs only JAX
#
# A small network, trained for a minute or two:

# %% language="bash"
# jaxnuc train --config=quickstart --workdir=runs/quickstart | tail -1
# jaxnuc export --workdir=runs/quickstart --output=exported
# ls -l exported | awk '{print $5, $9}'

# %% [markdown]
# `model.jax_export` is the network as [StableHLO](https://openxla.org/stablehlo) with its parameters, for images of any
# number and size; `model.json` says what goes in and what comes out:

# %%
import json

about = json.loads(open("exported/model.json").read())
print(json.dumps({k: about[k] for k in ("maps", "normalize", "stride", "mpp")}, indent=1))

# %% [markdown]
# The program below imports JAX and NumPy. To be sure that it needs nothing else, it runs in a process where an import of
# jaxnuc is an error.

# %%
# %%writefile use.py
import json
import sys

sys.modules["jaxnuc"] = None  # an import of it fails

import jax
import numpy as np
from jax import export

about = json.loads(open("exported/model.json").read())
model = export.deserialize(bytearray(open("exported/model.jax_export", "rb").read()))

image = np.load("image.npy")  # (H, W, 3) uint8; sides are multiples of the stride here
assert about["normalize"] == "percentile"
low, high = np.percentile(image, [1, 99.8])
seen = np.clip(np.round((image - low) * (255 / (high - low))), 0, 255).astype(np.uint8)

maps = jax.jit(model.call)(seen[None])
probability = 1 / (1 + np.exp(-np.asarray(maps["mask"])[0, ..., 0]))
np.save("probability.npy", probability)
print({name: m.shape for name, m in maps.items()})

# %%
from jaxnuc.data.synthetic import generate

image = generate(1, size=256, style="fluorescence").image
np.save("image.npy", image)

# %% language="bash"
# python use.py

# %% [markdown]
# The same maps as within the library, and the step from maps to nuclei, which is not in the export. Here it is a threshold and
# connected components; `model.json` has the decoder's own settings.

# %%
import matplotlib.pyplot as plt
from scipy import ndimage

import jaxnuc

probability = np.load("probability.npy")
labels, count = ndimage.label(probability > 0.5)
nuclei = jaxnuc.segment(image, jaxnuc.load("runs/quickstart"))
figure, places = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
titles = (
    "image",
    "probability, exported",
    f"{count} components; {len(nuclei.scores)} by the decoder",
)
for place, picture, title in zip(places, (image, probability, labels > 0), titles):
    place.imshow(picture, cmap="gray")
    place.set(title=title, xticks=[], yticks=[])
print(
    "nuclei that are in the mask:",
    ((nuclei.instances > 0) & (labels > 0)).sum(),
    "of",
    (labels > 0).sum(),
    "px",
)

# %% [markdown]
# ## Out: without Python
#
# StableHLO is what compilers of other languages take. Its text, for one size of images:

# %%
model = jax.export.deserialize(bytearray(open("exported/model.jax_export", "rb").read()))
text = model.mlir_module()
print(f"{len(text.splitlines()):,} lines; platforms {model.platforms}")
print(next(line for line in text.splitlines() if "func.func public @main" in line)[:200], "...")

# %% [markdown]
# [IREE](https://iree.dev) compiles it for C and for phones, XLA's PJRT runs it from C++, and
# [jax2tf](https://docs.jax.dev/en/latest/jax2tf.html) turns it into a SavedModel for TensorFlow Serving. None of them
# was tried here. Exports are readable for six months after the version of JAX that wrote them: keep the checkpoint.
#
# All that an export holds, and normalizations other than this one: [Export](../export.md).
