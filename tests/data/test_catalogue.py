"""The catalogue against the sources and label sets there are, and the page made of it."""

import importlib
import re
from pathlib import Path

import pytest

from jaxnuc import labels, registry
from jaxnuc.data import sources
from jaxnuc.data.catalogue import CATALOGUE, table

OWN = {"folder", "synthetic", "mixture", "packed"}  # those that read no published set
PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_every_published_set_has_a_record_and_every_record_a_source():
    assert set(CATALOGUE) == set(registry.names(sources.__name__)) - OWN


@pytest.mark.parametrize("record", CATALOGUE.values(), ids=list(CATALOGUE))
def test_record_agrees_with_what_its_source_says_of_itself(record):
    text = " ".join((importlib.import_module(f"jaxnuc.data.sources.{record.key}").__doc__).split())
    assert record.published.rstrip("/") in text
    year = re.findall(r"\b(?:19|20)\d\d\b", record.citation)[-1]
    assert year in text
    if record.licence.startswith("CC"):
        assert record.licence.removesuffix(" 1.0") in text


@pytest.mark.parametrize("name", ["consep", "monusac", "pannuke", "lizard", "nucls"])
def test_classes_are_those_of_the_label_sets(name):
    names = tuple(label.name for label in labels.label_set(name).labels)
    assert names == CATALOGUE[name].classes
    assert CATALOGUE["conic"].classes == CATALOGUE["lizard"].classes


def test_the_page_has_the_table():
    assert table() in PAGE.read_text()
    assert len(table().splitlines()) == len(CATALOGUE) + 2


def test_table_of_one():
    header, line, row = table([CATALOGUE["nucls"]]).splitlines()
    assert header.count("|") == line.count("|") == row.count("|") == 9
    assert "| 15 | 640 | 2: Non-Tumor, Tumor | train 10, test 5 | CC0 1.0 |" in row
