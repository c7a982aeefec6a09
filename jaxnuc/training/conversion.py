"""Published weights become a run, with which commands predict, evaluate and train on."""

import logging
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxnuc import build, pretrained
from jaxnuc import config as configs
from jaxnuc.config.pages import load
from jaxnuc.data.sources.conic import separate_label_set
from jaxnuc.labels import LabelSet, LabelTree, label_set
from jaxnuc.pretrained.stardist import StarDistModel, read_stardist
from jaxnuc.run.checkpoints import FOLDER, Checkpoints
from jaxnuc.run.model_file import is_model
from jaxnuc.training import state

logger = logging.getLogger(__name__)

# What is published of HoVer-Net, by its mode and the channels of its types: its training data.
HOVERNET = {
    ("original", 0): "kumar",
    ("original", 5): "consep",
    ("fast", 6): "pannuke",
    ("fast", 5): "monusac",
}
HOVERNET_MPP = 0.25
STARDIST = "stardist_dsb2018"  # a page with StarDist's normalization
STARDIST_CONIC = "stardist_conic"  # without one, as CoNIC's winners had it
STARDIST_CONIC_MPP = 0.5


def convert(
    source: pretrained.Source,
    output: Path,
    page: str = "",
    overrides: Mapping[str, str] | None = None,
) -> Path:
    """Writes a checkpoint of the network of a page with published weights.

    Args:
      source: see `jaxnuc.pretrained.read`; or the folder of a StarDist model.
      output: the workdir to make.
      page: configuration of the network that the weights fill; empty for HoVer-Net's and
        StarDist's, which are recognized.
      overrides: values as text by key, in place of those of the page; `weights.layout`, `keep` and
        `drop` are arguments of `jaxnuc.pretrained.load`.

    Returns:
      The workdir.

    Raises:
      FileNotFoundError: there is no such file or page.
      ValueError: the weights are damaged, unknown, a model of this library, or do not fill the
        network, or there is a run.
    """
    if (output / FOLDER).exists():
        raise ValueError(f"{output} holds a run; give another --output")
    if not isinstance(source, Mapping):
        if not Path(source).exists():
            raise FileNotFoundError(f"{source}: no such file or folder")
        if is_model(Path(source)):
            raise ValueError(f"{source} is a model of this library: --model={source} takes it")
    label_sets: tuple[LabelSet, ...] | None = None
    known: dict[str, str] = {}
    if not isinstance(source, Mapping) and Path(source).is_dir():
        saved = read_stardist(Path(source))
        source, page = saved.weights, page or (STARDIST_CONIC if saved.conic else STARDIST)
        known, label_sets = _settings(saved)
        logger.info("a model of StarDist; the configuration is %s", page)
    arrays = pretrained.read(source)
    if not page:
        page, known = _page_of(arrays), {"data.mpp": str(HOVERNET_MPP)}
        logger.info("weights of HoVer-Net; the configuration is %s", page)
    config = load(page, {"compute_dtype": "float32", **known, **(overrides or {})})
    config.ema_decay = 0.0  # the weights are what is evaluated
    label_sets = _label_sets(config) if label_sets is None else label_sets
    representation = build.make_representation(config, label_sets)
    model = build.make_model(config, representation)
    section = config.weights
    patterns = {"keep": section.keep, "drop": section.drop}
    initialization = state.initialization(model)
    shapes = {"batch_stats": {}, **initialization.shapes}
    filled = pretrained.load(arrays, model, shapes, section.layout, **patterns)
    variables = initialization.values(config.seed, filled)
    first = state.create_from(variables, optax.identity())
    with Checkpoints(output) as checkpoints:
        checkpoints.save(first, {}, configs.to_json(config), None, label_sets)
    count = sum(leaf.size for leaf in jax.tree.leaves(first.params))
    logger.info("network %s: %s parameters", config.model.name, f"{count:,}")
    return output


def _page_of(arrays: Mapping[str, np.ndarray]) -> str:
    sign = "decoder.np.u3.conva.weight"
    if sign not in arrays:
        names = ", ".join([*arrays][:3])
        raise ValueError(
            f"weights of no network that is recognized ({names}, ...); give the folder of a "
            "StarDist model, or name the network they fill, such as --config=quickstart "
            "--config.model=u2net --config.representation=binary"
        )
    mode = "original" if arrays[sign].shape[-1] == 5 else "fast"
    types = arrays.get("decoder.tp.u0.conv.weight")
    channels = 0 if types is None else len(types)
    if (mode, channels) not in HOVERNET:
        known = ", ".join(f"{mode} with {n or 'no'} types" for mode, n in HOVERNET)
        raise ValueError(
            f"HoVer-Net in mode {mode} with {channels or 'no'} types (background among them), and "
            f"known by these are {known}; name a page, such as --config=hovernet_consep:source=NAME"
        )
    return f"hovernet_consep:source={HOVERNET[mode, channels]}"


def _settings(saved: StarDistModel) -> tuple[dict[str, str], tuple[LabelSet, ...]]:
    """Values of the page as text by key, and the classes, which have no names there.

    Six classes of CoNIC's variant are those of CoNIC.
    """
    sections = {"model": saved.network, "representation": saved.representation}
    values = {
        key: f"stardist({', '.join(f'{name}={value!r}' for name, value in section.items())})"
        for key, section in sections.items()
    }
    values["evaluation.optimize_thresholds"] = "False"  # they are known
    if saved.conic:
        values["data.mpp"] = str(STARDIST_CONIC_MPP)
    if not saved.classes:
        return values | {"classes": "none"}, ()
    conic = separate_label_set()
    if saved.conic and saved.classes == len(conic.groups):
        return values, (conic,)
    names = [f"class {number}" for number in range(1, saved.classes + 1)]
    tree = LabelTree.of({name: {} for name in names})
    return values | {"classes": "groups"}, (LabelSet.of(tree, {name: [name] for name in names}),)


def _label_sets(config: ConfigDict) -> tuple[LabelSet, ...]:
    """Of the classes of the weights, which are those of the page's data set."""
    if config.classes.name == "none":
        return ()
    name, merge = config.data.source.name, config.data.source.get("merge")
    return (label_set(name, **({} if merge is None else {"merge": merge})),)
