"""Cuts CoNSeP into folders as a laboratory has them: a few crops, outlines of QuPath, own classes.

    python -m benchmarks.own_crops CONSEP_FOLDER_OR_ZIP --output=FOLDER

`FOLDER/5`, `12` and `50` hold that many crops of 500 x 500 pixels to train on, the first two of as
many images: those with the rarest class first, as one would choose them. Beside them are `val` and
`test`, whole images of others. All are training images of CoNSeP, divided so that each part has its
share of every class. Three classes, placed in the label tree: epithelium, inflammation, and all
others. For the study `finetuning`.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from jaxnuc.data import sources
from jaxnuc.data.sample import Sample
from jaxnuc.data.splitting import SPLITS, random_split
from jaxnuc.outputs import NucleiTable, Scene, write
from jaxnuc.outputs.drawing import save_png
from jaxnuc.postprocess.masks import masks_of

CLASSES = """\
classes:
  epithelium: {from: [epithelial], node: epithelial}
  inflammation: {from: [inflammatory], node: immune}
  others: {from: [other, spindle], node: [necrotic, fibroblast, muscle, endothelial]}
"""
COUNTS = (5, 12, 50)
FRACTIONS = (0.65, 0.1, 0.25)  # of images to train on, validate and test
SIDE = 500
CORNERS = [(250, 250), (0, 0), (500, 500)]  # of the crops of an image: row, column


def class_counts(sample: Sample) -> np.ndarray:
    """How many nuclei of each of the 4 classes an image holds."""
    assert sample.classes is not None
    ids, index = np.unique(sample.instances, return_index=True)
    return np.bincount(sample.classes.ravel()[index[ids > 0]], minlength=5)[1:]


def save(
    folder: Path,
    sample: Sample,
    class_names: tuple[str, ...],
    corner: tuple[int, int] = (0, 0),
    side: int = 1000,
) -> None:
    """Writes a square of an image and the outlines of its nuclei."""
    row, col = corner
    place = slice(row, row + side), slice(col, col + side)
    name = f"{sample.meta['name']}_{row}_{col}"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    save_png(folder / "images" / f"{name}.png", sample.image[place])
    instances = sample.instances[place]
    ids, masks = masks_of(instances)
    assert sample.classes is not None
    classes = ndimage.maximum(sample.classes[place], instances, ids).astype(np.int32)
    table = NucleiTable(masks, np.ones(len(masks), np.float32), classes)
    scene = Scene(f"{name}.png", instances.shape, 0.25, class_names=class_names)
    write(folder / "annotations", name, ["geojson"], [table], scene)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("consep", help="CoNSeP's folder or zip")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    source = sources.create("consep", root=args.consep, split="all", merge=True)
    assert source.label_set
    amounts = np.array([class_counts(source[k]) for k in range(len(source))])
    split = lambda part: random_split(source.ids, part, 0, FRACTIONS, amounts=amounts)
    images = {part: [source.ids.index(name) for name in split(part)] for part in SPLITS}
    train = sorted(images["train"], key=lambda k: -amounts[k].min())  # mixed images first
    crops = [(k, corner) for corner in CORNERS for k in train]
    names = ("background", *source.label_set.groups)
    for count in COUNTS:
        root = args.output / str(count)
        for k, corner in crops[:count]:
            save(root / "train", source[k], names, corner, SIDE)
        for part in ("val", "test"):
            for k in images[part]:
                save(root / part, source[k], names)
        (root / "classes.yaml").write_text(CLASSES)


if __name__ == "__main__":
    main()
