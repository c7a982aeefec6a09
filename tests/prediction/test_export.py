"""An exported network gives the maps of the original, here and where the library is not."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import linen as nn

import jaxnuc
from jaxnuc import build
from jaxnuc.cli.main import main
from jaxnuc.labels import LabelSet, LabelTree
from jaxnuc.prediction.export import export, load_exported
from jaxnuc.prediction.predictor import make_predictor

TREE = LabelTree.of({"immune": {"lymphocyte": {}, "plasma": {}}, "tumour": {}})
CUTS = (TREE.level(), LabelSet.of(TREE, {"inflammatory": ["immune"], "malignant": ["tumour"]}))
TINY = {"name": "flexible_unet", "variant": "small", "layers": 2, "base_filters": 4}
STARDIST = {"name": "stardist", "n_rays": 8, "grid": 2}


def random_predictor(representation, model=TINY, classes=None, thresholds=None):
    """A predictor of random weights, with statistics and biases that are not 0."""
    config = jaxnuc.config.default()
    config.model, config.representation = dict(model), dict(representation)
    config.classes = classes or {"name": "none"}
    config.data.normalize, config.data.mpp = "percentile", 0.25
    made = build.make_representation(config, CUTS if classes else ())
    network = build.make_model(config, made)
    made = made.with_thresholds(thresholds or {})
    return predictor_of(network, config, made)


def predictor_of(network, config, representation):
    shapes = jax.eval_shape(network.init, jax.random.key(0), np.zeros((1, 128, 128, 3)))
    rng = np.random.default_rng(0)

    def parameter(leaf):
        fan_in = np.prod(leaf.shape[:-1]) or 1
        return (rng.standard_normal(leaf.shape) / np.sqrt(fan_in)).astype(leaf.dtype)

    variables = {"params": jax.tree.map(parameter, shapes["params"])}
    if "batch_stats" in shapes:
        variables["batch_stats"] = jax.tree.map(
            lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype),
            shapes["batch_stats"],
        )
    return make_predictor(config, network, representation, variables)


class Unpadded(nn.Module):
    """Maps lose two pixels on one side and three on the other."""

    margin = 5

    @nn.compact
    def __call__(self, images, train=False):
        return {"mask": nn.Conv(1, (6, 6), padding="VALID")(images)}


class Windowed(nn.Module):
    """Pools in windows that depend on the size of the image."""

    margin = 0

    @nn.compact
    def __call__(self, images, train=False):
        sides = min(images.shape[1], 80), min(images.shape[2], 80)
        pooled = nn.avg_pool(images, sides, padding="SAME")
        return {"mask": nn.Conv(1, (1, 1))(images) + pooled.mean()}


def unassembled(network):
    binary = jaxnuc.representations.create("binary")
    return predictor_of(network, jaxnuc.config.default(), binary)


PREDICTORS = {
    "binary": lambda: random_predictor({"name": "binary", "channels": 2}),
    "contour": lambda: random_predictor({"name": "contour"}),
    "distance": lambda: random_predictor({"name": "distance"}),
    "hover": lambda: random_predictor({"name": "hover", "decoder": {"kernel": 5}}),
    "stardist": lambda: random_predictor(
        STARDIST, {"name": "stardist", "variant": "small"}, thresholds={"prob_thresh": 0.625}
    ),
    "classes": lambda: random_predictor({"name": "contour"}, classes={"name": "leaves"}),
    "margin": lambda: unassembled(Unpadded()),
}


def test_every_representation_is_among_them():
    assert PREDICTORS.keys() >= set(jaxnuc.representations.REGISTRY.names())


@pytest.fixture(scope="module", params=PREDICTORS)
def pair(request, tmp_path_factory):
    """The original, its export, and the folder of this."""
    original = PREDICTORS[request.param]()
    path = export(original, tmp_path_factory.mktemp("export") / "new" / "exported")
    return original, load_exported(path), path


def pixels(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


def assert_same_maps(maps, expected):
    assert maps.keys() == expected.keys()
    for name, values in expected.items():
        assert np.std(values) > 0
        np.testing.assert_allclose(maps[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 64, 128)])
def test_maps_are_the_original_ones_for_any_batch_and_size(pair, shape):
    original, again, _ = pair
    batch, h, w = shape
    images = pixels(batch, h + original.margin, w + original.margin)
    expected, maps = (
        each.networks[0].forward(each.networks[0].variables, images) for each in (original, again)
    )
    assert_same_maps(maps, expected)


def test_the_predictor_is_the_original_one(pair):
    original, again, _ = pair
    assert again.representation == original.representation
    assert again.config.to_dict() == original.config.to_dict()
    assert (again.normalize, again.margin) == (original.normalize, original.margin)
    image = pixels(61, 50)
    assert_same_maps(again.maps(image), original.maps(image))


def test_the_description_is_that_of_the_arrays(pair):
    original, again, path = pair
    about = json.loads((path / "model.json").read_text())
    assert about["platforms"] == ["cpu", "cuda", "rocm", "tpu"]
    margin = about["margin"]
    h, w = 64 + margin, 128 + margin
    plus = f" + {margin}" if margin else ""
    assert about["image"]["shape"] == ["b", f"64*h{plus}", f"64*w{plus}", 3]
    maps = again.networks[0].forward({}, pixels(3, h, w))
    assert about["maps"].keys() == maps.keys() == original.representation.outputs.keys()
    for name, m in maps.items():
        symbolic = about["maps"][name]["shape"]
        assert m.shape == tuple(
            side if isinstance(side, int) else eval(side, {"b": 3, "h": 1, "w": 2})
            for side in symbolic
        )
        assert about["maps"][name]["dtype"] == m.dtype == "float32"
    assert about["normalize"] == original.normalize.name
    assert about["mpp"] == (original.config.data.mpp or None)


def test_the_description_says_what_the_maps_mean(tmp_path):
    about = {}
    for name in ("stardist", "classes", "hover"):
        path = export(PREDICTORS[name](), tmp_path / name)
        about[name] = json.loads((path / "model.json").read_text())
    activations = {
        name: {key: m["activation"] for key, m in about[name]["maps"].items()} for name in about
    }
    assert activations == {
        "stardist": {"dist": "none", "prob": "sigmoid"},
        "classes": {"class": "softmax", "contour": "sigmoid", "mask": "sigmoid"},
        "hover": {"hv": "none", "np": "softmax"},
    }
    assert about["classes"]["classes"] == ["background", "lymphocyte", "plasma", "tumour"]
    assert about["stardist"]["classes"] is None
    assert about["stardist"]["grid"] == 2
    settings = about["stardist"]["representation"]
    assert (settings["name"], settings["n_rays"]) == ("stardist", 8)
    assert settings["decoder"]["prob_thresh"] == 0.625


def test_tiles_of_an_export_give_the_original_nuclei(tmp_path):
    original = random_predictor({"name": "binary"})
    image = pixels(10, 13).repeat(16, axis=0).repeat(16, axis=1)
    # The threshold lies where no logit is, so that rounding decides nothing.
    mask = original.maps(image)["mask"]
    low, high = np.quantile(mask, (2 / 3, 11 / 12))
    logits = np.unique(mask[(mask >= low) & (mask <= high)])
    threshold = 1 / (1 + np.exp(-logits[np.diff(logits).argmax() :][:2].mean()))
    binary = original.representation
    decoder = replace(binary.decoder, threshold=float(threshold))
    representation = replace(binary, decoder=decoder)
    original = replace(original, representation=representation)
    again = load_exported(export(original, tmp_path / "exported"))
    nuclei, expected = (
        jaxnuc.segment(image, each, mpp=0.25, tile=128, overlap=64, batch_size=2)
        for each in (again, original)
    )
    assert len(expected.scores) > 5
    np.testing.assert_array_equal(nuclei.instances, expected.instances)
    np.testing.assert_allclose(nuclei.scores, expected.scores, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 60, 64), (1, 64, 96), (1, 0, 64)])
def test_images_whose_sides_are_no_multiples_are_refused(tmp_path, shape):
    again = load_exported(export(PREDICTORS["binary"](), tmp_path / "exported"))
    with pytest.raises(ValueError, match="polymorphic shapes"):
        again.networks[0].forward({}, np.zeros((*shape, 3), np.uint8))


def test_a_network_that_depends_on_the_size_is_exported_for_one(tmp_path):
    original, path = unassembled(Windowed()), tmp_path / "exported"
    with pytest.raises(ValueError, match=r"one size only: give size=\(H, W\)") as refused:
        export(original, path)
    assert "comparison" in str(refused.value)
    assert not any(tmp_path.iterdir())

    again = load_exported(export(original, path, size=(64, 128)))
    assert json.loads((path / "model.json").read_text())["size"] == [64, 128]
    for image in (pixels(64, 128), pixels(50, 101)):
        assert_same_maps(again.maps(image), original.maps(image))
    for batch in (1, 3):
        images = pixels(batch, 64, 128)
        expected = original.networks[0].forward(original.networks[0].variables, images)
        assert_same_maps(again.networks[0].forward({}, images), expected)
    with pytest.raises(ValueError, match=r"for images of \[64, 128\] px only, got \[128, 64\]"):
        again.maps(pixels(128, 64))


@pytest.mark.parametrize("size", [(64, 100), (0, 64), (-64, 64)])
def test_one_size_is_multiples_of_the_stride(tmp_path, size):
    with pytest.raises(ValueError, match="multiples of 64"):
        export(PREDICTORS["binary"](), tmp_path / "exported", size=size)


def test_what_exists_is_replaced_only_on_demand_and_only_an_export(tmp_path):
    first, second = PREDICTORS["binary"](), PREDICTORS["contour"]()
    path = export(first, tmp_path / "exported")
    with pytest.raises(FileExistsError, match="overwrite"):
        export(second, path)
    assert load_exported(path).maps(pixels(64, 64)).keys() == {"mask"}
    export(second, path, overwrite=True)
    assert load_exported(path).maps(pixels(64, 64)).keys() == {"mask", "contour"}

    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="is no export"):
        export(first, photos, overwrite=True)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        "a.txt",
        "model.jax_export",
        "model.json",
    ]


def test_what_an_export_cannot_hold_is_refused(tmp_path):
    predictor = PREDICTORS["stardist"]()
    with pytest.raises(ValueError, match="one network, and the predictor has 2"):
        export(replace(predictor, networks=predictor.networks * 2), tmp_path / "exported")
    assert not any(tmp_path.iterdir())


def test_what_is_no_export_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.json"):
        load_exported(tmp_path)
    path = export(PREDICTORS["binary"](), tmp_path / "exported")
    program, about = (path / "model.jax_export").read_bytes(), (path / "model.json").read_text()
    other = bytearray(program)
    other[len(other) // 2] ^= 1  # among the weights, where no reader stumbles over it
    (path / "model.jax_export").write_bytes(other)
    with pytest.raises(ValueError, match=r"model\.jax_export is damaged.*sha256"):
        load_exported(path)
    for length in (0, 100, len(program) // 2):
        (path / "model.jax_export").write_bytes(program[:length])
        with pytest.raises(ValueError, match=r"model\.jax_export is damaged, export it again"):
            load_exported(path)
    (path / "model.json").write_text(about[:100])
    with pytest.raises(ValueError, match=r"model\.json is damaged, export it again"):
        load_exported(path)


def test_what_jax_does_not_read_is_named(tmp_path):
    path = export(PREDICTORS["binary"](), tmp_path / "exported")
    about = json.loads((path / "model.json").read_text())
    (path / "model.jax_export").write_bytes(b"of another version")
    about["sha256"] = hashlib.sha256(b"of another version").hexdigest()
    (path / "model.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"model\.jax_export cannot be read, export it again"):
        load_exported(path)


def test_the_documented_program_runs_without_the_library(tmp_path):
    """The command exports what the page has trained; the page's program runs it."""
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    training, program = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict = {}
    exec(compile(training, "export.md", "exec"), names)
    path, image = tmp_path / "exported", pixels(100, 150)
    assert main(["export", f"--workdir={names['folder'] / 'run'}", f"--output={path}"]) == 0
    about = [json.loads((each / "model.json").read_text()) for each in (path, names["path"])]
    for each in about:
        del each["sha256"]  # the program says where in the source its operations are from
    assert about[0] == about[1]

    np.save(tmp_path / "image.npy", image)
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import sys
sys.modules["jaxnuc"] = None
path = "exported"
{program}
maps = maps_of(np.load("image.npy"))
np.savez("maps.npz", **maps)
np.savez("means.npz", **{{name: probabilities(name, m) for name, m in maps.items()}})
"""
    )
    subprocess.run([sys.executable, script], check=True, capture_output=True, cwd=tmp_path)
    expected = jaxnuc.load(names["folder"] / "run").maps(image)
    with np.load(tmp_path / "maps.npz") as maps, np.load(tmp_path / "means.npz") as means:
        assert_same_maps(dict(maps), expected)
        np.testing.assert_allclose(means["prob"], 1 / (1 + np.exp(-expected["prob"])), atol=1e-5)
        np.testing.assert_array_equal(means["dist"], maps["dist"])
