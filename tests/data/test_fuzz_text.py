"""Data sets of which an annotation, a table or an archive is damaged or hostile.

As `test_fuzz.py`: a clear error that names the file, or nothing lost.
"""

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.packing import pack

pytestmark = pytest.mark.slow  # many cases

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (12, 14, 3), np.uint8)
IDS = np.zeros((12, 14), np.uint8)
IDS[1:4, 1:5], IDS[5:9, 6:12] = 1, 2
SQUARE, BOX = [(2, 2), (6, 2), (6, 6), (2, 6)], [(8, 7), (12, 7), (12, 11), (8, 11)]
STEMS = ("TCGA-AA-0001-01Z-00-DX1", "TCGA-AA-0002-01Z-00-DX1")


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def picture(path, array=IMAGE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def vertices(points):
    return "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in points)


def region(inner, **attributes):
    stated = "".join(f' {key}="{value}"' for key, value in ({"Id": 1} | attributes).items())
    return f"<Region{stated}><Vertices>{inner}</Vertices></Region>"


def xml(inner, kind="Epithelial", mpp="0.25", head="", root="Annotations"):
    attribute = f'<Attributes><Attribute Name="{kind}"/></Attributes>'
    return (
        f'{head}<{root} MicronsPerPixel="{mpp}"><Annotation>{attribute}<Regions>{inner}</Regions>'
        f"</Annotation></{root}>"
    )


VALID = xml(region(vertices(SQUARE)) + region(vertices(BOX), Id=2))


def monuseg(root):
    for stem in STEMS:
        picture(root / "MoNuSegTraining" / f"{stem}.tif", compression="tiff_lzw")
        write(root / "MoNuSegTraining" / f"{stem}.xml", VALID)


def monusac(root):
    for stem in STEMS:
        folder = root / "MoNuSAC_images_and_annotations" / "TCGA-AA"
        write(folder / f"{stem}_1.xml", VALID)
        options = {"tile": (16, 16), "photometric": "rgb"}
        tifffile.imwrite(folder / f"{stem}_1.svs", IMAGE, **options)


def labelme(*shapes, **more):
    found = [{"label": label, "points": p, "shape_type": "polygon"} for label, p in shapes]
    return json.dumps({"shapes": found, "imageHeight": 12, "imageWidth": 14} | more)


def cnseg(root):
    for stem in "ab":
        picture(root / "clusteredCell/normal" / f"{stem}.png")
        write(
            root / "clusteredCell/normal_json" / f"{stem}.json",
            labelme(("nuc", SQUARE), ("b", BOX)),
        )


def kumar(root):
    monuseg(root)
    write(
        root / "parts.csv",
        f"image_id,split,organ\n{STEMS[0]},train,liver\n{STEMS[1]},test_same,liver\n",
    )


def dsb_runs(root):
    lines = ["ImageId,EncodedPixels"]
    for name in "ab":
        picture(root / "stage1_train" / name / "images" / f"{name}.png")
        lines += [f"{name},1 3 20 2", f"{name},100 4"]
    write(root / "stage1_train_labels.csv", "\n".join(lines) + "\n")


def dsb_solution(root):
    lines = ["ImageId,EncodedPixels,Height,Width,Usage"]
    for name in "ab":
        picture(root / "stage1_test" / name / "images" / f"{name}.png")
        lines += [f"{name},1 3 20 2,12,14,Private", f"{name},100 4,12,14,Private"]
    write(root / "stage1_solution.csv", "\n".join(lines) + "\n")


def dsb_split(root):
    for name in "ab":
        picture(root / "stage1_train" / name / "images" / f"{name}.png")
        picture(root / "stage1_train" / name / "masks/m.png", IDS * 255)
    write(root / "split.csv", "image_id,split,modality\na,train,x\nb,val,x\n")


def conic(root):
    write_npy(root / "images.npy", np.stack([IMAGE, IMAGE]))
    write_npy(root / "labels.npy", np.stack([np.stack([IDS, IDS], -1)] * 2))
    write(root / "patch_info.csv", "patch_info\nx_1-0000\nx_2-0000\n")


def write_npy(path, array):
    stream = io.BytesIO()
    np.save(stream, array)
    write(path, stream.getvalue())


def conic_zip(root):
    conic(root)
    zipped(root, "conic.zip", zipfile.ZIP_STORED)


def folder(root):
    for stem in "ab":
        picture(root / "images" / f"{stem}.png")
        picture(root / "labels" / f"{stem}.png", IDS)


def tnbc_zip(root):
    for slide in ("01", "02"):
        picture(root / f"Slide_{slide}" / f"{slide}_1.png")
        picture(root / f"GT_{slide}" / f"{slide}_1.png", IDS * 127)
    zipped(root, "TNBC.zip", zipfile.ZIP_DEFLATED)


def zipped(root, name, compression):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    with zipfile.ZipFile(root / name, "w", compression) as archive:
        for path in paths:
            archive.write(path, path.relative_to(root).as_posix())
    for path in paths:
        path.unlink()


def nucls(root):
    stream = io.BytesIO()
    np.savez(stream, inst_map=IDS, type_map=IDS)
    for stem in "ab":
        picture(root / "NuCLS-mini/train/images" / f"{stem}.png")
        write(root / "NuCLS-mini/train/labels" / f"{stem}.npz", stream.getvalue())
    write(root / "NuCLS-mini/label_map.yaml", 'labels:\n  1: "Non-Tumor"\n  2: "Tumor"\n')


def packed(root):
    folder(root)
    pack(sources.create("folder", root=root), root / "train", shards=2)


ALL = {"split": "all"}
SETS = {
    "monuseg": (monuseg, "monuseg", ALL),
    "monusac": (monusac, "monusac", ALL),
    "cnseg": (cnseg, "cnseg", ALL | {"subset": "cluster"}),
    "dsb_runs": (dsb_runs, "dsb2018", ALL | {"labels": "runs"}),
    "dsb_solution": (dsb_solution, "dsb2018", {"split": "test", "test": "stage1"}),
    "dsb_split": (dsb_split, "dsb2018", ALL),
    "conic": (conic, "conic", ALL),
    "conic_zip": (conic_zip, "conic", ALL),
    "tnbc_zip": (tnbc_zip, "tnbc", ALL),
    "nucls": (nucls, "nucls", ALL),
    "packed": (packed, "packed", {}),
    "kumar": (kumar, "kumar", ALL | {"split_file": lambda root: root / "parts.csv"}),
}

LENGTHS = {"empty": 0.0, "one byte": 0.001, "a tenth": 0.1, "half": 0.5, "nine tenths": 0.9}
CUT = {
    name: (lambda data, share=share: data[: round(len(data) * share)], "refused")
    for name, share in LENGTHS.items()
}
FOREIGN = {
    "zeros": (lambda data: bytes(len(data)), "refused"),
    "web page": (lambda data: b"<!DOCTYPE html><html>404</html>" * 9, "refused"),
    "PNG": (lambda data: b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "refused"),
}


def flipped(times, seed):
    def flip(data):
        rng = np.random.default_rng([seed, zlib.crc32(data)])
        changed = bytearray(data)
        for place in rng.integers(len(data), size=times):
            changed[place] ^= int(rng.integers(1, 256))
        return bytes(changed)

    return flip


FLIPS = {f"flip {n} {seed}": (flipped(n, seed), "valid") for n, seed in [(1, 0), (1, 1), (9, 2)]}
SAFE_FLIPS = {f"flip {seed}": (flipped(1, seed), "safe") for seed in range(8)}


def become(text, outcome="refused"):
    data = text if isinstance(text, bytes) else text.encode()
    return lambda _: data, outcome


def replaced(old, new, outcome="refused"):
    def change(data):
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return change, outcome


LAUGHS = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 10))
BOMB = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'
MANY = [(3 + 2 * np.cos(t), 3 + 2 * np.sin(t)) for t in np.linspace(0, 6.2, 100_000).round(4)]
XML = {
    "entity bomb": become(xml(region("&l9;"), head=BOMB)),
    "entity bomb in an attribute": become(xml(region('<Vertex X="&l9;" Y="1"/>'), head=BOMB)),
    "quadratic bomb": become(xml("&a;" * 999, head=f'<!DOCTYPE x [<!ENTITY a "{"a" * 99_999}">]>')),
    "file of the machine": become(
        xml("&f;", head='<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>')
    ),
    "address": become(xml("", head='<!DOCTYPE x SYSTEM "http://localhost:1/x.dtd">')),
    "entities from elsewhere": become(
        xml("", head='<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>')
    ),
    "UTF-16 with a document type": become(xml("", head=BOMB).encode("utf-16")),
    "UTF-16 without a mark": become(xml("", head=BOMB).encode("utf-16-le")),
    "UTF-16": become(VALID.encode("utf-16"), "same"),
    "UTF-8 with a mark": become(VALID.encode("utf-8-sig"), "same"),
    "UTF-7": become(b'<?xml version="1.0" encoding="utf-7"?>' + VALID.encode()),
    "unknown encoding": become(b'<?xml version="1.0" encoding="ha"?>' + VALID.encode()),
    "wrong encoding": become(b'<?xml version="1.0" encoding="utf-16"?>' + VALID.encode()),
    "bytes that are no text": become(VALID.encode().replace(b"Epithelial", b"\xff\xfe\xfd")),
    "NUL": become(VALID.replace("Epithelial", "Epi\0thelial")),
    "unknown entity": become(VALID.replace("Epithelial", "&unknown;")),
    "deep": become(
        "<Annotations>" + "<a>" * 100_000 + "</a>" * 100_000 + "</Annotations>", "valid"
    ),
    "deep and cut": become("<Annotations>" + "<a>" * 100_000),
    "not closed": replaced("</Annotations>", ""),
    "two roots": become(VALID + VALID),
    "another root": become(VALID.replace("Annotations", "ASAP_Annotations")),
    "100,000 vertices": become(xml(region(vertices(MANY)))),
    "10,000 vertices": become(xml(region(vertices(MANY[::10]))), "valid"),
    "NaN": become(xml(region(vertices([*SQUARE, ("NaN", 3)])))),
    "infinite": become(xml(region(vertices([*SQUARE, ("inf", 3)])))),
    "beyond doubles": become(xml(region(vertices([*SQUARE, ("1e400", 3)])))),
    "far away": become(xml(region(vertices([*SQUARE, (1e9, 3)])))),
    "no number": become(xml(region(vertices([*SQUARE, ("two", 3)])))),
    "no coordinate": become(xml(region(vertices(SQUARE) + '<Vertex X="1"/>'))),
    "empty coordinate": become(xml(region(vertices([*SQUARE, ("", 3)])))),
    "long number": become(xml(region(vertices([*SQUARE, ("1" * 100_000, 3)])))),
    "comma": become(xml(region(vertices([*SQUARE, ("2,5", 3)])))),
    "outside of the image": become(xml(region(vertices([(900, 900), (950, 900), (950, 950)])))),
    "ellipse": become(xml(region(vertices(SQUARE), Type=2))),
    "a line": become(xml(region(vertices(SQUARE[:2])) + region(vertices(BOX))), "valid"),
    "no region": become(xml(""), "valid"),
    "no annotation": become("<Annotations/>", "valid"),
    "crossing itself": become(xml(region(vertices([SQUARE[k] for k in (0, 2, 1, 3)]))), "valid"),
    "holes in nothing": become(xml(region(vertices(SQUARE), NegativeROA=1)), "valid"),
    "mpp NaN": become(xml("", mpp="nan")),
    "mpp negative": become(xml("", mpp="-0.25")),
    "mpp 0": become(xml("", mpp="0")),
    "mpp no number": become(xml("", mpp="40x")),
    "ends of Windows": become(VALID.replace("><", ">\r\n<"), "same"),
    "comments": become(VALID.replace("><", "><!-- &l9; <a> -->\n<"), "same"),
}
CLASSED = {
    "unknown class": become(xml(region(vertices(SQUARE)), kind="Platelet")),
    "no class": become(xml(region(vertices(SQUARE)), kind="")),
    "two classes": become(
        xml(region(vertices(SQUARE))).replace(
            "</Attributes>", '<Attribute Name="Lymphocyte"/></Attributes>'
        )
    ),
}


def shaped(**changes):
    return become(json.dumps({"shapes": [{"label": "nuc", "points": SQUARE} | changes]}))


JSON = {
    "deep": become("[" * 100_000 + "]" * 100_000),
    "deep and cut": become('{"a":' * 100_000),
    "deep in a shape": become(
        '{"shapes": [{"label": "nuc", "points": ' + "[" * 900 + "]" * 900 + "}]}", "refused"
    ),
    "a list": become("[]"),
    "a number": become("1"),
    "null": become("null"),
    "no shapes": become("{}"),
    "shapes as an object": become('{"shapes": {}}'),
    "a shape as a number": become('{"shapes": [1]}'),
    "no points": become('{"shapes": [{"label": "nuc"}]}'),
    "points as text": shaped(points="1,2,3"),
    "points of text": shaped(points=[["a", "b"]] * 3),
    "points of objects": shaped(points=[{"x": 1, "y": 2}] * 3),
    "points of null": shaped(points=[[None, 1]] * 3),
    "points of lists": shaped(points=[[[1], [2]]] * 3),
    "three coordinates": shaped(points=[[1, 2, 3]] * 3),
    "uneven points": shaped(points=[[1, 2], [3]]),
    "huge integers": become('{"shapes": [{"label": "nuc", "points": [[1' + "0" * 400 + ", 1]]}]}"),
    "longer integers": become(
        '{"shapes": [{"label": "nuc", "points": [[1' + "0" * 9000 + ", 1]]}]}"
    ),
    "NaN": shaped(points=[*SQUARE, (float("nan"), 1)]),
    "infinite": shaped(points=[*SQUARE, (float("inf"), 1)]),
    "100,000 vertices": shaped(points=MANY),
    "label of a number": shaped(label=1),
    "label of a list": shaped(label=["nuc"]),
    "no label": shaped(label=None),
    "unknown label": shaped(label="cytoplasm"),
    "long label": shaped(label="x" * 100_000),
    "circle": shaped(shape_type="circle", points=SQUARE),
    "kind of a list": shaped(shape_type=["polygon"]),
    "outside of the image": shaped(points=[(900, 900), (950, 900), (950, 950)]),
    "height of text": become(labelme(("nuc", SQUARE), imageHeight="12")),
    "height true": become(labelme(("nuc", SQUARE), imageHeight=True)),
    "height 0": become(labelme(("nuc", SQUARE), imageHeight=0)),
    "height negative": become(labelme(("nuc", SQUARE), imageHeight=-12)),
    "another height": become(labelme(("nuc", SQUARE), imageHeight=13)),
    "sides exchanged": become(labelme(("nuc", SQUARE), imageHeight=14, imageWidth=12)),
    "Latin-1": become(b'{"shapes": [], "version": "\xe9"}'),
    "UTF-16": become(labelme(("nuc", SQUARE), ("b", BOX)).encode("utf-16"), "same"),
    "UTF-8 with a mark": become(labelme(("nuc", SQUARE), ("b", BOX)).encode("utf-8-sig"), "same"),
    "two documents": become("{}{}"),
    "more keys": become(labelme(("nuc", SQUARE), ("b", BOX), imageData="x" * 10**5), "same"),
    "no shape": become(labelme(), "valid"),
}

TABLE = {
    "no first line": (lambda data: data.split(b"\n", 1)[1], "refused"),
    "first line alone": (lambda data: data.split(b"\n", 1)[0] + b"\n", "refused"),
    "semicolons": (lambda data: data.replace(b",", b";"), "same"),
    "bars": (
        lambda data: data.replace(b",", b"|").replace(b"patch_info", b"patch|"),
        "refused",
    ),
    "first line twice": (lambda data: data.split(b"\n", 1)[0] + b"\n" + data, "refused"),
    "a line less": (lambda data: data.rstrip().rsplit(b"\n", 1)[0] + b"\n", "valid"),
    "another image": (lambda data: data + b"other,train,1,1,1,1\n", "refused"),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), "refused"),
    "no text": (lambda data: data + b"\xff\xfe\n", "refused"),
    "NUL": (lambda data: data + b"\0\n", "refused"),
    "open quote": (lambda data: data + b'"a' + b"x" * 200_000, "refused"),
    "long field": (lambda data: data + b"a," + b"1 " * 100_000 + b"\n", "refused"),
    "ends of Windows": (lambda data: data.replace(b"\n", b"\r\n"), "same"),
    "UTF-8 with a mark": (lambda data: b"\xef\xbb\xbf" + data, "same"),
    "blank lines": (lambda data: data + b"\n\n", "same"),
}
ONCE = {"a line twice": (lambda data: data + data.rstrip().rsplit(b"\n", 1)[1] + b"\n", "refused")}
RUNS = {
    "run out of the image": replaced("100 4", "100 70"),
    "run of the whole image": replaced("100 4", "1 168", "valid"),
    "huge run": replaced("100 4", f"1 {2**62}"),
    "huge runs": replaced("100 4", " ".join([f"1 {2**62}"] * 4)),
    "huge start": replaced("100 4", f"{2**63 - 1} 1"),
    "beyond 64 bits": replaced("100 4", f"{2**64} 1"),
    "digits without end": replaced("100 4", "9" * 5000 + " 1"),
    "start 0": replaced("100 4", "0 4"),
    "negative start": replaced("100 4", "-3 4"),
    "negative length": replaced("100 4", "100 -4"),
    "length 0": replaced("100 4", "100 0"),
    "odd count": replaced("100 4", "100 4 110"),
    "no number": replaced("100 4", "100 four"),
    "fraction": replaced("100 4", "100.5 4"),
    "overlapping runs": replaced("100 4", "100 4 101 4", "valid"),
    "no pixels": replaced("100 4", "", "valid"),
}
SIZES = {
    "another height": replaced(",12,", ",13,"),
    "sides exchanged": replaced(",12,14,", ",14,12,"),
    "negative height": replaced(",12,", ",-12,"),
    "no number": replaced(",12,", ",twelve,"),
    "all ignored": replaced("Private", "Ignored"),
}
SPLIT = {"another column": replaced("split", "part"), "another id": replaced("a,train", "c,train")}
COUNTS = {"no number": replaced("1,1,0", "1,x,0"), "fraction": replaced("1,1,0", "1,0.5,0")}
PATCHES = {"another name": replaced("x_1-0000", "x"), "path": replaced("x_1-0000", "../x_1-0000")}
YAML = {
    "other classes": replaced("Tumor", "Stroma"),
    "a class more": (lambda data: data + b"  3: More\n", "refused"),
    "no classes": become("labels: {}"),
}


def of_manifest(change):
    return lambda data: json.dumps(change(json.loads(data))).encode(), "refused"


def of_shard(**changes):
    return of_manifest(lambda m: m | {"shards": [m["shards"][0] | changes, m["shards"][1]]})


MANIFEST = {
    "a list": become("[]"),
    "deep": become("[" * 100_000),
    "another format": of_manifest(lambda m: m | {"format": "x"}),
    "another version": of_manifest(lambda m: m | {"version": 99}),
    "no shards": of_manifest(lambda m: {k: v for k, v in m.items() if k != "shards"}),
    "shards as text": of_manifest(lambda m: m | {"shards": "x"}),
    "shards of numbers": of_manifest(lambda m: m | {"shards": [1, 2]}),
    "a shard less": of_manifest(lambda m: m | {"shards": m["shards"][:1]}),
    "shards exchanged": of_manifest(lambda m: m | {"shards": m["shards"][::-1]}),
    "names exchanged": of_manifest(lambda m: m | {"names": m["names"][::-1]}),
    "names as a number": of_manifest(lambda m: m | {"names": 2}),
    "a name less": of_manifest(lambda m: m | {"names": m["names"][:1]}),
    "path out of the folder": of_shard(file="../../etc/passwd"),
    "absolute path": of_shard(file="/etc/passwd"),
    "records as text": of_shard(records="1"),
    "records negative": of_shard(records=-1),
    "bytes as text": of_shard(bytes="1"),
    "fewer bytes": of_shard(bytes=1),
    "no keys": of_manifest(lambda m: m | {"shards": [{}, {}]}),
    "classes as text": of_manifest(lambda m: m | {"label_set": "x"}),
    "classes of numbers": of_manifest(lambda m: m | {"label_set": {"tree": 1}}),
}


def of_zip(change):
    """A mutation of the members of a zip, a list of pairs of name and bytes."""

    def mutate(data):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            kind = archive.infolist()[0].compress_type
            members = [(name, archive.read(name)) for name in archive.namelist()]
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", kind) as archive:
            for name, content in change(members):
                archive.writestr(zipfile.ZipInfo(name), content, kind)
        return stream.getvalue()

    return mutate


def more(name, content=b"x"):
    return of_zip(lambda members: [*members, (name, content)])


def encrypted(data):
    """Sets the mark of encryption on every member."""
    changed = bytearray(data)
    for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        start = changed.find(mark)
        while start >= 0:
            changed[start + place] |= 1
            start = changed.find(mark, start + 4)
    return bytes(changed)


def declared(size, method=None):
    """States another size, and perhaps compression, of every member."""

    def mutate(data):
        changed = bytearray(data)
        for mark, sizes, kind in ((b"PK\1\2", 24, 10), (b"PK\3\4", 22, 8)):
            start = changed.find(mark)
            while start >= 0:
                changed[start + sizes : start + sizes + 4] = struct.pack("<I", size)
                if method is not None:
                    changed[start + kind : start + kind + 2] = struct.pack("<H", method)
                start = changed.find(mark, start + 4)
        return bytes(changed)

    return mutate


ZIP = {
    "no member": (of_zip(lambda members: []), "refused"),
    "path above": (more("../x.png"), "refused"),
    "path above in the middle": (more("Slide_01/../../x.png"), "refused"),
    "absolute path": (more("/etc/x.png"), "refused"),
    "drive": (more("C:/x.png"), "refused"),
    "path above of Windows": (more("..\\x.png"), "refused"),
    "drive of Windows": (more("C:\\x.png"), "refused"),
    "share of Windows": (more("\\\\host\\x\\x.png"), "refused"),
    "encrypted": (encrypted, "refused"),
    "declared small": (declared(9), "refused"),
    "declared large": (declared(2**31), "refused"),
    "declared above 2 GiB": (declared(2**32 - 2), "refused"),
    "unknown compression": (declared(100, 99), "refused"),
    "Deflate64": (declared(100, 9), "refused"),
    "bytes before it": (lambda data: b"#!/bin/sh\n" + data, "same"),
    "junk": (more("__MACOSX/._x.png"), "same"),
    "separators of Windows": (
        of_zip(lambda members: [(name.replace("/", "\\"), c) for name, c in members]),
        "same",
    ),
    "dot before the names": (of_zip(lambda members: [(f"./{n}", c) for n, c in members]), "same"),
    "folders": (
        of_zip(lambda members: [("Slide_01/", b""), ("Slide_01\\", b""), *members]),
        "same",
    ),
}
TWICE = {
    "twice": (lambda members: members * 2, "same"),
    "twice and different": (lambda members: [*members, (members[0][0], b"x")], "refused"),
}

TARGETS = [
    ("monuseg", f"MoNuSegTraining/{STEMS[0]}.xml", CUT | FOREIGN | FLIPS | XML),
    (
        "monusac",
        f"MoNuSAC_images_and_annotations/TCGA-AA/{STEMS[0]}_1.xml",
        CUT | FOREIGN | FLIPS | XML | CLASSED,
    ),
    ("monusac", f"MoNuSAC_images_and_annotations/TCGA-AA/{STEMS[0]}_1.svs", CUT | FOREIGN | FLIPS),
    ("cnseg", "clusteredCell/normal_json/a.json", CUT | FOREIGN | FLIPS | JSON),
    ("dsb_runs", "stage1_train_labels.csv", FOREIGN | FLIPS | TABLE | RUNS),
    ("dsb_solution", "stage1_solution.csv", FOREIGN | FLIPS | TABLE | RUNS | SIZES),
    ("dsb_split", "split.csv", FOREIGN | FLIPS | TABLE | ONCE | SPLIT),
    ("kumar", "parts.csv", FOREIGN | FLIPS | TABLE | ONCE),
    ("conic", "patch_info.csv", FOREIGN | FLIPS | TABLE | ONCE | PATCHES),
    ("conic_zip", "conic.zip", CUT | FOREIGN | FLIPS | ZIP),
    ("tnbc_zip", "TNBC.zip", CUT | FOREIGN | SAFE_FLIPS | ZIP),
    ("nucls", "NuCLS-mini/label_map.yaml", CUT | FOREIGN | YAML),
    ("packed", "train/manifest.json", CUT | FOREIGN | MANIFEST),
    ("packed", "train/shard-00000.arrayrecord", CUT | FOREIGN | SAFE_FLIPS),
]
CASES = {
    f"{name}-{file.rsplit('/', 1)[-1]}-{kind}": (name, file, mutate, outcome)
    for name, file, mutations in TARGETS
    for kind, (mutate, outcome) in mutations.items()
}

# Files that an error may name in place of the damaged one.
OTHERS = {"packed": ["train/manifest.json", *(f"train/shard-0000{k}.arrayrecord" for k in (0, 1))]}


@pytest.mark.parametrize("case", CASES)
def test_damaged_file(case, judge):
    name, file, mutate, outcome = CASES[case]

    def change(root):
        (root / file).write_bytes(mutate((root / file).read_bytes()))

    judge(name, change, [file, *OTHERS.get(name, ())], outcome)


@pytest.mark.parametrize("case", TWICE)
@pytest.mark.parametrize(("name", "file"), [("tnbc_zip", "TNBC.zip"), ("conic_zip", "conic.zip")])
@pytest.mark.filterwarnings("ignore:Duplicate name")  # of Python's writer
def test_member_twice_in_a_zip(case, name, file, judge):
    change, outcome = TWICE[case]
    mutate = of_zip(change)
    judge(
        name,
        lambda root: (root / file).write_bytes(mutate((root / file).read_bytes())),
        [file],
        outcome,
    )


def test_there_are_many_cases():
    assert len(CASES) > 440
