"""A rendered page, read as a browser would: its elements, and its drawings as XML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from nosbuild.report.build_report import BuildReport
from nosbuild.report.page import render

VOID = {"meta", "br", "hr", "img", "link", "input", "base"}


class Page(HTMLParser):
    """Elements, texts and attributes; an end tag that closes another element fails."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.style = ""
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), attrs
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.style += data
            return
        self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    @property
    def outside_plots(self) -> str:
        """The text without what the drawings say again for those who cannot see them."""
        without = re.sub(r"<svg.*?</svg>", "", self.html, flags=re.DOTALL)
        return Page(without).text

    def cells(self, *start: str) -> list[list[str]]:
        """Rows of tables whose first cell ends with one of the texts; blanks as one."""
        tidy = [[" ".join(cell.split()) for cell in row] for row in self.rows]
        return [row for row in tidy if row[0].endswith(start)]

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    @property
    def drawings(self) -> dict[str, ET.Element]:
        """By the start of their titles' ids."""
        found = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", self.html, re.DOTALL)]
        return {svg[0].attrib["id"].removesuffix("-title"): svg for svg in found}


def page_of(report: BuildReport, version: int = 2) -> Page:
    return Page(render(report, version))


def marks(svg: ET.Element) -> dict[str, ET.Element]:
    """Variant -> its group, by the tooltip."""
    return {(group[0].text or "").partition(":")[0]: group for group in svg.findall("g")}


def place(group: ET.Element) -> tuple[float, float]:
    """Of the (first) dot."""
    dot = next(c for c in group.findall("circle") if c.attrib["class"] == "dot")
    return float(dot.attrib["cx"]), float(dot.attrib["cy"])


def bar_line(svg: ET.Element) -> float:
    """Where the bar is, across."""
    line = next(line for line in svg.findall("polyline") if line.attrib["class"] == "bar")
    return float(line.attrib["points"].split(",")[0])


def coordinates(svg: ET.Element) -> list[tuple[float, float]]:
    """Every point that anything is drawn at."""
    found: list[tuple[float, float]] = []
    for element in svg.iter():
        a = element.attrib
        if "points" in a:
            pairs = [point.split(",") for point in a["points"].split()]
            found += [(float(x), float(y)) for x, y in pairs]
        elif "cx" in a:
            found.append((float(a["cx"]), float(a["cy"])))
        elif "x" in a:
            found.append((float(a["x"]), float(a["y"])))
        if "width" in a:
            found.append((float(a["x"]) + float(a["width"]), float(a["y"]) + float(a["height"])))
    return found
