"""Trains a network: python train.py --config=configs/harunet_dsb2018.py:small --workdir=runs/a

Run again on the same workdir it resumes. Any key of the configuration can be given on the command
line: --config.batch_size=8.
"""

import os

from absl import app, flags, logging
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "A file in configs/.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.expanduser("~/.cache/jaxnuc/xla"))
    from jaxnuc.training.loop import train_and_evaluate

    logging.set_verbosity(logging.WARNING)  # Orbax narrates every save at level INFO
    train_and_evaluate(CONFIG.value, WORKDIR.value)


if __name__ == "__main__":
    app.run(main)
