"""The configuration: its checks, its arguments, and every page in configs/."""

import importlib.util
import inspect
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from jaxnuc import build, durations, labels, optim
from jaxnuc import config as configs
from jaxnuc.data import sources, transforms
from jaxnuc.data.normalize import Normalize
from jaxnuc.data.sources import conic
from jaxnuc.data.splits import MIXTURE, SECTION
from jaxnuc.durations import TrainingLength
from jaxnuc.losses import schedules
from jaxnuc.models import hovernet

PAGES = {path.stem: path for path in sorted((Path(__file__).parents[1] / "configs").glob("*.py"))}
NETWORKS = (
    *("alnet_adaptive", "alnet_attention", "attention_unet", "ce_net", "dcan", "deeplabv3"),
    *("deeplabv3_plus", "dist", "flexible_unet", "harunet", "hovernet", "micro_net", "pspnet"),
    *("stardist", "unet", "unet_plus_plus"),
)
REFERENCES = (
    *("unet", "dist", "micro_net", "dcan"),
    *("unet_plus_plus", "attention_unet", "ce_net", "deeplabv3", "deeplabv3_plus", "pspnet"),
)
ABLATION = ("unet", "rsu", "rsu_cf", "rsu_cbam_everywhere", "rsu_cbam", "rsu_cbam_cf", "all")


def both(*texts):
    """Each of them as it is, and small."""
    return ("", "small", *texts, *(f"{text},small" for text in texts))


# What comes behind the colon: every value of every choice of a page; of others, nothing.
EXAMPLES = {
    "alnet_adaptive_dsb2018": both(),
    "alnet_attention_cnseg": both(
        *(f"source={name}" for name in ("cnseg", "monuseg", "bns2017", "isbi2014")),
        "subset=cluster",
    ),
    "comparison_dsb2018": tuple(
        f"method={name}{steps}" for name in NETWORKS for steps in ("", ",steps=3000", ",steps=60")
    ),
    "finetune": ("", "hold=200"),
    "flexible_unet_dsb2018": ("", "representation=binary"),
    "flexible_unet_synthetic": ("",),
    "flexible_unet_tissue": ("", "source=nucls,preset=he_light,crop=96,steps=60"),
    "harunet_monuseg": both(
        *(f"source={name}" for name in ("monuseg", "consep", "cpm17", "tnbc")),
        *(f"ablation={name}" for name in ABLATION),
        "optimizer=paper",
    ),
    "harunet_dsb2018": both(),
    "hovernet_consep": both(
        *(f"source={name}" for name in ("consep", "kumar", "pannuke", "monusac")),
        *(f"source={name}" for name in ("monuseg", "cpm17", "tnbc")),
        "fast",
        "scratch",
    ),
    "labeltree_nucls_consep": (
        "",
        *(f"sets={name}" for name in ("both", "nucls", "consep")),
        *(f"network={name}" for name in ("stardist", "hovernet")),
        "steps=60",
    ),
    "neoplastic_pannuke": both("compat"),
    "quickstart": ("",),
    "references_monuseg": both(
        *(f"method={name}" for name in REFERENCES),
        *(f"source={name}" for name in ("consep", "cpm17", "tnbc", "kumar")),
    ),
    "self_training": both("shift=consep", "shift=dsb2018,without"),
    "stardist_conic": both("source=conic", "source=lizard"),
    "stardist_dsb2018": both("fluorescence"),
    "stardist_labeltree_pannuke_consep": both(
        "first=consep,second=monusac",
        "first=monusac,second=pannuke",
        "second_epochs=0",
        "mixed",
    ),
}
CHOICES = ("METHODS", "SOURCES", "ABLATION", "SETS", "NETWORKS", "SHIFTS")
CASES = [(name, text) for name in PAGES for text in EXAMPLES.get(name, ("",))]
IDS = [f"{name}:{text}" for name, text in CASES]


def page(name):
    spec = importlib.util.spec_from_file_location(name, PAGES[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config_of(name, text, weights=""):
    get_config = page(name).get_config
    given = {"text": text, "weights": weights}
    known = inspect.signature(get_config).parameters
    return get_config(**{key: value for key, value in given.items() if key in known})


def sections_of(config):
    section = config.data.source.to_dict()
    return section.get("sources", [section])


def cut_of(section):
    """The label set that a source would have."""
    if section["name"] == "conic" and section.get("separate"):
        return conic.separate_label_set()
    if section["name"] not in ("conic", "consep", "lizard", "monusac", "nucls", "pannuke"):
        return None
    name = "lizard" if section["name"] == "conic" else section["name"]
    return labels.label_set(name, **{k: v for k, v in section.items() if k == "merge"})


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_short_and_says_how_to_run_it(name):
    module, text = page(name), PAGES[name].read_text()
    assert f"jaxnuc train --config={name}" in module.__doc__
    assert "jaxnuc evaluate --workdir=" in module.__doc__
    assert len(text.splitlines()) <= 75
    for table in CHOICES:
        for choice in getattr(module, table, ()):
            examples = EXAMPLES.get(name, ())
            assert any(f"={choice}," in f"{example}," for example in examples), choice


def test_every_example_has_its_page():
    assert EXAMPLES.keys() <= PAGES.keys()


@pytest.mark.parametrize(("name", "text"), CASES, ids=IDS)
def test_what_a_page_gives_can_be_trained(name, text, a_run):
    config = config_of(name, text, str(a_run))
    configs.check(config)
    configs.conventions(config)
    plain = configs.to_json(config)
    assert configs.to_json(configs.from_json(plain)) == plain

    label_sets = [
        label_set for label_set in map(cut_of, sections_of(config)) if label_set is not None
    ]
    representation = build.make_representation(config, label_sets)
    build.make_model(config, representation)
    if config.evaluation.optimize_thresholds:
        assert representation.thresholds
    for chain in (
        config.data.transforms,
        config.self_training.transforms,
        config.self_training.student_transforms,
    ):
        transforms.parse(chain)
    Normalize(config.data.normalize)

    source = config.data.source
    endless = source.name in ("mixture", "synthetic") or "balance" in source
    per_epoch = None if endless else 100
    parts = [episode["duration"] for episode in config.episodes] or [config.duration]
    length = TrainingLength(
        sum(durations.steps(part, "duration", per_epoch) for part in parts), per_epoch
    )
    assert 0 < length.steps(config.evaluation.every, "evaluation.every") <= length.total
    losses = schedules.make(config.loss_schedule.to_dict(), length)
    build.check_schedule(losses, representation, config.loss_schedule.name)
    schedule = optim.SCHEDULES.build(config.schedule)
    rate = schedule.rate(config.optimizer.learning_rate, length)
    optimizer = optim.make(
        config.optimizer,
        rate,
        length,
        plateau=schedule.lowers_rate,
        clip_value=config.clip_value,
        clip_norm=config.clip_norm,
    )
    held = {"d1": {"unit0": {"conv1": jax.ShapeDtypeStruct((1,), "float32")}}}
    jax.eval_shape(optimizer.init, held)
    if "small" in text.split(","):
        assert config.compute_dtype == "float32"
        assert length.total <= 1500
        assert config.batch_size == 8
        assert any("(128" in line for line in config.data.transforms)


@pytest.mark.parametrize(("name", "text"), CASES, ids=IDS)
def test_the_sources_of_a_page_take_what_it_gives_them(name, text, a_run):
    config = config_of(name, text, str(a_run))
    mixture = config.data.source.name == "mixture"
    if mixture:
        assert {*config.data.source} <= {"name", "sources", *MIXTURE}
    for section in sections_of(config):
        source = sources.REGISTRY.find(section["name"])
        known = {"name", *SECTION, *inspect.signature(source).parameters}
        assert {*section} <= known | ({"weight"} if mixture else set())


def test_pages_refuse_other_choices():
    for name, text in (
        ("comparison_dsb2018", "method=alnet"),
        ("harunet_monuseg", "source=monusac"),
        ("harunet_monuseg", "ablation=cbam"),
        ("harunet_monuseg", "optimizer=adam"),
        ("labeltree_nucls_consep", "sets=all"),
        ("references_monuseg", "method=hovernet"),
        ("self_training", "shift=kumar"),
        ("stardist_labeltree_pannuke_consep", "first=nucls"),
    ):
        with pytest.raises(ValueError, match=f"unknown .*{text.partition('=')[2]}"):
            config_of(name, text)


def test_hovernet_begins_with_its_decoders():
    optimizer = config_of("hovernet_consep", "").optimizer
    assert optimizer.frozen == hovernet.FROZEN_FIRST
    assert "frozen" not in config_of("hovernet_consep", "scratch").optimizer


def test_a_labeltree_follows_one_set_by_the_other():
    config = config_of("stardist_labeltree_pannuke_consep", "first=monusac,first_epochs=175")
    assert [s["name"] for s in config.data.source.sources] == ["monusac", "consep"]
    assert [e["sources"] for e in config.episodes] == [("monusac",), ("consep",)]
    lengths = [durations.steps(e["duration"], "", None) for e in config.episodes]
    assert [n * config.batch_size for n in lengths] == [175 * 1024, 75 * 1024]
    mixed = config_of("stardist_labeltree_pannuke_consep", "mixed")
    assert not mixed.episodes
    assert durations.steps(mixed.duration, "", None) * mixed.batch_size == 325 * 1024
    (alone,) = config_of("stardist_labeltree_pannuke_consep", "second_epochs=0").episodes
    assert alone["monitor"] == "pannuke/loss"


def changed(path, value):
    values = configs.default().to_dict()
    *sections, key = path.split(".")
    target = values
    for section in sections:
        target = target[section]
    target[key] = value
    return ConfigDict(values)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("bach_size", 8, "unknown configuration key 'bach_size'.*did you mean 'batch_size'"),
        ("data.transfroms", (), "did you mean 'data.transforms'"),
        ("batch_size", "8", "'batch_size' must be int such as 16, got '8'"),
        ("evaluation.every", 100, "'evaluation.every' must be str"),
        ("model", {"variant": "small"}, "'model' needs a 'name'"),
        ("data.transforms", "flip_turn()", "must be a list"),
    ],
)
def test_wrong_keys_and_types(path, value, message):
    with pytest.raises(ValueError, match=message):
        configs.check(changed(path, value))


def test_a_missing_key_is_named():
    config = configs.default()
    with config.unlocked():
        del config["seed"]
    with pytest.raises(ValueError, match="'seed' is missing"):
        configs.check(config)


def test_arguments_behind_the_colon():
    given = configs.arguments("small,crop=96,rate=1,name=x", small=False, crop=8, rate=0.5, name="")
    assert given.to_dict() == {"small": True, "crop": 96, "rate": 1.0, "name": "x"}
    assert configs.arguments("", crop=8).crop == 8
    for text, message in (
        ("crp=3", "did you mean 'crop'"),
        ("crop=big", "crop='big' is not of type int"),
        ("crop", "needs a value: crop=8"),
        ("crop=1.5", "not of type int"),
    ):
        with pytest.raises(ValueError, match=message):
            configs.arguments(text, crop=8)
