"""Glyphs: what bars, charts and rules are drawn with, in Unicode and in plain ASCII.

Each group of shares has its own glyph, so a bar reads without any colour.
"""

from __future__ import annotations

from dataclasses import dataclass

# Which group of the bar each share of a verdict belongs to, in the order the bar is drawn.
GROUP_OF: dict[str, str] = {
    "free": "idle",
    "idle_held": "idle",
    "host": "host",
    "communication": "link",
    "throttle": "link",
    "device": "device",
    "memory": "memory",
    "compute": "compute",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of glyphs. levels: eight heights of a bar, lowest first. group: share group -> glyph."""

    group: dict[str, str]
    levels: str
    full: str
    empty: str
    rule: str
    cursor: str
    dot: str
    mark: str
    hole: str
    none: str
    ascii: bool


UNICODE = Glyphs(
    group={
        "idle": "·",
        "host": "▒",
        "link": "▞",
        "device": "░",
        "memory": "▓",
        "compute": "█",
        "unknown": "?",
    },
    levels="▁▂▃▄▅▆▇█",
    full="█",
    empty="·",
    rule="─",
    cursor="▸",
    dot="·",
    mark="●",
    hole=" ",
    none="–",
    ascii=False,
)

ASCII = Glyphs(
    group={
        "idle": ".",
        "host": "h",
        "link": "x",
        "device": "d",
        "memory": "m",
        "compute": "C",
        "unknown": "?",
    },
    levels="_.-:=+*#",
    full="#",
    empty=".",
    rule="-",
    cursor=">",
    dot="-",
    mark="*",
    hole=" ",
    none="-",
    ascii=True,
)

_TO_ASCII = str.maketrans(
    {
        "×": "x",
        "·": "-",
        "…": ".",
        "–": "-",
        "—": "-",
        "°": " ",
        "µ": "u",
        "→": ">",
        "≥": ">",
        "≤": "<",
        "−": "-",
        "≈": "~",
        "±": "~",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "│": "|",
        "─": "-",
    }
)


def to_ascii(text: str) -> str:
    """The text with every character in ASCII, one for one; what has no likeness becomes `?`."""
    if text.isascii():
        return text
    return text.translate(_TO_ASCII).encode("ascii", "replace").decode("ascii")


def grouped(shares: dict[str, float]) -> dict[str, float]:
    """Shares summed by the bar's groups, in the bar's order, without empty groups."""
    out: dict[str, float] = {}
    for name, group in GROUP_OF.items():
        share = shares.get(name, 0.0)
        if share > 0.0:
            out[group] = out.get(group, 0.0) + share
    return out
