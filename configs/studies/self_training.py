"""Images of another domain without annotations: what they add to annotated ones.

The two shifts of `configs/self_training.py`: from fluorescence to stained and gray images in
DSB2018 (`shift=dsb2018`), and from CoNSeP to MoNuSeg, two hospitals (`shift=consep`). No paper's
setting. In the second row the consistency has the weight 0: the images enter the running statistics
of batch normalization, and nothing else. Checkpoints know nothing of the other domain's nuclei.

`small`, for a CPU: a narrow U-Net, crops of 128, `steps` of them.

    JAXNUC_DATA=FOLDER_OF_ALL_SETS jaxnuc study self_training:small --output=runs/domains
"""

from jaxnuc.config import arguments
from jaxnuc.registry import check_known
from jaxnuc.studies import Row, Study, seeds

DATA = {
    "dsb2018": {
        "stained and gray": {"name": "dsb2018", "modality": ("stained", "brightfield-grey")},
        "fluorescence": {"name": "dsb2018", "modality": "fluorescence"},
    },
    "consep": {"MoNuSeg": {"name": "monuseg"}, "CoNSeP": {"name": "consep", "split": "val"}},
}


def get_study(text: str = "") -> Study:
    arg = arguments(text, shift="dsb2018", small=False, steps=400, seeds=3)
    check_known("shift", arg.shift, DATA)
    page, overrides = f"self_training:shift={arg.shift}", {}
    if arg.small:
        page += ",small"
        overrides = {"duration": f"{arg.steps} steps", "evaluation.every": f"{arg.steps} steps"}
        overrides["self_training.warmup"] = f"{arg.steps // 2} steps"
        overrides["schedule.warmup"] = f"{arg.steps // 8} steps"
    statistics = overrides | {"self_training.weight": "0.0"}
    rows = [
        Row("annotated images alone", f"{page},without", overrides),
        Row("statistics of the other images", page, statistics),
        Row("with the other images", page, overrides),
    ]
    return Study(
        title=f"Images without annotations, {arg.shift}",
        rows=rows,
        data=DATA[arg.shift],
        baseline=rows[0].name,
        repeats=seeds(arg.seeds),
        checkpoint="latest",
    )
