"""How far a model that comes with the library depends on the seed of its training.

No paper's setting. `model` is a name of `jaxnuc models`; its training with several seeds, evaluated
on the validation images of all its data sets. `small` trains for `steps`.

    JAXNUC_DATA=FOLDER_OF_ALL_SETS jaxnuc study models:model=he,small --output=runs/seeds
"""

from jaxnuc.config import arguments
from jaxnuc.config.pages import CONFIGURATIONS
from jaxnuc.run.cards import card
from jaxnuc.studies import Row, Study, seeds


def get_study(text: str = "") -> Study:
    arg = arguments(text, model="fluorescence", small=False, steps=500, seeds=3)
    page = card(arg.model).recipe
    if arg.small:
        page += f"{',' if ':' in page else ':'}steps={arg.steps}"
    config = CONFIGURATIONS.make(page)
    source = config.data.source.to_dict()
    data = {}
    for section in source.get("sources", (source,)):
        section.pop("weight", None)  # of the mixture
        if section["name"] != "synthetic":
            data[f"{section['name']}, validation"] = {**section, "split": "val"}
    figures = ("pq_image_mean", "aji_image_mean", "dq_image_mean")
    if config.classes.name != "none":
        figures += ("mpq_pooled", "class_accuracy_pooled")
    return Study(
        title=f"The model `{arg.model}` with several seeds",
        rows=[Row(arg.model, page, {"evaluation.every": config.duration})],
        data=data,
        baseline=arg.model,
        repeats=seeds(arg.seeds),
        figures=figures,
        checkpoint="latest",
    )
