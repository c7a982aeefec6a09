"""Annotations of one domain, images of another: without them, their statistics alone, a teacher.

Of `configs/self_training.py`: trained on the nuclei of one domain, tested on both. The second row
has the weight 0, so that the unlabeled images enter the running statistics of batch normalization
and nothing else. Thresholds and checkpoints know nothing of the other domain's nuclei.

`small`, for a CPU: a narrow U-Net, crops of 128, `steps` of them. CoNSeP's and MoNuSeg's folders
are looked for below $JAXNUC_DATA.

    jaxnuc study self_training:small --output=runs/self_training \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    jaxnuc study self_training:small,shift=consep --output=runs/hospitals
"""

from jaxnuc.config import arguments
from jaxnuc.registry import check_known
from jaxnuc.studies import Row, Study, seeds

OTHERS = {"name": "dsb2018", "modality": ("stained", "brightfield-grey")}
DATA = {
    "dsb2018": {"fluorescence": {}, "stained and gray": OTHERS},
    "consep": {"CoNSeP": {"split": "val"}, "MoNuSeg": {"name": "monuseg"}},
}


def get_study(text: str = "") -> Study:
    arg = arguments(text, shift="dsb2018", small=False, steps=400, seeds=2)
    check_known("shift", arg.shift, DATA)
    page, overrides = f"self_training:shift={arg.shift}", {}
    if arg.small:
        page += ",small"
        overrides = {"duration": f"{arg.steps} steps", "evaluation.every": f"{arg.steps} steps"}
        overrides["self_training.warmup"] = f"{arg.steps // 2} steps"
        overrides["schedule.warmup"] = f"{arg.steps // 8} steps"
    return Study(
        title=f"Self-training: {' to '.join(DATA[arg.shift])}",
        rows=[
            Row("without", f"{page},without", overrides),
            Row("statistics alone", page, overrides | {"self_training.weight": "0.0"}),
            Row("self-training", page, overrides),
        ],
        data=DATA[arg.shift],
        baseline="without",
        repeats=seeds(arg.seeds),
        checkpoint="latest",
        note="The unlabeled images are those of the other domain's training split.",
    )
