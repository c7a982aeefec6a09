"""The site has everything: each module, key, flag and page, and tutorials as they were run."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from jaxnuc import config, representations
from jaxnuc.cli.main import COMMANDS, command_parser
from jaxnuc.data import transforms

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def tool(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference, tutorials = tool("reference"), tool("tutorials")


def flat(section, prefix=""):
    for key, value in section.items():
        nested = isinstance(value, config.ConfigDict) and prefix + key not in config.OPEN
        if nested and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def test_the_page_of_keys_has_all_defaults_with_their_meanings():
    page = reference.configuration_page()
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `(.*?)` \|", page, re.M))
    defaults = dict(flat(config.default()))
    assert rows.keys() == defaults.keys()
    for key, text in rows.items():
        value = defaults[key]
        plain = value.to_dict() if isinstance(value, config.ConfigDict) else value
        assert eval(text, {}) == plain, key
    assert "| `clip_norm` | `0.0` | largest global norm of the gradient; 0: off |" in page
    assert not re.findall(r"^\| `([\w.]+)` \| `.*` \| *\|$", page, re.M), "keys without a meaning"


def test_the_page_of_commands_has_all_flags():
    page = reference.commands_page()
    for name in COMMANDS:
        section = page.partition(f"## jaxnuc {name}\n")[2].partition("\n## ")[0]
        flags = {flag for x in command_parser(name)._actions for flag in x.option_strings}
        for flag in flags - {"-h", "--help"}:
            assert re.search(rf"`{flag}(=.*)?`", section), (name, flag)


def test_every_public_module_is_on_one_page():
    text = "\n".join(reference.python_pages().values())
    shown = re.findall(r"^::: (\S+)", text, re.M)
    assert sorted(shown) == sorted({*reference.modules()} - {"jaxnuc", "jaxnuc.__main__"})
    assert "jaxnuc.metrics.scores" in shown


def test_configurations_are_listed():
    page = reference.pages_page()
    for path in (ROOT / "configs").rglob("*.py"):
        name = path.relative_to(ROOT / "configs").with_suffix("").as_posix()
        assert f"### {name.removeprefix('studies/')}\n" in page


def entries(nav):
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from entries(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_navigation_once():
    nav = list(entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(nav) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_links_between_files_hold_in_the_repository(page):
    """The site's build checks them there."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.S)
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in address and not address.startswith("#"):
            assert (page.parent / address.partition("#")[0]).exists(), address


def test_the_gallery_shows_all_transforms_and_decoders():
    page = (DOCS / "gallery.md").read_text()
    for name in set(transforms.REGISTRY.names()) - {"preset", "one_of"}:
        assert f"transform_{name}.webp" in page
    for name in representations.REGISTRY.names():
        module = representations.REGISTRY.module(name)
        line = page.partition(f"(images/gallery/representation_{name}.webp)")[2].splitlines()[2]
        assert set(re.findall(r"`(\w+)`", line)) == set(module.DECODERS.names())
    for name in re.findall(r"images/gallery/\S+?\.webp", page):
        assert (DOCS / name).exists(), name


@pytest.mark.parametrize("source", tutorials.tutorials(), ids=lambda path: path.stem)
def test_the_page_of_a_tutorial_was_made_of_it(source):
    first = source.with_suffix(".md").read_text().partition("\n")[0]
    expected = f"<!-- made of {source.name} {tutorials.digest(source)} by"
    assert first.startswith(expected), f"run: python docs/tools/tutorials.py {source.stem}"
