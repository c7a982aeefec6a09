"""Images of another domain without annotations: what they add to annotated ones.

The two shifts of `configs/self_training.py`: from fluorescence to stained and gray images in
DSB2018 (`shift=dsb2018`), and from CoNSeP to MoNuSeg, two hospitals (`shift=consep`). No paper's
setting. `small`, for a CPU: crops of 128, 400 steps.

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
    arg = arguments(text, shift="dsb2018", small=False, seeds=3)
    check_known("shift", arg.shift, DATA)
    page = f"self_training:shift={arg.shift}" + (",small" if arg.small else "")
    rows = [Row("annotated images alone", f"{page},without"), Row("with the other images", page)]
    return Study(
        title=f"Images without annotations, {arg.shift}",
        rows=rows,
        data=DATA[arg.shift],
        baseline=rows[0].name,
        repeats=seeds(arg.seeds),
    )
