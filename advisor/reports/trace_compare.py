"""A TraceComparison as text for a terminal, and as Markdown for a ticket."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.reports import trace_compare_view as view
from advisor.reports.common import Style
from advisor.reports.comparison_page import ComparisonPage, as_text
from advisor.reports.escape import terminal
from advisor.reports.markup import Align, GitHub
from rules.compare.records import Difference
from rules.traces.compared import TraceComparison, TracePair

MAX_PAIRS = 16
_STYLE = Style(terminal, terminal)
_WEIGHTS = {"blocking": "Not alike", "weakening": "Not alike: with care", "info": "Also"}


def render_text(c: TraceComparison, width: int, color: bool, *, unicode: bool = True) -> str:
    """The comparison as lines of at most `width` columns (60 to 110), in bold where it matters if `color`."""
    return as_text(_Page(width, color).lines(c), unicode=unicode)


class _Page(ComparisonPage):
    """One rendering."""

    def lines(self, c: TraceComparison) -> list[str]:
        """From the outcome to what is good to know."""
        found = [] if len(c.pairs) == 1 else [f"{n}  {_STYLE.text(t, self._width - 3)}" for n, t in _names(c)]
        if c.refused is not None:
            found += ["", *map(self._bold, self._wrapped(f"Not comparable: {_STYLE.text(c.refused, 300)}."))]
        for pair in c.pairs[:MAX_PAIRS]:
            found += self._pair(pair, alone=len(c.pairs) == 1)
        if len(c.pairs) > MAX_PAIRS:
            found += ["", f"{len(c.pairs) - MAX_PAIRS} more pairs are in the JSON."]
        found += self._findings(c)
        return found + self._listed("Left over", view.unmatched(c, _STYLE)[:MAX_PAIRS])

    def _pair(self, pair: TracePair, *, alone: bool) -> list[str]:
        lines = [] if alone else ["", "─" * self._width, self._bold(view.pair_title(pair))]
        lines += map(self._bold, self._wrapped(view.headline(pair)))
        lines += [line for said in view.explanation(pair) for line in self._wrapped(_capital(said))]
        lines += ["", *self._wrapped(f"A  {view.side_line(pair.a, _STYLE)}", 3)]
        lines += self._wrapped(f"B  {view.side_line(pair.b, _STYLE)}", 3)
        lines += self._differences(pair.differences)
        lines += ["", *self._figures(pair), *self._kernels(pair)]
        return lines + self._listed("Notes", view.notes(pair, _STYLE))

    def _differences(self, found: Sequence[Difference]) -> list[str]:
        lines: list[str] = []
        for weight, head in _WEIGHTS.items():
            rows = [view.difference_row(d, _STYLE) for d in found if d.weight == weight]
            lines += ["", self._bold(head)] if rows else []
            for code, sides, effect in rows:
                lines += self._wrapped(f"{code:<12} {sides}: {effect}", 13, 2)
        return lines

    def _figures(self, pair: TracePair) -> list[str]:
        """One table in parts, so that all columns stand below each other."""
        rows: list[Sequence[str]] = [view.FIGURE_HEADS]
        heads: set[int] = set()
        for group, head in view.GROUPS:
            part = view.figure_rows(pair, group)
            if part:
                heads.add(len(rows))
                rows += [(head, "", "", "", ""), *((f"  {row[0]}", *row[1:]) for row in part)]
        lines = _aligned(rows, "lrrrl")
        if max(len(line.rstrip()) for line in lines) > self._width:  # intervals are in the JSON too
            lines = _aligned([row[:4] for row in rows], "lrrr")
        return [self._bold(line.rstrip()) if i in heads else line for i, line in enumerate(lines)]

    def _kernels(self, pair: TracePair) -> list[str]:
        room = self._width - 4
        rows = view.kernel_rows(pair, _STYLE, room)
        if not rows:
            return []
        lines = ["", self._bold("Kernels that changed")]
        for name, state, a, b, launch in rows:
            lines += self._wrapped(name, 2, 2)
            lines += self._wrapped(f"{state}: {a} -> {b}; a launch {launch}" if "launches" not in launch else
                                   f"{state}: {a} -> {b}; {launch}", 2, 4)  # fmt: skip
        return [*lines, *self._wrapped(view.kernels_note(pair), 0, 2)]

    def _findings(self, c: TraceComparison) -> list[str]:
        lines = []
        for one in c.findings[: view.MAX_FINDINGS]:
            lines += self._wrapped(f"{one.state:<7}{view.finding_line(one, _STYLE)}", 7, 2)
        if len(c.findings) > view.MAX_FINDINGS:
            lines.append(f"  {len(c.findings) - view.MAX_FINDINGS} more are in the JSON")
        return ["", self._bold("Findings"), *lines] if lines else []


def _names(c: TraceComparison) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("A", c.a), ("B", c.b)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _aligned(rows: Sequence[Sequence[str]], kinds: str) -> list[str]:
    """Columns two spaces apart, "l" or "r" each."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(kinds))]
    return [
        "  ".join(
            cell.rjust(w) if kind == "r" else cell.ljust(w)
            for cell, w, kind in zip(row, widths, kinds, strict=True)
        )
        for row in rows
    ]


def render_markdown(c: TraceComparison) -> str:
    """The comparison as GitHub Markdown. Untrusted text cannot inject markup."""
    m = GitHub()
    parts = [m.heading(2, f"{m.style.text(c.a, 80)} and {m.style.text(c.b, 80)}")]
    if c.refused is not None:
        parts.append(m.label(f"Not comparable: {m.style.text(c.refused, 300)}."))
    parts += [_pair(pair, m) for pair in c.pairs[:MAX_PAIRS]]
    if len(c.pairs) > MAX_PAIRS:
        parts.append(m.paragraph(f"{len(c.pairs) - MAX_PAIRS} more pairs are in the JSON."))
    found = [f"{m.bold(one.state)} {view.finding_line(one, m.style)}" for one in c.findings]
    if found:
        parts += [m.heading(3, "Findings"), m.bullets(found[: view.MAX_FINDINGS])]
    if left := view.unmatched(c, m.style)[:MAX_PAIRS]:
        parts += [m.heading(3, "Left over"), m.bullets(left)]
    return "".join(parts).rstrip("\n") + "\n"


def _pair(pair: TracePair, m: GitHub) -> str:
    said = [_capital(line) for line in view.explanation(pair)]
    sides = [f"A: {view.side_line(pair.a, m.style)}", f"B: {view.side_line(pair.b, m.style)}"]
    parts = [m.heading(3, view.headline(pair)), *([m.bullets(said)] if said else []), m.bullets(sides)]
    parts.append(_differences(pair, m))
    heads: list[tuple[str, Align]] = [(n or "figure", "right" if n else "left") for n in view.FIGURE_HEADS]
    rows = [
        [f"{head}: {row[0]}", *row[1:]]
        for group, head in view.GROUPS
        for row in view.figure_rows(pair, group)
    ]
    parts.append(m.table(heads, rows))
    kernels = [list(row) for row in view.kernel_rows(pair, m.style, 120)]
    if kernels:
        columns: list[tuple[str, Align]] = [
            (n or "what", "left" if i < 2 else "right") for i, n in enumerate(view.KERNEL_HEADS)
        ]
        parts += [m.table(columns, kernels), m.paragraph(view.kernels_note(pair))]
    if found := view.notes(pair, m.style):
        parts.append(m.bullets(found))
    return "".join(parts)


def _differences(pair: TracePair, m: GitHub) -> str:
    rows = [[d.weight, *view.difference_row(d, m.style)] for d in pair.differences]
    heads: list[tuple[str, Align]] = [(n, "left") for n in ("weight", "not alike", "A -> B", "what it does")]
    return m.table(heads, rows) if rows else ""
