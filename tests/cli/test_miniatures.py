"""Pages are trained, evaluated and used on miniatures of the files of their data sets."""

import csv
import json
import math

import numpy as np
import pytest
import scipy.io
import tifffile
from PIL import Image

from jaxnuc import registry
from jaxnuc.data.splits import open_split
from jaxnuc.data.synthetic import generate
from jaxnuc.postprocess import regions
from jaxnuc.run.log import read_log

SIDE = 64


def tissue(count):
    """Images (count, SIDE, SIDE, 3), and the ids and classes of their nuclei, 1 to 3."""
    samples = [generate(k, size=SIDE, style="he") for k in range(count)]
    images, ids = (np.stack([getattr(s, key) for s in samples]) for key in ("image", "instances"))
    return images, ids, np.where(ids > 0, ids % 3 + 1, 0)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path, **options)


def pannuke(root):
    """All folds: channels of classes, of which the first is neoplastic."""
    images, ids, classes = tissue(18)
    for fold in (1, 2, 3):
        mine = slice(fold - 1, None, 3) if fold > 1 else slice(None)
        masks = np.zeros((*ids[mine].shape, 6))
        for channel in range(3):
            masks[..., channel] = ids[mine] * (classes[mine] == channel + 1)
        folder = root / f"Fold {fold}"
        save(folder / f"images/fold{fold}/images.npy", images[mine].astype(np.float64))
        save(folder / f"images/fold{fold}/types.npy", np.array(["Colon"] * len(masks)))
        save(folder / f"masks/fold{fold}/masks.npy", masks)


def cnseg(root):
    images, ids, _ = tissue(14)
    for k in range(len(ids)):
        split = "train" if k < 12 else "test"
        save(root / f"PatchSeg/{split}-images/{k}.png", images[k])
        save(root / f"PatchSeg/{split}-labels/{k}.png", ids[k].astype(np.uint8))


def conic(root):
    images, ids, classes = tissue(20)
    save(root / "images.npy", images)
    save(root / "labels.npy", np.stack([ids, classes * 2], -1).astype(np.uint16))
    lines = [f"glas_{k // 2 + 1}-{k % 2:04}" for k in range(len(ids))]
    (root / "patch_info.csv").write_text("\n".join(["patch_info", *lines, ""]))


def consep(root):
    images, ids, classes = tissue(7)
    for k in range(len(ids)):
        folder = root / "CoNSeP" / ("Train" if k < 5 else "Test")
        save(folder / f"Images/{k}.png", images[k])
        (folder / "Labels").mkdir(exist_ok=True)
        maps = {"inst_map": ids[k] * 1.0, "type_map": classes[k] * 2.0}
        scipy.io.savemat(folder / f"Labels/{k}.mat", maps)


def monusac(root):
    """Boxes of nuclei as Aperio's outlines; images as SVS, every second one as TIFF too."""
    images, ids, classes = tissue(8)
    for k in range(len(ids)):
        top = "MoNuSAC_images_and_annotations" if k < 6 else "MoNuSAC Testing Data and Annotations"
        stem = root / top / f"TCGA-55-{k:04}-01Z-00-DX1" / f"TCGA-55-{k:04}-01Z-00-DX1_1"
        stem.parent.mkdir(parents=True)
        layers = [
            layer(names, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
            for names, (y0, x0, y1, x1) in nuclei_of(ids[k], classes[k])
        ]
        text = f'<Annotations MicronsPerPixel="0.25">{"".join(layers)}</Annotations>'
        stem.with_suffix(".xml").write_text(text)
        tile = {"tile": (16, 16), "photometric": "rgb"}
        tifffile.imwrite(stem.with_suffix(".svs"), images[k], **tile)
        if k % 2:
            save(stem.with_suffix(".tif"), images[k])


def nuclei_of(ids, classes):
    """MoNuSAC's class and the box of each nucleus."""
    names = np.array(["", "Epithelial", "Lymphocyte", "Neutrophil"])
    found = regions(ids)
    return [
        (names[classes[ids == k][0]], box) for k, box in zip(found.ids, found.boxes, strict=True)
    ]


def layer(name, corners):
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in corners)
    return (
        f'<Annotation Id="1"><Attributes><Attribute Name="{name}" Id="0" Value=""/></Attributes>'
        f'<Regions><Region Id="1"><Vertices>{vertices}</Vertices></Region></Regions></Annotation>'
    )


WINDOWS = f"--config.data.source.windows={{'size': {SIDE}, 'stride': {SIDE}}}"
# In place of a network that takes half a minute to compile. Every network with every representation
# is tested in tests/training/test_pairs.py, a page's own in tests/test_config.py.
UNET = "--config.model={'name': 'unet', 'variant': 'tiny'}"
STARDIST = "--config.model={'name': 'stardist', 'variant': 'tiny'}"
PAGES = {  # what is behind the colon, sets below the root, changes, the set to evaluate on
    "neoplastic_pannuke": (
        "small",
        [pannuke],
        ["--config.model.layers=1"],
        "pannuke(variant='neoplastic', folds=(1,))",
    ),
    "alnet_attention_cnseg": ("small", [cnseg], [UNET], "cnseg"),
    "stardist_conic": ("small", [conic], [STARDIST], "conic(separate=True)"),
    "stardist_labeltree_pannuke_consep": ("small,mixed", [pannuke, consep], [STARDIST], "consep"),
    "hovernet_consep": ("small,source=monusac", [monusac], [UNET, WINDOWS], "monusac(mpp=0.25)"),
}


@pytest.mark.slow
@pytest.mark.usefixtures("no_curves")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_leads_from_the_files_of_its_data_to_nuclei(page, jaxnuc, tmp_path):
    arguments, sets, changes, evaluated = PAGES[page]
    for write in sets:
        write(tmp_path / "data" / write.__name__)
    one = len(sets) == 1
    done = jaxnuc(
        "train",
        f"--config={page}:{arguments}",
        "--workdir=run",
        f"--config.data.root={tmp_path / 'data' / sets[0].__name__ if one else tmp_path / 'data'}",
        f"--config.data.transforms=('random_crop({SIDE})', 'flip_turn()')",
        "--config.schedule=constant",
        "--config.duration=5 steps",
        "--config.evaluation.every=5 steps",
        "--config.batch_size=2",
        "--config.log_every=1",
        "--config.model.variant=tiny",
        *changes,
    )
    assert done.status == 0, done.err
    lines = read_log(tmp_path / "run" / "metrics.jsonl")
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    assert len(losses) == 5
    assert all(map(math.isfinite, losses))

    # What is scored are the nuclei of the test images.
    section = registry.section_of(evaluated, "source")
    source = f"--source={evaluated}"
    root = tmp_path / "data" / section["name"]
    options = ("--output=figures", "--overlays=0")
    done = jaxnuc("evaluate", "--workdir=run", source, f"--root={root}", *options)
    assert done.status == 0, done.err
    opened = open_split(section, str(root), "test")
    with open(tmp_path / "figures" / "counts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    samples = [opened[index] for index in range(len(opened))]
    for row, sample in zip(rows, samples, strict=True):
        assert row["name"] == sample.meta["name"]
        assert float(row["tp"]) + float(row["fn"]) == len(np.unique(sample.instances)) - 1
    figures = json.loads((tmp_path / "figures" / "metrics.json").read_text())
    assert ("mpq_pooled" in figures["metrics"]) == (opened.label_set is not None)

    Image.fromarray(tissue(1)[0][0]).save(tmp_path / "a.png")
    small = (f"--patch={SIDE}", "--overlap=32", f"--tile={SIDE}", "--workers=0", "--no-stains")
    done = jaxnuc("predict", "--workdir=run", "--input=a.png", "--output=out", *small)
    assert done.status == 0, done.err
    with open(tmp_path / "out" / "a.csv", newline="") as file:
        nuclei = list(csv.DictReader(file))
    assert done.out == f"a: {len(nuclei)} nuclei\n"
