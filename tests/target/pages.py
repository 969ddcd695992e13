"""Reads a page as a browser would have it; elements that are not closed in order fail the test."""

from __future__ import annotations

import html.parser

VOID = {"meta", "link"}
INLINE = {"bdi", "span", "b", "i", "small"}


class Page(html.parser.HTMLParser):
    """A parsed page: its tags, its attributes, its text without style, and the cells of each table by its caption."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._texts: list[str] = []
        self._caption = ""
        assert source.startswith("<!DOCTYPE html>\n<html lang=")
        self.feed(source)
        self.close()
        assert self._open == []
        self.text = " ".join("".join(self._texts).split())

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), attrs
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self.tables[self._caption].append([])
        elif tag in {"th", "td"}:
            self.tables[self._caption][-1].append("")
        self._texts.append("" if tag in INLINE else " ")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, (tag, self._open)
        if tag == "caption":
            assert self._caption not in self.tables
            self.tables[self._caption] = []
        self._texts.append("" if tag in INLINE else " ")

    def handle_data(self, data):
        if "style" in self._open:
            return
        self._texts.append(data)
        if "caption" in self._open:
            self._caption += data
        elif {"th", "td"} & set(self._open):
            self.tables[self._caption][-1][-1] += data
