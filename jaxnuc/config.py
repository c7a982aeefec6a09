"""The one page that lists every key of a configuration, and the checks on it.

A file in `configs/` starts from `default()` and says what differs. `model`, `representation`,
`classes`, `data.source`, `optimizer`, `schedule` and `loss_schedule` are
`{"name": ..., **arguments}`; the arguments are those of the named thing, which checks them itself.
Lengths of time are strings: `"20 epochs"`, `"3000 steps"`.
"""

import ast
import json
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxnuc import registry
from jaxnuc.metrics import Conventions

OPEN = {
    "model",
    "representation",
    "classes",
    "data.source",
    "optimizer",
    "schedule",
    "loss_schedule",
}


def default() -> ConfigDict:
    """A small HARU-Net on synthetic nuclei; every key there is, with its meaning."""
    config = ConfigDict()
    config.seed = 0
    config.model = ConfigDict({"name": "harunet", "variant": "small"})  # jaxnuc.models
    config.representation = ConfigDict({"name": "contour"})  # jaxnuc.representations
    config.classes = ConfigDict({"name": "none"})  # or groups, leaves: representations._classes
    config.compute_dtype = "float32"  # "bfloat16" on accelerators; parameters stay float32

    config.weights = ConfigDict()  # to start from, in place of random ones: jaxnuc.pretrained
    config.weights.file = ""  # .safetensors or .npz in a published layout, or a run's workdir
    config.weights.layout = "auto"
    config.weights.keep = ""  # regular expression of our arrays that stay random
    config.weights.drop = ""  # regular expression of the file's arrays that are not used

    config.data = ConfigDict()
    config.data.source = ConfigDict({"name": "synthetic"})  # jaxnuc.data.sources
    config.data.root = ""  # empty: the folder of the source's name below $JAXNUC_DATA
    config.data.mpp = (
        0.0  # microns per pixel to which all images are resampled; 0: left as they are
    )
    config.data.normalize = "none"  # jaxnuc.data.normalize: of whole images, training and use
    config.data.transforms = ("random_crop(128)", "flip_turn()")  # in order, training only
    config.data.workers = 0  # input processes; 0: threads of this one

    config.batch_size = 16  # over all devices of all processes
    config.duration = "200 steps"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 1e-3})  # jaxnuc.optim
    config.schedule = ConfigDict({"name": "cosine", "warmup": "20 steps"})
    config.loss_schedule = ConfigDict({"name": "constant"})  # jaxnuc.losses.schedules
    config.clip_value = 0.0  # largest magnitude of a gradient's element; 0: off
    config.clip_norm = 0.0  # largest global norm of the gradient; 0: off
    config.ema_decay = 0.0  # of the averaged parameters that are evaluated; 0: off

    config.evaluation = ConfigDict()
    config.evaluation.every = "100 steps"  # on the split "val"; the end is always evaluated
    config.evaluation.monitor = "pq_image_mean"  # larger is better: decides best, plateau, stop
    config.evaluation.patience = 0  # evaluations without a better one before stopping; 0: off
    config.evaluation.threshold = 0.5  # IoU at which nuclei match
    config.evaluation.inclusive = False  # whether an IoU of exactly the threshold matches
    config.evaluation.matching = "iou"  # or "count": choice among pairs at thresholds below 0.5
    config.evaluation.empty = "skip"  # images without nuclei on both sides: skip, nan, one, zero
    config.evaluation.workers = 0  # processes that decode and score; 0: this one
    config.evaluation.optimize_thresholds = False  # at the end, on "val", for the best checkpoint

    config.checkpoint_every = "0 steps"  # besides those at evaluations; 0: none
    config.log_every = 10  # steps between lines of metrics.jsonl

    config.distributed = ConfigDict()
    config.distributed.processes = 1  # 0: found out by JAX, as on TPU pods and Slurm
    config.distributed.index = 0
    config.distributed.coordinator = ""  # "host:port" of process 0
    return config


def arguments(text: str | None, **defaults: Any) -> ConfigDict:
    """Parses the string behind `--config=file.py:`, such as `"small,crop=96"`.

    Args:
      text: comma-separated `key=value`; a bare `key` sets a switch to True.
      **defaults: every key with its default, whose type the value takes.

    Raises:
      ValueError: unknown key, or a value of another type.

    >>> arguments("small,crop=96", small=False, crop=256).crop
    96
    """
    values = dict(defaults)
    for item in filter(None, (text or "").split(",")):
        key, equals, value = item.partition("=")
        if key not in defaults:
            raise registry.unknown("argument of this configuration", key, defaults)
        kind = type(defaults[key])
        if not equals and kind is not bool:
            raise ValueError(f"argument {key!r} needs a value: {key}={defaults[key]}")
        try:
            parsed = value if kind is str else ast.literal_eval(value) if equals else True
            values[key] = float(parsed) if kind is float else parsed
            if type(values[key]) is not kind:
                raise ValueError
        except (ValueError, SyntaxError, TypeError):
            raise ValueError(f"argument {key}={value!r} is not of type {kind.__name__}") from None
    return ConfigDict(values)


def check(config: ConfigDict) -> None:
    """Refuses unknown and missing keys and values of another type.

    Raises:
      ValueError: names the key, what was given and what is expected.
    """
    _check(config, default(), "")


def _check(given: Mapping, known: Mapping, prefix: str) -> None:
    for key in given:
        if key not in known:
            raise registry.unknown("configuration key", prefix + key, [prefix + k for k in known])
    for key, expected in known.items():
        path = prefix + key
        if key not in given:
            raise ValueError(f"configuration key {path!r} is missing; its default is {expected!r}")
        value = given[key]
        if path in OPEN:
            if not isinstance(value, Mapping | ConfigDict) or "name" not in value:
                raise ValueError(f"configuration key {path!r} needs a 'name', got {value!r}")
        elif isinstance(expected, ConfigDict):
            _check(value, expected, path + ".")
        elif isinstance(expected, tuple):
            if not isinstance(value, list | tuple):
                raise ValueError(f"configuration key {path!r} must be a list, got {value!r}")
        elif not isinstance(value, (int, float) if isinstance(expected, float) else type(expected)):
            raise ValueError(
                f"configuration key {path!r} must be {type(expected).__name__} such as "
                f"{expected!r}, got {value!r}"
            )


def named(section: Mapping) -> tuple[str, dict[str, Any]]:
    """`{"name": n, **arguments}` as `(n, arguments)`."""
    values = section.to_dict() if isinstance(section, ConfigDict) else dict(section)
    return values.pop("name"), values


def to_json(config: ConfigDict) -> dict[str, Any]:
    """The configuration as plain data; `from_json` is its inverse."""
    return json.loads(json.dumps(config.to_dict()))


def from_json(values: Mapping[str, Any]) -> ConfigDict:
    """A checked configuration from plain data.

    Keys that are missing, because the data were written before there was the key, get their
    default: that of a new key keeps what was done without it.
    """
    config = default()
    config.unlock()
    config.update(ConfigDict(dict(values)))
    for path in OPEN:  # these hold what was given, and nothing of the default's choice
        section, _, key = path.rpartition(".")
        given = values[section] if section else values
        if key in given:
            (config[section] if section else config)[key] = ConfigDict(dict(given[key]))
    check(config)
    return config


def conventions(config: ConfigDict) -> Conventions:
    """How nuclei are matched and scored in evaluations.

    Raises:
      ValueError: `evaluation.matching` or `evaluation.empty` is unknown.
    """
    names = ("threshold", "inclusive", "matching", "empty")
    return Conventions(**{name: config.evaluation[name] for name in names})


def steps(text: str, key: str, steps_per_epoch: int | None) -> int:
    """The number of steps of `"20 epochs"` or `"3000 steps"`.

    Args:
      text: a number and `steps` or `epochs`.
      key: the configuration key, for the error.
      steps_per_epoch: None for an endless source.

    Raises:
      ValueError: not of that form, or epochs of an endless source.

    >>> steps("2 epochs", "duration", 30)
    60
    """
    number, _, unit = text.partition(" ")
    try:
        count = float(number)
    except ValueError:
        count = -1.0
    if unit.rstrip("s") not in ("step", "epoch") or count < 0:
        raise ValueError(f"{key}={text!r} is not of the form '3000 steps' or '20 epochs'")
    if unit.startswith("step"):
        return int(count)
    if steps_per_epoch is None:
        raise ValueError(f"{key}={text!r}: an endless source has no epochs; give it in steps")
    return round(count * steps_per_epoch)
