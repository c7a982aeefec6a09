# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Metrics alone
#
# Scoring the label images of another tool, comparing two tools on the same images, and reading a paper's numbers. No
# network, no JAX, no configuration: two folders of label images are enough.
#
# ## Two folders
#
# A label image holds 0 in the background and a number of its own for each nucleus: PNG or TIFF with 8, 16 or 32 bits,
# NPY, NPZ, MAT. Cellpose, StarDist, CellProfiler, ilastik and QuPath write such files. Truth and prediction are paired
# by their names.
#
# Here are 12 images of which the truth is known, and two "tools". The first moves every nucleus a little and misses a
# tenth of them; the second has exact outlines, but joins nuclei that touch.

# %%
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from jaxnuc.data.synthetic import generate

rng = np.random.default_rng(0)
for folder in ("truth", "tool_a", "tool_b"):
    Path(folder).mkdir(exist_ok=True)
for k in range(12):
    truth = generate(k, size=192, style=("fluorescence", "he"), split="test").instances
    missed = rng.random(truth.max() + 1) < 0.1
    moved = np.roll(np.where(missed[truth], 0, truth), 2, axis=1)
    joined = ndimage.label(truth > 0, np.ones((3, 3)))[0]
    for folder, labels in (("truth", truth), ("tool_a", moved), ("tool_b", joined)):
        tifffile.imwrite(f"{folder}/image_{k:02}.tif", labels.astype(np.uint16), compression="zlib")

# %% language="bash"
# jaxnuc score truth tool_a --output=scores_a
# jaxnuc score truth tool_b --output=scores_b | head -20

# %% [markdown]
# Each figure has an interval: what it would be on other images like these, 19 times of 20 (bootstrap over images). The
# last line says by which conventions it was computed. `scores_a` has the same as `metrics.json`, and a line for each
# image in `per_image.csv`.
#
# ## Which tool is better?

# %% language="bash"
# jaxnuc compare scores_a scores_b

# %% [markdown]
# Every line is a difference, with its interval and the p of a paired permutation test: how often chance alone would
# give a difference as large, if both tools were the same. By Dice the second tool is better by far, 1.00 for 0.82. By DQ
# the first one is, 0.90 for 0.79, and PQ and AJI do not decide. All of them are right: Dice asks which *pixels* are
# nuclei, and does not care that two nuclei became one; DQ counts nuclei, and does not care how exact an outline is.
#
# So choose the figure before you look. To count nuclei, take DQ (the F1 of matched nuclei); to measure them, SQ or
# the boundary distance; for both in one number, PQ.
#
# ## Which number do papers mean?
#
# The same name stands for different things. On the same two folders:

# %%
from jaxnuc import metrics
from jaxnuc.metrics.folders import score_folders

rows = []
for name, arguments in {
    "matched at IoU > 0.5": {},
    "matched at IoU > 0.7": {"threshold": 0.7},
    "without nuclei at the border": {"border": 1},
    "pixels within 2 px of true outlines left out": {"tolerance": 2.0},
}.items():
    found = score_folders("truth", "tool_a", metrics.Conventions(**arguments)).summary()
    rows.append((name, found["pq_image_mean"], found["pq_pooled"], found["dice_image_mean"]))
print(f"{'':46} PQ, mean  PQ, pooled  Dice, mean")
for name, *values in rows:
    print(f"{name:46} " + "  ".join(f"{value:9.3f}" for value in values))

# %% [markdown]
# | a paper says | it may mean | here |
# | --- | --- | --- |
# | PQ | a mean over images, or pooled over all nuclei | `pq_image_mean`, `pq_pooled` |
# | AJI | each true nucleus takes its best match, or pairs are one to one (AJI+) | `aji`, `aji_plus` |
# | Dice | of the foreground, or sums over pairs of nuclei in two ways | `dice`, `dice2`, `instance_dice` |
# | F1 | of matched nuclei at an IoU, or of centroids within 12 px | `dq`, protocol `hovernet` |
# | AP | COCO's area under a curve, or TP / (TP + FP + FN) at an IoU as in the Data Science Bowl and Cellpose | protocols `coco`, `dsb2018` |
# | mPQ | means over classes, images and tissues in some order | protocols `pannuke`, `conic`, `monusac` |
# | HD95 | of the foreground or of each nucleus; three libraries give three numbers | `hd95`, `nucleus_hd95` |
#
# A published way to evaluate is a **protocol**, with its own rules for matching and averaging:

# %% language="bash"
# jaxnuc score truth tool_a --protocol=stardist,dsb2018 --metrics=pq | head -40

# %% [markdown]
# Who uses which, and what the difference makes on real images: [Metrics](../metrics.md).
#
# ## From Python
#
# One pair of label maps:

# %%
truth, prediction = (tifffile.imread(f"{folder}/image_00.tif") for folder in ("truth", "tool_a"))
metrics.score(truth, prediction)

# %% [markdown]
# Which nuclei match, which were missed, which are false, as a picture. The outlines of matched nuclei are green, those
# of false ones red, and missed ones blue and dashed.

# %%
import matplotlib.pyplot as plt

pairs = metrics.match(truth, prediction)
print(len(pairs.truth), "matched,", len(pairs.missed), "missed,", len(pairs.false), "false")

figure, place = plt.subplots(figsize=(6, 6), layout="constrained")
place.imshow(generate(0, size=192, style=("fluorescence", "he"), split="test").image)
for ids, labels, color, style in (
    (pairs.prediction, prediction, "lime", "solid"),
    (pairs.false, prediction, "red", "solid"),
    (pairs.missed, truth, "deepskyblue", "dashed"),
):
    for k in ids:
        place.contour(labels == k, [0.5], colors=color, linestyles=style, linewidths=1)
place.set_axis_off()

# %% [markdown]
# ## Before you publish a number
#
# - Say the threshold, the aggregation and what happens to empty images. The line under the table has all three.
# - Give the interval. MoNuSeg has 14 test images: a PQ of 0.463 on them had the interval 0.423 to 0.494
#   ([results](../results.md)).
# - Two methods are compared on the same images, pair by pair, as `jaxnuc compare` does; overlapping intervals of two
#   separate figures do not mean that there is no difference.
# - More than one comparison needs a correction: [Train and judge](judge.md).
