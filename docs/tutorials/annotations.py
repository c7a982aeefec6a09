# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Your own annotations and classes
#
# From files that LabelMe, QuPath or another tool exported to a trained network, its report, and classes of your own.
# Nothing is converted beforehand. You need `pip install .` and a dozen annotated images; a few hundred nuclei
# of each class are a start.
#
# ## The folder
#
# ```
# cells/
#   images/       p1/a.png  p1/b.png  p2/c.png ...      a folder for each patient or slide
#   annotations/  p1/a.json ...                         of the same names, .geojson, .json, .xml, .zip, .tif ...
#   classes.yaml  (only to rename, merge or drop classes)
# ```
#
# One COCO or CVAT file of all images works as well, and so do label images: [the whole list](../annotations.md#what-is-read).
# If you have such a folder, skip this cell. It draws 15 images of five "patients" in which some nuclei are stained brown, as
# with an antibody against Ki-67, and annotates them as LabelMe would: those are called `Positive`, the others `negative`,
# and one annotator wrote `Negative`.

# %%
import json
from pathlib import Path

import numpy as np
from PIL import Image

from jaxnuc.data.synthetic import generate
from jaxnuc.outputs.outlines import rings
from jaxnuc.postprocess.masks import masks_of

rng = np.random.default_rng(0)
for k in range(15):
    sample, patient = generate(k, size=160, style="he"), f"p{k // 3 + 1}"
    for folder in ("images", "annotations"):
        Path("cells", folder, patient).mkdir(parents=True, exist_ok=True)
    ids, masks = masks_of(sample.instances)
    positive = rng.random(len(ids)) < 0.4
    brown = np.isin(sample.instances, np.array(ids)[positive])[..., None]
    image = np.where(brown, sample.image * [0.8, 0.55, 0.3], sample.image).astype(np.uint8)
    Image.fromarray(image).save(f"cells/images/{patient}/{k:02}.png")
    negative = "Negative" if k == 4 else "negative"
    shapes = [
        {
            "label": "Positive" if yes else negative,
            "points": rings(mask)[0][:-1],
            "shape_type": "polygon",
        }
        for yes, mask in zip(positive, masks)
    ]
    about = {"imagePath": f"{k:02}.png", "imageHeight": 160, "imageWidth": 160, "shapes": shapes}
    Path(f"cells/annotations/{patient}/{k:02}.json").write_text(json.dumps(about))

# %% [markdown]
# ## Look before training
#
# `inspect` reads everything as a training would, counts, and writes a picture. Errors in annotations are the most
# frequent reason why a network is bad, and this is the cheapest place to find them.

# %% language="bash"
# jaxnuc inspect folder cells

# %%
from IPython.display import Image as Picture

Picture("inspected/folder/sheet.png")

# %% [markdown]
# Three classes where there should be two. Names are corrected in one place, not in every file: `classes.yaml` says which
# classes there are and from which names they come. Every name in the files has to be in it; what is forgotten is an error
# that lists the names with their counts.

# %% language="bash"
# cat > cells/classes.yaml <<END
# classes:
#   positive: {from: [Positive], color: [150, 80, 20]}
#   negative: {color: [0, 0, 200]}
# END
# jaxnuc inspect folder cells || echo "exit status $?"

# %% language="bash"
# cat > cells/classes.yaml <<END
# classes:
#   positive: {from: [Positive], color: [150, 80, 20]}
#   negative: {from: [negative, Negative], color: [0, 0, 200]}
# END
# jaxnuc inspect folder cells

# %% [markdown]
# ## Splits that do not leak
#
# Images of one patient look alike. If some are trained on and others tested on, the scores of the latter are too good: they
# say how the network does on patients that it knows. Images in one folder below `images/` are therefore always on one
# side. Where the names say who belongs together, or a table does, `split_by` takes that:
# `folder(split_by={"groups": {"pattern": "(p\\d+)_"}})`, `folder(split_by={"groups": "groups.csv"})`.

# %%
from jaxnuc.data import sources

for split in ("train", "val", "test"):
    source = sources.create("folder", root="cells", split=split, fractions=(0.6, 0.2, 0.2))
    print(
        f"{split:5} {len(source)} images of {sorted({name.split('/')[0] for name in source.ids})}"
    )

# %% [markdown]
# `inspect` also compares the images of different splits, and notes those that are nearly the same.
#
# ## Train
#
# With a dozen images, begin with a trained network: `finetune` takes whatever of it fits, here everything but the new
# head of the classes. The model `he` comes with the library ([Models](../models.md)); `weights.file` is the line to change
# for another one, or for the folder of a training of yours. Transforms are those of `he` too: they show it nuclei at one size,
# and so images of other magnifications will be recognized as they are by it. So that this page runs in minutes, it trains for 80 steps; leave
# `duration` out for 10 epochs, which is 300 steps or more.

# %% language="bash"
# jaxnuc train --config=finetune --workdir=runs/cells --config.weights.file=he \
#     --config.data.source="folder(fractions=(0.6, 0.2, 0.2))" --config.data.root=cells \
#     --config.classes=groups --config.batch_size=4 \
#     --config.duration="80 steps" --config.evaluation.every="80 steps" --config.ema_decay=0.9 \
#     | grep -E "pq|mpq"

# %% [markdown]
# The best checkpoint was chosen on `val`, by the PQ of all nuclei; `--config.evaluation.monitor=mpq_image_mean` chooses by
# that of the classes. The checkpoint from before the first step takes no part, since its classes are untrained. How good the network is, `test` shows, which it has never seen, not even
# for that choice. Look at `test` once, at the end: whoever chooses by it trains on it.

# %% language="bash"
# jaxnuc evaluate --workdir=runs/cells --split=test --overlays=2

# %% [markdown]
# The folder `runs/cells/eval_folder_test` has `report.html` with all of it, and pictures of the worst and best images:

# %%
Picture(sorted(Path("runs/cells/eval_folder_test/overlays").glob("*.png"))[0])

# %% [markdown]
# Three test images of one patient are few: the intervals say how few. With so little data, let every patient be tested once, by
# five trainings that each leave out a fifth: `jaxnuc train ... --fold=0/5`, then
# `jaxnuc evaluate --folds --workdir=runs/fold_0 ...`, see [Splits](../annotations.md#splits).
#
# ## Use it
#
# The classes come with names, probabilities and your colors, also in QuPath.

# %% language="bash"
# jaxnuc predict --workdir=runs/cells --input=cells/images/p1/00.png --output=found --format=geojson,csv
# head -3 found/00.csv | cut -d, -f1-8

# %% [markdown]
# ## Where to go on
#
# - Which images to annotate next: `jaxnuc suggest`, in [Slides and QuPath](slides.md).
# - Classes at several levels, or together with a public data set: [Data sets with different labels](label_sets.md).
# - Everything that is read, and every rule: [Your own annotations](../annotations.md).
