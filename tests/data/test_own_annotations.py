"""Folders of images with annotations of people's own: where they lie, and what they become."""

import logging
import pickle
import shutil

import numpy as np
import pytest
from annotated_images import BOXES, IMAGE, LABELS, SQUARE, box, coco, geojson, masks, save, write

from jaxnuc.cli.main import main
from jaxnuc.data import sources
from jaxnuc.data.sources.folder import Source
from jaxnuc.data.splitting import SplitBy


def beside(root):  # Cellpose
    shutil.move(root / "images" / "a.tif", root / "a.tif")
    save(root / "a_masks.tif", LABELS.astype(np.uint16))


def zarr_labels(root):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(root / "labels" / "a.labels.ome.zarr", mode="w")
    group.create_array("0", data=LABELS[None])
    axes = [{"name": name} for name in "cyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]


LAYOUTS = {
    "ids beside": beside,
    "StarDist": lambda root: save(root / "masks" / "a.tif", LABELS.astype(np.float32)),
    "OME-Zarr": zarr_labels,
    "a folder of masks": lambda root: masks(root / "masks" / "a"),
    "QuPath": lambda root: write(root / "annotations" / "a.tif.geojson", geojson(*BOXES)),
    "QuPath beside": lambda root: write(root / "images" / "a.geojson", geojson(*BOXES)),
    "COCO": lambda root: write(root / "annotations.json", coco("a.tif")),
    "COCO of one": lambda root: write(root / "labels" / "a.coco.json", coco("a.tif", "b.tif")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    save(tmp_path / "images" / "a.tif", IMAGE)
    LAYOUTS[layout](tmp_path)
    source = pickle.loads(pickle.dumps(sources.create("folder", root=tmp_path)))
    assert source.ids == ["a"]
    for _ in range(2):
        sample = source[0]
        np.testing.assert_array_equal(sample.image, IMAGE)
        np.testing.assert_array_equal(sample.instances, LABELS)
        assert sample.ignore is None or not sample.ignore.any()
    if "COCO" in layout:
        assert source.label_set.groups == ("lymphocyte", "tumor")
        np.testing.assert_array_equal(sample.classes, np.array([0, 2, 1])[LABELS])
    else:
        assert source.label_set is sample.classes is None


@pytest.mark.parametrize(
    ("label_from", "array"),
    [
        ("colors", np.stack([LABELS * 100, LABELS * 7, LABELS == 2], -1).astype(np.uint8)),
        ("masks", np.stack([LABELS == 1, LABELS == 2]).astype(np.uint8) * 255),
        ("components", np.uint8(255) * (LABELS > 0)),
    ],
)
def test_label_images_of_other_forms(tmp_path, label_from, array):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.tif", array)
    found = Source(tmp_path, annotations={"label_from": label_from})[0].instances
    assert len(np.unique(found)) == 3
    np.testing.assert_array_equal(np.unique(found, return_inverse=True)[1].reshape(20, 30), LABELS)
    if label_from != "components":
        with pytest.raises(ValueError, match=r"label_from='colors'|save each image on its own"):
            Source(tmp_path)[0]


def test_arguments_that_no_file_would_be_read_by(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.png", LABELS.astype(np.uint8))
    with pytest.raises(ValueError, match=r"\['scale'\] is for outlines, of which .*a\.png is none"):
        Source(tmp_path, annotations={"scale": 2})
    (tmp_path / "labels" / "a.png").unlink()
    write(tmp_path / "labels" / "a.json", geojson(*BOXES))
    with pytest.raises(ValueError, match=r"\['label_from'\] is for label images"):
        Source(tmp_path, annotations={"label_from": "components"})


def test_images_whose_names_end_like_label_images(tmp_path):
    for name in ("a.png", "a_mask.png"):
        save(tmp_path / "images" / name, IMAGE)
    assert Source(tmp_path, labels="").ids == ["a", "a_mask"]


def test_masks_that_overlap_and_the_pickles_of_cellpose(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "masks" / "a" / "x1.png", np.pad(np.ones((9, 9), np.uint8), ((0, 11), (0, 21))))
    save(tmp_path / "masks" / "a" / "x2.png", np.pad(np.ones((5, 5), np.uint8), ((4, 11), (4, 21))))
    sample = Source(tmp_path)[0]
    assert np.bincount(sample.instances.ravel())[1:].tolist() == [81 - 25, 25]
    assert (sample.covered[..., 0] == 1).sum() == 25
    shutil.rmtree(tmp_path / "masks")
    np.save(tmp_path / "images" / "a_seg.npy", {"masks": LABELS}, allow_pickle=True)
    with pytest.raises(ValueError, match=r"a_seg\.npy: holds pickled .* --save_tif"):
        Source(tmp_path)[0]


def test_files_that_do_not_match(tmp_path):
    for stem in "ab":
        save(tmp_path / "images" / f"{stem}.png", IMAGE)
    write(tmp_path / "annotations.json", coco("a.png"))
    with pytest.raises(ValueError, match=r"images/b\.png: has no annotation; .*annotations\.json"):
        Source(tmp_path)
    write(tmp_path / "annotations.json", coco("a.png", "b.png", "c.png"))
    with pytest.raises(ValueError, match=r"annotates 'x/c\.png' and is not beside it \(1 of 3"):
        Source(tmp_path)
    write(tmp_path / "annotations.json", coco("a.png", "b.png"))
    assert len(Source(tmp_path)) == 2
    write(tmp_path / "labels" / "a.json", coco("z.png", "y.png"))
    save(tmp_path / "labels" / "b.png", LABELS.astype(np.uint8))
    with pytest.raises(
        ValueError, match=r"both labels and annotations\.json hold.*labels='labels'"
    ):
        Source(tmp_path)
    source = Source(tmp_path, labels="labels", split="all")
    with pytest.raises(ValueError, match=r"0 of its 2 images are called 'a\.png'"):
        source[0]
    save(tmp_path / "masks" / "b.png", LABELS.astype(np.uint8))
    with pytest.raises(ValueError, match="both labels and masks hold annotations; give labels="):
        Source(tmp_path)
    write(tmp_path / "labels" / "a.json", coco("b.png"))
    with pytest.raises(
        ValueError, match=r"a\.json: by its name it is of a\.png, by its content of x/b"
    ):
        Source(tmp_path, labels="labels")
    write(tmp_path / "labels" / "a.json", coco("renamed.png"))
    assert Source(tmp_path, labels="labels", split="all")[0].instances.any()
    write(tmp_path / "labels" / "b.json", coco("b.png"))
    with pytest.raises(
        ValueError, match=r"labels/b\.json and labels/b\.png both annotate images/b"
    ):
        Source(tmp_path, labels="labels")
    assert len(Source(tmp_path, labels="annotations.json")) == 2
    save(tmp_path / "images" / "b.tif", IMAGE)
    with pytest.raises(ValueError, match=r"images/b\.png and images/b\.tif have the same stem"):
        Source(tmp_path, labels="annotations.json")
    with pytest.raises(ValueError, match=r"unknown argument of annotations: 'scael'.*'scale'"):
        Source(tmp_path, annotations={"scael": 2})


def test_one_file_of_all_splits(tmp_path):
    """It lies above their folders, and may hold images that have one name in two of them."""
    images = {f"{split}/{k}.png" for split in ("train", "val") for k in range(2)}
    for k, name in enumerate(sorted(images)):
        save(tmp_path / name.replace("/", "/images/"), np.roll(IMAGE, k, axis=0))
    content = coco("images/0.png", "images/1.png")
    write(tmp_path / "annotations.json", content)
    with pytest.raises(ValueError, match=r"'x/images/0\.png' may be train/images/0\.png or val/"):
        Source(tmp_path, split="train")
    for k, name in enumerate(("2.png", "3.png")):
        (tmp_path / "val" / "images" / f"{k}.png").rename(tmp_path / "val" / "images" / name)
    write(tmp_path / "annotations.json", coco("0.png", "1.png", "2.png", "3.png"))
    for labels in (None, "annotations.json"):
        val = Source(tmp_path, split="val", labels=labels)
        assert val.ids == ["2", "3"]
        np.testing.assert_array_equal(val[1].instances, LABELS)
        assert val.label_set.groups == ("lymphocyte", "tumor")
    write(tmp_path / "annotations.json", coco("0.png", "1.png", "2.png", "4.png"))
    with pytest.raises(ValueError, match=r"'x/4\.png' and is not beside it"):
        Source(tmp_path, split="train")
    write(tmp_path / "train" / "labels" / "0.json", coco("0.png"))
    with pytest.raises(ValueError, match=r"both labels and annotations\.json hold annotations"):
        Source(tmp_path, split="train")
    shutil.rmtree(tmp_path / "train" / "labels")
    # One file a split, as COCO has them.
    (tmp_path / "annotations.json").unlink()
    for split, names in (("train", "01"), ("val", "23")):
        names = [f"{name}.png" for name in names]
        write(tmp_path / "annotations" / f"instances_{split}.json", coco(*names))
    assert Source(tmp_path, split="train").ids == ["0", "1"]


@pytest.mark.parametrize("images", ["images", "."])
@pytest.mark.parametrize("labels", ["labels", "images"])
def test_images_in_folders_of_patients(tmp_path, images, labels):
    """Annotations lie beside the images, or in folders of the same names."""
    for patient in ("p1", "p2"):
        for k in range(3):
            save(tmp_path / images / patient / f"{k}.png", IMAGE)
        place = tmp_path / (images if labels == "images" else labels) / patient
        write(place / "0.geojson", geojson(*BOXES))
        save(place / "1_masks.tif", LABELS.astype(np.uint16))
        masks(place / "2")
    (tmp_path / images / "p1" / "0.png").rename(tmp_path / images / "p1" / "x.png")
    (place.parent / "p1" / "0.geojson").rename(place.parent / "p1" / "x.geojson")
    source = Source(tmp_path, split="all")
    assert sorted(source.ids) == ["p1/1", "p1/2", "p1/x", "p2/0", "p2/1", "p2/2"]
    for sample in map(source.__getitem__, range(6)):
        np.testing.assert_array_equal(sample.instances, LABELS)
    # A patient is on one side.
    write(tmp_path / "groups.csv", "image,group\n" + "".join(f"{x},{x[-1]}\n" for x in source.ids))
    by = SplitBy(groups="groups.csv")
    source.divide("all", by)
    assert len(source) == 6
    write(tmp_path / "groups.csv", "image,group\n1.png,1\n")
    with pytest.raises(ValueError, match=r"image '1\.png'"):  # of which patient?
        source.divide("all", by)
    train = Source(tmp_path, split="train", fractions=(0.5, 0.5, 0)).ids
    assert sorted(name[:2] for name in train) in (["p1"] * 3, ["p2"] * 3)


def test_files_above_the_folders_of_patients(tmp_path):
    for name in ("p1/a", "p1/b", "p2/b"):
        save(tmp_path / "images" / f"{name}.png", IMAGE)
    write(tmp_path / "annotations.json", coco("p1/a.png", "p1/b.png", "p2/b.png"))
    source = Source(tmp_path, split="all")
    assert source.ids == ["p1/a", "p1/b", "p2/b"]
    np.testing.assert_array_equal(source[2].instances, LABELS)
    write(tmp_path / "annotations.json", coco("a.png", "b.png"))
    with pytest.raises(ValueError, match=r"'x/b\.png' may be images/p1/b\.png or images/p2/b"):
        Source(tmp_path)
    (tmp_path / "annotations.json").unlink()
    for name in ("a", "b"):
        write(tmp_path / "labels" / f"{name}.geojson", geojson(*BOXES))
    with pytest.raises(ValueError, match=r"b\.geojson: may be of p1/b or of p2/b"):
        Source(tmp_path)
    save(tmp_path / "images" / "train" / "c.png", IMAGE)
    with pytest.raises(ValueError, match=r"images/train/c\.png: folders of splits lie above"):
        Source(tmp_path)


def test_annotations_in_two_places_are_refused(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.png", LABELS.astype(np.uint8))
    write(tmp_path / "images" / "notes.json", "{}")
    assert len(Source(tmp_path)) == 1
    write(tmp_path / "images" / "a.geojson", geojson(SQUARE))
    with pytest.raises(ValueError, match="both labels and images hold annotations; give labels="):
        Source(tmp_path)
    (tmp_path / "images" / "notes.json").unlink()
    assert Source(tmp_path, labels="images")[0].instances.max() == 1


def test_files_of_several_images_of_one_name(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    write(tmp_path / "annotations.json", coco("p/a.png", "q/a.png"))
    with pytest.raises(ValueError, match=r"annotations\.json: 2 of its images are called 'a\.png'"):
        Source(tmp_path)


def test_masks_are_no_jpegs_and_no_other_files(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    masks(tmp_path / "masks" / "a")
    for junk in ("Thumbs.db", "desktop.ini"):
        (tmp_path / "masks" / "a" / junk).write_bytes(b"x")
    np.testing.assert_array_equal(Source(tmp_path)[0].instances, LABELS)
    for name, reason in (("3.jpg", "a JPEG, which changes"), ("3.txt", "no mask")):
        save(tmp_path / "masks" / "a" / "3.png", np.uint8(LABELS > 0))
        (tmp_path / "masks" / "a" / "3.png").rename(tmp_path / "masks" / "a" / name)
        with pytest.raises(ValueError, match=rf"masks/a/{name}: {reason}"):
            Source(tmp_path)[0]
        (tmp_path / "masks" / "a" / name).unlink()


def test_label_images_that_are_jpegs(tmp_path):
    """Named where they are the only ones; pictures beside others are left aside."""
    save(tmp_path / "a.png", IMAGE)
    save(tmp_path / "a_masks.jpg", np.uint8(LABELS > 0))
    with pytest.raises(ValueError, match=r"a_masks\.jpg: a JPEG, which changes"):
        Source(tmp_path)
    save(tmp_path / "labels" / "a.jpg", np.uint8(LABELS > 0))
    (tmp_path / "a_masks.jpg").unlink()
    with pytest.raises(ValueError, match=r"labels/a\.jpg: a JPEG, which changes"):
        Source(tmp_path)
    save(tmp_path / "a_masks.png", LABELS.astype(np.uint8))
    assert Source(tmp_path)[0].instances.max() == 2


@pytest.mark.parametrize("name", ["b.geojson", "b.ome.geojson", "b.ome.tif.geojson", "b.labels"])
def test_the_name_of_an_ome_tiff(tmp_path, name):
    save(tmp_path / "images" / "b.ome.tif", IMAGE)
    if name == "b.labels":
        save(tmp_path / "labels" / "b.labels.ome.tif", LABELS.astype(np.uint16))
    else:
        write(tmp_path / "labels" / name, geojson(*BOXES))
    source = Source(tmp_path)
    assert source.ids == ["b"]
    np.testing.assert_array_equal(source[0].instances, LABELS)


def test_images_that_are_not_read_here(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.svs").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"\*\.czi.*not \*\.svs: export what is annotated"):
        Source(tmp_path)


def test_zarr_in_a_zip(tmp_path):
    save(tmp_path / "cells" / "images" / "a.png", IMAGE)
    write(tmp_path / "cells" / "labels" / "a.zarr" / "zarr.json", "{}")
    shutil.make_archive(str(tmp_path / "cells"), "zip", tmp_path / "cells")
    with pytest.raises(ValueError, match=r"labels/a\.zarr: Zarr in a zip; unzip cells\.zip"):
        Source(tmp_path / "cells.zip")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"annotations": {"scale": "0.5"}}, "scale='0.5': .*a positive number"),
        ({"annotations": {"origin": 5}}, "origin=5: two numbers"),
        ({"annotations": {"origin": ("left", 5)}}, r"origin=\('left', 5\): two numbers"),
        ({"annotations": {"convention": 3}}, "convention=3: a name"),
        ({"annotations": "components"}, "annotations='components': expected a dictionary"),
        ({"planes": "DAPI"}, "planes='DAPI': expected a dictionary"),
        ({"planes": {"channel": None}}, "channel=None: "),
        ({"planes": {"channel": [0.5]}}, r"channel=0\.5: "),
        ({"planes": {"z": 0.5}}, "z=0.5; it is a number"),
        ({"planes": {"time": "1"}}, "time='1'; it is a number"),
        ({"planes": {"image": "1"}}, "image='1': "),
    ],
)
def test_arguments_of_another_type(tmp_path, arguments, message):
    save(tmp_path / "images" / "a.png", IMAGE)
    write(tmp_path / "labels" / "a.json", geojson(*BOXES))
    with pytest.raises(ValueError, match=message):
        Source(tmp_path, **arguments)


def test_two_files_of_one_image(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.png", LABELS.astype(np.uint8))
    write(tmp_path / "labels" / "instances.json", coco("a.png"))
    with pytest.raises(
        ValueError, match=r"a\.png and labels/instances\.json both annotate images/a"
    ):
        Source(tmp_path)


def test_a_mask_given_for_ids_is_warned_of(tmp_path, caplog):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.png", np.uint8(255) * (LABELS > 0))
    with caplog.at_level(logging.WARNING):
        assert Source(tmp_path)[0].instances.max() == 255
    assert "label_from='components'" in caplog.text


def test_outlines_of_some_images_only(tmp_path):
    for stem in "abc":
        save(tmp_path / "images" / f"{stem}.png", IMAGE)
    write(tmp_path / "labels" / "a.geojson", geojson(SQUARE))
    message = r"images/b\.png: has no annotation, nor has 1 other; .* b\.geojson in \S*/labels, for"
    with pytest.raises(ValueError, match=message):
        Source(tmp_path)
    for stem in "bc":  # without nuclei
        write(tmp_path / "labels" / f"{stem}.geojson", geojson())
    assert [each.instances.max() for each in Source(tmp_path)] == [1, 0, 0]


def test_inspection_of_ones_own_annotations(annotated, capsys, tmp_path):
    """What is odd is named with its image; the status is that of the errors."""
    features = geojson(SQUARE, box(40, 1, 50, 5), box(8, 6, 12, 12))
    features += geojson(tumor=box(20, 12, 28, 16)) * 2
    annotated(features)
    save(tmp_path / "images" / "b.png", IMAGE[::-1].copy())
    save(tmp_path / "labels" / "b.png", np.uint8(255) * (LABELS > 0))
    command = [
        "inspect",
        "folder",
        str(tmp_path),
        "--split",
        "all",
        "--output",
        str(tmp_path / "o"),
    ]
    assert main(command) == 0
    text = capsys.readouterr().out
    for expected in (
        "nuclei per class: tumor: 1, ignored: 3",
        "unknown: 2; needed only where magnifications differ",
        "regions left out, outside of the image (1)\n  train/a: 1",
        "regions left out, drawn twice (1)\n  train/a: 1",
        "nuclei that overlap (1)\n  train/a: 1: id 1",
        "nuclei of no class, which is ignored (2)\n  train/a: 2\n  train/b: 1",
        "labels of one number (1)\n  train/b: 255 in 2 pieces; if it is a mask",
    ):
        assert expected in text
    save(tmp_path / "labels" / "b.png", LABELS[1:].astype(np.uint8))
    assert main(command) == 1
    assert "labels/b.png: labels of (19, 30)" in capsys.readouterr().out
