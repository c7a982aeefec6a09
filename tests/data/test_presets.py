import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import generate
from jaxnuc.data.transforms import apply, parse
from jaxnuc.data.transforms.artifacts import Blur, MedianBlur
from jaxnuc.data.transforms.combine import OneOf, Preset
from jaxnuc.data.transforms.geometry import RandomCrop
from jaxnuc.data.transforms.presets import PRESETS


def rng(seed=0):
    return np.random.default_rng(seed)


def tissue(name, size=96):
    style = "fluorescence" if "fluorescence" in name else "he"
    sample = generate(3, size=size, style=style)
    return Sample(sample.image, sample.instances, sample.instances % 4, sample.meta)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_and_goes_to_workers(name):
    chain = parse([f"preset({name!r})", "random_crop(64)"])
    sample = tissue(name)
    result = apply(pickle.loads(pickle.dumps(chain)), sample, rng(1))
    assert (result.image.dtype, result.image.shape) == (np.uint8, (64, 64, 3))
    assert (result.instances.dtype, result.instances.shape) == (np.int32, (64, 64))
    assert result.classes.shape == (64, 64)
    again = apply(chain, sample, rng(1))
    np.testing.assert_array_equal(result.image, again.image)
    np.testing.assert_array_equal(result.instances, again.instances)


def test_a_preset_is_the_list_it_stands_for():
    name = "stardist_conic"
    mixed = parse(["random_crop(64)", f"preset({name!r})", RandomCrop(32)])
    assert mixed == [RandomCrop(64), Preset(name), RandomCrop(32)]
    listed = parse(["random_crop(64)", *PRESETS[name], "random_crop(32)"])
    sample = tissue(name)
    one, other = apply(mixed, sample, rng(5)), apply(listed, sample, rng(5))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.instances, other.instances)


@pytest.mark.parametrize("stain", ["he", "fluorescence"])
def test_stronger_presets_change_the_image_more(stain):
    """The image alone: what moves pixels is left out."""

    def change(strength):
        moves = ("scale", "flip_turn", "elastic", "cut_paste", "coarse_dropout")
        names = [t for t in PRESETS[f"{stain}_{strength}"] if not t.startswith(moves)]
        sample = tissue(stain)
        images = [apply(parse(names), sample, rng(seed)).image.astype(float) for seed in range(30)]
        return np.mean([np.abs(image - sample.image).mean() for image in images])

    light, medium, strong = (change(s) for s in ("light", "medium", "strong"))
    assert 1 < light < medium < strong < 100


def test_published_settings():
    """The numbers of the papers and of their code."""
    conic = {t.split("(")[0]: t for t in PRESETS["stardist_conic"]}
    assert conic["stain_matrix_jitter"] == "stain_matrix_jitter(0.15, 0.4, p=0.9)"
    assert conic["elastic"] == "elastic(10, grid=64, p=0.8)"
    assert [t for t in PRESETS["hovernet"] if "crop" in t] == [
        "random_crop(540)",
        "center_crop(270)",
    ]
    assert "center_crop(256)" in PRESETS["hovernet_fast"]
    shift = parse(PRESETS["alnet_attention"])[0]
    assert abs(180 * shift.hue - 30) < 0.1
    assert abs(255 * shift.saturation - 5) < 0.1
    assert abs(255 * shift.value - 15) < 0.1


def test_hovernet_leaves_no_black_border():
    sample = Sample(np.full((540, 540, 3), 200, np.uint8), np.ones((540, 540), np.int32))
    chain = parse(PRESETS["hovernet"][:3])
    for seed in range(10):
        result = apply(chain, sample, rng(seed))
        assert result.instances.all()
        assert (result.image == 200).all()


def test_one_of_applies_exactly_one():
    sample = tissue("he", 48)
    (transform,) = parse(["one_of(['blur(1.5, p=1)', 'median_blur(p=1)'])"])
    median = MedianBlur(p=1)(sample, rng()).image
    counts = [0, 0]
    for seed in range(60):
        result = transform(sample, rng(seed)).image
        draws = rng(seed)
        k = draws.integers(2)
        expected = Blur(1.5, 1)(sample, draws).image if k == 0 else median
        np.testing.assert_array_equal(result, expected)
        counts[k] += 1
    assert min(counts) > 15


def test_a_preset_is_one_choice():
    sample = tissue("he", 48)
    (transform,) = parse(["one_of([\"preset('he_light')\", 'invert(1)'])"])
    inverted = 0
    for seed in range(20):
        draws = rng(seed)
        names = ["invert(1)"] if draws.integers(2) else ["preset('he_light')"]
        inverted += len(names[0]) == 9
        expected = apply(parse(names), sample, draws)
        result = pickle.loads(pickle.dumps(transform))(sample, rng(seed))
        np.testing.assert_array_equal(result.image, expected.image)
        np.testing.assert_array_equal(result.instances, expected.instances)
    assert 0 < inverted < 20


def test_refuses():
    with pytest.raises(ValueError, match=r"unknown preset 'hovernett'.*did you mean 'hovernet'"):
        parse(["preset('hovernett')"])
    with pytest.raises(ValueError, match="needs the argument 'name'"):
        parse(["preset()"])
    with pytest.raises(ValueError, match="one transform at least"):
        OneOf(())
    with pytest.raises(ValueError, match="unknown transform 'blurr'"):
        parse(["one_of(['blurr()'])"])
    with pytest.raises(ValueError, match="a list of transforms"):
        parse(["one_of('blur()')"])


def test_the_page_names_all_presets_and_its_pictures_exist():
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "augmentation.md").read_text()
    for name in PRESETS:
        assert f"`{name}`" in page, name
    pictures = re.findall(r"!\[\]\((.*?)\)", page)
    assert len(set(pictures)) == len(pictures) > 0
    assert sum((docs / name).stat().st_size for name in pictures) < 300_000
