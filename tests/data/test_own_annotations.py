"""Folders of images with annotations of people's own: where they lie, and what they become."""

import json
import logging
import pickle
import shutil

import numpy as np
import pytest
import scipy.io
import tifffile
from PIL import Image

from jaxnuc.cli.main import main
from jaxnuc.data import Sample, sources
from jaxnuc.data import Source as AnySource
from jaxnuc.data.outlined import Reading, annotation_of
from jaxnuc.data.own_classes import OwnClasses
from jaxnuc.data.sources.folder import Source
from jaxnuc.data.splitting import SplitBy
from jaxnuc.io.annotations import ImageAnnotations
from jaxnuc.labels import NUCLEI, LabelSet, label_set
from jaxnuc.outputs import Scene

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
SQUARE = [[2, 1], [9, 1], [9, 7], [2, 7]]
LABELS = np.zeros((20, 30), np.int32)
LABELS[1:7, 2:9], LABELS[12:16, 20:28] = 1, 2


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


BOXES = (SQUARE, box(20, 12, 28, 16))


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def geojson(*boxes, **kinds):
    """QuPath's objects: boxes without a class, and others by their class."""
    return [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "properties": {"classification": {"name": name}} if name else {},
        }
        for name, ring in [*((None, each) for each in boxes), *kinds.items()]
    ]


def coco(*names, image=(20, 30)):
    images = [
        {"id": k, "file_name": f"x/{name}", "height": image[0], "width": image[1]}
        for k, name in enumerate(names)
    ]
    annotations = [
        {"image_id": k, "category_id": n + 1, "segmentation": [np.ravel(ring).tolist()]}
        for k in range(len(names))
        for n, ring in enumerate(BOXES)
    ]
    categories = [{"id": 1, "name": "tumor"}, {"id": 2, "name": "lymphocyte"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def masks(root):
    for k in (1, 2):
        save(root / f"{k}.png", (k == LABELS).astype(np.uint8) * 255)


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


@pytest.fixture
def annotated(tmp_path):
    """Writes an annotation file of image `a` and opens the source."""
    save(tmp_path / "images" / "a.png", IMAGE)

    def opened(features, classes=None, **arguments):
        write(tmp_path / "labels" / "a.geojson", features)
        if classes is not None:
            write(tmp_path / "classes.yaml", classes)
        return Source(tmp_path, annotations=arguments or None)

    return opened


def test_regions_ignored_and_dropped_objects(annotated):
    features = geojson(
        **{"Region*": box(0, 0, 20, 20), "Ignore*": box(10, 10, 14, 14)},
        tumor=SQUARE,
        dirt=box(1, 9, 5, 12),
        vague=box(15, 0, 18, 3),
    )
    classes = "classes:\r\n  tumor:\r\nignore: [vague]\r\ndrop: [dirt]\r\n"
    source = annotated(features, classes)
    sample = source[0]
    ignore = np.ones((20, 30), bool)
    ignore[:, :20] = False
    ignore[10:14, 10:14] = ignore[:3, 15:18] = True
    np.testing.assert_array_equal(sample.ignore, ignore)
    np.testing.assert_array_equal(sample.instances, LABELS == 1)
    assert source.label_set.groups == ("tumor",)
    assert source.ignores


def test_what_is_no_nucleus_here_is_counted(annotated):
    small = box(3, 2, 5, 4)
    features = geojson(SQUARE, SQUARE, box(40, 1, 50, 5), box(-3, -3, 2, 2), small, small[:2])
    features += geojson(b=box(10.6, 10.6, 10.9, 10.9))
    sample = annotated(features)[0]
    counts = {key: n for key, n in sample.meta.items() if key.endswith("_regions") and n}
    assert counts == {
        "outside_regions": 1,
        "duplicate_regions": 1,
        "skipped_regions": 1,
        "hidden_regions": 1,
        "unnamed_regions": 4,
    }
    assert sample.meta["regions"] == 7
    np.testing.assert_array_equal(sample.instances[:2, :2], 2)  # clipped at the border
    assert (sample.covered > 0).sum() == 4
    empty = geojson(SQUARE) * 2
    empty[1]["geometry"] = {"type": "MultiPolygon", "coordinates": []}
    assert annotated(empty)[0].meta["skipped_regions"] == 1
    # Without a class among others that have one: the class is ignored, the nucleus is not.
    assert np.unique(sample.classes).tolist() == [-1, 0]


def test_other_units_and_other_levels(annotated):
    whole = annotated(geojson(*BOXES))[0]
    at_40x = [[[400 + 2 * x, 600 + 2 * y] for x, y in ring] for ring in BOXES]
    part = annotated(geojson(*at_40x), scale=0.5, origin=(400, 600))[0]
    np.testing.assert_array_equal(part.instances, whole.instances)
    with pytest.raises(ValueError, match=r"none of its 2 nuclei lies in the image.*an origin"):
        annotated(geojson(*at_40x))[0]
    write(annotated(geojson()).root / "labels" / "a.geojson", coco("a.png", image=(40, 60)))
    with pytest.raises(ValueError, match=r"\(40, 60\) pixels, the image has \(20, 30\); give sc"):
        annotated(coco("a.png", image=(40, 60)))[0]
    with pytest.raises(ValueError, match="do not belong together"):
        annotated(coco("a.png", image=(40, 30)))[0]
    nearly = ImageAnnotations((), size=(1000, 1000))
    with pytest.raises(ValueError, match="do not belong together"):  # no scale=1
        annotation_of(nearly, (1000, 1001), Reading(), OwnClasses(), "f")
    # Contours through the centers of border pixels, at 40x, one of them outside.
    contours = box(4, 2, 17, 13), box(100, 20, 110, 30)
    hovernet = {"nuc": {str(k): {"contour": each, "type": 1} for k, each in enumerate(contours)}}
    expected = np.zeros((20, 30), int)
    expected[1:7, 2:9] = 1
    found = annotated(hovernet, scale=0.5)[0]
    np.testing.assert_array_equal(found.instances, expected)
    assert found.meta["outside_regions"] == 1
    part = annotated(hovernet, scale=0.5, origin=np.array((2, -2)))[0]
    np.testing.assert_array_equal(part.instances[2:, :-2], expected[1:-1, 1:-1])


def test_contours_through_pixels_move_with_the_origin(annotated):
    """Also where they cross the upper left border, and by a convention that is asked for."""
    ring = box(3, 4, 8, 9)
    hovernet = {"nuc": {"1": {"contour": ring, "type": 1}}}
    expected = np.zeros((20, 30), int)
    expected[:5, :4] = 1  # rows 4 to 9 and columns 3 to 8, from (5, 5) on
    found = annotated(hovernet, origin=(5, 5))[0].instances
    np.testing.assert_array_equal(found, expected)
    triangle = [[2.7, 3.7], [9.7, 3.7], [2.7, 10.7]]
    part, whole = (
        annotated(geojson(triangle), origin=at, convention="hovernet")[0].instances
        for at in ((5, 5), (0, 0))
    )
    np.testing.assert_array_equal(part[:-5, :-5], whole[5:, 5:])


def test_a_slide_of_hamamatsu_needs_the_place_of_its_image(annotated):
    """Nanometers from the slide's center: the image of 30 x 20 pixels of 500 nm lies around it."""
    listed = "".join(
        f"<point><x>{500 * (x - 15)}</x><y>{500 * (y - 10)}</y></point>" for x, y in SQUARE
    )
    ndpa = (
        '<annotations><ndpviewstate id="1"><title>b</title><coordformat>nanometers</coordformat>'
        f'<annotation type="freehand"><pointlist>{listed}</pointlist></annotation>'
        "</ndpviewstate></annotations>"
    )
    with pytest.raises(ValueError, match="give `origin`"):
        annotated(ndpa)[0]
    found = annotated(ndpa, origin=(-7.5, -5), scale=2.0)[0]
    np.testing.assert_array_equal(found.instances, LABELS == 1)


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


CLASS_MAP = np.array([0, 7, 2], np.uint8)[LABELS]
TABLE = "id;class\r\n2;2\r\n1;7\r\n"


def mat_of(root):
    arrays = {"inst_map": LABELS.astype(float), "type_map": CLASS_MAP.astype(float)}
    root.mkdir()
    scipy.io.savemat(root / "a.mat", arrays | {"inst_type": np.array([[7], [2]])})


TYPED = {
    "a table": lambda root: write(root / "a_types.csv", "\ufeff" + TABLE),
    "a class image": lambda root: save(root / "a_types.png", CLASS_MAP),
    "of another dtype": lambda root: save(root / "a_type_map.npy", CLASS_MAP.astype(np.float32)),
    "the names of the label image": lambda root: save(root / "a_masks_classes.tif", CLASS_MAP),
    "MAT": mat_of,
}


@pytest.mark.parametrize("form", TYPED)
def test_classes_beside_label_images(tmp_path, form):
    save(tmp_path / "images" / "a.png", IMAGE)
    TYPED[form](tmp_path / "labels")
    if form != "MAT":
        save(tmp_path / "labels" / "a_masks.png", LABELS.astype(np.uint8) * 5 // 3)
        if form == "a table":
            write(tmp_path / "labels" / "a_types.csv", TABLE.replace("2;2", "3;2"))
    source = pickle.loads(pickle.dumps(Source(tmp_path)))
    assert source.label_set.groups == ("2", "7")
    sample = source[0]
    np.testing.assert_array_equal(sample.instances > 0, LABELS > 0)
    np.testing.assert_array_equal(sample.classes, np.array([0, 2, 1])[LABELS])
    assert sample.covered is None
    if form == "a class image":  # all beside the image
        for path in (*(tmp_path / "images").iterdir(), *(tmp_path / "labels").iterdir()):
            path.rename(tmp_path / path.name)
        assert Source(tmp_path).ids == ["a"]
    write(tmp_path / "classes.yaml", "classes:\n  tumor: {from: [2]}\nignore: [7]\n")
    sample = Source(tmp_path)[0]
    np.testing.assert_array_equal(sample.classes, LABELS == 2)
    np.testing.assert_array_equal(sample.ignore, LABELS == 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a_types.csv",
            "id,class\n3,x\n",
            r"a class 'x' of nucleus '3', which is not in the label",
        ),
        ("a_types.csv", "id,class\n,x\n", r"a class 'x' of nucleus '', which is not in the label"),
        ("a_types.csv", "id,class\n1,x\n1,y\n", "nucleus 1 has the classes 'x' and 'y'; keep one"),
        ("a_types.csv", "nucleus,type\n1,x\n", "no column id, class .*, only nucleus"),
        ("a_types.csv", "", "no column id, class .*, only an empty line"),
        ("b_types.csv", "id,class\n1,x\n", r"b_types\.csv: of no image by its name"),
        ("a_types.png", CLASS_MAP[1:], r"a class image of \(19, 30\) pixels for an image of"),
        ("a_types.png", np.stack([CLASS_MAP] * 3, -1), r"a_types\.png: .*a color image"),
    ],
)
def test_what_is_wrong_with_classes_of_label_images(tmp_path, name, content, message):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.png", LABELS.astype(np.uint8))
    (write if isinstance(content, str) else save)(tmp_path / "labels" / name, content)
    with pytest.raises(ValueError, match=message):
        Source(tmp_path)


def test_classes_in_other_variables_of_a_mat_file(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    (tmp_path / "labels").mkdir()
    scipy.io.savemat(tmp_path / "labels" / "a.mat", {"inst_map": LABELS, "class": [[1], [2]]})
    with pytest.raises(ValueError, match="classes in 'class', and of MAT files type_map is read"):
        Source(tmp_path)
    scipy.io.savemat(tmp_path / "labels" / "a.mat", {"inst_map": LABELS})
    sample = Source(tmp_path)[0]
    np.testing.assert_array_equal(sample.instances, LABELS)
    assert sample.classes is None


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


def test_files_without_nuclei(annotated):
    for empty in ({}, "<annotations/>"):
        assert not annotated(empty)[0].instances.any()


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


def test_splits_have_the_classes_of_all(tmp_path):
    for split, kind in (("train", "b"), ("test", "a")):
        save(tmp_path / split / "images" / "1.png", IMAGE)
        write(tmp_path / split / "labels" / "1.json", geojson(**{kind: SQUARE}))
    assert [Source(tmp_path, split=s).label_set.groups for s in ("train", "test")] == [
        ("a", "b")
    ] * 2
    assert Source(tmp_path, split="train")[0].classes.max() == 2


CLASSES = """
classes:
  epithelium: {from: [Tumour, Gland], node: epithelial, color: [200, 0, 0]}
  immune cell: {from: [lymphocyte, plasma], node: immune}
  dead: {from: [apoptotic], node: necrotic}
"""
NAMED = {"Tumour": SQUARE, "plasma": box(20, 12, 28, 16), "Gland": box(12, 1, 16, 5)}
NAMED |= {"lymphocyte": box(12, 8, 16, 11), "apoptotic": box(3, 12, 8, 16)}


class Public(AnySource):
    """A public set with PanNuke's classes."""

    name, label_set, ids = "public", label_set("pannuke"), ("a",)

    def __getitem__(self, index):
        return Sample(IMAGE, LABELS, LABELS, {"name": "a", "mpp": None})


def test_classes_placed_in_the_label_tree_train_with_public_sets(annotated):
    """As the superclasses of public sets, in one head; or with each set's own classes."""
    public = Public()
    source = annotated(geojson(**NAMED), CLASSES)
    assert source.label_set.groups == ("epithelium", "immune cell", "dead")
    assert source.label_set.tree is NUCLEI
    assert source.label_set.colors == ((200, 0, 0), None, None)
    assert (
        LabelSet.from_json(json.loads(json.dumps(source.label_set.to_json()))) == source.label_set
    )
    scene = Scene("a", (9, 9), colors=(None, *source.label_set.colors), class_names=tuple("abcd"))
    palette = Scene("a", (9, 9))
    assert [scene.color(k) for k in (0, 1, 2)] == [palette.color(0), (200, 0, 0), palette.color(2)]
    lookup = source.label_set.to(label_set("superclasses"))
    assert [label_set("superclasses").groups[k - 1] for k in lookup[1:4]] == [
        *("epithelial", "immune", "other")
    ]
    sample = source[0]
    groups = {sample.classes[y + 1, x + 1]: name for name, ((x, y), *_) in NAMED.items()}
    assert groups == {1: "Gland", 2: "lymphocyte", 3: "apoptotic"}
    mixed = sources.create("mixture", sources=[source, source], label_set="superclasses")
    assert mixed[0].classes.max() == 4
    own = sources.create("mixture", sources=[source, public], label_set="own")
    assert [each.groups for each in own.label_sets] == [
        source.label_set.groups,
        public.label_set.groups,
    ]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            CLASSES.replace("Tumour", "Tumuor"),
            "epithelium' takes its nuclei from 'Tumuor', which is in no",
        ),
        (CLASSES.replace("Tumour", "Tumuor"), r"found are Gland \(1\), Tumour \(1\).*'Tumour'\?"),
        (CLASSES.replace(", Gland", ""), r"lacks 'Gland', which the annotations have.*to drop"),
        (CLASSES.replace("plasma", "Gland"), "'Gland' is listed under class 'epithelium' and"),
        (CLASSES.replace("node: immune", "node: imune"), "'imune'.*did you mean 'immune'"),
        (CLASSES.replace(", node: immune", ""), "class 'immune cell' has no `node`"),
        (CLASSES.replace("from: [apop", "form: [apop"), "unknown key of .*'form'.*'from'"),
        (CLASSES.replace("classes", "clases"), "unknown key in .*'clases'.*'classes'"),
        (CLASSES.replace("[apoptotic]", "apoptotic"), "'from' is 'apoptotic'; expected a list"),
        (CLASSES.replace("[200, 0, 0]", "red"), "'color' is 'red'; expected .red, green, blue"),
        (CLASSES.replace("200,", "300,"), r"'color' is \[300, 0, 0\]"),
        ("a: !!python/object/apply:os.system [ls]", "not readable as YAML"),
        ("a: [", "not readable as YAML"),
        ("drop: [no, null]", 'in quotes where YAML reads them as something else, such as "no"'),
        ("3", "holds 3; expected the keys classes"),
    ],
)
def test_what_is_wrong_with_classes_is_said(annotated, classes, message):
    with pytest.raises(ValueError, match=message) as error:
        annotated(geojson(**NAMED), classes)
    assert "classes.yaml" in str(error.value)


def test_classes_by_number(annotated):
    """As HoVer-Net's files have them, and YAML reads them."""
    nuclei = {str(k): {"contour": ring, "type": k + 1} for k, ring in enumerate(BOXES)}
    source = annotated({"nuc": nuclei}, "classes:\n  tumor: {from: [2]}\ndrop: [1]\n")
    assert source.label_set.groups == ("tumor",)
    assert source[0].meta["regions"] == 1
    assert annotated({"nuc": nuclei}, "classes: [2, 1]").label_set.groups == ("2", "1")
    with pytest.raises(ValueError, match="class '1' is there twice"):
        annotated({"nuc": nuclei}, "classes: {1: , '1': }")
    with pytest.raises(ValueError, match=r"'drop' is .True.; expected a list of names"):
        annotated({"nuc": nuclei}, "classes: [2, 1]\ndrop: [yes]")


CLOSED = [*SQUARE, SQUARE[0]]
WRITTEN = {
    "open": [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}}],
    "closed": geojson(CLOSED),
    "closed twice": geojson([*CLOSED, SQUARE[0]]),
    "fractions": geojson([[x + 0.25, y - 0.25] for x, y in SQUARE]),
    "a height": geojson([[x, y, 0] for x, y in SQUARE]),
    "text": geojson([[str(x), str(y)] for x, y in SQUARE]),
    "a hole outside": [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [SQUARE, box(20, 12, 28, 16)]},
            "properties": None,
        }
    ],
    "pieces": [
        {
            "type": "Feature",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[box(2, 1, 5, 7)], [box(5, 1, 9, 7)]],
            },
        }
    ],
    "Windows": "\ufeff" + json.dumps(geojson(SQUARE), indent=1).replace("\n", "\r\n"),
    "a collection": {"type": "FeatureCollection", "features": geojson(SQUARE)},
    "one feature": geojson(SQUARE)[0],
}


@pytest.mark.parametrize("form", WRITTEN)
def test_one_nucleus_written_in_many_ways(annotated, form):
    sample = annotated(WRITTEN[form])[0]
    np.testing.assert_array_equal(sample.instances, LABELS == 1)
    assert sample.covered is None


def test_outlines_that_are_drawn_twice(annotated):
    """From another vertex on, the other way around, or closed: each is the same; a shift is not."""
    turned = SQUARE[2:] + SQUARE[:2]
    shifted = [[x + 0.25, y] for x, y in SQUARE]
    objects = [SQUARE, turned, SQUARE[::-1], turned[::-1], CLOSED, shifted]
    found = annotated(geojson(*objects))[0].meta
    assert (found["duplicate_regions"], found["hidden_regions"]) == (4, 1)
    shapes = [{"label": "n", "points": ring} for ring in objects[:-1]]
    assert annotated({"shapes": shapes})[0].meta["duplicate_regions"] == 4
    both = geojson(a=SQUARE) + geojson(b=SQUARE)
    assert annotated(both)[0].meta["duplicate_regions"] == 0  # two classes: which one is unknown


def test_blanks_around_the_names_of_classes(annotated):
    features = geojson(**{"tumor ": SQUARE, " ": box(20, 12, 28, 16)}) + geojson(
        tumor=box(12, 1, 16, 5)
    )
    source = annotated(features)
    assert source.label_set.groups == ("tumor",)
    assert source[0].meta["unnamed_regions"] == 1


@pytest.mark.parametrize("name", ["classes.yml", "labels/classes.yaml", "Classes.yaml"])
def test_classes_that_would_not_be_read(annotated, tmp_path, name):
    annotated(geojson(tumor=SQUARE))
    write(tmp_path / name, "classes: [tumor]")
    with pytest.raises(ValueError, match=rf"{name}: classes are read from .*/classes\.yaml alone"):
        Source(tmp_path)


def test_regions_of_another_image(annotated, tmp_path, capsys):
    annotated(geojson(tumor=SQUARE) + geojson(**{"Region*": box(100, 100, 120, 120)}))
    assert main(["inspect", "folder", str(tmp_path), "--output", str(tmp_path / "o")]) == 0
    assert "everything is ignored (1)\n  train/a: no nucleus counts" in capsys.readouterr().out


def test_a_table_of_classes_that_pandas_wrote(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.png", LABELS.astype(np.uint8))
    write(tmp_path / "labels" / "a_types.csv", "id,class\n1.0,2.0\n2.0,\n")
    sample = Source(tmp_path)[0]
    np.testing.assert_array_equal(sample.classes, np.array([0, 1, -1])[LABELS])


def test_two_files_of_one_image(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.png", LABELS.astype(np.uint8))
    write(tmp_path / "labels" / "instances.json", coco("a.png"))
    with pytest.raises(
        ValueError, match=r"a\.png and labels/instances\.json both annotate images/a"
    ):
        Source(tmp_path)


def test_a_class_that_only_other_images_have(annotated):
    rare = CLASSES.replace("[apoptotic]", "[apoptotic, mitosis]") + "absent: [mitosis]"
    assert len(annotated(geojson(**NAMED), rare).label_set.groups) == 3


def test_names_that_are_listed_go_before_patterns(annotated):
    features = geojson(**NAMED) + geojson(Tumor=box(22, 1, 26, 5))
    classes = """
classes: {big: {from: [Tumour]}}
ignore: [plasma, "Tum*"]
drop: ["*", lymphocyte]
region: ["Tumour*", absent]
absent: [absent]
"""
    source = annotated(features, classes)
    sample = source[0]
    np.testing.assert_array_equal(sample.instances, LABELS == 1)
    ignore = LABELS == 2
    ignore[1:5, 22:26] = True
    np.testing.assert_array_equal(sample.ignore, ignore)


def test_names_that_only_begin_like_regions_are_classes(annotated):
    source = annotated(geojson(**{"regional": SQUARE, "Region: 2": box(0, 0, 15, 20)}))
    assert source.label_set.groups == ("regional",)
    np.testing.assert_array_equal(source[0].instances, LABELS == 1)
    assert source[0].ignore[:, 15:].all()


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


def test_a_misspelled_class_is_noted(annotated, capsys, tmp_path):
    places = [(4 * row, 4 * col) for row in range(4) for col in range(3)]
    squares = [box(x, y, x + 3, y + 3) for y, x in places]
    found = []
    for k, square in enumerate(squares):
        found += geojson(**{"drak" if k == 0 else "dark": square})
    annotated(found)
    assert main(["inspect", "folder", str(tmp_path), "--output", str(tmp_path / "o")]) == 0
    text = capsys.readouterr().out
    assert "train/a: 1 nucleus is called 'drak'; is it 'dark', as 11 are?" in text


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
