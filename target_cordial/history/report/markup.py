"""HTML and SVG elements. Whatever text they hold is escaped, so that a list's name can be anything."""

from __future__ import annotations

import re
import typing as t
from xml.etree.ElementTree import Element, tostring

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def tag(name: str, /, *children: Element | str | None, **attributes: str | float | None) -> Element:
    """Make an element.

    Args:
        name: Its name, such as `p`.
        *children: Elements and text in it; None is passed over.
        **attributes: Its attributes, with `_` for `-` and at the end of Python's own words; None is passed over.

    Returns:
        The element.
    """
    element = Element(
        name,
        {
            key.rstrip("_").replace("_", "-"): _printable(
                f"{value:g}" if isinstance(value, float) else str(value)
            )
            for key, value in attributes.items()
            if value is not None
        },
    )
    for child in children:
        if isinstance(child, str):
            _add_text(element, _printable(child))
        elif child is not None:
            element.append(child)
    return element


def name_tag(name: str) -> Element:
    """Make an element of somebody else's text, whose direction of writing must not turn what stands beside it.

    Args:
        name: The text.

    Returns:
        The element.
    """
    return tag("bdi", name)


def document(head: t.Iterable[Element], body: t.Iterable[Element]) -> str:
    """Make a page.

    Args:
        head: What is in its head.
        body: What it shows.

    Returns:
        The page's HTML.
    """
    html = tag("html", tag("head", *head), tag("body", *body), lang="en")
    return "<!DOCTYPE html>\n" + tostring(html, encoding="unicode", method="html") + "\n"


def _add_text(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)
