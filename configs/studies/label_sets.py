"""Combining data sets with different label sets: Tables 2 and 4 of Parulekar et al.

Rows are trainings on one set, or on one and then on another; each is evaluated on all sets, so that
Table 2 (the set of the second training) and Table 4 (a set never seen) are parts of one table. PQ
is without classes; the paper does not say which of its kinds it means. Published figures are those
on the set in brackets.

`small`, for a CPU: NuCLS and CoNSeP, one alone, one after the other, both at once; MoNuSeg is never
seen, and has no classes. CoNSeP's validation images stand for its test images.

    JAXNUC_DATA=FOLDER_OF_ALL_SETS jaxnuc study label_sets:small --output=runs/label_sets
"""

from jaxnuc.config import arguments
from jaxnuc.studies import Row, Study, seeds

PAGE = "stardist_labeltree_pannuke_consep"
TRAININGS = {  # first set and its epochs, second set and its epochs; published PQ
    ("consep", 100, "", 0): ".540 (CoNSeP), .433 (MoNuSAC), .433 (PanNuke)",
    ("monusac", 175, "consep", 75): ".555 (CoNSeP)",
    ("pannuke", 250, "consep", 75): ".571 (CoNSeP)",
    ("monusac", 175, "", 0): ".579 (MoNuSAC), .344 (CoNSeP), .396 (PanNuke)",
    ("consep", 100, "monusac", 130): ".587 (MoNuSAC)",
    ("pannuke", 250, "monusac", 130): ".602 (MoNuSAC)",
    ("pannuke", 250, "", 0): ".610 (PanNuke)",
    ("consep", 100, "pannuke", 187): ".605 (PanNuke)",
    ("monusac", 175, "pannuke", 187): ".610 (PanNuke)",
    ("consep", 100, "pannuke", 62): ".563 (MoNuSAC)",
    ("consep", 100, "monusac", 43): ".434 (PanNuke)",
    ("monusac", 175, "pannuke", 62): ".449 (CoNSeP)",
    ("monusac", 175, "consep", 25): ".405 (PanNuke)",
}
FIGURES = ("mpq_pooled", "pq_pooled", "pq_image_mean")


def get_study(text: str = "") -> Study:
    arg = arguments(text, small=False, steps=400, seeds=3)
    if arg.small:
        return _small(arg.steps, arg.seeds)
    rows = [
        Row(
            f"{first} {epochs}" + (f", {second} {more}" if more else ""),
            f"{PAGE}:first={first},first_epochs={epochs},second_epochs={more}"
            + (f",second={second}" if second else ""),
            published=published,
        )
        for (first, epochs, second, more), published in TRAININGS.items()
    ]
    data = {
        "CoNSeP": {"name": "consep"},
        "MoNuSAC": {"name": "monusac", "mpp": 0.25},
        "PanNuke": {"name": "pannuke"},
    }
    return Study(
        title="Data sets with different label sets",
        rows=rows,
        data=data,
        baseline=rows[0].name,
        repeats=seeds(arg.seeds),
        figures=FIGURES,
        checkpoint="latest",
    )


def _small(steps: int, count: int) -> Study:
    page = "labeltree_nucls_consep"
    half = steps // 2
    rows = [
        Row(f"nucls {steps}", f"{page}:sets=nucls,steps={steps}"),
        Row(f"consep {steps}", f"{page}:sets=consep,steps={steps}"),
        Row(f"both at once {steps}", f"{page}:sets=both,steps={steps}"),
        Row(f"nucls {half}", f"{page}:sets=nucls,steps={half}"),
        Row(f"consep {half}", f"{page}:sets=consep,steps={half}"),
        Row(
            f"nucls {half}, consep {half}",
            f"{page}:sets=consep,steps={half}",
            start_from=f"nucls {half}",
        ),
        Row(
            f"consep {half}, nucls {half}",
            f"{page}:sets=nucls,steps={half}",
            start_from=f"consep {half}",
        ),
    ]
    return Study(
        title="Data sets with different label sets, small",
        rows=rows,
        data={
            "NuCLS": {"name": "nucls", "mpp": 0.25},
            "CoNSeP": {"name": "consep", "split": "val"},
            "MoNuSeg, unseen": {"name": "monuseg"},
        },
        baseline=f"consep {steps}",
        repeats=seeds(count),
        figures=FIGURES,
        checkpoint="latest",
        note="Numbers behind the names are steps.",
    )
