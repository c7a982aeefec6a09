"""Evaluates a trained network: python eval.py --workdir=runs/a --split=test

Writes report.html, metrics.json, per_image.csv, per_class.csv where there are classes, calibration
and overlay pictures, and prints a table with 95 % confidence intervals (bootstrap over images) and
the conventions behind it. The configuration comes from the checkpoint. Another data set than that
of the training is evaluated with --source=dsb2018 --root=FOLDER.
"""

import os

from absl import app, flags, logging

WORKDIR = flags.DEFINE_multi_string(
    "workdir", None, "Folder of the run, or of one checkpoint; several times: an ensemble."
)
SPLIT = flags.DEFINE_string("split", "test", "Split to evaluate.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, latest or a step.")
OUTPUT = flags.DEFINE_string("output", None, "Folder to write; default WORKDIR/eval_SOURCE_SPLIT.")
SOURCE = flags.DEFINE_string("source", None, "A data set other than the one trained on.")
ROOT = flags.DEFINE_string("root", None, "Where the data are, if elsewhere than in training.")
OVERLAYS = flags.DEFINE_integer("overlays", 16, "Pictures to write, half worst and half best.")
WORKERS = flags.DEFINE_integer("workers", None, "Processes that decode and score.")
SYMMETRIES = flags.DEFINE_integer("symmetries", 1, "8: average over turns and mirror images.")
PATCH = flags.DEFINE_integer("patch", None, "Side of what the network sees; default: the image.")
OVERLAP = flags.DEFINE_integer("overlap", 128, "Pixels that neighbouring patches share.")
flags.mark_flags_as_required(["workdir"])


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.expanduser("~/.cache/jaxnuc/xla"))
    logging.set_verbosity(logging.WARNING)
    from jaxnuc.evaluation.checkpoint import evaluate_checkpoint

    figures, output = evaluate_checkpoint(
        WORKDIR.value,
        split=SPLIT.value,
        checkpoint=CHECKPOINT.value,
        output=OUTPUT.value,
        source=SOURCE.value,
        root=ROOT.value,
        overlays=OVERLAYS.value,
        workers=WORKERS.value,
        symmetries=SYMMETRIES.value,
        patch=PATCH.value,
        overlap=OVERLAP.value,
    )
    print(figures)
    print(f"written to {output}")


if __name__ == "__main__":
    app.run(main)
