"""What every source and every transform must do; a new file is tested by itself."""

import inspect
import pickle
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import Sample, Source, sources, transforms
from jaxnuc.data.catalog import CATALOG
from jaxnuc.data.synthetic import generate
from jaxnuc.data.transforms import Transform, apply, parse

SOURCES = sources.REGISTRY.names()
TRANSFORMS = transforms.REGISTRY.names()
DOCS = Path(__file__).parents[2] / "docs"
# What `jaxnuc.data.sources` explains for all of them.
COMMON = set(re.findall(r"^    (\w+)  ", sources.__doc__, re.MULTILINE))


def parameters(name):
    return inspect.signature(sources.REGISTRY.find(name)).parameters


@pytest.mark.parametrize("name", SOURCES)
class TestSource:
    def test_is_a_source_that_says_what_it_is(self, name):
        cls = sources.REGISTRY.find(name)
        assert issubclass(cls, Source)
        assert cls.__module__ == f"jaxnuc.data.sources.{name}"
        assert name == "folder" or cls.name in (name, "")
        assert cls.__doc__
        assert sources.REGISTRY.module(name).__doc__
        assert pickle.loads(pickle.dumps(cls)) is cls

    def test_documents_its_own_arguments(self, name):
        text = inspect.getdoc(sources.REGISTRY.find(name))
        for key in parameters(name):
            assert key in COMMON or re.search(rf"^  {key}: ", text, re.MULTILINE), key
        assert len(parameters(name)) <= 8

    def test_is_in_the_catalog_if_it_is_a_published_set(self, name):
        assert (name in CATALOG) == (name not in ("folder", "mixture", "packed", "synthetic"))

    def test_refuses_an_unknown_argument_and_split(self, name, tmp_path):
        given = {"root": tmp_path} if "root" in parameters(name) else {}
        given |= {"sources": []} if name == "mixture" else {}
        with pytest.raises(ValueError, match=rf"argument of source '{name}': 'sied'"):
            sources.create(name, **given, sied=3)
        assert "split" in parameters(name)
        if "root" not in given and name != "mixture":
            with pytest.raises(ValueError, match=r"unknown split 'tets'; .*did you mean 'test'"):
                sources.create(name, **given, split="tets")

    def test_says_which_files_are_missing(self, name, tmp_path):
        if "root" not in parameters(name):
            return
        (tmp_path / "notes.txt").write_text("not a data set")
        (tmp_path / "notes" / "images").mkdir(parents=True)
        needed = {"split_file": tmp_path / "notes.txt"} if name == "kumar" else {}
        for root in (tmp_path, tmp_path / "notes", tmp_path / "absent"):
            with pytest.raises((FileNotFoundError, ValueError)) as error:
                sources.create(name, root=root, **({} if root == tmp_path else needed))
            assert "\n" not in str(error.value)
            assert str(root) in str(error.value)
        with pytest.raises(FileNotFoundError, match="expected"):
            sources.create(name, root=tmp_path)


def sample(**changes):
    made = generate(7, size=96, style="he")
    classes = np.where(made.instances > 0, made.instances % 3 + 1, 0).astype(np.int32)
    ignore = np.zeros(classes.shape, bool)
    ignore[:, :20] = True
    maps = {"image": made.image, "instances": made.instances, "classes": classes, "ignore": ignore}
    maps |= changes
    for array in maps.values():
        if array is not None:
            array.flags.writeable = False  # a transform that writes into its input fails
    return Sample(**maps, meta={"name": "one", "mpp": 0.25})


def coded(side=64):
    """A sample of which each map tells where its pixels come from, except for interpolation."""
    rows, columns = np.indices((side, side))
    image = np.stack([rows * 4, columns * 4, 0 * rows], -1).astype(np.uint8)
    instances = (1 + rows * side + columns).astype(np.int32)
    covered = np.stack([instances + side**2, instances + 2 * side**2], axis=-1)
    ignore = (instances % 7) == 0
    return Sample(image, instances, instances % 5 + 1, {"name": "coded"}, ignore, covered)


# Arguments without a default, by their names.
NEEDED = {"size": "48", "choices": "['blur(p=1)', 'invert(p=1)']", "name": "'alnet_attention'"}


def example(name):
    """The transform as a configuration would have it, sure to act where it has a probability."""
    found = transforms.REGISTRY.parameters(name)
    needed = {key: p for key, p in found.items() if p.default is p.empty}
    given = [f"{key}={NEEDED.get(key) or repr(p.annotation(1))}" for key, p in needed.items()]
    return f"{name}({', '.join([*given, 'p=1'] if 'p' in found else given)})"


@pytest.mark.parametrize("name", TRANSFORMS)
class TestTransform:
    def test_is_a_documented_dataclass_of_literals(self, name):
        cls = transforms.REGISTRY.find(name)
        assert issubclass(cls, Transform)
        assert is_dataclass(cls)
        assert cls.__dataclass_params__.frozen
        assert cls.__doc__
        for field in fields(cls):
            words = rf"^  {field.name}: |`{field.name}`"
            known = re.search(words, inspect.getdoc(cls), re.MULTILINE)
            assert field.name.startswith("_") or field.name == "p" or known, field.name

    def test_keeps_dtypes_shapes_and_its_input(self, name):
        (transform,) = parse([example(name)])
        given = sample()
        for seed in range(3):
            result = transform(given, np.random.default_rng(seed))
            for key in ("image", "instances", "classes", "ignore"):
                array = getattr(result, key)
                assert array.dtype == getattr(given, key).dtype
                assert array.shape == result.instances.shape + (3,) * (key == "image")
            assert result.image.flags.c_contiguous
            assert result.meta == given.meta
            assert set(np.unique(result.classes)) <= {-1, 0, 1, 2, 3}

    def test_takes_a_sample_without_classes_and_regions(self, name):
        (transform,) = parse([example(name)])
        result = transform(sample(classes=None, ignore=None), np.random.default_rng(0))
        assert result.classes is None
        assert transform.ignores or result.ignore is None

    def test_is_a_function_of_the_seed(self, name):
        (transform,) = parse([example(name)])
        results = [transform(sample(), np.random.default_rng(seed)) for seed in (1, 1)]
        again = pickle.loads(pickle.dumps(transform))(sample(), np.random.default_rng(1))
        for key in ("image", "instances", "classes", "ignore"):
            for other in (results[1], again):
                np.testing.assert_array_equal(getattr(results[0], key), getattr(other, key))

    def test_moves_all_maps_together(self, name):
        (transform,) = parse([example(name)])
        for seed in range(4):
            given = coded()
            result = transform(given, np.random.default_rng(seed))
            # Of pixels that are there still: new ones, such as a copy's, have ids of their own.
            old = (result.instances > 0) & (result.instances <= given.instances.max())
            assert not result.covered[result.instances == 0].any()
            ids = result.instances[old] - 1
            np.testing.assert_array_equal(result.classes[old], given.classes.ravel()[ids])
            np.testing.assert_array_equal(result.covered[old], given.covered.reshape(-1, 2)[ids])
            assert result.covered.dtype == np.int32
            if not transform.ignores:
                np.testing.assert_array_equal(result.ignore[old], given.ignore.ravel()[ids])

    def test_its_text_reads_back(self, name):
        (transform,) = parse([example(name)])
        public = [f.name for f in fields(transform) if f.repr and not f.name.startswith("_")]
        arguments = ", ".join(f"{key}={getattr(transform, key)!r}" for key in public)
        assert repr(transform) == f"{type(transform).__name__}({arguments})"
        assert parse([f"{name}({arguments})"]) == [transform]

    def test_is_in_the_documentation(self, name):
        assert f"`{name}(" in (DOCS / "augmentation.md").read_text()


OUTSIDE = '''
from dataclasses import dataclass, replace

import numpy as np

from jaxnuc.data import Sample, Source
from jaxnuc.data.transforms import Transform


class Slides(Source):
    """Images of a gray value each."""

    name = "slides"

    def __init__(self, root, split="train", levels=8):
        self.ids = [f"{split}-{k}" for k in range(levels)]

    def __getitem__(self, index):
        image = np.full((16, 16, 3), 10 * index, np.uint8)
        instances = np.zeros((16, 16), np.int32)
        instances[4:8, 4:8] = 1
        return Sample(image, instances, None, {"name": self.ids[index]})


@dataclass(frozen=True)
class Lighten(Transform):
    """Adds a number to all values."""

    by: int = 1

    def __call__(self, sample, rng):
        return replace(sample, image=sample.image + np.uint8(self.by))


class NoSource:
    name = "none"
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A package of somebody else, importable here and in processes that are started from here."""
    package = tmp_path / "code" / "outside_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "data.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(str(package.parent))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_sources_and_transforms_from_outside(outside, workers):
    from jaxnuc.data.pipeline import batches
    from jaxnuc.data.splits import open_split

    section = {"name": "outside_package.data.Slides", "levels": 6}
    source = open_split(section, outside, "train")
    assert (len(source), source.ids[2]) == (6, "train-2")
    chain = parse(["outside_package.data.Lighten(by=5)", "flip_turn()"])
    encode = lambda instances, classes, ignore, covered: {"mask": (instances > 0)[..., None]}
    stream = batches(source, chain, encode, 3, 0, workers=workers)
    values = {int(v) for _ in range(4) for v in next(stream)["image"][:, 0, 0, 0]}
    stream.close()
    assert values == {5, 15, 25, 35, 45, 55}
    balanced = open_split({"name": "mixture", "sources": [section]}, outside, "train")
    assert balanced[0].meta["source"] == "slides"


def test_what_is_no_source_or_transform_is_refused(outside):
    with pytest.raises(ValueError, match=r"not derived from jaxnuc\.data\.sample\.Source"):
        sources.create("outside_package.data.NoSource")
    with pytest.raises(ValueError, match=r"argument of source .*Slides': 'lev"):
        sources.create("outside_package.data.Slides", root="x", level=3)
    with pytest.raises(ValueError, match=r"argument of transform .*Lighten': 'bye'"):
        parse(["outside_package.data.Lighten(bye=3)"])
    with pytest.raises(ValueError, match=r"cannot be imported.*is its package installed"):
        parse(["missing_package.Lighten()"])


def test_a_section_with_an_image_folder_works_end_to_end(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / kind / "a.png")
    source = sources.create("folder", root=tmp_path)
    result = apply(parse(["random_crop(4)"]), source[0], np.random.default_rng(0))
    assert result.image.shape == (4, 4, 3)
