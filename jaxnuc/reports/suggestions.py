"""The page of the regions that are suggested for annotation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jaxnuc.io.atomic import replace_file
from jaxnuc.reports import page
from jaxnuc.reports.page import Html, element
from jaxnuc.reports.pictures import address


def write_suggestions_page(
    path: Path, rows: Sequence[Mapping[str, Any]], pictures: Sequence[bytes], links: Sequence[str]
) -> None:
    """Writes a page with a row for each region, which is sorted by any of its columns.

    Args:
      path: of the page.
      rows: figures of the regions by name, one or more, with `rank` and `image`; None is missing.
      pictures: small JPEGs of the regions.
      links: addresses of the reports of their images.
    """
    heads = ["", *(name.replace("_", " ") for name in rows[0])]
    lines = [
        element(
            "tr",
            _picture(row, picture, link),
            (_cell(value) for value in row.values()),
        )
        for row, picture, link in zip(rows, pictures, links, strict=True)
    ]
    table = page.sortable("The suggested regions", heads, lines)
    below = "a click on a picture opens the report of the image, on the head of a column sorts"
    replace_file(
        path, page.page("Suggested for annotation", below, [page.section("Regions", table)])
    )


def _picture(row: Mapping[str, Any], picture: bytes, link: str) -> Html:
    shown = element(
        "img", src=address(picture, "JPEG"), loading="lazy", alt=f"region {row['rank']}"
    )
    return element("td", element("a", shown, href=quote(link)))


def _cell(value: Any) -> Html:
    if value is None:
        return element("td", "–")
    class_ = "text" if isinstance(value, str) else None
    return element("td", str(value), class_=class_, data_value=value)
