"""The methods of HARU-Net's Tables 1 to 4 on one of its data sets: MoNuSeg, CoNSeP, CPM-17, TNBC.

`source` names the data set; its BNS is here TNBC. Not among the rows: the plain CNN of its Table 1,
Mask R-CNN (docs/systems.md says why) and the joint segmentation of its Table 3. What its tables
call AJI is AJI+ by HARU-Net's code.

`small`, for a CPU: thin networks, crops of 128, `steps` of them.

    jaxnuc study harunet_methods:source=monuseg --output=runs/methods --config.data.root=FOLDER
"""

from jaxnuc.config import arguments
from jaxnuc.registry import unknown
from jaxnuc.studies import Row, Study, seeds

TITLES = {"monuseg": "MoNuSeg", "consep": "CoNSeP", "cpm17": "CPM-17", "tnbc": "TNBC"}
ARGUMENTS = {"monuseg": {"convention": "haru"}, "tnbc": {"fractions": (0.55, 0.15, 0.3)}}
# Configuration, the title of its row, and the published Dice / AJI / PQ by data set.
METHODS = (
    (
        "references_monuseg:method=unet",
        "U-Net",
        {
            "monuseg": ".758 / .556 / .478",
            "consep": ".724 / .482 / .328",
            "cpm17": ".813 / .643 / .578",
        },
    ),
    (
        "references_monuseg:method=dist",
        "DIST",
        {
            "monuseg": ".786 / .560 / .443",
            "consep": ".804 / .502 / .398",
            "cpm17": ".826 / .616 / .504",
        },
    ),
    (
        "references_monuseg:method=dcan",
        "DCAN",
        {
            "monuseg": ".793 / .525 / .492",
            "consep": ".733 / .289 / .256",
            "cpm17": ".828 / .561 / .545",
        },
    ),
    ("references_monuseg:method=micro_net", "Micro-Net", {"monuseg": ".797 / .560 / .519"}),
    ("references_monuseg:method=unet_plus_plus", "U-Net++", {"tnbc": ".777 / .572 / .549"}),
    ("references_monuseg:method=attention_unet", "Attention U-Net", {"tnbc": ".782 / .576 / .554"}),
    ("references_monuseg:method=ce_net", "CE-Net", {"tnbc": ".779 / .582 / .548"}),
    (
        "hovernet_consep:scratch",
        "HoVer-Net",
        {
            "monuseg": ".826 / .618 / .597",
            "consep": ".853 / .571 / .547",
            "cpm17": ".869 / .705 / .697",
        },
    ),
    (
        "alnet_attention_cnseg:",
        "AL-Net (attention learning)",
        {"monuseg": ".823 / .649 / .610"},
    ),
    (
        "harunet_monuseg:",
        "HARU-Net",
        {
            "monuseg": ".838 / .656 / .624",
            "consep": ".856 / .554 / .518",
            "cpm17": ".895 / .721 / .701",
            "tnbc": ".812 / .651 / .631",
        },
    ),
)


def get_study(text: str = "") -> Study:
    arg = arguments(text, small=False, source="monuseg", steps=300, seeds=3)
    if arg.source not in TITLES:
        raise unknown("source", arg.source, TITLES)
    overrides, more = {}, f"source={arg.source}"
    if arg.small:
        steps = f"{arg.steps} steps"
        overrides = {"duration": steps, "evaluation.every": steps}
        overrides["schedule.warmup"] = f"{arg.steps // 15} steps"
        more += ",small"
    rows = []
    for page, title, published in METHODS:
        if arg.source in published:
            config = f"{page}{'' if page.endswith(':') else ','}{more}"
            rows.append(Row(title, config, overrides, published=published[arg.source]))
    return Study(
        title=f"HARU-Net and the methods it is compared with on {TITLES[arg.source]}",
        rows=rows,
        data={TITLES[arg.source]: {"name": arg.source, **ARGUMENTS.get(arg.source, {})}},
        baseline="HARU-Net",
        repeats=seeds(arg.seeds),
        figures=("dice_image_mean", "aji_plus_image_mean", "pq_image_mean"),
        note="Published: Dice / AJI / PQ.",
    )
