"""The recipe of the model `fluorescence`, one change at a time, on its validation images.

No paper's setting. The network that is shipped as it is shipped, and then with each change. `small`
trains for `steps`.

    jaxnuc study fluorescence_recipe:small --output=runs/recipe \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
"""

from jaxnuc.config import arguments
from jaxnuc.config.pages import CONFIGURATIONS
from jaxnuc.studies import Row, Study, seeds

PAGE = "models/fluorescence"


def get_study(text: str = "") -> Study:
    arg = arguments(text, small=False, steps=500, seeds=3)
    config = CONFIGURATIONS.make(PAGE)
    crop, *others = config.data.transforms
    real, synthetic = config.data.source.sources

    def share(of_synthetic: float) -> dict[str, str]:
        shares = [{**real, "weight": 1 - of_synthetic}, {**synthetic, "weight": of_synthetic}]
        return {"data.source.sources": str(tuple(each for each in shares if each["weight"]))}

    def seen(*transforms: str) -> dict[str, str]:
        return {"data.transforms": str(transforms)}

    def without(name: str) -> dict[str, str]:
        return seen(crop, *(each for each in others if not each.startswith(f"{name}(")))

    geometry = [each for each in others if each.startswith(("flip_turn(", "elastic("))]
    changes = {
        "as it is": {},
        "no average of the parameters": {"ema_decay": "0"},
        "rate 1e-3": {"optimizer.learning_rate": "1e-3"},
        "rate 4e-3": {"optimizer.learning_rate": "4e-3"},
        "no synthetic images": share(0.0),
        "half of the images synthetic": share(0.5),
        "light, noise and sharpness as they are": seen(crop, *geometry),
        "no elastic deformation": without("elastic"),
        "no lower resolution": without("low_resolution"),
        "cross entropy alone": {"representation.loss": "{'name': 'ce'}"},
        "lines of background between nuclei": {"representation.targets": "{'name': 'alnet'}"},
        "sizes times 0.8 to 1.25": seen("crop_at_diameter(128, 20, 0.8, 1.25)", *others),
        "2 crops of 256 pixels a step": {
            **seen("crop_at_diameter(256, 20, 0.6, 1.7)", *others),
            "batch_size": "2",
        },
        "constant rate after the warmup": {"schedule.name": "constant"},
    }
    page = f"{PAGE}:steps={arg.steps}" if arg.small else PAGE
    at_end = {"evaluation.every": CONFIGURATIONS.make(page).duration}
    return Study(
        title="The recipe of the model `fluorescence`",
        rows=[Row(name, page, {**overrides, **at_end}) for name, overrides in changes.items()],
        data={"validation": {"name": real["name"], "modality": real["modality"], "split": "val"}},
        baseline="as it is",
        repeats=seeds(arg.seeds),
        figures=("pq_image_mean", "aji_image_mean", "dq_image_mean"),
        checkpoint="latest",
    )
