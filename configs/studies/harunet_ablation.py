"""HARU-Net's ablation on MoNuSeg, Table 5 of its paper.

Five networks, from a U-Net to all of HARU-Net, whose nuclei are separated by a watershed, and the
last one once more with the paper's post-processing, Algorithm 1. The last row is another decoder
for the same trained networks. Which watershed the paper takes is not said: here markers are the
parts of the mask without its contours. Its columns AJI and PQ stand in doubt; what it calls AJI is
AJI+ by its code.

`small`, for a CPU: narrow blocks, crops of 128, `steps` of them, a quarter of each test image.

    jaxnuc study harunet_ablation:small --output=runs/ablation --config.data.root=FOLDER
"""

from jaxnuc.config import arguments
from jaxnuc.studies import Row, Study, seeds

WATERSHED = {"name": "watershed"}
ROWS = {  # the paper's name, and Dice / AJI / PQ as it prints them
    "unet": ("U-Net", ".758 / .478 / .556"),
    "rsu": ("+ RSU", ".790 / .533 / .570"),
    "rsu_cf": ("+ RSU + CF", ".808 / .580 / .579"),
    "rsu_cbam": ("+ RSU + CBAM", ".820 / .590 / .583"),
    "all": ("+ RSU + CBAM + CF", ".827 / .598 / .589"),
}
PUBLISHED = ".838 / .656 / .624"  # with Algorithm 1


def get_study(text: str = "") -> Study:
    arg = arguments(text, small=False, steps=300, seeds=3)
    size, overrides, data = "", {}, {}
    if arg.small:
        size = "small,"
        overrides = {"duration": f"{arg.steps} steps", "evaluation.every": f"{arg.steps} steps"}
        overrides["schedule.warmup"] = f"{arg.steps // 15} steps"
        data = {"windows": {"size": 500, "stride": 1000}}
    rows = [
        Row(
            title,
            f"harunet_monuseg:{size}ablation={key}",
            overrides,
            decoder=WATERSHED,
            published=p,
        )
        for key, (title, p) in ROWS.items()
    ]
    whole = rows[-1].name
    rows.append(Row(f"{whole} + Algorithm 1", network_of=whole, published=PUBLISHED))
    return Study(
        title="HARU-Net's ablation on MoNuSeg",
        rows=rows,
        data={"MoNuSeg": {"name": "monuseg", "convention": "haru", **data}},
        baseline=whole,
        repeats=seeds(arg.seeds),
        figures=("dice_image_mean", "aji_plus_image_mean", "pq_image_mean"),
        note="Published: Dice / AJI / PQ.",
    )
