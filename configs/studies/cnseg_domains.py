"""CNSeg: trained on single patches or on clusters, tested on both and on two other domains.

The paper's questions: do networks trained on patches with single nuclei find those in clusters, and
nuclei of other microscopes and stains (target A and B)? And how far do images of the other domain
help whose nuclei are not annotated (docs/domains.md)? AL-Net (attention learning) is the network;
the paper's figures are not known here.

`small`, for a CPU: fewer blocks, crops of 128, `steps` of them.

    jaxnuc study cnseg_domains:small --output=runs/cnseg --config.data.root=FOLDER
"""

from jaxnuc.config import arguments
from jaxnuc.studies import Row, Study, seeds

TITLES = {
    "patch": "PatchSeg",
    "cluster": "ClusterSeg",
    "target_a": "Target A",
    "target_b": "Target B",
}
OUTLINES = {"convention": "alnet", "min_points": 6}


def get_study(text: str = "") -> Study:
    arg = arguments(text, small=False, steps=300, seeds=3)
    overrides, size, crop, batch = {}, "", 224, 16
    if arg.small:
        steps, size, crop, batch = f"{arg.steps} steps", "small,", 128, 8
        overrides = {"duration": steps, "evaluation.every": steps}
        overrides["schedule.warmup"] = f"{arg.steps // 15} steps"
    page = f"alnet_attention_cnseg:{size}subset="
    rows = [Row(TITLES[subset], page + subset, overrides) for subset in ("patch", "cluster")]
    for subset in ("cluster", "target_a", "target_b"):
        unlabeled = {
            "source": f"cnseg(subset={subset!r})",
            "transforms": str((f"random_crop({crop})", "flip_turn()")),
            "batch_size": str(batch),
        }
        changes = {f"self_training.{key}": value for key, value in unlabeled.items()}
        name = f"{TITLES['patch']}, and {TITLES[subset]} without annotations"
        rows.append(Row(name, page + "patch", overrides | changes))
    return Study(
        title="CNSeg: subsets and domains",
        rows=rows,
        data={
            title: {"name": "cnseg", "subset": subset, "outlines": OUTLINES}
            for subset, title in TITLES.items()
        },
        baseline=TITLES["patch"],
        repeats=seeds(arg.seeds),
    )
