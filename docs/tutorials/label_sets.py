# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Data sets with different labels in one network
#
# One set calls a nucleus `immune`, another one `lymphocyte`, a third has no classes at all. They train one network together: it
# predicts the finest classes, and every image is held to its own labels only. You need `pip install .` and sets of which
# you can say how their classes relate.
#
# ## A tree
#
# The classes of all public sets that are read here are groups of leaves of one tree:

# %%
from jaxnuc.labels import NUCLEI, label_set

print("leaves:", *NUCLEI.leaves, sep="\n  ")
for name in ("consep", "monusac", "nucls", "pannuke"):
    print(f"{name:8}", ", ".join(map(str, label_set(name).groups)))

# %% [markdown]
# The network gives a probability to each leaf. The loss of an image sums the leaves of each of *its* classes, and compares
# that sum with the annotation: an `immune` nucleus may be any immune leaf, a `lymphocyte` only that one.

# %%
import numpy as np

drawn = np.random.default_rng(0).dirichlet(np.full(len(NUCLEI.leaves), 0.3))
probabilities = dict(zip(NUCLEI.leaves, drawn))
immune = ["lymphocyte", "macrophage", "neutrophil", "other immune"]
print(f"lymphocyte {probabilities['lymphocyte']:.3f}")
print(f"immune     {sum(probabilities[name] for name in immune):.3f}")

# %% [markdown]
# ## Two sets of your own
#
# Public sets bring their label sets along. In sets of your own, `node` in `classes.yaml` places each class in the tree. This
# cell draws two sets and annotates them differently: `coarse` distinguishes immune cells and epithelium, `fine` two kinds of
# epithelium and lymphocytes.

# %%
import json
from pathlib import Path

from PIL import Image

from jaxnuc.data.synthetic import generate
from jaxnuc.outputs.outlines import rings
from jaxnuc.postprocess.masks import masks_of


def annotate(folder, first, name_of, classes):
    Path(folder, "images").mkdir(parents=True, exist_ok=True)
    for k in range(first, first + 10):
        sample = generate(k, size=128, style="he")
        Image.fromarray(sample.image).save(f"{folder}/images/{k}.png")
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": rings(mask)},
                "properties": {"classification": {"name": name_of(mask.mask.sum())}},
            }
            for mask in masks_of(sample.instances)[1]
        ]
        Path(folder, "images", f"{k}.geojson").write_text(json.dumps(features))
    Path(folder, "classes.yaml").write_text(classes)


annotate(
    "sets/coarse",
    0,
    lambda area: "Immune" if area < 200 else "Epithelium",
    """
classes:
  immune: {from: [Immune], node: immune}
  epithelial: {from: [Epithelium], node: epithelial}
""",
)
annotate(
    "sets/fine",
    100,
    lambda area: "lymphocyte" if area < 200 else "tumor" if area > 450 else "normal",
    """
classes:
  lymphocyte: {node: lymphocyte}
  normal: {node: normal epithelial}
  tumor: {node: tumoral epithelial}
""",
)

# %% [markdown]
# ## Train on both
#
# The source `mixture` draws from both sets in every batch; `classes` is `leaves`. The start is the model `he`, which
# knows nuclei but no classes ([Models](../models.md)).

# %% language="bash"
# cat > mixture.txt <<END
# {"name": "mixture", "label_set": "own", "sources": (
#     {"name": "folder", "root": "sets/coarse", "fractions": (0.6, 0.2, 0.2)},
#     {"name": "folder", "root": "sets/fine", "fractions": (0.6, 0.2, 0.2)})}
# END
# jaxnuc train --config=finetune --workdir=runs/both --config.weights.file=he \
#     --config.data.source="$(cat mixture.txt)" --config.classes=leaves --config.batch_size=4 \
#     --config.duration="80 steps" --config.evaluation.every="80 steps" --config.ema_decay=0.9 \
#     | grep -E "mpq"

# %% [markdown]
# Each set is validated with its own classes, under its own name. `evaluation.monitor` can be any of these figures, or their mean.
#
# ## Evaluate at any cut of the tree
#
# `evaluate` scores each set at its own classes. At `superclasses`, lymphocytes of one and immune cells of the other are the same
# class, and so are all kinds of epithelium; then both sets can be compared. (A class that would be cut in two there, such as
# one of everything else, is an error.)

# %% language="bash"
# jaxnuc evaluate --workdir=runs/both --split=test --overlays=0 --metrics=standard,mpq
# jaxnuc evaluate --workdir=runs/both --split=test --overlays=0 --label-set=superclasses \
#     --metrics=standard,mpq --output=eval_superclasses

# %% [markdown]
# ## Predict
#
# Nuclei get the finest classes that any of the sets has: lymphocytes and kinds of epithelium, which `coarse` does not distinguish.

# %%
import jaxnuc

image = generate(3, size=256, style="he", split="test").image
jaxnuc.segment(image, jaxnuc.load("runs/both"))

# %% [markdown]
# ## What to expect
#
# - Finding nuclei gains from more images, whatever their labels. On small trainings with real data, NuCLS and CoNSeP together
#   found CoNSeP's nuclei better than CoNSeP alone, and distinguished its classes less well: [Results](../results.md).
# - A class that is in none of the sets at its own level is never learned: the loss only says "one of these".
# - Microns per pixel have to agree; `data.mpp` resamples all sets to one. Sets without them are refused.
# - One after the other instead of together: `episodes`, in [Data sets](../data.md#one-data-set-after-the-other).
#
# The pages for public sets are `labeltree_nucls_consep` and `stardist_labeltree_pannuke_consep` of
# [the configurations](../systems.md).
