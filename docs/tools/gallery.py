"""Draws the pictures of docs/gallery.md, and writes the page.

    python docs/tools/gallery.py --data=FOLDER

FOLDER holds data sets by their names, as JAXNUC_DATA does. Only sets whose license lets their
images be shown here are drawn, and those that are not at hand keep the pictures they have.
"""

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from jaxnuc.data import sources
from jaxnuc.data.catalog import CATALOG
from jaxnuc.data.contact_sheet import thumbnail
from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import STYLES, generate
from jaxnuc.data.transforms import REGISTRY, parse
from jaxnuc.representations import create

DOCS = Path(__file__).parents[1]
FOLDER = DOCS / "images" / "gallery"
SIDE, GAP, CAPTION = 160, 6, 18

# Those whose images may be shown by anyone, and which of their images.
SHOWN = {"dsb2018": (0, 8, 45, 60), "nucls": (0, 3, 5, 8)}
OPEN = ("CC0 1.0",)

# Arguments beyond the defaults, so that all four draws show something.
TRANSFORMS = {
    "affine": "(0.8, 1.2), shear=5, rotation=180",
    "blur": "2.5, p=1",
    "center_crop": "96",
    "coarse_dropout": "20, p=1",
    "color_jitter": "",
    "crop_at_diameter": "96, 16, 0.5, 2",
    "cut_paste": "30, p=1",
    "elastic": "8",
    "few_levels": "3, 8, p=1",
    "flip_turn": "",
    "foreground_crop": "64",
    "gamma": "0.4, 2.5, p=1",
    "gray": "1",
    "hot_pixels": "0.02, p=1",
    "hsv_shift": "p=1",
    "intensity": "",
    "invert": "1",
    "jpeg": "5, 30, p=1",
    "low_resolution": "8, p=1",
    "median_blur": "8, p=1",
    "noise": "0.1, p=1",
    "pad": "200",
    "random_crop": "96",
    "rotate": "p=1",
    "scale": "0.6, 1.6",
    "sharpen": "3, p=1",
    "stain_jitter": "",
    "stain_matrix_jitter": "p=1",
    "stain_normalize": "",
    "uneven_light": "0.6, 0.4, p=1",
}
# The decoders of a representation, with the arguments that suit the targets.
REPRESENTATIONS = {
    "binary": ("components", "fill", "necks", "distance"),
    "contour": ("growth", "watershed", "necks", "overlaps", "subtract"),
    "distance": ("watershed",),
    "hover": ("watershed",),
    "stardist": ("suppression",),
}


def strip(pictures: Sequence[tuple[str, np.ndarray]]) -> Image.Image:
    """Pictures side by side, each above its name."""
    wide = len(pictures) * (SIDE + GAP) - GAP
    sheet = Image.new("RGB", (wide, SIDE + CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (name, picture) in enumerate(pictures):
        tile = Image.fromarray(picture)
        tile.thumbnail((SIDE, SIDE))
        x = k * (SIDE + GAP)
        sheet.paste(tile, (x + (SIDE - tile.width) // 2, (SIDE - tile.height) // 2))
        draw.text((x + 2, SIDE + 3), name, fill="black")
    return sheet


def save(name: str, picture: Image.Image) -> str:
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture.save(FOLDER / f"{name}.webp", quality=85, method=6)
    return f"![{name.replace('_', ' ')}](images/gallery/{name}.webp)"


def gray(values: np.ndarray) -> np.ndarray:
    """A map as a picture, from its smallest value, black, to its largest."""
    low, high = values.min(), values.max()
    levels = (values - low) * (255 / (high - low)) if high > low else values * 0
    return levels.astype(np.uint8)[..., None].repeat(3, axis=-1)


def colored(instances: np.ndarray) -> np.ndarray:
    """A label map, each nucleus in a color of its own."""
    colors = np.random.default_rng(1).integers(60, 256, (instances.max() + 1, 3), dtype=np.uint8)
    colors[0] = 0
    return colors[instances]


def data_sets(root: Path | None) -> list[str]:
    lines = [
        "## Data sets",
        "",
        "The three styles of the source `synthetic`, which draws nuclei without end:",
        "",
    ]
    for style in STYLES:
        samples = [generate(k, size=SIDE, style=style) for k in range(4)]
        pictures = [(f"{style}, {k}", thumbnail(s, SIDE)) for k, s in enumerate(samples)]
        lines += [save(f"synthetic_{style}", strip(pictures)), ""]
    for name, indices in SHOWN.items():
        record = CATALOG[name]
        if record.license not in OPEN:
            raise ValueError(f"{name}: images under {record.license!r} are not shown here")
        lines += [f"`{name}`, {record.title} ({record.license}):", ""]
        if root is not None and (root / name).exists():
            source = sources.create(name, root=root / name, split="all")
            chosen = [source[k] for k in indices]
            pictures = [(str(s.meta["name"])[:24], thumbnail(s, SIDE)) for s in chosen]
            lines += [save(name, strip(pictures)), ""]
        else:
            lines += [f"![{name}](images/gallery/{name}.webp)", ""]
    hidden = sorted(f"`{name}`" for name in CATALOG if name not in SHOWN)
    lines += [
        f"The others, {', '.join(hidden)}, were not at hand, or their licenses keep their images",
        "from being shown here. `jaxnuc inspect NAME ROOT` draws such a sheet of each:",
        "[Data sets](data.md).",
        "",
    ]
    return lines


def transforms() -> list[str]:
    lines = [
        "## Transforms",
        "",
        "The image, and four draws of each, stronger than one would train with; of geometry the",
        "nuclei move along. Arguments and times: [Augmentation](augmentation.md).",
        "",
    ]
    missing = set(REGISTRY.names()) - {*TRANSFORMS, "preset", "one_of"}  # lists of others
    if missing:
        raise ValueError(f"{__file__}: TRANSFORMS has no arguments of {', '.join(sorted(missing))}")
    sample = generate(2, size=SIDE, style="he")
    for name, arguments in TRANSFORMS.items():
        (transform,) = parse([f"{name}({arguments})"])
        draws = [transform(sample, np.random.default_rng(seed)) for seed in range(4)]
        pictures = [("image", thumbnail(sample, SIDE))]
        pictures += [(f"draw {k + 1}", thumbnail(draw, SIDE)) for k, draw in enumerate(draws)]
        lines += [f"`{name}({arguments})`", "", save(f"transform_{name}", strip(pictures)), ""]
    return lines


def representations() -> list[str]:
    lines = [
        "## Representations and decoders",
        "",
        "What a network is to learn of the same nuclei, and what each decoder makes of perfect",
        "maps, with the number of nuclei that it finds. What it does not give back even then,",
        "no training can.",
        "",
    ]
    sample = generate(7, size=SIDE, style="he")
    for name, decoders in REPRESENTATIONS.items():
        representation = create(name)
        shown = _maps(representation.encode(sample.instances))
        pictures = [("image", sample.image), ("nuclei", colored(sample.instances)), *shown]
        lines += [f"### {name}", "", _first_line(representation), ""]
        lines += [save(f"representation_{name}", strip(pictures)), ""]
        decoded = [("nuclei", colored(sample.instances))]
        for decoder in decoders:
            decoding = create(name, decoder={"name": decoder})
            nuclei = decoding.decode(_perfect(decoding, sample))
            decoded.append((f"{decoder}: {len(nuclei.scores)}", colored(nuclei.instances)))
        lines += [f"Its decoders: {', '.join(f'`{d}`' for d in decoders)}", ""]
        lines += [save(f"decoders_{name}", strip(decoded)), ""]
    return lines


def _first_line(representation: object) -> str:
    return (inspect.getdoc(type(representation)) or "").partition("\n")[0]


def _maps(targets: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    found = []
    for name, target in targets.items():
        channels = min(target.shape[-1], 3)
        for k in range(channels):
            label = name if channels == 1 else f"{name} {k}"
            found.append((label, gray(target[..., k].astype(float))))
    return found


def _perfect(representation: object, sample: Sample) -> dict[str, np.ndarray]:
    """The maps that a perfect network would give: targets, as logits where maps are logits."""
    targets = representation.encode(sample.instances)
    maps = {}
    for name, output in representation.output_maps.items():
        target = targets[name].astype(np.float32)
        if output.kind == "logits":
            probability = np.clip(target, 0.001, 0.999)
            logits = np.log(probability / (1 - probability))
            target = logits if output.channels == 1 else np.concatenate([-logits, logits], -1) / 2
        maps[name] = target.astype(np.float32)
    return maps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of data sets")
    root = parser.parse_args().data
    lines = [
        "# Gallery",
        "",
        "Made by `python docs/tools/gallery.py`, from what the library has.",
        "",
        *data_sets(root),
        *transforms(),
        *representations(),
    ]
    (DOCS / "gallery.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
