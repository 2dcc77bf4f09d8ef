"""Pages about probes, drawn: as aligned text for a terminal, and as Markdown or Jira markup for a ticket."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from advisor.reports.common import Style
from advisor.reports.escape import as_ascii, terminal
from advisor.reports.markup import GitHub, Jira, Markup
from advisor.reports.probes import Align as Align
from advisor.reports.probes import Line, Page, Table, Tone, widest

MIN_WIDTH = 40
MAX_WIDTH = 140
GAP = "  "
TERMINAL = Style(terminal, lambda raw: f"`{terminal(raw)}`")
_CODES: dict[Tone, str] = {"": "", "dim": "2", "warn": "33", "bad": "31"}


def as_text(
    pages: Sequence[Page], outliers: Sequence[str], *, width: int, color: bool, unicode: bool = True
) -> str:
    """Pages (made with the TERMINAL style) in lines of at most `width` columns (40 to 140)."""
    pen = _Pen(min(MAX_WIDTH, max(MIN_WIDTH, width)), color)
    for i, page in enumerate(pages):
        pen.page(page, first=i == 0)
    for outlier in outliers:
        pen.say(outlier, "33;1", before="\n" if outlier is outliers[0] else "")
    text = "\n".join(line.rstrip() for line in "".join(pen.parts).splitlines()) + "\n"
    return text if unicode else as_ascii(text.replace("≥", ">="))


def markup_for(flavor: str) -> Markup:
    """The dialect of a ticket; pages for it are made with its style."""
    return Jira() if flavor == "jira" else GitHub()


def as_markup(pages: Sequence[Page], outliers: Sequence[str], m: Markup) -> str:
    """Pages (made with the dialect's style) as a ticket."""
    parts = [m.label(outlier) for outlier in outliers]
    for page in pages:
        parts += [m.heading(2, page.title), *(m.label(label) for label in page.labels)]
        parts += [m.paragraph(page.said), *(_markup_table(table, m) for table in page.tables)]
        if page.facts:
            rows = [list(fact) for fact in page.facts]
            parts.append(m.details("Conditions", m.table([("fact", "left"), ("value", "left")], rows)))
    return "".join(parts)


def _markup_table(table: Table, m: Markup) -> str:
    shown = _filled(table)
    has_notes = any(line.note for section in table.sections for line in section.lines)
    heads: list[tuple[str, Align]] = [("", "left"), *((table.heads[i], "right") for i in shown)]
    if has_notes:
        heads.append(("note", "left"))
    rows = [
        [line.names[-1], *(line.cells[i] for i in shown), *([line.note] if has_notes else [])]
        for section in table.sections
        for line in section.lines
    ]
    return m.table(heads, rows)


def _filled(table: Table) -> list[int]:
    """Columns with anything in them."""
    lines = [line for section in table.sections for line in section.lines]
    return [i for i in range(len(table.heads)) if any(line.cells[i] for line in lines)]


class _Pen:
    """Writes parts of a page one after the other."""

    def __init__(self, width: int, color: bool) -> None:
        self._width = width
        self._color = color
        self.parts: list[str] = []

    def page(self, page: Page, *, first: bool) -> None:
        self.say(page.title, "1", before="" if first else "\n")
        for label in page.labels:
            self.say(label, "30;43")
        self.say(page.said, "2")
        for table in page.tables:
            self._table(table)
        if page.facts:
            self.parts.append("\n")
        head = widest(name for name, _ in page.facts) + len(GAP)
        before = ""
        for name, said in page.facts:
            self.say(said, "2", first=("" if name == before else name).ljust(head), indent=head)
            before = name

    def say(self, text: str, code: str = "", *, first: str = "", indent: int = 0, before: str = "") -> None:
        """A paragraph, wrapped, with a hanging indent."""
        lines = textwrap.wrap(
            first + text,
            self._width,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        self.parts.append(before + "".join(self._ink(line, code) + "\n" for line in lines))

    def _table(self, table: Table) -> None:
        shown, sizes = self._fit(table)
        name_size = self._width - sum(sizes[i] + len(GAP) for i in shown)
        names = self._names(table, name_size)
        name_size = max(MIN_NAME, min(name_size, widest(names)))
        head = "".join(GAP + table.heads[i].rjust(sizes[i]) for i in shown)
        self.parts.append("\n" + self._ink(" " * name_size + head, "2") + "\n")
        place = 0
        for section in table.sections:
            self.parts.append(self._ink(section.title, "1") + "\n")
            for line in section.lines:
                self._line(line, names[place], name_size, [line.cells[i].rjust(sizes[i]) for i in shown])
                place += 1

    def _line(self, line: Line, name: str, name_size: int, cells: list[str]) -> None:
        code = _CODES[line.tone]
        text = name.ljust(name_size) + "".join(GAP + cell for cell in cells)
        if not any(cell.strip() for cell in cells) and line.note:
            self.say(line.note, code, first=name.ljust(name_size) + GAP, indent=name_size + len(GAP))
            return
        self.parts.append(self._ink(text, code) + "\n")
        if line.note:
            self.say(line.note, code, first="    ", indent=4)

    def _fit(self, table: Table) -> tuple[list[int], list[int]]:
        """The columns there is room for, and how wide each is."""
        lines = [line for section in table.sections for line in section.lines]
        sizes = [widest((head, *(line.cells[i] for line in lines))) for i, head in enumerate(table.heads)]
        shown = _filled(table)
        least = max(MIN_NAME, widest(INDENT + line.names[0] for line in lines))
        for spare in table.spare:
            if least + sum(sizes[i] + len(GAP) for i in shown) <= self._width:
                break
            shown = [i for i in shown if table.heads[i] != spare]
        return shown, sizes

    def _names(self, table: Table, room: int) -> list[str]:
        """The longest form of the names that fits for all of them."""
        lines = [line for section in table.sections for line in section.lines]
        long = [INDENT + line.names[-1] for line in lines]
        return long if widest(long) <= room else [INDENT + line.names[0] for line in lines]

    def _ink(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._color and code and text.strip() else text


INDENT = "  "
MIN_NAME = 10
