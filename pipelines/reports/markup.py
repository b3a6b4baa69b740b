"""HTML by small functions: text is escaped, markup is a type of its own, so that neither passes for the other."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


DASH = "\u2013"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Content: TypeAlias = "Html | str | int | None"


def markup(content: Content) -> Html:
    """Escape text; leave markup as it is; None is nothing."""
    if isinstance(content, Html):
        return content
    return Html("" if content is None else html.escape(str(content), quote=True))


def join(contents: Iterable[Content], by: str = "") -> Html:
    """Put contents one after the other."""
    return Html(by.join(markup(content) for content in contents))


def tag(name: str, *contents: Content, **attributes: str | None) -> Html:
    """Wrap contents in an element; a trailing underscore of an attribute is dropped, other underscores are dashes."""
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value, quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{named}>" if name == "img" else f"<{name}{named}>{join(contents)}</{name}>")


_VARIES, _ENDS = "<!--varies-->", "<!--/varies-->"


def varying(content: Content) -> Html:
    """Mark what another run of the same data would print otherwise: seconds, run ids, machines."""
    return Html(f"{_VARIES}{markup(content)}{_ENDS}")


def lasting(page: str) -> str:
    """Leave out what `varying` marked: what remains changes only when a result does."""
    return re.sub(f"{_VARIES}.*?{_ENDS}", "", page, flags=re.DOTALL)


def paragraph(*contents: Content, class_: str | None = None) -> Html:
    """Give a paragraph."""
    return tag("p", *contents, class_=class_)


def bullets(items: Iterable[Content]) -> Html:
    """Give a list of points."""
    return tag("ul", *(tag("li", item) for item in items))


def section(key: str, title: str, *contents: Content) -> Html:
    """Give a section that the table of contents can point to."""
    return tag("section", tag("h2", title), *contents, id=key)


def table(head: Sequence[Content], rows: Iterable[Sequence[Content]], *, caption: Content) -> Html:
    """Give a table whose first column names its rows; it scrolls sideways on its own where the page is narrow."""
    body = [
        tag(
            "tr",
            *(tag("th", cell, scope="row") if at == 0 else tag("td", cell) for at, cell in enumerate(row)),
        )
        for row in rows
    ]
    if not body:
        body = [tag("tr", tag("td", "none", colspan=str(len(head))))]
    grid = tag(
        "table",
        tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))),
        tag("tbody", *body),
    )
    # the caption stands outside what scrolls: on a phone it would be cut with the columns
    scrolled = tag("div", grid, class_="wide", tabindex="0", role="group", aria_label=_as_words(caption))
    return tag("div", paragraph(caption, class_="caption"), scrolled, class_="tabled")


def folded(summary: Content, *contents: Content) -> Html:
    """Give what a reader opens; on paper it is open."""
    return tag("details", tag("summary", summary), *contents)


def _as_words(content: Content) -> str:
    """Leave out markup, and what varies: an attribute cannot be marked as such."""
    words = re.sub(r"<[^>]*>", "", lasting(markup(content)))
    return html.unescape(words).strip()


def figure(picture: Html, caption: Content) -> Html:
    """Give a picture with its caption."""
    return tag("figure", picture, tag("figcaption", caption))


def percent(value: float | None, digits: int = 1) -> str:
    """Print a share in 0 to 1 as a percentage without its sign; a dash where there is none."""
    return DASH if value is None else f"{100 * value:.{digits}f}"


def count(value: int) -> str:
    """Print a number of things with thousands apart."""
    return f"{value:,}"


def with_interval(value: float | None, low: float | None, high: float | None) -> Html:
    """Print a share with its 95 % interval below it."""
    if value is None:
        return Html(DASH)
    if low is None or high is None:
        return tag("b", percent(value))
    return join([tag("b", percent(value)), tag("small", f"{percent(low)}{DASH}{percent(high)}")])
