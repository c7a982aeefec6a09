# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Nuclei in one line
#
# From a folder of images to outlines, counts and a report; and what to do when the result is wrong. You need
# `pip install .` in the folder of jaxnuc's source, and images. No annotation, no GPU.
#
# ## A model
#
# Trained networks come with the library:

# %% language="bash"
# jaxnuc models

# %% [markdown]
# `jaxnuc models NAME` says what one was trained on, under which license, what it reaches and what it is not for
# ([Models](../models.md)). The folder of a training of yours stands wherever a name does, as `--workdir=FOLDER`.
#
# ## Images
#
# Put yours into the folder `images`. PNG, TIFF, JPEG and slides are read as they are, see
# [Images and slides](../prediction.md). Here are two that the library draws: fluorescence, and a stained section.

# %%
from pathlib import Path

from PIL import Image

from jaxnuc.data.synthetic import generate

Path("images").mkdir(exist_ok=True)
for name, style in (("dapi", "fluorescence"), ("tissue", "he")):
    Image.fromarray(generate(1, size=256, style=style).image).save(f"images/{name}.png")

# %% [markdown]
# ## One line

# %% language="bash"
# jaxnuc predict --model=fluorescence --input=images/dapi.png --output=found --format=geojson,csv,overlay
# jaxnuc predict --model=he --input=images/tissue.png --output=found --format=geojson,csv,overlay

# %% [markdown]
# `--input=images` takes all images of a folder, if they are of one kind. `found` now holds, for each image,
#
# - `dapi.geojson`: the outlines, for [QuPath](slides.md); drag it onto the image;
# - `dapi.csv`: a line for each nucleus, with its place, area, shape and intensity;
# - `dapi.overlay.png`: a picture;
# - `dapi.report.html`: all of it on one page;
#
# and of all images `summary.csv` and `index.html`. Open `found/index.html` first.

# %%
import matplotlib.pyplot as plt

figure, places = plt.subplots(1, 2, figsize=(10, 5.2), layout="constrained")
for place, name in zip(places, ("dapi", "tissue")):
    place.imshow(plt.imread(f"found/{name}.overlay.png"))
    place.set(title=name, xticks=[], yticks=[])

# %% [markdown]
# ## Counts

# %%
import csv

for row in csv.DictReader(open("found/summary.csv")):
    print(
        f"{row['image']:8} {row['nuclei']:>3} nuclei, median area {float(row['median_area_px']):.0f} px,"
        f" {float(row['coverage']):.0%} of the image"
    )

# %% [markdown]
# Areas are in pixels of the image. `--mpp=0.5`, microns per pixel, adds square micrometers and densities; where the
# file states it, as slides do, it is not needed.
#
# ## From Python
#
# The same on an array. At the end of a cell, the result shows itself.

# %%
import jaxnuc

predictor = jaxnuc.load("fluorescence")
nuclei = predictor(plt.imread("images/dapi.png"))
nuclei

# %%
print(
    nuclei.instances.shape, nuclei.instances.dtype
)  # a label map: 0 background, 1 the first nucleus
print(nuclei.scores[:5].round(2))  # how confident the network is, in [0, 1]

# %% [markdown]
# ## When it is wrong: look first
#
# The report draws the outlines on the image. What cannot be right the report and the log call a **doubt**, such as no nuclei
# at all, or nuclei of another size than those that the network was trained on. Much that is wrong raises no doubt: look
# at the outlines of some images of every kind. The usual reasons:
#
# ### Model
#
# Each model knows one kind of image, and finds something in the others too.
#
# | image | model |
# | --- | --- |
# | bright nuclei on black (DAPI, Hoechst, DRAQ5), or the inverse | `fluorescence` |
# | purple nuclei in pink tissue (H&E) | `he`, or `he-nc` where no one earns money with it |
# | the same at 40x, with four types: inflammatory, epithelial, spindle-shaped and other nuclei | `he-types`, likewise |
# | gray or Papanicolaou-stained smears | `cytology` |
#
# ### Size
#
# A network knows nuclei of a range of sizes in pixels. These models therefore estimate how large the typical nucleus of
# an image is, and see the image enlarged or shrunk to what they expect. The same image at four times the magnification:

# %%
large = Image.open("images/dapi.png").resize((1024, 1024), Image.Resampling.BICUBIC)
large.save("large.png")

# %% language="bash"
# jaxnuc predict --model=fluorescence --input=large.png --output=found_large --format=overlay
# jaxnuc predict --model=fluorescence --input=large.png --output=found_as_it_is --format=overlay --diameter=off

# %% [markdown]
# `--diameter=off` shows what a network does without it, here nearly as well; at ten times the size it would find little.
# Where the estimate is wrong, say how many pixels a typical
# nucleus measures across, such as `--diameter=60`; what was taken is in `NAME.json` and the report, as `diameter_px`.
# Networks that were trained at known microns per pixel, as for slides, go by these: `--mpp`, `--model-mpp`.

# %%
import json

print(json.load(open("found_large/large.json"))["settings"]["diameter_px"])
figure, places = plt.subplots(1, 2, figsize=(10, 5.2), layout="constrained")
for place, folder in zip(places, ("found_large", "found_as_it_is")):
    place.imshow(plt.imread(f"{folder}/large.overlay.png"))
    place.set(title=folder, xticks=[], yticks=[])

# %% [markdown]
# ### Brightness
#
# Of images with more than 8 bits the range of their own values becomes 0 to 255, and these models stretch the values of
# every image once more, so that a dim one is seen as a bright one. A camera of 12 bits whose image fills a tenth of its
# range is no problem, then. What the network sees of a file, and which
# range that is, is shown by `inspect`, which also writes a picture of it, `camera.seen.png`.

# %%
import numpy as np
import tifffile

gray = generate(1, size=256, style="fluorescence").image[..., 0]
tifffile.imwrite("camera.tif", gray.astype(np.uint16) + 300)

# %% language="bash"
# jaxnuc inspect camera.tif
# jaxnuc predict --model=fluorescence --input=camera.tif --output=found_camera --format=csv

# %% [markdown]
# ### Channel
#
# A file with several channels, depths or times is never guessed at: the error lists what is there, and the option.

# %%
other = generate(2, size=256, style="fluorescence").image[..., 0]
names = {"axes": "CYX", "Channel": {"Name": ["actin", "DAPI"]}}
tifffile.imwrite("two.ome.tif", np.stack([other, gray]), metadata=names, ome=True)

# %% language="bash"
# jaxnuc predict --model=fluorescence --input=two.ome.tif --output=found_two || echo "exit status $?"
# jaxnuc predict --model=fluorescence --input=two.ome.tif --output=found_two --channel=DAPI

# %% [markdown]
# ## When it is still wrong
#
# Then the images are of a kind that the model has not learned.
#
# - Correct a few of them and go on training: [Slides and QuPath](slides.md), [Your own annotations](annotations.md).
# - How wrong is it? With a few annotated images that is a number: [Scoring](scoring.md).
# - What is known to fail: [Limits](../limits.md).
