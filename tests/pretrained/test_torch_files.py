"""Files that PyTorch itself wrote, and files that try to do more than hold numbers.

`files/` was made by torch 2.13.0:

    a = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    content = {"desc": OrderedDict(float32=a, transposed=a.t(), part=a[1:, ::2], ...), ...}
    torch.save(content, "zip.pth")
    torch.save(content, "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.BatchNorm2d(2).state_dict(), "state_dict.pth")
    torch.save(torch.nn.Linear(1, 1), "module.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), "script.pt")
"""

import collections
import contextlib
import io
import pickle
import zipfile
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest

from jaxnuc import pretrained
from jaxnuc.pretrained.torch_files import MAGIC, read_torch

FILES = Path(__file__).parent / "files"
A = np.arange(12, dtype=np.float32).reshape(3, 4)
CONTENT = {
    "float32": A,
    "transposed": A.T,
    "part": A[1:, ::2],
    "parameter": A * 2,
    "float64": A.astype(np.float64) / 3,
    "float16": A.astype(np.float16),
    "bfloat16": A.astype(ml_dtypes.bfloat16),
    "int64": A.astype(np.int64) - 5,
    "uint8": A.astype(np.uint8),
    "bool": A > 4,
    "scalar": np.float32(7),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth"])
def test_tensors_of_every_kind(name):
    found = read_torch(FILES / name)
    assert (found["epoch"], found["rest"]) == (3, [1, "x", None, (2.5, True)])
    assert isinstance(found["desc"], collections.OrderedDict)
    assert [*found["desc"]] == [*CONTENT]
    for key, expected in CONTENT.items():
        assert found["desc"][key].dtype == expected.dtype, key
        np.testing.assert_array_equal(found["desc"][key], expected, err_msg=key)
        assert not (expected.size and found["desc"][key].flags.writeable)
    assert np.shares_memory(found["desc"]["float32"], found["desc"]["part"])
    read = pretrained.read(FILES / name)
    assert read.keys() == CONTENT.keys()
    np.testing.assert_array_equal(read["transposed"], A.T)


def test_a_state_dict_as_it_is_saved():
    found = pretrained.read(FILES / "state_dict.pth")
    expected = {"weight": [1, 1], "bias": [0, 0], "running_mean": [0, 0], "running_var": [1, 1]}
    assert {name: [*map(int, found[name])] for name in expected} == expected
    assert found["num_batches_tracked"].shape == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("module.pth", r"module\.pth holds a torch\.nn\.modules\.linear\.Linear, which is not"),
        ("script.pt", r"script\.pt is a TorchScript program"),
    ],
)
def test_whole_networks_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        pretrained.read(FILES / name)


class Named(NamedTuple):
    """A function or type of any package, by its name."""

    name: str


class Call(NamedTuple):
    """A call of a function when the pickle is read."""

    name: str
    arguments: tuple


class Storage(NamedTuple):
    """A reference to numbers outside of the pickle."""

    key: str = "0"
    length: int = 4
    type: str = "torch.FloatStorage"


class Pickler(pickle._Pickler):
    """Writes what PyTorch writes, and what an attacker would, without anything being there."""

    def persistent_id(self, value):
        if isinstance(value, Storage):
            return "storage", Named(value.type), value.key, "cpu", value.length
        return None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Named | Call):
            module, _, name = value.name.rpartition(".")
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
            if isinstance(value, Call):
                self.save(value.arguments)
                self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def pickled(content):
    stream = io.BytesIO()
    Pickler(stream, 2).dump(content)
    return stream.getvalue()


def write(path, content, storages, form="archive"):
    numbers = {key: np.asarray(values, np.float32) for key, values in storages.items()}
    if form == "archive":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a/data.pkl", pickled(content))
            for key, values in numbers.items():
                file.writestr(f"a/data/{key}", values.tobytes())
    else:
        parts = (MAGIC, 1001, {"little_endian": True}, content, [*storages])
        data = [np.int64(len(values)).tobytes() + values.tobytes() for values in numbers.values()]
        path.write_bytes(b"".join([*map(pickled, parts), *data]))
    return path


def tensor(*arguments):
    return Call("torch._utils._rebuild_tensor_v2", arguments)


FORMS = pytest.mark.parametrize("form", ["archive", "legacy"])


@FORMS
def test_what_the_writer_of_these_tests_writes_is_read(tmp_path, form):
    content = {"a": tensor(Storage(), 1, (3,), (1,), False, None)}
    found = read_torch(write(tmp_path / "a.pth", content, {"0": range(4)}, form))
    np.testing.assert_array_equal(found["a"], [1, 2, 3])


@FORMS
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Call("os.system", ("touch ran",)), r"holds a os\.system, which is not read"),
        (Call("builtins.eval", ("1",)), r"holds a builtins\.eval"),
        (Named("torch.load"), r"holds a torch\.load"),
        (tensor(Storage(), 2, (3,), (1,)), r"is larger than its 4 numbers"),
        (tensor(Storage(), 0, (2, 2), (2, 2)), r"is larger than its 4 numbers"),
        (tensor(Storage(), 0, (1 << 40,), (0,)), r"is larger than its 4 numbers"),
        (tensor(Storage(), -1, (2,), (1,)), r"from -1 on"),
        (tensor(Storage(), 0, (2,), (-1,)), r"with strides \(-1,\)"),
        (tensor(Storage(), 0, (2,), ()), r"with strides \(\)"),
        (tensor([1.0], 0, (1,), (1,)), r"a tensor of list"),
        (tensor(tensor(Storage(), 3, (4,), (0,)), 0, (4,), (1,)), r"a tensor of ndarray"),
        (tensor(Storage(key="1"), 0, (2,), (1,)), r"KeyError"),
        (tensor(Storage(length=1 << 60), 0, (2,), (1,)), r"should have"),
        (tensor(Storage(type="torch.Size"), 0, (2,), (1,)), r"an unknown reference"),
    ],
)
def test_nothing_runs_and_nothing_outside_is_read(tmp_path, monkeypatch, form, content, message):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.pth", {"a": content}, {"0": range(4)}, form)
    if form == "legacy" and "ndarray" in message:
        message = "a tensor of NoneType"  # in the first reading, which has no numbers
    with pytest.raises(ValueError, match=message):
        read_torch(path)
    assert [*tmp_path.iterdir()] == [path]


def test_the_size_of_a_tensor_is_never_that_of_another_tensor(tmp_path):
    """The first reading of the older form has no numbers, where an array's would be read."""
    content = Call("torch.Size", (tensor(Storage(length=1 << 20), 0, (1 << 20,), (1,)),))
    with pytest.raises(ValueError, match="damaged"):
        read_torch(write(tmp_path / "a.pth", content, {"0": range(4)}, "legacy"))


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth"])
def test_damaged_files_are_named(tmp_path, name):
    data, path = (FILES / name).read_bytes(), tmp_path / "damaged.pth"
    rng = np.random.default_rng(0)
    for _ in range(300):
        wrong = bytearray(data[: rng.integers(len(data))] if rng.random() < 0.3 else data)
        for place in rng.integers(len(wrong), size=rng.integers(1, 4)) if wrong else ():
            wrong[place] = rng.integers(256)
        path.write_bytes(wrong)
        with contextlib.suppress(ValueError):  # or the damage is in a number
            read_torch(path)
    for text in (b"", b"no pickle", data[:200]):
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"damaged\.pth (is damaged|is no file of PyTorch)"):
            pretrained.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds a list; weights are a mapping of arrays"),
        ({"epoch": 3}, r"'epoch' is of type int; .* under desc, state_dict"),
        ({3: "x"}, r"3 is of type str"),
    ],
)
def test_files_without_weights(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        pretrained.read(write(tmp_path / "a.pth", content, {}))


@pytest.mark.parametrize("key", ["desc", "state_dict", "model_state_dict", "model"])
def test_weights_among_other_things(tmp_path, key):
    content = {key: {"module.a": tensor(Storage(), 0, (4,), (1,))}, "epoch": 3}
    found = pretrained.read(write(tmp_path / "a.tar", content, {"0": range(4)}))
    np.testing.assert_array_equal(found.pop("a"), range(4))
    assert not found
