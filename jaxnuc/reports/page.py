"""HTML in which everything is escaped, and the shell of a page that needs no network."""

import html
from collections.abc import Iterable, Mapping, Sequence

from jaxnuc.reports.look import SCRIPT, STYLE

# Nothing is loaded: pictures are in the page, and so are its one style and its one script.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
VOID = ("img", "input", "link", "meta")  # elements without an end


class Html(str):
    """Markup; any other string is text, and is escaped where it meets markup."""


Child = str | Iterable[str]


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Html:
    """An element with its attributes and what is in it.

    Args:
      name: of the element.
      children: `Html`, text that is escaped, or several of them.
      attributes: `_` in a name becomes `-`, and one at its end is dropped; None leaves the
        attribute out.

    >>> element("p", "a < b", element("b", "c"), class_="x", title='"d"')
    '<p class="x" title="&quot;d&quot;">a &lt; b<b>c</b></p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    inner = (part for child in children for part in ([child] if isinstance(child, str) else child))
    return Html(f"<{name}{written}>{''.join(map(_escaped, inner))}</{name}>")


def _escaped(text: str) -> str:
    return text if isinstance(text, Html) else html.escape(text)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table; the first cell of each row is its header, the others stand to the right."""
    heads = (element("th", cell, scope="col") for cell in head)
    body = (
        element("tr", element("th", first, scope="row"), (element("td", cell) for cell in cells))
        for first, *cells in rows
    )
    return _table(caption, heads, body, "numbers")


def sortable(caption: str, head: Sequence[str], rows: Iterable[Html]) -> Html:
    """A table that is sorted by a column when its head is clicked.

    Of a cell with `data-value` this value counts, as a number where it is one; cells without come
    last. A column with an empty head is not sorted by.
    """
    heads = (
        element("th", element("button", cell, type="button") if cell else "", scope="col")
        for cell in head
    )
    return _table(caption, heads, rows, "numbers sortable")


def _table(caption: str, heads: Iterable[Html], rows: Iterable[Html], class_: str) -> Html:
    top = element("thead", element("tr", heads))
    parts = element("caption", caption), top, element("tbody", rows)
    return element(
        "div",
        element("table", parts, class_=class_),
        class_="scroll",
        tabindex=0,  # what scrolls must be reached by the keyboard
        role="region",
        aria_label=caption,
    )


def facts(pairs: Mapping[str, object]) -> Html:
    """Names and values; a mapping as a value is written in one line."""
    rows = (
        element("div", element("dt", name.replace("_", " ")), element("dd", _text(value)))
        for name, value in pairs.items()
    )
    return element("dl", rows, class_="facts")


def _text(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return str(value)


def lines(texts: Iterable[str]) -> Html:
    """A list of texts, which are read one by one."""
    return element("ul", (element("li", text) for text in texts))


def cards(figures: Iterable[tuple[str, str, str]]) -> Html:
    """The main figures, in large type: (name, figure, line below it)."""
    found = []
    for name, figure, below in figures:
        parts = [element("dt", name), element("dd", figure, class_="figure")]
        parts += [element("dd", below, class_="below")] if below else []
        found.append(element("div", parts))
    return element("dl", found, class_="cards")


def swatch(*color: int) -> Html:
    """A patch of a color (red, green, blue)."""
    style = f"background: rgb({', '.join(map(str, color))})"
    return element("span", class_="swatch", style=style, aria_hidden="true")


def key(entries: Sequence[tuple[Html, str]]) -> Html:
    """The meaning of signs: (sign, text)."""
    return element("ul", (element("li", sign, text) for sign, text in entries), class_="key")


def color_scale(colors: Sequence[tuple[int, int, int]], high: float, unit: str) -> Html:
    """A scale of colors at equal distances from 0 to `high`."""
    stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in colors)
    figures = [f"{float(f'{figure:.3g}'):,.10g}" for figure in (0, high / 2, high)]
    ends = [element("span", text) for text in (*figures[:2], f"{figures[2]} {unit}")]
    style = f"background: linear-gradient(to right, {stops})"
    label = f"Colors from 0 to {figures[2]} {unit}"
    bar = element("div", style=style, role="img", aria_label=label)
    return element("div", bar, element("div", ends, class_="ends"), class_="scale")


def chart(drawn: Html, caption: str) -> Html:
    """A drawing, an SVG, with its caption."""
    return element("figure", drawn, element("figcaption", caption), class_="chart")


def section(title: str, *children: Child) -> Html:
    """A part of the page under its heading."""
    return element("section", element("h2", title), *children)


def page(title: str, below: str, sections: Iterable[Html]) -> bytes:
    """A whole page, an HTML document in UTF-8: a heading, one line below it, and sections."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),  # or a browser asks for one
        element("title", title),
        element("style", Html(STYLE)),
    )
    body = element(
        "body",
        element("header", element("h1", title), element("p", below)),
        element("main", sections),
        element("script", Html(SCRIPT)),
    )
    document = f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
    return document.encode("utf-8", errors="replace")
