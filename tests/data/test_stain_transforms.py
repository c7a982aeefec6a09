import pickle

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import stains
from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import generate
from jaxnuc.data.transforms import parse
from jaxnuc.data.transforms.stain import StainJitter, StainMatrixJitter, StainNormalize

ALL = [
    StainJitter(),
    StainMatrixJitter(p=1),
    StainMatrixJitter(method="vahadane", p=1),
    StainNormalize(),
    StainNormalize("vahadane"),
    StainNormalize("reinhard"),
]


def rng(seed=0):
    return np.random.default_rng(seed)


def tissue(size=96):
    sample = generate(4, size=size, style="he")
    ignore = np.zeros((size, size), bool)
    return Sample(sample.image, sample.instances, sample.instances % 3, sample.meta, ignore)


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_changes_the_image_alone_and_not_in_place(transform):
    sample = tissue()
    before = sample.image.copy()
    sample.image.flags.writeable = False
    result = transform(sample, rng(1))
    assert (result.image.dtype, result.image.shape) == (np.uint8, before.shape)
    assert (result.image != before).any()
    assert result.instances is sample.instances
    assert result.classes is sample.classes
    assert result.ignore is sample.ignore
    assert result.meta is sample.meta
    np.testing.assert_array_equal(transform(sample, rng(1)).image, result.image)
    other = transform(sample, rng(2)).image
    assert (other != result.image).any() != isinstance(transform, StainNormalize)


@pytest.mark.parametrize("transform", ALL[1:], ids=str)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_images_without_stains_stay(transform, level):
    sample = Sample(np.full((40, 40, 3), level, np.uint8), np.zeros((40, 40), np.int32))
    assert transform(sample, rng()).image is sample.image


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_strength_zero_is_the_identity(method):
    result = StainMatrixJitter(0, 0, method, p=1)(tissue(), rng())
    np.testing.assert_array_equal(result.image, tissue().image)


def test_probability():
    sample = tissue(48)
    assert StainMatrixJitter(p=0)(sample, rng()) is sample
    same = sum(StainMatrixJitter(p=0.7)(sample, rng(s)) is sample for s in range(200))
    assert 40 < same < 80


def test_matrix_jitter_multiplies_entries_and_amounts():
    """Against its definition: what the image is made of, plus what changes."""
    sample, transform = tissue(), StainMatrixJitter(0.1, 0.3, p=1)
    draws = rng(6)
    entries = 1 + draws.uniform(-0.1, 0.1, (2, 3))
    factor = 1 + draws.uniform(-0.3, 0.3, (2, 1))
    old = stains.macenko(sample.image).matrix
    density = -np.log10((sample.image + 1.0) / 256)
    amount = density.reshape(-1, 3) @ np.linalg.pinv(old)
    rest = density.reshape(-1, 3) - amount @ old
    expected = 256 * 10 ** -((amount * factor.T) @ (old * entries) + rest) - 1
    result = transform(sample, rng(6)).image.reshape(-1, 3)
    np.testing.assert_allclose(result, np.clip(expected, 0, 255), atol=0.55)


def test_normalize_takes_an_image_numbers_or_nothing(tmp_path):
    target = generate(9, size=96, style="he").image
    rgba = np.dstack([target, np.full(target.shape[:2], 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "target.png")
    by_file = StainNormalize(target=str(tmp_path / "target.png"))
    expected = stains.normalize(tissue().image, "macenko", target)
    np.testing.assert_array_equal(by_file(tissue(), rng()).image, expected)

    found = stains.macenko(target)
    rows = (*map(tuple, found.matrix.tolist()), tuple(found.strengths.tolist()))
    (by_numbers,) = parse([f"stain_normalize('macenko', {rows})"])
    np.testing.assert_allclose(by_numbers(tissue(), rng()).image, expected, atol=1)

    default = StainNormalize()(tissue(), rng()).image
    np.testing.assert_array_equal(default, stains.normalize(tissue().image))


def test_reinhard_takes_means_and_deviations():
    (transform,) = parse(["stain_normalize('reinhard', ((60, 15, -10), (6, 4, 3)))"])
    found = stains.lab(transform(tissue(), rng()).image)
    np.testing.assert_allclose(found.mean, (60, 15, -10), atol=0.5)
    np.testing.assert_allclose(found.std, (6, 4, 3), atol=0.5)


def test_goes_to_workers_and_reads_its_target_once(tmp_path):
    path = tmp_path / "target.png"
    Image.fromarray(generate(9, size=96, style="he").image).save(path)
    transform = StainNormalize(target=str(path))
    path.unlink()
    again = pickle.loads(pickle.dumps(transform))
    assert again == transform
    np.testing.assert_array_equal(again(tissue(), rng()).image, transform(tissue(), rng()).image)
    assert repr(StainNormalize()) == "StainNormalize(method='macenko', target=None)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stain_jitter(-1)", "sigma=-1"),
        ("stain_matrix_jitter(matrix=2)", "matrix=2: 0 <= matrix <= 1"),
        ("stain_matrix_jitter(amount=-0.1)", r"amount=-0\.1"),
        ("stain_matrix_jitter(p=2)", "p=2: a probability"),
        ("stain_matrix_jitter(method='reinhard')", "unknown stain estimation 'reinhard'"),
        ("stain_normalize('macenco')", "did you mean 'macenko'"),
        ("stain_normalize(target=((1, 2, 3), (1, 2, 3)))", "two stains of three numbers"),
        ("stain_normalize('reinhard', ((1, 2, 3), (1, 0, 3)))", "deviations above 0"),
        ("stain_normalize(target=5)", "target=5: two stains"),
        ("stain_normalize(target=((0, 0, 0), (1, 2, 3), (1, 1)))", "a stain that absorbs nothing"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        parse([text])


def test_a_missing_target_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        StainNormalize(target=str(tmp_path / "no.png"))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.png: cannot be decoded"):
        StainNormalize(target=str(tmp_path / "bad.png"))
    Image.new("RGB", (40, 40), "white").save(tmp_path / "white.png")
    with pytest.raises(ValueError, match=r"white\.png: the target image has no two stains"):
        StainNormalize(target=str(tmp_path / "white.png"))
