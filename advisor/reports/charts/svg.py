"""Matplotlib's SVG made fit for a page: no styles, ids of its own, colours that the page can change.

`style` becomes presentation attributes, which a content security policy without inline styles lets through
and which look right without any style sheet; each colour of the palette also becomes a class (`f-host`,
`s-text`), so that a page's own style sheet can recolour it for dark screens.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from advisor.reports.charts.palette import ROLE_OF

SVG = "http://www.w3.org/2000/svg"
FONTS = "'DejaVu Sans', Verdana, 'Segoe UI', Arial, sans-serif"

_HREF = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+")
_URL = re.compile(r"url\(#([^)]+)\)")
_NO_TURN = re.compile(r"^rotate\(-?0 [^)]*\)$")
_PAINTED = {"fill": "f", "stroke": "s"}
_GEOMETRY = frozenset({"d", "x", "y", "width", "height", "transform", "points", "viewBox", "cx", "cy", "r"})
# What the font is, is said once, at the root.
_DROPPED = frozenset({"font-family", "font-style", "font-variant", "font-stretch"})


def embedded(raw: bytes, name: str, title: str, desc: str) -> str:
    """An `<svg>` element to put into a page, read by screen readers as an image called `title`.

    name: a slug that is unique in the page; every id begins with it.
    """
    ET.register_namespace("", SVG)
    root = ET.fromstring(raw)  # noqa: S314 - our own bytes
    _drop_extras(root)
    used = _references(root)
    for element in root.iter():
        _restyle(element)
        _rename(element, name, used)
        _round(element)
    _describe(root, name, title, desc)
    return ET.tostring(root, encoding="unicode")


def _drop_extras(root: ET.Element) -> None:
    """Metadata, the style sheet, and definitions that are left empty."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    for child in list(root):
        if child.tag == f"{{{SVG}}}defs" and not len(child):
            root.remove(child)


def _references(root: ET.Element) -> frozenset[str]:
    found: set[str] = set()
    for element in root.iter():
        found |= {value[1:] for key, value in element.attrib.items() if key == _HREF}
        found |= {match for value in element.attrib.values() for match in _URL.findall(value)}
    return frozenset(found)


def _restyle(element: ET.Element) -> None:
    style = element.attrib.pop("style", "")
    for declaration in style.split(";"):
        key, colon, value = declaration.partition(":")
        if colon and key.strip() not in _DROPPED:
            element.set(key.strip(), value.strip())
    classes = [
        f"{prefix}-{role}" for key, prefix in _PAINTED.items() if (role := ROLE_OF.get(element.get(key, "")))
    ]
    if classes:
        element.set("class", " ".join(classes))


def _rename(element: ET.Element, name: str, used: frozenset[str]) -> None:
    """Ids that something refers to get the chart's name in front, others go."""
    own = element.attrib.pop("id", None)
    if own in used:
        element.set("id", f"{name}-{own}")
    target = element.attrib.pop(_HREF, None)
    if target is not None:
        element.set("href", f"#{name}-{target[1:]}")
    for key, value in element.attrib.items():
        if "url(#" in value:
            element.set(key, _URL.sub(rf"url(#{name}-\1)", value))


def _round(element: ET.Element) -> None:
    """Two decimals are a hundredth of a pixel, and a third of the size."""
    for key in _GEOMETRY & element.attrib.keys():
        value = " ".join(element.attrib[key].split())
        element.set(key, _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value))
    if _NO_TURN.match(element.get("transform", "")):
        del element.attrib["transform"]
    if element.text is not None and not element.text.strip():
        element.text = None
    if element.tail is not None and not element.tail.strip():
        element.tail = None


def _describe(root: ET.Element, name: str, title: str, desc: str) -> None:
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    labels = {"title": title, "desc": desc}
    for tag, text in reversed(labels.items()):
        element = ET.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(0, element)
    root.attrib |= {
        "class": "chart",
        "role": "img",
        "aria-labelledby": " ".join(f"{name}-{tag}" for tag in labels),
        "font-family": FONTS,
        "stroke-linejoin": "round",
    }
