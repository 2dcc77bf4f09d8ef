"""What comparisons as text have in common: a page of some width, bold heads, lists that hang."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from advisor.reports.escape import as_ascii

MIN_WIDTH = 60
MAX_WIDTH = 110


class ComparisonPage:
    """One rendering: lines of at most `width` columns (60 to 110), in bold where it matters if `color`."""

    def __init__(self, width: int, color: bool) -> None:
        self._width = min(MAX_WIDTH, max(MIN_WIDTH, width))
        self._color = color

    def _bold(self, line: str) -> str:
        return f"\x1b[1m{line}\x1b[0m" if self._color and line else line

    def _wrapped(self, text: str, hang: int = 0, indent: int = 0) -> list[str]:
        after = " " * (hang + indent)
        return textwrap.wrap(
            text, self._width, initial_indent=" " * indent, subsequent_indent=after, break_on_hyphens=False
        )

    def _listed(self, head: str, items: Iterable[str]) -> list[str]:
        lines = [line for item in items for line in self._wrapped(item, 2, 2)]
        return ["", self._bold(head), *lines] if lines else []


def as_text(lines: Sequence[str], *, unicode: bool) -> str:
    """Lines as they are printed: nothing behind their ends, ASCII alone where `unicode` is off."""
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return text if unicode else as_ascii(text)
