"""AL-Net (adaptive learning) on DSB2018: four optimizers, each with Dice alone and self-scheduled.

What the paper's abstract claims for its two ideas, Lion that switches to SGD and a loss that goes
from Dice to the boundary, each against what it replaces. The paper's own tables are not known here;
the rates of SGD, Adam and Lion are choices, those with which each of them trains well.

`small`, for a CPU: half the widths, crops of 128, `steps` of them; the decisions of both schedules
fall into the first 60 % as in the configuration's own `small`.

    jaxnuc study alnet_adaptive_optimizers:small --output=runs/optimizers \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
"""

from jaxnuc.config import arguments
from jaxnuc.studies import Row, Study, seeds

OPTIMIZERS = {
    "SGD": "sgd(learning_rate=0.05, momentum=0.9)",
    "Adam": "adam(learning_rate=0.001)",
    "Lion": "lion(learning_rate=0.0003)",
    "Lion to SGD": "",  # that of the configuration
}
DICE = {"loss_schedule": "constant()", "representation.loss.boundary_weight": "0.0"}
LOSSES = {"Dice": DICE, "self-scheduled": {}}


def get_study(text: str = "") -> Study:
    arg = arguments(text, small=False, steps=600, seeds=3)
    size, overrides = "", {}
    if arg.small:
        size, overrides = ":small", {"duration": f"{arg.steps} steps"}
        overrides["evaluation.every"] = overrides["duration"]
    rows = [
        Row(
            f"{optimizer}, {loss}",
            f"alnet_adaptive_dsb2018{size}",
            overrides | changes | ({"optimizer": section} if section else {}),
        )
        for optimizer, section in OPTIMIZERS.items()
        for loss, changes in LOSSES.items()
    ]
    return Study(
        title="AL-Net (adaptive learning): optimizers and losses on DSB2018",
        rows=rows,
        data={"DSB2018": {}},
        baseline="Lion to SGD, self-scheduled",
        repeats=seeds(arg.seeds),
        figures=("dice_pooled", "iou_pooled", "aji_image_mean", "pq_image_mean"),
        checkpoint="latest",
    )
