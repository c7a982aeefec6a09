"""HARU-Net's ablation on MoNuSeg, Table 5 of its paper.

Six networks, from a U-Net to all of HARU-Net, whose nuclei are separated by a watershed, and the
last of them once more with the paper's post-processing, Algorithm 1: that row is another decoder
for the same trained networks. The paper does not say which watershed: here markers are the
parts of the mask without its contours. Its columns AJI and PQ stand in doubt; its AJI is AJI+ by
its code.

`small`, for a CPU: narrow blocks, crops of 128, `steps` of them.

    jaxnuc study harunet_ablation:small --output=runs/ablation --config.data.root=FOLDER
"""

from jaxnuc.config import arguments
from jaxnuc.studies import Row, Study, seeds

GROWTH = {"name": "growth"}  # Algorithm 1
ROWS = {  # of `harunet_monuseg`: the paper's name, and Dice / AJI / PQ as it prints them
    "unet": ("U-Net", ".758 / .478 / .556"),
    "rsu": ("+ RSU", ".790 / .533 / .570"),
    "rsu_cf": ("+ RSU + CF", ".808 / .580 / .579"),
    "rsu_cbam_everywhere": ("+ RSU + CBAM at all levels", "Dice and PQ .006 below the next row"),
    "rsu_cbam": ("+ RSU + CBAM", ".820 / .590 / .583"),
    "rsu_cbam_cf": ("+ RSU + CBAM + CF", ".827 / .598 / .589"),
}
PUBLISHED = ".838 / .656 / .624"  # with Algorithm 1


def get_study(text: str = "") -> Study:
    arg = arguments(text, small=False, steps=300, seeds=3)
    size, overrides = "", {}
    if arg.small:
        size = "small,"
        overrides = {"duration": f"{arg.steps} steps", "evaluation.every": f"{arg.steps} steps"}
        overrides["schedule.warmup"] = f"{arg.steps // 15} steps"
    rows = [
        Row(title, f"harunet_monuseg:{size}ablation={key}", overrides, published=published)
        for key, (title, published) in ROWS.items()
    ]
    whole = rows[-1].name
    rows.append(
        Row(f"{whole} + Algorithm 1", network_of=whole, decoder=GROWTH, published=PUBLISHED)
    )
    return Study(
        title="HARU-Net's ablation on MoNuSeg",
        rows=rows,
        data={"MoNuSeg": {"name": "monuseg", "convention": "haru"}},
        baseline=whole,
        repeats=seeds(arg.seeds),
        figures=("dice_image_mean", "aji_plus_image_mean", "pq_image_mean"),
        note="Published: Dice / AJI / PQ.",
    )
