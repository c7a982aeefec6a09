"""The recipe of the model `fluorescence`, one change at a time.

    python -m benchmarks.recipe --steps 500 --workdir runs/recipe

Trains the network that is shipped with three seeds, then with each change, and finds the nuclei of
the validation images, at the size that is estimated of each. Prints a table in Markdown: PQ, and
the difference from the recipe with the interval of its image by image comparison. Differences
within the spread of the seeds mean nothing. What is finished is not done again.
"""

import argparse
from pathlib import Path

from benchmarks.candidates import PAGE, Overrides, folder, validated
from jaxnuc.config.pages import load as load_page

UNCHANGED = "as it is"
GEOMETRY = ("crop_at_diameter", "flip_turn", "elastic")


def changes() -> dict[str, Overrides]:
    """Overrides of the recipe by what they change."""
    page = load_page(PAGE, {})
    transforms = tuple(page.data.transforms)
    real, synthetic = page.data.source.sources

    def share(value: float) -> Overrides:
        weighted = [{**real, "weight": 1 - value}, {**synthetic, "weight": value}]
        return {"data.source.sources": str(tuple(each for each in weighted if each["weight"]))}

    def seen(crop: str, rest: tuple[str, ...] = transforms[1:]) -> Overrides:
        return {"data.transforms": str((crop, *rest))}

    def without(*names: str) -> Overrides:
        return seen(transforms[0], tuple(t for t in transforms[1:] if t.split("(")[0] not in names))

    light = [t.split("(")[0] for t in transforms if t.split("(")[0] not in GEOMETRY]
    return {
        UNCHANGED: {},
        "seed 1": {"seed": "1"},
        "seed 2": {"seed": "2"},
        "no average of the parameters": {"ema_decay": "0"},
        "rate 1e-3": {"optimizer.learning_rate": "1e-3"},
        "rate 4e-3": {"optimizer.learning_rate": "4e-3"},
        "no synthetic images": share(0.0),
        "half of the images synthetic": share(0.5),
        "light, noise and blur as they are": without(*light),
        "without elastic deformation": without("elastic"),
        "cross entropy alone": {"representation.loss": "{'name': 'ce'}"},
        "soft Dice of three times the weight": {
            "representation.loss": "{'name': 'ce_dice', 'dice_weight': 3.0}"
        },
        "lines of background between nuclei (AL-Net)": {
            "representation.targets": "{'name': 'alnet'}"
        },
        "sizes times 0.8 to 1.25": seen("crop_at_diameter(128, 20, 0.8, 1.25)"),
        "2 crops of 256 pixels a step": {
            **seen("crop_at_diameter(256, 20, 0.6, 1.7)"),
            "batch_size": "2",
        },
        "constant rate after the warmup": {"schedule.name": "constant"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--workdir", type=Path, required=True)
    given = parser.parse_args()
    given.workdir.mkdir(parents=True, exist_ok=True)
    print("| change | PQ | difference |\n| --- | --- | --- |", flush=True)
    first = None
    for name, overrides in changes().items():
        found = validated(overrides, given.steps, folder(given.workdir, name))
        first = first or found
        compared = first.compare(found)["pq_image_mean"]
        ends = f"{compared.difference:+.3f} [{compared.low:+.3f}, {compared.high:+.3f}]"
        print(f"| {name} | {compared.second:.3f} | {ends} |", flush=True)


if __name__ == "__main__":
    main()
