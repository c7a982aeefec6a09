"""Fine-tuned or from scratch: a few annotated crops with classes of their own.

No paper's setting. A StarDist network that was trained on MoNuSeg, without classes, goes on with
crops of CoNSeP in three own classes: with all of its arrays at the same rate, with those that were
taken at a tenth of it, and held for the first third. `count` is 5, 12 or 50, the crops that
`benchmarks/own_crops.py` writes. Two rows train own classes and those of NuCLS in one head.
All trainings take as many steps. `small`, for a CPU: the small variant of the network.

    python -m benchmarks.own_crops CONSEP --output=crops
    JAXNUC_DATA=FOLDER_OF_ALL_SETS jaxnuc study finetuning:own=crops,small --output=runs/finetuning
"""

from pathlib import Path

from jaxnuc.config import arguments
from jaxnuc.studies import Row, Study, seeds

FIRST = "MoNuSeg"
FIGURES = ("pq_image_mean", "mpq_pooled", "aji_image_mean")


def get_study(text: str = "") -> Study:
    arg = arguments(text, own="crops", count=12, small=False, steps=500, first=600, seeds=3)
    size = {"model.variant": "small" if arg.small else "full"}
    root = str(Path(arg.own, str(arg.count)).absolute())
    own = {"name": "folder", "root": root, "mpp": 0.25}
    windows = {"size": 192, "stride": 154, "cache": 50}
    training = {**own, "windows": windows}
    first = {**size, "data.source": f"monuseg(windows={windows})", "classes": "none"}
    alone = {**size, "data.source": _source(training)}
    mixed = {**size, "data.source": _source(training, {"name": "nucls", "mpp": 0.25})}
    tenth = {"optimizer.taken_rate": "0.1"}
    held = {"optimizer.taken_frozen_until": f"{arg.steps // 3} steps"}
    page = lambda steps: f"labeltree_nucls_consep:steps={steps}"
    rows = [
        Row(FIRST, page(arg.first), first),
        Row("from scratch", page(arg.steps), alone),
        Row("fine-tuned", page(arg.steps), alone, start_from=FIRST),
        Row("from scratch, with NuCLS", page(arg.steps), mixed),
        Row("fine-tuned, with NuCLS", page(arg.steps), mixed, start_from=FIRST),
        Row("fine-tuned, taken at a tenth", page(arg.steps), alone | tenth, start_from=FIRST),
        Row("fine-tuned, held at first", page(arg.steps), alone | held, start_from=FIRST),
    ]
    return Study(
        title=f"Fine-tuned or from scratch, {arg.count} crops",
        rows=rows,
        data={"CoNSeP, whole images": {**own, "split": "test"}},
        baseline="from scratch",
        repeats=seeds(arg.seeds),
        figures=FIGURES,
        checkpoint="latest",
    )


def _source(*sources: dict) -> str:
    return f"mixture(label_set='own', sources={sources!r})"
