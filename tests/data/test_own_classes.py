"""Classes of people's own: beside label images, and by classes.yaml."""

import json
import pickle

import numpy as np
import pytest
import scipy.io
from annotated_images import BOXES, IMAGE, LABELS, SQUARE, box, geojson, save, write

from jaxnuc.cli.main import main
from jaxnuc.data import Sample, sources
from jaxnuc.data import Source as AnySource
from jaxnuc.data.sources.folder import Source
from jaxnuc.labels import NUCLEI, LabelSet, label_set
from jaxnuc.outputs import Scene

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


def test_a_table_of_classes_that_pandas_wrote(tmp_path):
    save(tmp_path / "images" / "a.png", IMAGE)
    save(tmp_path / "labels" / "a.png", LABELS.astype(np.uint8))
    write(tmp_path / "labels" / "a_types.csv", "id,class\n1.0,2.0\n2.0,\n")
    sample = Source(tmp_path)[0]
    np.testing.assert_array_equal(sample.classes, np.array([0, 1, -1])[LABELS])


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
