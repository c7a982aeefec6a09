"""Files that Keras and StarDist themselves wrote, and files that do not fit.

`files/keras.zip` was made by keras 3.15.1, tf_keras 2.21.0 (Keras 2) and stardist 0.9.2, from
random numbers: a flexible U-Net of two levels with 2 channels, kernels of 5 dilated by 2 at the
first level and 3 at the second, each convolution with ReLU and BatchNormalization behind it,

    model.save("keras2.h5"), model.save_weights("keras2_weights.h5")  # with Keras 2
    model.save("keras3.h5"), model.save("keras3.keras"), model.save_weights("keras3.weights.h5")

with an image and what the network makes of it in flexible_unet.npz; it was the second network of
the program. And the folder of

    StarDist2D(Config2D(axes="YXC", n_channel_in=1, n_rays=4, grid=(4, 4), n_classes=2,
                        unet_n_depth=1, unet_n_filter_base=2, net_conv_after_unet=3))

with weights, thresholds.json and, in outputs.npz, an image and its three maps. The folder
stardist_conic is of a network of Keras 2 with the layers, the names and the order of the variant of
CoNIC: grid 2, a depth of 1, 4 channels, 4 rays, 6 classes, two residual blocks a head.
"""

import io
import json
import shutil
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnuc import build, models, pretrained
from jaxnuc.prediction import predictor
from jaxnuc.pretrained.keras_files import read_keras
from jaxnuc.pretrained.stardist import read_stardist
from jaxnuc.training.conversion import convert

h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    with zipfile.ZipFile(Path(__file__).parent / "files" / "keras.zip") as archive:
        archive.extractall(folder)
    return folder


def shapes_of(model, images):
    return jax.eval_shape(model.init, jax.random.key(0), images)


KERAS = ["keras2.h5", "keras2_weights.h5", "keras3.h5", "keras3.keras", "keras3.weights.h5"]


@pytest.mark.parametrize("name", KERAS)
def test_every_form_holds_the_same_arrays_under_the_same_names(files, name):
    found, first = read_keras(files / name), read_keras(files / KERAS[0])
    assert found.keys() == first.keys()
    assert {x.partition("/")[0] for x in found if x.startswith("conv2d")} == {
        *(f"conv2d_{k}" for k in range(7)),
        "conv2d_transpose_0",
    }
    for key, array in found.items():
        np.testing.assert_array_equal(array, first[key], err_msg=key)


def test_a_flexible_unet_of_keras_is_ours(files):
    with np.load(files / "flexible_unet.npz") as arrays:
        image, expected = arrays["image"], arrays["mask"]
    arguments = {"layers": 2, "base_filters": 2, "batch_norm": True}
    model = models.create("flexible_unet", {"mask": 1}, "neoplastic", **arguments)
    shapes = shapes_of(model, image)
    variables = pretrained.load(files / "keras3.keras", model, shapes)
    found = jax.nn.sigmoid(jax.jit(model.apply)(variables, image)["mask"])
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-6)
    back, theirs = pretrained.export(variables, "flexible_unet"), read_keras(files / "keras2.h5")
    assert back.keys() == theirs.keys()
    for key, array in back.items():
        np.testing.assert_array_equal(array, theirs[key], err_msg=key)
    deeper = models.create("flexible_unet", {"mask": 1}, "neoplastic", **arguments | {"layers": 3})
    shapes = shapes_of(deeper, image)
    message = r"lack batch_normalization_6/beta for up1/BatchNorm_0/bias.* and 23 more\..* layers"
    with pytest.raises(ValueError, match=message):
        pretrained.load(files / "keras3.keras", deeper, shapes)


def with_the_maps_of_keras(folder, output, rtol):
    """The run that a folder of StarDist becomes, whose maps are those that Keras wrote."""
    network = predictor.load(convert(folder, output))
    with np.load(folder / "outputs.npz") as arrays:
        expected = dict(arrays)
    image = expected.pop("image")
    image = np.broadcast_to(image, (*image.shape[:3], 3))  # gray ones have one channel
    model = build.make_model(network.config, network.representation)
    maps = jax.jit(model.apply)(network.networks[0].variables, image)
    found = {
        "prob": jax.nn.sigmoid(maps["prob"]),
        "dist": maps["dist"],
        "classes": jax.nn.softmax(maps["class"]),
    }
    for name, value in found.items():
        assert np.std(expected[name]) > 1e-2
        np.testing.assert_allclose(value, expected[name], atol=1e-5, rtol=rtol, err_msg=name)
    return network


def test_a_folder_of_stardist_becomes_a_run(files, tmp_path):
    network = with_the_maps_of_keras(files / "stardist", tmp_path / "run", rtol=1e-7)
    decoder = network.representation.decoder
    assert (decoder.prob_thresh, decoder.nms_thresh) == (0.48, 0.3)
    assert network.representation.label_set.groups == ("class 1", "class 2")
    assert network.config.data.normalize == "percentile"


def test_the_variant_of_conic_is_recognized(files, tmp_path):
    """By its residual heads: with its classes and magnification, shapes are refined."""
    network = with_the_maps_of_keras(files / "stardist_conic", tmp_path / "run", rtol=1e-5)
    decoder = network.representation.decoder
    assert (decoder.prob_thresh, decoder.nms_thresh, decoder.refine) == (0.5, 0.2, True)
    assert network.representation.label_set.groups == (
        *("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective"),
    )
    assert (network.config.data.normalize, network.config.data.mpp) == ("none", 0.5)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("backbone", "resnet", r"config.json: backbone is 'resnet'; networks with 'unet'"),
        ("unet_batch_norm", True, r"unet_batch_norm is True; networks with False are known"),
        ("head_blocks", 2, r"the weights lack conv2d_10/bias for dist_block0/Conv_1/bias"),
        ("head_blocks", -1, "head_blocks is -1, not a number of residual blocks"),
        ("grid", [2, 4], r"grid is \[2, 4\]; known are \[1, 1\], "),
        ("n_channel_in", 2, "n_channel_in is 2; known are 1 and 3"),
        ("n_rays", None, r"config.json has no 'n_rays'"),
        ("unet_n_depth", 2, r"the weights lack down_level_1_no_0/bias for down1_conv1/bias"),
        ("unet_n_filter_base", 3, r"shapes differ: conv2d_0/bias is \(2,\), and grid0_conv1/bias"),
    ],
)
def test_a_network_that_is_not_ours_is_refused(files, tmp_path, key, value, message):
    folder = shutil.copytree(files / "stardist", tmp_path / "stardist")
    config = json.loads((folder / "config.json").read_text()) | {key: value}
    if value is None:
        del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        convert(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_without_its_files_is_refused(files, tmp_path):
    with pytest.raises(ValueError, match=r"has no config.json"):
        read_stardist(tmp_path)
    shutil.copy(files / "stardist" / "config.json", tmp_path)
    with pytest.raises(ValueError, match=r"has no weights: weights_best\.h5"):
        read_stardist(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config\.json holds a list"):
        read_stardist(tmp_path)


def _external(file, target):
    file["features/kernel"] = h5py.ExternalLink(target, "features/kernel")


def _virtual(file, target):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(target, "features/kernel", (3,))
    file.create_virtual_dataset("features/kernel", layout)


def _raw(file, target):
    external = [(str(target), 0, 12)]
    file.create_dataset("features/kernel", (3,), "f4", external=external)


def _large(file, target):
    file.create_dataset("features/kernel", (2**20, 2**12), "f4", chunks=(1, 1))


def _twice(file, target):
    file["a/features/kernel"] = file["b/features/kernel"] = np.zeros(3)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_external, "has no arrays that belong to a layer"),
        (_virtual, "has features/kernel in another file"),
        (_raw, "has features/kernel in another file"),
        (_large, r"features/kernel: \(1048576, 4096\) of float32 is 16.0 GiB, more than"),
        (_twice, "has two arrays of the name features/kernel"),
    ],
)
def test_files_that_want_more_than_their_arrays_are_refused(tmp_path, write, message):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["features/kernel"] = np.ones(3, np.float32)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        write(file, other)
    with pytest.raises(ValueError, match=message):
        pretrained.read(tmp_path / "weights.h5")


def test_a_damaged_file_is_named(files, tmp_path):
    data = (files / "keras2.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.keras").write_text("no zip")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", "{}")
    (tmp_path / "empty.keras").write_bytes(buffer.getvalue())
    for name in ("cut.h5", "text.keras", "empty.keras"):
        with pytest.raises(ValueError, match=f"{name} is damaged or no file of Keras: "):
            pretrained.read(tmp_path / name)
