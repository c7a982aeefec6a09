"""The folder of a run, which belongs to one configuration."""

import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxnuc import config as configs
from jaxnuc.io.atomic import replace_file
from jaxnuc.io.text_files import read_json

logger = logging.getLogger(__name__)

CONFIG = "config.json"

# What may differ when a run goes on; everything else would make it another run.
MAY_CHANGE = (
    "data.root",
    "data.workers",
    "self_training.root",
    "duration",
    "evaluation",
    "checkpoint_every",
    "log_every",
    "distributed",
)
# But by this the checkpoints are ranked, and figures of two metrics cannot be compared.
KEPT = ("evaluation.monitor",)


def claim(workdir: Path, config: ConfigDict) -> None:
    """Writes the configuration to `config.json` of a folder, unless it holds another run.

    Raises:
      ValueError: it does; names the keys that differ, with both values.
    """
    for key, old, new in check(workdir, config):
        logger.info("the run goes on with %s=%r, which was %r", key, new, old)
    if jax.process_index() == 0:
        text = json.dumps(configs.to_json(config), indent=2) + "\n"
        replace_file(workdir / CONFIG, text.encode())


def check(
    workdir: Path, config: ConfigDict, besides: Collection[str] = ()
) -> list[tuple[str, Any, Any]]:
    """Refuses a folder that holds another run; the keys `besides` may differ as well.

    Returns:
      What differs of what may: key, value there, value now.

    Raises:
      ValueError: it does; names the keys that differ, with both values.
    """
    if not (workdir / CONFIG).exists():
        return []
    there = read_json(workdir / CONFIG)
    if not isinstance(there, dict):
        raise ValueError(
            f"{workdir / CONFIG}: not the configuration of a run; give another folder, or move the "
            "file away if the run in it is of the configuration that is given now"
        )
    differing = differences(there, configs.to_json(config))
    changed = [each for each in differing if not (_may_change(each[0]) or each[0] in besides)]
    if changed:
        lines = "\n".join(f"  {key}: {old!r} there, {new!r} now" for key, old, new in changed)
        raise ValueError(
            f"{workdir} holds a run of another configuration:\n{lines}\n"
            "give another folder, or the configuration of that run to go on with it"
        )
    return differing


def _may_change(key: str) -> bool:
    parents = (key[:end] for end, letter in enumerate(key + ".") if letter == ".")
    return key not in KEPT and any(each in MAY_CHANGE for each in parents)


def differences(
    earlier: Mapping[str, Any], given: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """Keys whose values differ, with both values."""
    found = []
    for key in sorted({*earlier, *given}):
        path, old, new = prefix + key, earlier.get(key), given.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, path + ".")
        else:
            found.append((path, old, new))
    return found
