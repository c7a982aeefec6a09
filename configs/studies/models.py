"""How far a model that comes with the library depends on the seed of its training.

No paper's setting. `model` is a name of `jaxnuc models`; its training with several seeds, evaluated
on the validation images of all its data sets. `small` trains for `steps`.

    JAXNUC_DATA=FOLDER_OF_ALL_SETS jaxnuc study models:model=he,small --output=runs/seeds
"""

from jaxnuc.config import arguments
from jaxnuc.config.pages import CONFIGURATIONS
from jaxnuc.registry import one_of
from jaxnuc.studies import Row, Study, seeds

PAGES = {
    "fluorescence": "models/fluorescence",
    "he": "models/he",
    "he-nc": "models/he:noncommercial",
    "he-types": "models/he_types",
    "cytology": "models/cytology",
}


def get_study(text: str = "") -> Study:
    arg = arguments(text, model="fluorescence", small=False, steps=500, seeds=3)
    one_of("model", arg.model, tuple(PAGES))
    page = PAGES[arg.model]
    if arg.small:
        page += f"{',' if ':' in page else ':'}steps={arg.steps}"
    config = CONFIGURATIONS.make(page)
    source = config.data.source.to_dict()
    real = [each for each in source.get("sources", (source,)) if each["name"] != "synthetic"]
    return Study(
        title=f"The model `{arg.model}` with several seeds",
        rows=[Row(arg.model, page, {"evaluation.every": config.duration})],
        data={f"{each['name']}, validation": _validation(each) for each in real},
        baseline=arg.model,
        repeats=seeds(arg.seeds),
        figures=("pq_image_mean", "aji_image_mean", "dq_image_mean"),
        checkpoint="latest",
    )


def _validation(section: dict) -> dict:
    """The images as they are: windows, weights and balance are for training."""
    kept = {k: v for k, v in section.items() if k not in ("windows", "weight", "balance")}
    return {**kept, "split": "val"}
