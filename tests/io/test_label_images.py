"""Label images written by the libraries of their formats, and folders of them."""

import io
import zipfile

import numpy as np
import pytest
import scipy.io
import tifffile
from PIL import Image

from jaxnuc.io.label_images import label_pairs, read_label_image

LABELS = np.array([[0, 1, 1, 0], [0, 0, 7, 250], [3, 3, 0, 250]])


def save(path, array=LABELS):
    """An 8-bit PNG, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)
    return path


def check(path, expected=LABELS, dtype=None):
    found = read_label_image(path)
    np.testing.assert_array_equal(found, expected)
    if dtype is not None:
        assert found.dtype == dtype
    return found


# ---- one file ----


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png(dtype, tmp_path):
    labels = (LABELS * (np.iinfo(dtype).max // 255)).astype(dtype)
    Image.fromarray(labels).save(tmp_path / "x.PNG")
    check(tmp_path / "x.PNG", labels, dtype)
    check(str(tmp_path / "x.PNG"), labels)


def test_palette_png_gives_its_indices(tmp_path):
    image = Image.fromarray(LABELS.astype(np.uint8)).convert("P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    image.save(tmp_path / "x.png")
    check(tmp_path / "x.png", dtype=np.uint8)


def test_one_bit_png(tmp_path):
    Image.fromarray(LABELS > 0).save(tmp_path / "x.png")
    check(tmp_path / "x.png", LABELS > 0, np.uint8)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u4", ">u4", "i8"])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_tiff(dtype, compression, tmp_path):
    labels = (LABELS * (np.iinfo(dtype).max // 255)).astype(dtype)
    order = ">" if dtype.startswith(">") else "<"
    tifffile.imwrite(tmp_path / "x.tif", labels, compression=compression, byteorder=order)
    found = check(tmp_path / "x.tif", labels, np.dtype(dtype).newbyteorder("="))
    assert found.dtype.isnative


def test_tiff_with_lzw(tmp_path):
    labels = (LABELS * 100_000).astype(np.int32)
    Image.fromarray(labels).save(tmp_path / "x.tiff", compression="tiff_lzw")
    check(tmp_path / "x.tiff", labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_npy(dtype, tmp_path):
    labels = LABELS.astype(dtype) * (2**54 if np.dtype(dtype).itemsize == 8 else 1)
    np.save(tmp_path / "x.npy", np.asfortranarray(labels))
    check(tmp_path / "x.npy", labels, dtype)


def test_one_channel_is_squeezed(tmp_path):
    np.save(tmp_path / "x.npy", LABELS[..., None])
    check(tmp_path / "x.npy")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1)])
def test_empty_maps(shape, tmp_path):
    for dtype in (int, float):
        np.save(tmp_path / "x.npy", np.zeros(shape, dtype))
        assert read_label_image(tmp_path / "x.npy").shape == shape


def test_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, anything=LABELS)
    check(path)
    np.savez_compressed(path, inst_map=LABELS, type_map=LABELS * 0, names=np.array(["a"]))
    check(path)
    np.savez(path, first=LABELS, second=LABELS)
    with pytest.raises(ValueError, match=r"x\.npz: holds the arrays first, second, of which 0"):
        read_label_image(path)
    np.savez(path, labels=LABELS, instances=LABELS)
    with pytest.raises(ValueError, match=r"labels, instances, of which 2 are known"):
        read_label_image(path)
    np.savez(path)
    with pytest.raises(ValueError, match=r"holds the arrays none"):
        read_label_image(path)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint16])
@pytest.mark.parametrize("compress", [False, True])
def test_mat(dtype, compress, tmp_path):
    """As HoVer-Net writes its results and CoNSeP its labels."""
    content = {
        "inst_map": LABELS.astype(dtype),
        "inst_type": np.ones((4, 1)),
        "inst_centroid": np.ones((4, 2)),
        "about": {"names": "a"},
    }
    scipy.io.savemat(tmp_path / "x.mat", content, do_compression=compress)
    check(tmp_path / "x.mat")
    scipy.io.savemat(tmp_path / "y.mat", {"mask": LABELS, "about": "text"})
    check(tmp_path / "y.mat")
    scipy.io.savemat(tmp_path / "y.mat", {"a": LABELS, "b": LABELS})
    with pytest.raises(ValueError, match=r"y\.mat: holds the arrays a, b"):
        read_label_image(tmp_path / "y.mat")


def test_mat_of_another_version(tmp_path):
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "x.mat").write_bytes(header + b"\x89HDF" + bytes(600))
    with pytest.raises(ValueError, match=r"x\.mat: cannot be read .* has version 7\.3.*'-v7'"):
        read_label_image(tmp_path / "x.mat")


def test_whole_floats_become_integers(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", LABELS.astype(np.float32))
    check(tmp_path / "x.tif", dtype=np.int32)
    np.save(tmp_path / "x.npy", LABELS * 1e12)
    check(tmp_path / "x.npy", LABELS * 10**12, np.int64)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (LABELS + 0.5, "float64 with values such as 0.5, which are no ids"),
        (np.where(LABELS == 7, np.nan, LABELS), "values such as nan"),
        (np.where(LABELS == 7, -np.inf, LABELS), "values such as -inf"),
        ((LABELS * 2.0**20).astype(np.float32), "float32, which is exact only below 167772"),
        ((LABELS * 10.0).astype(np.float16), "ids up to 2500 in float16.* below 2048"),
        (LABELS - 1, "holds the negative id -1"),
        (LABELS - 1.0, "holds the negative id -1"),
        (LABELS * 1j, "values of complex128"),
        (LABELS.astype("U3"), "values of <U3"),
        (np.zeros((4, 5, 3), np.uint8), r"\(4, 5, 3\), a color image of 3 channels"),
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\), a color image of 4 channels"),
        (np.zeros((4, 5, 6), np.uint8), r"\(4, 5, 6\), no label image"),
        (np.zeros(4, np.uint8), r"\(4,\), no label image"),
        (np.zeros((), np.uint8), r"\(\), no label image"),
    ],
)
def test_what_is_no_label_image(array, message, tmp_path):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=rf"x\.npy: .*{message}"):
        read_label_image(tmp_path / "x.npy")


def test_color_and_stacks(tmp_path):
    save(tmp_path / "x.png", np.zeros((4, 5, 3)))
    with pytest.raises(ValueError, match=r"x\.png: shape \(4, 5, 3\), a color image"):
        read_label_image(tmp_path / "x.png")
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((7, 4, 5), np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match=r"x\.tif: shape \(7, 4, 5\), no label image"):
        read_label_image(tmp_path / "x.tif")
    pages = [Image.fromarray(LABELS.astype(np.int32) + i) for i in range(3)]
    pages[0].save(tmp_path / "y.tif", save_all=True, append_images=pages, compression="tiff_lzw")
    with pytest.raises(ValueError, match=r"y\.tif: .*\(4 pages; save each image on its own\)"):
        read_label_image(tmp_path / "y.tif")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_refused_and_not_loaded(tmp_path):
    content = np.array({"masks": LABELS, "bomb": Bomb()}, dtype=object)
    np.save(tmp_path / "x_seg.npy", content, allow_pickle=True)
    with pytest.raises(ValueError, match=r"x_seg\.npy: holds pickled.*label images as PNG or TIFF"):
        read_label_image(tmp_path / "x_seg.npy")
    np.savez(tmp_path / "x.npz", labels=content)
    with pytest.raises(ValueError, match=r"x\.npz/labels\.npy: holds pickled"):
        read_label_image(tmp_path / "x.npz")


def test_other_formats_and_damage(tmp_path):
    with pytest.raises(ValueError, match=r"x\.jpg: no label image, which are \.png, .*JPEG"):
        read_label_image(tmp_path / "x.jpg")
    with pytest.raises(FileNotFoundError, match=r"x\.png"):
        read_label_image(tmp_path / "x.png")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"inst_map": noise}, do_compression=True)
    contents = {".mat": stream.getvalue()}
    for suffix, write in ((".npz", np.savez_compressed), (".npy", np.save)):
        stream = io.BytesIO()
        write(stream, noise)
        contents[suffix] = stream.getvalue()
    contents[".png"] = save(tmp_path / "x.png", noise).read_bytes()
    for suffix, data in contents.items():
        path = tmp_path / f"x{suffix}"
        path.write_bytes(data)
        check(path, noise)
        for length in (0, 3, 20, len(data) // 2):
            path.write_bytes(data[:length])
            with pytest.raises(ValueError, match=rf"x\{suffix}: (cannot be |not a )(read|decoded)"):
                read_label_image(path)


# ---- folders ----


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "truth", tmp_path / "prediction"


def names(pairs, folders):
    truth, prediction = folders
    return [
        (
            p.name,
            p.truth.relative_to(truth).as_posix(),
            p.prediction and p.prediction.relative_to(prediction).as_posix(),
        )
        for p in pairs
    ]


def test_pairs_by_relative_path_in_natural_order(folders):
    truth, prediction = folders
    for name in ("i10", "i9", "b/i1"):
        save(truth / f"{name}.png")
    for name in ("i9", "i10"):
        tifffile.imwrite(save(prediction / f"{name}.png").with_suffix(".tif"), LABELS * 2)
        (prediction / f"{name}.png").unlink()
    save(prediction / "b" / "i1.png")
    for junk in ("._i9.png", ".DS_Store", "__MACOSX/i9.png", "notes.txt", "i9.jpg"):
        (prediction / junk).parent.mkdir(exist_ok=True)
        (prediction / junk).write_bytes(b"")
    pairs = label_pairs(*folders)
    assert names(pairs, folders) == [
        ("b/i1", "b/i1.png", "b/i1.png"),
        ("i9", "i9.png", "i9.tif"),
        ("i10", "i10.png", "i10.tif"),
    ]
    np.testing.assert_array_equal(pairs[1].read(), [LABELS, LABELS * 2])
    name, first, second, _ = pairs[0]
    assert (name, first, second) == ("b/i1", truth / "b/i1.png", prediction / "b/i1.png")


@pytest.mark.parametrize(
    ("true_name", "predicted_name"),
    [
        ("a", "a_cp_masks"),
        ("a_masks", "a"),
        ("a_mask", "a_label"),
        ("a_GT", "a_labels"),
        ("a_inst", "a_seg"),
        ("a_instances", "a_inst_map"),
        ("a", "a.ome"),
        ("a_gt", "a_pred.ome"),
    ],
)
def test_endings_are_removed(true_name, predicted_name, folders):
    save(folders[0] / "s" / f"{true_name}.png")
    save(folders[1] / "s" / f"{predicted_name}.png")
    expected = [("s/a", f"s/{true_name}.png", f"s/{predicted_name}.png")]
    assert names(label_pairs(*folders), folders) == expected


def test_plain_names_come_first(folders):
    """`x_mask` is the name of an image here, and `_mask` alone no ending."""
    for name in ("x_mask", "_mask", "y"):
        save(folders[0] / f"{name}.png")
    for name in ("x_mask", "_mask", "y_mask"):
        save(folders[1] / f"{name}.png")
    assert [p.name for p in label_pairs(*folders)] == ["_mask", "x_mask", "y"]


def test_missing_files_are_listed(folders):
    for i in range(8):
        save(folders[0] / f"i{i}.png")
    save(folders[1] / "i7.png")
    save(folders[1] / "other_mask.png")
    with pytest.raises(ValueError, match="without prediction") as error:
        label_pairs(*folders)
    text = str(error.value)
    assert f"7 files of {folders[0]} (i0.png, i1.png, i2.png, i3.png, i4.png, ...)" in text
    assert f"1 files of {folders[1]} (other_mask.png) without truth" in text
    with pytest.raises(ValueError, match=r"0 files .* without prediction, 1 files"):
        label_pairs(*folders, missing="zero")


def test_missing_predictions_count_as_empty(folders):
    save(folders[0] / "a_gt.png")
    save(folders[0] / "b_gt.png")
    save(folders[1] / "b.png")
    pairs = label_pairs(*folders, missing="zero")
    assert names(pairs, folders) == [("a", "a_gt.png", None), ("b", "b_gt.png", "b.png")]
    truth, prediction = pairs[0].read()
    np.testing.assert_array_equal(truth, LABELS)
    assert prediction.shape == truth.shape
    assert not prediction.any()


@pytest.mark.parametrize(
    "predicted", [("a.png", "a.tif"), ("a_mask.png", "a_seg.npy"), ("a.png", "a_cp_masks.png")]
)
def test_two_files_for_one_image(predicted, folders):
    save(folders[0] / "a.png")
    for name in predicted:
        save(folders[1] / "file.png").rename(folders[1] / name)
    with pytest.raises(ValueError, match=f"{predicted[0]} and {predicted[1]} would belong to one"):
        label_pairs(*folders)


def test_errors_of_folders(folders):
    save(folders[0] / "a.png")
    with pytest.raises(FileNotFoundError, match="prediction: no such folder"):
        label_pairs(*folders)
    folders[1].mkdir()
    with pytest.raises(ValueError, match=r"prediction: holds no label images \(\.png"):
        label_pairs(*folders)
    with pytest.raises(ValueError, match="is the folder of truth and of predictions"):
        label_pairs(folders[0], folders[0] / "." / ".." / "truth")
    with pytest.raises(ValueError, match="unknown rule for missing predictions 'skip'; known"):
        label_pairs(*folders, missing="skip")


# ---- real files ----


def test_consep_labels(shared_data, tmp_path):
    """A MAT file as published, and the same map through every other format."""
    with zipfile.ZipFile(shared_data("consep_train.zip")) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".mat") and "MACOSX" not in n)
        (tmp_path / "x.mat").write_bytes(archive.read(name))
    labels = read_label_image(tmp_path / "x.mat")
    assert labels.shape == (1000, 1000)
    assert labels.dtype.kind in "iu"
    Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "x.png", compress_level=1)
    tifffile.imwrite(tmp_path / "x.tif", labels.astype(np.float32))
    np.savez(tmp_path / "x.npz", inst_map=labels, type_map=labels)
    for suffix in (".png", ".tif", ".npz"):
        check(tmp_path / f"x{suffix}", labels)


def test_nucls_labels(shared_data, tmp_path):
    with zipfile.ZipFile(shared_data("nucls_mini.zip")) as archive:
        names = [n for n in archive.namelist() if n.endswith(".npz") and "MACOSX" not in n]
        (tmp_path / "x.npz").write_bytes(archive.read(names[0]))
    labels = read_label_image(tmp_path / "x.npz")
    assert labels.shape == (256, 256)
    assert labels.any()


MASK = np.zeros((12, 15), np.uint8)
MASK[1:4, 1:4] = MASK[4, 4] = MASK[8:11, 9:14] = 255  # two parts, one of which is diagonal


def test_a_mask_given_for_ids_warns_once_a_folder(tmp_path, caplog):
    for name in ("a.png", "b.png"):
        Image.fromarray(MASK).save(tmp_path / name)
        np.testing.assert_array_equal(read_label_image(tmp_path / name), MASK)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path / 'a.png'}: the 2 parts have one number, 255")
    assert "--label-from=components" in record.getMessage()


def test_one_nucleus_does_not_warn(tmp_path, caplog):
    for number, labels in enumerate((MASK * (np.arange(15) < 6), np.where(MASK, 1, 0) * 7 % 9)):
        labels[0, 0] = 9 * number  # of the second, two ids
        np.save(tmp_path / f"{number}.npy", labels)
        read_label_image(tmp_path / f"{number}.npy")
    assert not caplog.records


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32, np.uint16])
def test_parts_of_a_mask_are_nuclei(tmp_path, dtype):
    np.save(tmp_path / "a.npy", MASK.astype(dtype)[..., None])
    found = read_label_image(tmp_path / "a.npy", "components")
    expected = np.where(MASK, np.where(np.arange(12)[:, None] < 6, 1, 2), 0)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="label_from"):
        read_label_image(tmp_path / "a.npy", "parts")


def test_a_folder_of_predictions_is_paired(tmp_path):
    """With what `jaxnuc predict --format=tiff,overlay --tissue` writes."""
    for name in ("t/a.png", "t/b 1.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(MASK).save(path)
    (tmp_path / "p").mkdir()
    for name in ("a", "b 1"):
        tifffile.imwrite(tmp_path / "p" / f"{name}.labels.tif", MASK)
        for suffix in ("overlay.png", "tissue.png"):
            Image.fromarray(MASK).save(tmp_path / "p" / f"{name}.{suffix}")
        (tmp_path / "p" / f"{name}.json").write_text("{}")
    pairs = label_pairs(tmp_path / "t", tmp_path / "p")
    assert [(pair.name, pair.prediction.name) for pair in pairs] == [
        ("a", "a.labels.tif"),
        ("b 1", "b 1.labels.tif"),
    ]


def test_names_are_the_same_however_their_signs_are_composed(tmp_path):
    for folder, name in (("t", "Zelle \u00e4.png"), ("p", "Zelle a\u0308.png")):
        (tmp_path / folder).mkdir()
        Image.fromarray(MASK).save(tmp_path / folder / name)
    (pair,) = label_pairs(tmp_path / "t", tmp_path / "p")
    assert (pair.truth.parent.name, pair.prediction.parent.name) == ("t", "p")
