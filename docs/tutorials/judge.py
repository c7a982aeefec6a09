# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Train a published system and judge it
#
# HARU-Net on MoNuSeg as its paper has it: what to run, what to report, and how to say that one method is better than another
# without fooling yourself. You need `pip install .`; for the real training the data set and a GPU, for this page neither.
#
# ## The configuration is the paper
#
# A page of `configs/` says at its top what the paper reports, what differs here and why, and the commands.

# %%
import ast

from jaxnuc.config import pages

print(ast.get_docstring(ast.parse(pages.CONFIGURATIONS.paths()["harunet_monuseg"].read_text())))

# %% [markdown]
# ## Train
#
# Put MoNuSeg's folders or zips as its authors distribute them into `data/monuseg`, and look at them:
#
# ```
# jaxnuc inspect monuseg data/monuseg
# jaxnuc train --config=harunet_monuseg --workdir=runs/harunet --config.data.root=data/monuseg
# jaxnuc evaluate --workdir=runs/harunet --split=test
# ```
#
# That is a training of 44 million parameters for 1600 epochs: hours on a GPU, and no result of it has been measured
# here yet ([Results](../results.md) has what was). `harunet_monuseg:small` is for a CPU.
#
# Before you rent a machine, let a few steps run where you are. Everything is the same but the size: the network `tiny`, drawn
# images in place of MoNuSeg's. The loss must fall, and a checkpoint and an evaluation come out.

# %% language="bash"
# jaxnuc train --config=harunet_monuseg:small --workdir=runs/trial --config.model.variant=tiny \
#     --config.data.source="synthetic(size=64, styles=('he',))" --config.data.transforms="('flip_turn()',)" \
#     --config.batch_size=2 --config.duration="10 steps" --config.evaluation.every="10 steps" \
#     --config.log_every=3 > /dev/null
# grep -o '"step": [0-9]*.*"train/loss": [0-9.]*' runs/trial/metrics.jsonl | sed 's/, .*"train/ "train/'

# %% [markdown]
# ## Which images decide what
#
# - `train` makes the parameters, `val` chooses: the checkpoint, the rate, thresholds, the architecture.
# - `test` is looked at once. HARU-Net's published code chooses its checkpoint on the test images; the page does not, so
#   its figures cannot be better for that reason.
# - Images of one patient or slide are on one side ([splits](annotations.md)).
#
# ## Judge: three post-processings of one network
#
# HARU-Net's contribution is partly its post-processing, Algorithm 1 (`growth`): does it find more nuclei than a
# watershed? Comparing one method with itself but for one part is the cleanest question there is. The network of
# the configuration `quickstart` gives mask and contour as HARU-Net does, so that all three decoders can read its maps:

# %% language="bash"
# jaxnuc train --config=quickstart --workdir=runs/quickstart | tail -1
# for decoder in growth watershed necks; do
#   jaxnuc evaluate --workdir=runs/quickstart --split=test --decoder="$decoder(min_size=15)" \
#       --overlays=0 --output=eval/$decoder | grep -E "^(dice|aji|pq) "
# done

# %% [markdown]
# ### Conventions
#
# HARU-Net's code calls AJI what is AJI+ elsewhere, with one-to-one pairs; its PQ is a mean over images. `metrics.json`
# says how each figure was made, and two evaluations with different conventions are not compared:

# %%
import json

print(json.dumps(json.load(open("eval/growth/metrics.json"))["conventions"], indent=1))

# %% [markdown]
# ### Intervals, and pairs
#
# The interval of one figure says how much it would change with other test images. Two such intervals overlap easily even where one
# method is better on nearly every image, since both have the same hard images. So compare image by image:

# %%
from pathlib import Path

from jaxnuc.metrics.evaluation import Evaluation

evaluations = {
    name: Evaluation.read(Path("eval", name)) for name in ("growth", "watershed", "necks")
}
evaluations["growth"].compare(evaluations["necks"])

# %% [markdown]
# ### Several tests
#
# Eighteen figures and three pairs of methods are 54 tests: by chance alone, two or three of them have p < 0.05. Decide **before**
# you look which figure counts, here PQ as a mean over images, and correct for the number of pairs. Holm's correction makes the
# chance of any false claim at most 5 %.

# %%
from itertools import combinations

from jaxnuc.metrics.confidence import holm

pairs = list(combinations(evaluations, 2))
found = [evaluations[a].compare(evaluations[b])["pq_image_mean"] for a, b in pairs]
for (a, b), each, p in zip(pairs, found, holm([each.p_value for each in found])):
    print(
        f"{a:9} -> {b:9} PQ {each.first:.3f} -> {each.second:.3f}, {each.difference:+.3f}"
        f" [{each.low:+.3f}, {each.high:+.3f}], p {each.p_value:.2g}, corrected {p:.2g}"
    )

# %%
import matplotlib.pyplot as plt

columns = {name: evaluation.summary(level=0.95) for name, evaluation in evaluations.items()}
figure, place = plt.subplots(figsize=(6, 3), layout="constrained")
for k, summary in enumerate(columns.values()):
    interval = summary.intervals["pq_image_mean"]
    place.plot([interval.low, interval.high], [k, k], color="tab:blue")
    place.plot(interval.estimate, k, "o", color="tab:blue")
place.set(yticks=range(3), yticklabels=columns, xlabel="PQ, mean over images, 95 % interval")
plt.show()

# %% [markdown]
# Image by image, `necks` has a PQ that is 0.040 higher, and its interval leaves out 0; but corrected for three comparisons
# p is 0.17. So these 32 images do not decide. In the table above AJI alone has p 0.0028, and who claimed that now would have
# chosen the figure after the look. Between Algorithm 1 and the watershed no difference can be seen. More test images would
# tell, and still of *this network* only. To compare methods in general, train several times with other seeds:
#
# ## Seeds
#
# Images are one source of chance, trainings are another, and the test above knows only the first.
# `jaxnuc compare --seeds RUN1 RUN2 RUN3` gives mean and spread over trainings, and `jaxnuc study` does all of it: rows of
# methods, several seeds of each, one table with intervals over images, spread over seeds, Holm's p against the baseline, and what
# the paper states.
#
# ```
# jaxnuc study harunet_ablation --output=runs/ablation --config.data.root=data/monuseg
# jaxnuc study --list
# ```
#
# ## A check list
#
# 1. One figure, chosen before, with its conventions.
# 2. The same images, splits without leaks, thresholds chosen on `val`.
# 3. The same budget of tuning for the baseline as for the method of yours.
# 4. Pairs, intervals, correction; seeds.
# 5. The commands, the version (`jaxnuc --version`) and the date beside the table.
#
# More: [Metrics](../metrics.md), [Studies](../studies.md), [How the numbers were made](../numbers.md).
