"""How long each transform takes, and the pictures of docs/augmentation.md.

    python -m benchmarks.augmentation [--size=256]
    python -m benchmarks.augmentation --pictures=docs/images

Times are the median of several calls on one core, of a synthetic picture of H&E. A picture is a
strip: the original and four draws; what a transform asks for beyond its defaults is in `EXAMPLES`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import seconds
from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import generate
from jaxnuc.data.transforms import apply, parse

# As in the docs; probabilities are 1, so that all four draws show something.
EXAMPLES = {
    "flip_turn": "flip_turn()",
    "scale": "scale(0.6, 1.6)",
    "affine": "affine((0.8, 1.2), shear=5, rotation=180)",
    "elastic": "elastic(8)",
    "color_jitter": "color_jitter()",
    "hsv_shift": "hsv_shift(p=1)",
    "intensity": "intensity()",
    "invert": "invert(1)",
    "gray": "gray(1)",
    "stain_jitter": "stain_jitter(0.05)",
    "stain_matrix_jitter": "stain_matrix_jitter(p=1)",
    "blur": "blur(2.5, p=1)",
    "median_blur": "median_blur(8, p=1)",
    "noise": "noise(0.1, p=1)",
    "jpeg": "jpeg(5, 30, p=1)",
    "coarse_dropout": "coarse_dropout(20, p=1)",
    "cut_paste": "cut_paste(30, p=1)",
}
NORMALIZE = {name: f"stain_normalize('{name}')" for name in ("macenko", "vahadane", "reinhard")}
PICTURE, SIZE, TILE, GAP = 2, 160, 80, 3
STAININGS = (2, 30, 34, 45, 60)  # pictures for normalization, unlike each other
COLORS = 26  # a tile: the pictures are in the repository


def milliseconds(text: str, sample: Sample, repeats: int = 15) -> float:
    chain, rng = parse([text]), np.random.default_rng(0)
    times = seconds(lambda: apply(chain, sample, rng), repeats + 1)
    return 1000 * float(np.median(times[1:]))


def strip(images: list[np.ndarray]) -> Image.Image:
    """Images side by side, each in the middle of a white tile or cut to it."""
    wide = Image.new("RGB", (len(images) * (TILE + GAP) - GAP, TILE), "white")
    for k, image in enumerate(images):
        tile = Image.new("RGB", (TILE, TILE), "white")
        tile.paste(Image.fromarray(image), tuple((TILE - n) // 2 for n in image.shape[1::-1]))
        few = tile.quantize(COLORS, dither=Image.Dither.NONE).convert("RGB")
        wide.paste(few, (k * (TILE + GAP), 0))
    return wide


def save(picture: Image.Image, path: Path) -> int:
    """As PNG with a palette, and its size in bytes."""
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path.stat().st_size


def draw(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    original = generate(PICTURE, size=SIZE, style="he")
    total = 0
    for name, text in EXAMPLES.items():
        (transform,) = parse([text])
        draws = [transform(original, np.random.default_rng(seed)).image for seed in range(4)]
        total += save(strip([original.image, *draws]), folder / f"{name}.png")
    images = [generate(index, size=SIZE, style="he") for index in STAININGS]
    rows = [strip([sample.image for sample in images])]
    for text in NORMALIZE.values():
        rows.append(
            strip([apply(parse([text]), s, np.random.default_rng(0)).image for s in images])
        )
    sheet = Image.new("RGB", (rows[0].width, len(rows) * (TILE + GAP) - GAP), "white")
    for k, row in enumerate(rows):
        sheet.paste(row, (0, k * (TILE + GAP)))
    total += save(sheet, folder / "stain_normalize.png")
    print(f"{len(EXAMPLES) + 1} pictures, {total / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    if arguments.pictures:
        draw(arguments.pictures)
        return
    sample = generate(PICTURE, size=arguments.size, style="he")
    size = arguments.size
    texts = [f"random_crop({size // 2})", *EXAMPLES.values(), *NORMALIZE.values()]
    texts += ["crop_at_diameter(96)", "gamma(p=1)", "uneven_light(p=1)", "hot_pixels(p=1)"]
    texts += [
        "few_levels(p=1)",
        "low_resolution(p=1)",
        "rotate()",
        "sharpen(p=1)",
        "stain_matrix_jitter(method='vahadane', p=1)",
    ]
    texts += [f"preset('{stain}_medium')" for stain in ("he", "fluorescence")]
    texts += ["preset('he_strong')", "preset('stardist_conic')"]
    print(f"| {size} x {size} | ms |\n| --- | --- |")
    for text in texts:
        print(f"| `{text}` | {milliseconds(text, sample):.1f} |")


if __name__ == "__main__":
    main()
