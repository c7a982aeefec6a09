"""Names of classes in annotations that may be misspelled."""

import difflib
import re
from collections.abc import Iterator, Mapping

# A name is that of a class when there are so many times fewer nuclei of it.
_FEWER = 10
_ALIKE = 0.75  # ratio of difflib: two letters of four that have changed places
_LONGER = 2  # letters; so that "non-tumor" is no misspelled "tumor"


def misspelled(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Pairs of a name and the more frequent one that may be meant by it.

    They are alike but for upper and lower case, spaces and underscores; or nearly alike, and ten
    times as many nuclei have the one. Names that differ in their digits are not the same.

    Args:
      counts: number of nuclei by the names of the classes.

    >>> list(misspelled({"dark": 46, "drak": 1, "pale": 119, "Pale": 80}))
    [('drak', 'dark'), ('Pale', 'pale')]
    """
    for name, number in counts.items():
        others = [
            other
            for other, more in counts.items()
            if other != name and number and _is_meant(name, number, other, more)
        ]
        if others:
            yield name, max(others, key=lambda other: counts[other])


def _is_meant(name: str, number: int, other: str, more: int) -> bool:
    one, two = _plain(name), _plain(other)
    if one == two:
        return (number, name) < (more, other)  # one of the two, where there are as many
    if more < _FEWER * number or abs(len(one) - len(two)) > _LONGER:
        return False
    if re.findall(r"\d+", one) != re.findall(r"\d+", two):
        return False
    return difflib.SequenceMatcher(None, one, two).ratio() >= _ALIKE


def _plain(name: str) -> str:
    return re.sub(r"[\s_]", "", name.casefold())
