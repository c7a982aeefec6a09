"""The catalog against the sources and label sets there are, and the page made of it."""

import importlib
import re
from pathlib import Path

import pytest

from jaxnuc import labels
from jaxnuc.data import sources
from jaxnuc.data.catalog import CATALOG, table

OWN = {"folder", "synthetic", "mixture", "packed"}  # those that read no published set
PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_every_published_set_has_a_record_and_every_record_a_source():
    assert set(CATALOG) == set(sources.REGISTRY.names()) - OWN


@pytest.mark.parametrize("record", CATALOG.values(), ids=list(CATALOG))
def test_record_agrees_with_what_its_source_says_of_itself(record):
    text = " ".join((importlib.import_module(f"jaxnuc.data.sources.{record.key}").__doc__).split())
    assert record.published.rstrip("/") in text
    year = re.findall(r"\b(?:19|20)\d\d\b", record.citation)[-1]
    assert year in text
    if record.license.startswith("CC"):
        assert record.license.removesuffix(" 1.0") in text


@pytest.mark.parametrize("name", ["consep", "monusac", "pannuke", "lizard", "nucls"])
def test_classes_are_those_of_the_label_sets(name):
    names = tuple(label.name for label in labels.label_set(name).labels)
    assert names == CATALOG[name].classes
    assert CATALOG["conic"].classes == CATALOG["lizard"].classes


def test_the_page_has_the_table():
    assert table() in PAGE.read_text()
    assert len(table().splitlines()) == len(CATALOG) + 2


def test_table_of_one():
    header, line, row = table([CATALOG["nucls"]]).splitlines()
    assert header.count("|") == line.count("|") == row.count("|") == 9
    assert "| 15 | 640 | 2: Non-Tumor, Tumor | train 10, test 5 | CC0 1.0 |" in row
