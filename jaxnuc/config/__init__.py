"""The one page that lists every key of a configuration, and the checks on it.

A file in `configs/` starts from `default()` and says what differs. `model`, `representation`,
`classes`, `data.source`, `self_training.source`, `optimizer`, `schedule` and `loss_schedule` are
`{"name": ..., **arguments}`; the arguments are those of the named thing, which checks them itself.
Some are sections themselves, such as the `loss` and the `decoder` of a representation.
Lengths of time are strings: `"20 epochs"`, `"3000 steps"`, `"40 epochs, 300 to 3000 steps"`.
"""

import ast
import contextlib
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from jaxnuc import registry

if TYPE_CHECKING:
    from jaxnuc.metrics import Conventions

OPEN = {
    "model",
    "representation",
    "classes",
    "data.source",
    "self_training.source",
    "optimizer",
    "schedule",
    "loss_schedule",
}
FREE = {"evaluation.threshold_choices"}  # sections of any keys, checked where they are used
SOURCE_NAMES = ("data.source.name", "self_training.source.name")

logger = logging.getLogger(__name__)


def default() -> ConfigDict:
    """A small HARU-Net on synthetic nuclei; every key there is, with its meaning."""
    config = ConfigDict()
    config.seed = 0  # of parameters, order of the data and augmentation
    config.model = ConfigDict({"name": "harunet", "variant": "small"})  # jaxnuc.models
    config.representation = ConfigDict({"name": "contour"})  # jaxnuc.representations
    config.classes = ConfigDict({"name": "none"})  # or groups, leaves: representations.class_map
    config.compute_dtype = "float32"  # "bfloat16" on accelerators; parameters stay float32

    config.weights = ConfigDict()  # to start from, in place of random ones: jaxnuc.pretrained
    config.weights.file = ""  # a model, a run's workdir, or published weights: jaxnuc.pretrained
    config.weights.layout = "auto"  # of published weights: jaxnuc.pretrained
    config.weights.keep = ""  # regular expression of our arrays that stay random
    config.weights.drop = ""  # regular expression of the file's arrays that are not used

    config.data = ConfigDict()
    config.data.source = ConfigDict({"name": "synthetic"})  # jaxnuc.data.sources
    config.data.root = ""  # empty: the folder of the source's name below $JAXNUC_DATA
    config.data.mpp = 0.0  # microns per pixel to which images are resampled; 0: left as they are
    config.data.normalize = "none"  # jaxnuc.data.normalize: of whole images, training and use
    config.data.transforms = ("random_crop(128)", "flip_turn()")  # in order, training only
    config.data.workers = 0  # input processes; 0: threads of this one

    # A teacher, the averaged parameters, on images whose annotations are not used: docs/domains.md.
    config.self_training = ConfigDict()
    config.self_training.source = ConfigDict({"name": "none"})  # of the images; none: off
    config.self_training.root = ""  # as data.root, and that one where the names are the same
    config.self_training.split = "train"  # or another one of the source, such as "unlabeled"
    config.self_training.transforms = ("random_crop(128)", "flip_turn()")  # for both
    config.self_training.student_transforms = ("color_jitter()", "blur()", "noise()")  # besides
    config.self_training.symmetries = (0, 1, 2, 3, 4, 5, 6, 7)  # of the square, for the student
    config.self_training.batch_size = 16  # beside the annotated images
    config.self_training.weight = 1.0  # of the consistency beside the loss
    config.self_training.warmup = "100 steps"  # over which the weight rises from 0
    config.self_training.decay = 0.99  # of the teacher
    config.self_training.confidence = 0.9  # probability from which the teacher is believed

    config.batch_size = 16  # over all devices of all processes
    config.duration = "200 steps"  # or "" where there are episodes
    config.episodes = ()  # one after the other, each with its duration: jaxnuc.training.episodes
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 1e-3})  # jaxnuc.optim
    config.schedule = ConfigDict({"name": "cosine", "warmup": "20 steps"})  # jaxnuc.optim
    config.loss_schedule = ConfigDict({"name": "constant"})  # jaxnuc.losses.schedules
    config.clip_value = 0.0  # largest magnitude of a gradient's element; 0: off
    config.clip_norm = 0.0  # largest global norm of the gradient; 0: off
    config.ema_decay = 0.0  # of the averaged parameters that are evaluated; 0: off

    config.evaluation = ConfigDict()
    config.evaluation.every = "100 steps"  # on the split "val"; the end is always evaluated
    config.evaluation.at_start = False  # and before the first step, which may stay the best
    config.evaluation.monitor = "pq_image_mean"  # or loss, soft_iou: best, plateau, stop
    config.evaluation.metrics = ()  # jaxnuc.metrics.definitions; (): the standard ones, mPQ
    config.evaluation.protocols = ()  # jaxnuc.metrics.protocols, when a checkpoint is evaluated
    config.evaluation.patience = 0  # evaluations without a better one before stopping; 0: off
    config.evaluation.threshold = 0.5  # IoU at which nuclei match
    config.evaluation.inclusive = False  # whether an IoU of exactly the threshold matches
    config.evaluation.matching = "iou"  # or "count": choice among pairs at thresholds below 0.5
    config.evaluation.empty = "skip"  # images without nuclei on both sides: skip, nan, one, zero
    config.evaluation.overlapping = False  # score nuclei that overlap whole, not as label maps
    config.evaluation.loss = False  # loss and soft IoU on crops of "val", the same every time
    config.evaluation.workers = 0  # processes that decode and score; 0: this one
    config.evaluation.optimize_thresholds = False  # at the end, on "val", for the best checkpoint
    config.evaluation.threshold_choices = ConfigDict()  # values by name; none: the decoder's own

    config.checkpoint_every = "0 steps"  # besides those at evaluations; 0: none
    config.log_every = 10  # steps between lines of metrics.jsonl

    config.distributed = ConfigDict()
    config.distributed.processes = 1  # 0: found out by JAX, as on TPU pods and Slurm
    config.distributed.index = 0  # of this process
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
            values[key] = _typed(value if equals else "True", defaults[key])
        except ValueError as error:
            raise ValueError(f"argument {key}={error}") from None
    return ConfigDict(values)


def override(config: ConfigDict, key: str, text: str) -> None:
    """Sets a value that a command line gives as text.

    Sections that are named choices, such as `model`, take new keys, since it is the choice that
    checks its arguments; or as a whole a name or a call, such as `cnseg(subset="cluster")`.
    The name of another source drops the arguments of the former one.

    Args:
      config: is changed.
      key: with dots, such as `"data.root"` or `"model.variant"`.
      text: the value; takes the type of the one that is replaced, and of a new key that of the
        Python literal, or else is text.

    Raises:
      ValueError: an unknown key, or a value of another type.

    >>> config = default()
    >>> override(config, "batch_size", "8")
    >>> override(config, "model.norm", "group")
    >>> override(config, "data.source", "synthetic(size=64)")
    >>> config.batch_size, config.model.norm, config.data.source.size
    (8, 'group', 64)
    """
    *sections, last = key.split(".")
    inside_choice = any(key.startswith(f"{path}.") for path in OPEN | FREE)
    section, prefix = config, ""
    for name in sections:
        if inside_choice and name not in section:
            section[name] = ConfigDict()
        if not isinstance(section.get(name), ConfigDict):
            raise _unknown_key(prefix + name, section, prefix)
        section, prefix = section[name], f"{prefix}{name}."
    if last not in section and not inside_choice:
        raise _unknown_key(key, section, prefix)
    try:
        value = _choice(text) if key in OPEN else _typed(text, section.get(last))
    except ValueError as error:
        raise ValueError(f"--config.{key}={error}") from None
    if key in SOURCE_NAMES and value != section.get(last):
        former = sorted({*section} - {last})
        for name in former:
            del section[name]
        if former:
            logger.info("--config.%s=%s: dropped of the former source: %s", key, text, former)
    with section.ignore_type():
        section[last] = value


def _choice(text: str) -> ConfigDict:
    """A section from a dict, a name or a call.

    Raises:
      ValueError: the text is none of these.
    """
    if text.lstrip().startswith("{"):
        section: ConfigDict = _typed(text, ConfigDict())
        return section
    return ConfigDict(registry.section_of(text, "choice"))


def _typed(text: str, like: Any) -> Any:
    """A value from text, of the type of another one; of any type where that is None.

    Raises:
      ValueError: the text has another type.
    """
    if isinstance(like, str):
        return text
    if isinstance(like, bool) and text in ("true", "false"):
        return text == "true"
    value: Any = text
    with contextlib.suppress(ValueError, SyntaxError, TypeError):
        value = ast.literal_eval(text)
    if isinstance(like, float) and type(value) is int:
        return float(value)
    if isinstance(like, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        value = ConfigDict(value)
    if like is not None and type(value) is not type(like):
        kind = "section" if isinstance(like, ConfigDict) else type(like).__name__
        raise ValueError(f"{text!r} is not of type {kind}, such as {like!r}")
    return value


def _unknown_key(key: str, section: Mapping, prefix: str) -> ValueError:
    return registry.unknown("configuration key", key, [prefix + known for known in section])


def check(config: ConfigDict) -> None:
    """Refuses unknown and missing keys, values of another type, and a `log_every` below 1.

    Raises:
      ValueError: names the key, what was given and what is expected.
    """
    _check(config, default(), "")
    if config.log_every < 1:
        raise ValueError(f"configuration key 'log_every' must be 1 or more, got {config.log_every}")


def _check(given: Mapping, known: Mapping, prefix: str) -> None:
    for key in given:
        if key not in known:
            raise _unknown_key(prefix + key, known, prefix)
    for key, expected in known.items():
        path = prefix + key
        if key not in given:
            raise ValueError(f"configuration key {path!r} is missing; its default is {expected!r}")
        value = given[key]
        if path in OPEN:
            if not isinstance(value, Mapping | ConfigDict):
                raise ValueError(f"configuration key {path!r} needs a 'name', got {value!r}")
            registry.split(value, f"configuration key {path!r}")
        elif path in FREE:
            if not isinstance(value, Mapping | ConfigDict):
                raise ValueError(
                    f"configuration key {path!r} must hold values by name, got {value!r}"
                )
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


def to_json(config: ConfigDict) -> dict[str, Any]:
    """The configuration as plain data; `from_json` is its inverse."""
    return json.loads(json.dumps(config.to_dict()))


def from_json(values: Mapping[str, Any]) -> ConfigDict:
    """A checked configuration from plain data.

    Raises:
      ValueError: a key is unknown or missing, such as in the data of another version.
    """
    plain = json.loads(json.dumps(values))
    check(ConfigDict(plain))
    return ConfigDict(_with_tuples(plain, default()))


def _with_tuples(given: dict[str, Any], known: Mapping) -> dict[str, Any]:
    """The same with tuples where a configuration has them, which JSON turns into lists."""
    result = dict(given)
    for key, value in given.items():
        if isinstance(known.get(key), tuple):
            result[key] = tuple(value)
        elif isinstance(known.get(key), ConfigDict):
            result[key] = _with_tuples(value, known[key])
    return result


def conventions(config: ConfigDict) -> "Conventions":
    """How nuclei are matched and scored in evaluations.

    Raises:
      ValueError: `evaluation.matching` or `evaluation.empty` is unknown.
    """
    from jaxnuc.metrics import Conventions  # takes a while, and a command shows its help at once

    names = ("threshold", "inclusive", "matching", "empty", "overlapping")
    return Conventions(**{name: config.evaluation[name] for name in names})
