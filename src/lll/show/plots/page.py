"""HTML in one file: escaped text, tables, pictures as data URIs; nothing is fetched."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from PIL import Image

from lll.words import visible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THUMBNAIL_MOST = 96  # pixels
# The browser itself then refuses whatever would leave the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Html(str):
    """Text that is already HTML. Every other string is escaped."""

    __slots__ = ()


def escaped(value: Any) -> Html:
    """``value`` as text in HTML.

    >>> escaped("<b>"), escaped(Html("<b>"))
    ('&lt;b&gt;', '<b>')
    """
    return value if isinstance(value, Html) else Html(html.escape(visible(str(value))))


def tag(name: str, *parts: Any, **attributes: str) -> Html:
    """An element; ``class_`` stands for the attribute ``class``.

    >>> tag("p", "a & b", class_="note")
    '<p class="note">a &amp; b</p>'
    """
    given = "".join(f' {k.rstrip("_")}="{escaped(v)}"' for k, v in attributes.items())
    return Html(f"<{name}{given}>{''.join(map(escaped, parts))}</{name}>")


def table(head: Sequence[Any], rows: Sequence[Sequence[Any]], caption: str) -> Html:
    """A table whose first column names the rows; it scrolls sideways where it is too wide."""
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = [
        tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    whole = tag("table", tag("caption", caption), tag("thead", top), tag("tbody", *body))
    return tag("div", whole, class_="scroll")


def picture(png: bytes, alt: str, *, wide: bool = False) -> Html:
    """A picture; a ``wide`` one scrolls on a phone, to stay readable."""
    box = tag("div", _image(png, alt), class_="scroll wide" if wide else "scroll")
    return tag("figure", box)


def thumbnail(image: NDArray[np.uint8], alt: str, caption: Any) -> Html:
    """A small image, uint8 [h, w, 3], with a caption."""
    small = Image.fromarray(image)
    small.thumbnail((THUMBNAIL_MOST, THUMBNAIL_MOST))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return tag("figure", _image(buffer.getvalue(), alt), tag("figcaption", caption), class_="thumb")


def _image(png: bytes, alt: str) -> Html:
    data = base64.b64encode(png).decode()
    return Html(f'<img src="data:image/png;base64,{data}" alt="{escaped(alt)}">')


def section(title: str, *parts: Any) -> Html:
    """A section with a heading that the page's contents lead to."""
    return tag("section", tag("h2", title), *parts, id=_anchor(title))


def side_by_side(parts: Sequence[Html]) -> Html:
    """``parts`` next to each other, below one another where there is no room."""
    return tag("div", *parts, class_="side")


def page(title: str, intro: Html, sections: dict[str, Html]) -> str:
    """The whole document; ``sections`` maps headings to their content."""
    style = resources.files("lll.show.plots").joinpath("page.css").read_text(encoding="utf-8")
    links = [tag("a", name, href=f"#{_anchor(name)}") for name in sections]
    body = [section(name, content) for name, content in sections.items()]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>{tag('h1', title)}{intro}{tag('nav', *links)}</header>\n"
        f"<main>\n{chr(10).join(body)}\n</main>\n</body>\n</html>\n"
    )


def _anchor(title: str) -> str:
    return "-".join(title.lower().split())
