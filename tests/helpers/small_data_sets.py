"""Two images of a few pixels with two or three nuclei, in the files of each data set."""

import gzip
import io
import struct

import numpy as np
import scipy.io
import tifffile
from PIL import Image

RNG = np.random.default_rng(0)
IDS = np.zeros((12, 14), np.int32)
IDS[1:4, 1:5], IDS[5:9, 6:12], IDS[10:, :3] = 1, 2, 3
IMAGE = RNG.integers(180, 256, (12, 14, 3), np.uint8)
IMAGE[IDS > 0] //= 3
TYPES = np.array([0, 1, 2, 1])[IDS]


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, array, **options)
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path, **options)


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def mat(variables, **options):
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, **options)
    return stream.getvalue()


def nifti(voxels, kind=4, dtype="<i2", sides=None, slope=1.0):
    header = bytearray(352)
    sides = [*(sides or voxels.shape), *[1] * 5][:7]
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *sides)
    struct.pack_into("<h", header, 70, kind)
    struct.pack_into("<3f", header, 108, 352, slope, 0)
    header[344:348] = b"n+1\0"
    return bytes(header) + voxels.astype(dtype).tobytes(order="F")


# The valid sets: two images of different sizes, so that exchanged files do not fit.


def two(rows=slice(None)):
    """Image, ids and types of each of the two images."""
    return ((IMAGE, IDS, TYPES), (IMAGE[:10], IDS[:10], TYPES[:10]))


def folder_set(root, suffix, dtype):
    for stem, (image, ids, _) in zip("ab", two(), strict=True):
        save(root / "images" / f"{stem}.png", image)
        save(root / "labels" / f"{stem}{suffix}", ids.astype(dtype))


def folder_tif(root):
    for stem, (image, ids, _) in zip("ab", two(), strict=True):
        save(root / "images" / f"{stem}.tif", image, photometric="rgb")
        save(root / "labels" / f"{stem}.tif", ids.astype(np.uint16))


def dsb2018(root):
    for stem, (image, ids, _) in zip("ab", two(), strict=True):
        save(root / stem / "images" / f"{stem}.png", image)
        for number in np.unique(ids)[1:]:
            save(root / stem / "masks" / f"m{number}.png", np.uint8(ids == number) * 255)


def consep(root):
    for stem, (image, ids, types) in zip("ab", two(), strict=True):
        save(root / "CoNSeP/Train/Images" / f"{stem}.png", image)
        maps = {"inst_map": ids * 1.0, "type_map": types * 1.0}
        write(root / "CoNSeP/Train/Labels" / f"{stem}.mat", mat(maps))


def consep_npy(root):
    for stem, (image, ids, types) in zip("ab", two(), strict=True):
        save(root / "CoNSeP/Train/Images" / f"{stem}.png", image)
        save(root / "CoNSeP/Train/Labels" / f"{stem}.npy", np.stack([ids, types], -1))


def lizard(root):
    for stem, (image, ids, _) in zip(("x_1", "x_2"), two(), strict=True):
        save(root / "Lizard_Images1" / f"{stem}.png", image)
        listed = np.unique(ids)[1:, None]
        values = {"inst_map": ids, "id": listed, "class": listed % 2 + 1}
        write(root / "Lizard_Labels/Labels" / f"{stem}.mat", mat(values, do_compression=True))
    table = "Filename,Source,Split\nx_1,x,1\nx_2,x,3\n"
    write(root / "Lizard_Labels/info.csv", table.encode())


def nucls(root):
    for stem, (image, ids, types) in zip("ab", two(), strict=True):
        save(root / "NuCLS-mini/train/images" / f"{stem}.png", image)
        stream = io.BytesIO()
        np.savez(stream, inst_map=ids, type_map=types)
        write(root / "NuCLS-mini/train/labels" / f"{stem}.npz", stream.getvalue())


def isbi2014(root):
    cells = np.empty((2, 1), object)
    for k, (image, ids, _) in enumerate(two()):
        save(root / "EDF" / f"EDF00{k}.png", image[..., 0])
        cells[k, 0] = np.uint8(ids > 0)
    write(root / "EDF" / "edfsetnuclei.mat", mat({"edfsetnuclei": cells}))


def tnbc(root):
    for slide, (image, ids, _) in zip(("01", "02"), two(), strict=True):
        save(root / f"Slide_{slide}" / f"{slide}_1.png", np.dstack([image, image[..., 0] | 255]))
        save(root / f"GT_{slide}" / f"{slide}_1.png", np.uint8(ids > 0) * 255)


def bns2017(root):
    for slide, (image, ids, _) in zip(("01", "02"), two(), strict=True):
        save(root / f"Slide_{slide}" / f"{slide}_1.png", image)
        data = gzip.compress(nifti(ids.T), mtime=0)
        write(root / f"GT_{slide}" / f"{slide}_1.nii.gz", data)


def kvasir(root):
    for stem, (image, ids, _) in zip("ab", two(), strict=True):
        save(root / "images" / f"{stem}.jpg", image, quality=95)
        save(root / "masks" / f"{stem}.jpg", np.uint8(ids > 0) * 255)


def nuinsseg(root):
    for stem, (image, ids, _) in zip(("x_1", "x_2"), two(), strict=True):
        save(root / "human liver/tissue images" / f"{stem}.png", image)
        save(root / "human liver/label masks modify" / f"{stem}.tif", np.uint16(ids))
        save(root / "human liver/vague areas/mask binary" / f"{stem}.png", np.uint8(ids == 3) * 255)


def cpm15(root):
    for k, (image, ids, _) in enumerate(two(), 1):
        save(root / f"image0{k}.png", np.dstack([image, image[..., 0] | 255]))
        lines = [f"{ids.shape[1]} {ids.shape[0]}", *map(str, ids.ravel())]
        write(root / f"image0{k}_mask.txt", "\n".join(lines).encode())


def pannuke(root):
    masks = np.zeros((2, 12, 14, 6))
    masks[0, ..., 0], masks[1, ..., 4] = IDS, IDS
    save(root / "Fold 1/images/fold1/images.npy", np.stack([IMAGE, IMAGE[::-1]]) * 1.0)
    save(root / "Fold 1/images/fold1/types.npy", np.array(["Breast", "Colon"]))
    save(root / "Fold 1/masks/fold1/masks.npy", masks)


def conic(root):
    save(root / "images.npy", np.stack([IMAGE, IMAGE[::-1]]))
    save(root / "labels.npy", np.stack([np.stack([IDS, TYPES], -1)] * 2).astype(np.uint16))
    write(root / "patch_info.csv", b"patch_info\r\nx_1-0000\r\nx_2-0000\r\n")


def cnseg(root):
    for stem, (image, ids, _) in zip("ab", two(), strict=True):
        save(root / "PatchSeg/train-images" / f"{stem}.png", image)
        save(root / "PatchSeg/train-labels" / f"{stem}.png", np.uint8(ids))


ALL = {"split": "all"}
SETS = {
    "folder": (lambda root: folder_set(root, ".png", np.uint8), "folder", {}),
    "folder16": (lambda root: folder_set(root, ".png", np.uint16), "folder", {}),
    "folder_npy": (lambda root: folder_set(root, ".npy", np.int64), "folder", {}),
    "folder_tif": (folder_tif, "folder", {}),
    "dsb2018": (dsb2018, "dsb2018", ALL),
    "consep": (consep, "consep", ALL),
    "consep_npy": (consep_npy, "consep", ALL),
    "lizard": (lizard, "lizard", ALL),
    "nucls": (nucls, "nucls", ALL),
    "isbi2014": (isbi2014, "isbi2014", ALL),
    "tnbc": (tnbc, "tnbc", ALL),
    "bns2017": (bns2017, "bns2017", ALL),
    "kvasir": (kvasir, "kvasir", ALL),
    "nuinsseg": (nuinsseg, "nuinsseg", ALL),
    "cpm15": (cpm15, "cpm15", ALL),
    "pannuke": (pannuke, "pannuke", ALL | {"folds": (1,)}),
    "conic": (conic, "conic", ALL),
    "cnseg": (cnseg, "cnseg", ALL),
}
