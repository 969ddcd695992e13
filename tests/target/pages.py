"""Reads a page as a browser would have it: elements, text and tables; anything that is not well-formed fails the test."""

from __future__ import annotations

import html.parser
from dataclasses import dataclass, field

VOID = {"meta", "link", "br", "hr", "img", "input"}


@dataclass
class Page(html.parser.HTMLParser):
    """A parsed page.

    Attributes:
        tags: Every element's name, in order.
        attributes: Every attribute, as name and value.
        text: All that is written between tags, style left out.
        tables: The cells of each table, row by row, by its caption.
    """

    source: str
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""
    tables: dict[str, list[list[str]]] = field(default_factory=dict)

    def __post_init__(self):
        super().__init__()
        self._open: list[str] = []
        self._words: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        assert self.source.startswith("<!DOCTYPE html>\n<html lang=")
        self.feed(self.source)
        self.close()
        assert self._open == []
        self.text = " ".join("".join(self._words).split())

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), attrs
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"th", "td"}:
            self._rows[-1].append("")
        if tag not in {"bdi", "span", "strong", "b"}:
            self._words.append(" ")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, (tag, self._open)
        if tag == "table":
            assert self._caption not in self.tables
            self.tables[self._caption] = self._rows
        if tag not in {"bdi", "span", "strong", "b"}:
            self._words.append(" ")

    def handle_data(self, data):
        if "style" in self._open:
            return
        self._words.append(data)
        if "caption" in self._open:
            self._caption += data
        elif {"th", "td"} & set(self._open):
            self._rows[-1][-1] += data
