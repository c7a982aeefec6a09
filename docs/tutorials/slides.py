# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # From a slide to QuPath and back
#
# Predict a slide, open the nuclei in QuPath, correct them where the network is least sure, and let it learn from that. You need
# `pip install '.[slides]'`, [QuPath](https://qupath.github.io), and a slide; SVS, NDPI, MRXS, DICOM and OME-TIFF are
# read as they are.
#
# ## A slide
#
# If you have slides, put them into the folder `slides`, and skip this cell. It draws two of 512 pixels a side: pyramids of
# tiles at 0.5 microns per pixel, as scanners write them.

# %%
from pathlib import Path

import numpy as np
import tifffile

from jaxnuc.data.synthetic import generate

Path("slides").mkdir(exist_ok=True)
truth = {}
for name, first in (("a", 0), ("b", 4)):
    fields = [generate(first + k, size=256, style="he", split="test") for k in range(4)]
    pixels = np.block(
        [[[fields[0].image], [fields[1].image]], [[fields[2].image], [fields[3].image]]]
    )
    ids = [np.where(each.instances, each.instances + 1000 * k, 0) for k, each in enumerate(fields)]
    truth[name] = np.block([[ids[0], ids[1]], [ids[2], ids[3]]]).astype(np.int32)
    with tifffile.TiffWriter(f"slides/{name}.tif") as file:
        how = dict(
            tile=(128, 128), photometric="rgb", compression="jpeg", resolutionunit="CENTIMETER"
        )
        file.write(pixels, resolution=(20_000, 20_000), subifds=1, **how)
        file.write(pixels[::2, ::2], resolution=(10_000, 10_000), subfiletype=1, **how)

# %% language="bash"
# jaxnuc inspect slides/a.tif

# %% [markdown]
# ## Predict
#
# The model `he` finds out how large nuclei are in pixels, and sees the slide at the size it expects; a network that was
# trained at 0.25 microns per pixel has the slide resampled to that while it is read. `--tissue` leaves out
# glass. A run that was killed goes on where it stopped, by the same command.

# %% language="bash"
# jaxnuc predict --model=he --input=slides --output=found \
#     --format=geojson,geojson_annotations,overlay --patch=256 --overlap=64 --tile=512

# %%
from IPython.display import Image

Image("found/a.overlay.png", width=700)

# %% [markdown]
# ## Open it in QuPath
#
# 1. Open `slides/a.tif` in QuPath (drag it onto the window).
# 2. Drag `found/a.geojson` onto it. The nuclei are **detections**: QuPath shows a million of them quickly, and
#    measures with them, but does not let you reshape them.
# 3. To correct nuclei, drag `found/a.annotations.geojson` instead: the same as **annotations**, which wand and brush
#    can change.
#
# Coordinates are pixels of the slide at full resolution, and of slides with bounds they count from the corner of these, as
# QuPath counts.
#
# ## Where to correct
#
# Not everywhere: `suggest` compares what the network finds in turned and mirrored copies of the image, and shows the regions
# where it disagrees with itself most.

# %% language="bash"
# jaxnuc suggest slides --model=he --count=5 --region=256 --output=suggested \
#     --patch=256 --overlap=64 --symmetries=4
# cut -d, -f1-10 suggested/suggestions.csv | head -9

# %% [markdown]
# `suggested/index.html` shows them. In QuPath, drag `suggested/predicted/a.annotations.geojson` and
# `suggested/a.geojson` onto the slide: the nuclei, and the rectangles to work in, of the class `Region*`. In the
# rectangles, delete what is no nucleus, draw what is missing, and correct outlines. Then *File, Export objects as GeoJSON*
# (all objects, pretty JSON or not), to `cells/annotations/a.geojson`, and copy the slide to `cells/images`.
#
# Here a program does what you would do: it replaces the nuclei that lie in the rectangles by the true ones.

# %%
import json
import shutil

from jaxnuc.outputs.outlines import rings
from jaxnuc.postprocess.masks import masks_of


def drawn(mask):
    geometry = {"type": "Polygon", "coordinates": rings(mask)}
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation"}}


corrected = {}
for folder in ("images", "annotations"):
    Path("cells", folder).mkdir(parents=True, exist_ok=True)
for name in truth:
    rectangles = json.loads(Path(f"suggested/{name}.geojson").read_text())["features"]
    predicted = json.loads(Path(f"suggested/predicted/{name}.annotations.geojson").read_text())[
        "features"
    ]
    corrected[name] = np.zeros(truth[name].shape, bool)
    for each in rectangles:
        xs, ys = np.array(each["geometry"]["coordinates"][0], int).T
        corrected[name][ys.min() : ys.max(), xs.min() : xs.max()] = True
    middles = [
        np.mean(each["geometry"]["coordinates"][0], axis=0).astype(int) for each in predicted
    ]
    left = [each for each, (x, y) in zip(predicted, middles) if not corrected[name][y, x]]
    added = [drawn(mask) for mask in masks_of(np.where(corrected[name], truth[name], 0))[1]]
    features = {"type": "FeatureCollection", "features": [*left, *added, *rectangles]}
    Path(f"cells/annotations/{name}.geojson").write_text(json.dumps(features))
    shutil.copy(f"slides/{name}.tif", "cells/images")
    print(f"{name}: {len(predicted) - len(left)} nuclei deleted, {len(added)} drawn")

# %% [markdown]
# ## Learn from it
#
# Whatever lies outside of the rectangles is neither trained on nor scored, so the rest of the slide may stay as the network
# left it. `inspect` shows that part hatched.

# %% language="bash"
# jaxnuc inspect folder cells

# %%
Image("inspected/folder/sheet.png", width=500)

# %% [markdown]
# One of the two slides is trained on, the other is validated on (`fractions`). 40 steps are for this page; leave `duration`
# out for 300 and more.

# %% language="bash"
# jaxnuc train --config=finetune --workdir=runs/corrected --config.weights.file=he \
#     --config.data.root=cells --config.data.source="folder(fractions=(0.5, 0.5, 0.0))" \
#     --config.batch_size=4 --config.duration="40 steps" --config.ema_decay=0.9 > /dev/null
# jaxnuc predict --workdir=runs/corrected --input=slides --output=found_again \
#     --format=tiff,overlay --patch=256 --overlap=64 --tile=512

# %% [markdown]
# ## Was it worth it?
#
# On the parts of the slides that nobody corrected:

# %% language="bash"
# jaxnuc predict --model=he --input=slides --output=found_before --format=tiff \
#     --patch=256 --overlap=64 --tile=512

# %%
from jaxnuc import metrics

for folder in ("found_before", "found_again"):
    for name in truth:
        labels = tifffile.imread(f"{folder}/{name}.labels.tif").astype(np.int32)
        scores = metrics.score_image(
            metrics.ImagePair.of(truth[name], labels, ignore=corrected[name])
        )
        print(f"{folder:12} {name}: PQ {scores.pq:.3f}, Dice {scores.dice:.3f}")

# %% [markdown]
# The two are the same: on the slide that validates, the network was no better after 40 steps, so that its start, the model
# `he`, stayed the best checkpoint, and the log of the training says so. Three regions and 40 steps are no training; more
# regions and a longer one may be. Then begin again:
# `jaxnuc suggest ... --workdir=runs/corrected --annotated=cells` leaves out what is annotated.
#
# ## Where to go on
#
# - All that a prediction can read and write: [Images and slides](../prediction.md), [Output files](../outputs.md).
# - Several machines on one slide: [Many devices](clusters.md).
# - Splits, classes, folds: [Your own annotations and classes](annotations.md).
