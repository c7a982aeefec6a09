import doctest
import pickle

import numpy as np
import pytest

from jaxnuc.data import transforms
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms import apply, geometry, parse
from jaxnuc.io import image_files


@pytest.mark.parametrize("module", [transforms, image_files])
def test_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_parse_reads_calls_names_and_transforms():
    own = geometry.Pad(8)
    parsed = parse(["random_crop((64, 32))", "elastic(2, grid=8.0)", " flip_turn ", own])
    assert parsed == [
        geometry.RandomCrop((64, 32)),
        geometry.Elastic(2, 8.0),
        geometry.FlipTurn(),
        own,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random_corp(3)", "unknown transform 'random_corp'.*did you mean 'random_crop'"),
        ("random_crop(sise=3)", "argument of transform 'random_crop': 'sise'.*did you mean 'size'"),
        ("random_crop", "needs the argument 'size'"),
        ("random_crop(1, 2)", "has 2 arguments; random_crop takes at most 1: size"),
        ("flip_turn(1)", "takes at most 0: none"),
        ("scale(0.5, low=0.6)", "gives 'low' twice"),
        ("random_crop(open('x'))", r"the argument \"open\('x'\)\" is not a literal"),
        ("scale(**{'low': 1})", r"argument of transform 'scale': '\*\*'"),
        ("random_crop(-3)", r"transform 'random_crop\(-3\)': size=-3"),
        ("scale('a')", r"transform \"scale\('a'\)\": "),
        ("a.b(3)", "'a.b' cannot be imported"),
        ("os.path.join(3)", "not derived from jaxnuc.data.transforms.base.Transform"),
        ("flip_turn(", "nor a call"),
        ("3", "nor a call"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        parse([text])


def test_parse_wants_a_list():
    with pytest.raises(ValueError, match="a list of transforms"):
        parse("flip_turn()")


def test_all_known_in_one_list():
    needed = {"size": "48", "choices": "['blur', 'noise']", "name": "'he_strong'"}
    texts = []
    for name in transforms.REGISTRY.names():
        asked = transforms.REGISTRY.parameters(name).items()
        asked = [(key, p.annotation) for key, p in asked if p.default is p.empty]
        given = [f"{key}={needed.get(key) or repr(kind(1))}" for key, kind in asked]
        texts.append(f"{name}({', '.join(given)})")
    chain = pickle.loads(pickle.dumps(parse([*texts, "random_crop(32)"])))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 50, 3), np.uint8)
    instances = np.kron(np.arange(30).reshape(6, 5), np.ones((10, 10))).astype(np.int32)
    result = apply(chain, Sample(image, instances, instances % 2), rng)
    assert result.image.shape == (32, 32, 3)
    assert (result.image.dtype, result.instances.dtype) == (np.uint8, np.int32)
    # Classes went the way of the instances; mirrored copies have ids beyond the original ones.
    original = result.instances < 30
    np.testing.assert_array_equal(result.classes[original], result.instances[original] % 2)
