import io
import struct
import zipfile

import numpy as np
import pytest
import scipy.io

from jaxnuc.io import mat
from jaxnuc.io.files import Files


def read_mat(archive, name, keys):
    return mat.read_mat(archive.read(name), archive.where(name), keys)


def mat_shapes(archive, name):
    found = mat.mat_variables(archive.read(name), archive.where(name))
    return {key: variable.shape for key, variable in found.items()}


MAP = np.arange(12.0).reshape(3, 4)


@pytest.fixture
def archive(tmp_path):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"inst_map": MAP, "id": np.arange(3)}, do_compression=True)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("x/1.mat", buffer.getvalue())
        file.writestr("x/half.mat", buffer.getvalue()[:-20])
        file.writestr("x/png.mat", b"\x89PNG\r\n\x1a\n" + bytes(300))
        file.writestr("x/empty.mat", b"")
        header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
        file.writestr("x/new.mat", header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n")
    return Files(tmp_path / "a.zip")


def test_reads_what_is_asked_for(archive):
    found = read_mat(archive, "x/1.mat", ["inst_map"])
    assert list(found) == ["inst_map"]
    np.testing.assert_array_equal(found["inst_map"], MAP)
    assert mat_shapes(archive, "x/1.mat") == {"inst_map": (3, 4), "id": (1, 3)}


def test_missing_variables_are_named_beside_those_that_are_there(archive):
    message = r"a\.zip/x/1\.mat: no variable 'type_map', 'class' in it; there are: id, inst_map"
    with pytest.raises(ValueError, match=message):
        read_mat(archive, "x/1.mat", ["inst_map", "type_map", "class"])


@pytest.mark.parametrize("name", ["half", "png", "empty", "new"])
def test_damaged_and_foreign_files(archive, name):
    with pytest.raises(ValueError, match=rf"x/{name}\.mat: cannot be read as a MAT file"):
        read_mat(archive, f"x/{name}.mat", ["inst_map"])
    if name == "new":
        with pytest.raises(ValueError, match=r"version 7\.3, which is HDF5.*'-v7'"):
            mat_shapes(archive, "x/new.mat")


@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_number_as_scipy_writes_it(tmp_path, packed):
    rng = np.random.default_rng(0)
    cells = np.empty((2, 2), object)
    cells[:] = [[MAP, np.zeros((0, 0))], [np.array([[7]], np.uint16), np.array([[True, False]])]]
    dtypes = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
    arrays = {f"a_{d}": rng.integers(0, 100, (3, 1, 5)).astype(d) for d in dtypes}
    arrays |= {"cells": cells, "empty": np.zeros((0, 3)), "one": np.array([[3]], np.int8)}
    others = {"text": "abc", "table": {"x": 1}, "complex": np.array([[1j]])}
    scipy.io.savemat(tmp_path / "a.mat", arrays | others, do_compression=packed)
    found = read_mat(Files(tmp_path), "a.mat", arrays)
    expected = scipy.io.loadmat(tmp_path / "a.mat")
    for key, array in found.items():
        assert array.shape == expected[key].shape == mat_shapes(Files(tmp_path), "a.mat")[key]
        assert array.dtype == expected[key].dtype
        if key != "cells":
            np.testing.assert_array_equal(array, arrays[key])
    for place in np.ndindex(2, 2):
        np.testing.assert_array_equal(found["cells"][place], cells[place])
    for key in others:
        with pytest.raises(ValueError, match=f"'{key}' holds neither real numbers nor cells"):
            read_mat(Files(tmp_path), "a.mat", [key])


def test_numbers_stored_smaller_and_the_other_byte_order(tmp_path):
    def element(kind, body):
        return struct.pack(">2I", kind, len(body)) + body + bytes(-len(body) % 8)

    values = struct.pack(">6h", *range(6))  # a matrix of class double, saved as int16
    matrix = (
        element(6, struct.pack(">2I", 6, 0))
        + element(5, struct.pack(">2i", 2, 3))
        + struct.pack(">2H", 1, 1)
        + b"m\0\0\0"
        + element(3, values)
    )
    data = b"x" * 124 + b"\x01\x00MI" + element(14, matrix)
    (tmp_path / "a.mat").write_bytes(data)
    found = read_mat(Files(tmp_path), "a.mat", ["m"])["m"]
    np.testing.assert_array_equal(found, [[0, 2, 4], [1, 3, 5]])
    assert found.dtype == np.float64


def test_real_file_as_scipy_reads_it(shared_data):
    files = Files(shared_data("consep_train.zip"))
    name = "CoNSeP/Train/Labels/train_1.mat"
    expected = scipy.io.loadmat(io.BytesIO(files.read(name)))
    keys = ["inst_map", "type_map", "inst_type", "inst_centroid"]
    for key, array in read_mat(files, name, keys).items():
        np.testing.assert_array_equal(array, expected[key])


def test_random_damage_is_an_error_or_leaves_an_array(tmp_path):
    cells = np.empty((1, 2), object)
    cells[:] = [[MAP, MAP]]
    scipy.io.savemat(tmp_path / "a.mat", {"inst_map": MAP, "cells": cells})
    whole = (tmp_path / "a.mat").read_bytes()
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(400):
        data = bytearray(whole[: rng.integers(len(whole)) if rng.random() < 0.3 else None])
        for place in rng.integers(len(data), size=3) if data else ():
            data[place] = rng.integers(256)
        (tmp_path / "b.mat").write_bytes(data)
        try:
            found = read_mat(Files(tmp_path), "b.mat", ["inst_map", "cells"])
            assert found["cells"].dtype == object
        except ValueError as error:
            assert "b.mat" in str(error)  # noqa: PT017
            failed += 1
    assert failed > 50
