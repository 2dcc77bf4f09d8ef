"""A Comparison as text for a terminal, and as Markdown for a ticket."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.reports import compare_view as view
from advisor.reports.common import Style
from advisor.reports.comparison_page import ComparisonPage, as_text
from advisor.reports.escape import terminal
from advisor.reports.markup import Align, GitHub
from rules.compare.records import Comparison, Difference, FindingChange, Pair

MAX_PAIRS = 64
_STYLE = Style(terminal, terminal)
_WEIGHT_WORDS = {
    "blocking": "Not alike: no figure can be compared",
    "weakening": "Not alike: with care",
    "info": "Also",
}
_STATES = {"came": "came", "went": "went", "stayed": "stayed"}
_FIGURE_HEADS = ("", "A", "B", "change", "95 % interval")


def render_text(comparison: Comparison, width: int, color: bool, *, unicode: bool = True) -> str:
    """The comparison as lines of at most `width` columns (60 to 110), in bold where it matters if `color`."""
    return as_text(_Page(width, color).lines(comparison), unicode=unicode)


class _Page(ComparisonPage):
    """One rendering."""

    def lines(self, c: Comparison) -> list[str]:
        """From what must be read first to what is good to know."""
        found = [self._bold(line) for text in view.warnings(c) for line in self._wrapped(text)]
        found += [*([""] if found else []), *map(self._bold, self._wrapped(view.headline(c, _STYLE))), ""]
        found += self._wrapped(f"A  {view.look_line(c.a, _STYLE)}", 3)
        found += self._wrapped(f"B  {view.look_line(c.b, _STYLE)}", 3)
        found += self._differences(c.differences)
        if overview := view.pair_rows(c, _STYLE)[:MAX_PAIRS]:
            found += ["", *_aligned([view.PAIR_HEADS, *overview], "llrr")]
        for pair in c.pairs[:MAX_PAIRS]:
            found += self._pair(pair)
        if len(c.pairs) > MAX_PAIRS:
            found += ["", f"{len(c.pairs) - MAX_PAIRS} more pairs are in the JSON."]
        left = [*view.unmatched(c.only_a, "A", _STYLE), *view.unmatched(c.only_b, "B", _STYLE)]
        found += self._listed("Left over", left[:MAX_PAIRS])
        return found + self._listed("Fails on", [_STYLE.text(line, 300) for line in c.gate])

    def _differences(self, found: Sequence[Difference], indent: int = 0) -> list[str]:
        lines: list[str] = []
        for weight, head in _WEIGHT_WORDS.items():
            rows = [view.difference_row(d, _STYLE) for d in found if d.weight == weight]
            if rows:
                lines += ["", " " * indent + self._bold(head)]
            for code, sides, effect in rows[: view.MAX_DIFFERENCES]:
                lines += self._wrapped(f"{code:<13} {sides}: {effect}", 14, indent + 2)
        return lines

    def _pair(self, pair: Pair) -> list[str]:
        title = self._wrapped(view.pair_title(pair, _STYLE))
        lines = ["", "─" * self._width, *map(self._bold, title)]
        lines += self._wrapped(view.limits_line(pair, _STYLE))
        lines += self._differences(pair.differences)
        if pair.refused is None:
            lines += self._figures(pair)
            for said in view.throughput_lines(pair.throughput, _STYLE):
                lines += self._wrapped(said.strip(), 2, 2 if said.startswith(" ") else 0)
            lines += self._predictions(pair)
        return lines + self._findings(pair.findings)

    def _figures(self, pair: Pair) -> list[str]:
        rows = [(r.name, r.a, r.b, r.change, r.interval) for r in view.figure_rows(pair.figures)]
        lines = ["", *_aligned([_FIGURE_HEADS, *rows], "lrrrl"), ""]
        for said in [*view.remarks(pair, _STYLE), *view.price_lines(pair, _STYLE)]:
            lines += self._wrapped(said, 2)
        return lines

    def _predictions(self, pair: Pair) -> list[str]:
        lines = []
        for name, said, came, judged in view.prediction_rows(pair.predictions, _STYLE):
            lines += self._wrapped(name, 2, 2)
            got = f"; realised {came}" if came else ""
            lines += self._wrapped(f"predicted {said}{got}: {judged}", 2, 4)
        return ["", self._bold("What A said a fix would buy"), *lines] if lines else []

    def _findings(self, found: Sequence[FindingChange]) -> list[str]:
        lines = []
        for change in found[: view.MAX_FINDINGS]:
            lines += self._wrapped(f"{_STATES[change.state]:<7}{view.finding_line(change, _STYLE)}", 7, 2)
        if len(found) > view.MAX_FINDINGS:
            lines.append(f"  {len(found) - view.MAX_FINDINGS} more are in the JSON")
        return ["", self._bold("Findings"), *lines] if lines else []


def _aligned(rows: Sequence[Sequence[str]], kinds: str) -> list[str]:
    """Columns two spaces apart, "l" or "r" each."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(kinds))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if kind == "r" else cell.ljust(w)
            for cell, w, kind in zip(row, widths, kinds, strict=True)
        ]
        lines.append("  ".join(cells))
    return lines


def render_markdown(comparison: Comparison) -> str:
    """The comparison as GitHub Markdown. Untrusted text cannot inject markup."""
    return _Ticket(GitHub()).render(comparison)


class _Ticket:
    """One rendering as Markdown."""

    def __init__(self, markup: GitHub) -> None:
        self._m = markup
        self._style = markup.style

    def render(self, c: Comparison) -> str:
        """Outcome first, provenance last."""
        m, style = self._m, self._style
        parts = [m.label(text) for text in view.warnings(c)]
        parts.append(m.heading(2, view.headline(c, style)))
        parts.append(m.bullets([f"A: {view.look_line(c.a, style)}", f"B: {view.look_line(c.b, style)}"]))
        parts.append(self._differences(c.differences))
        if overview := view.pair_rows(c, style)[:MAX_PAIRS]:
            heads: list[tuple[str, Align]] = [(name or "GPU", "left") for name in view.PAIR_HEADS]
            parts.append(m.table(heads, overview))
        parts += [self._pair(pair) for pair in c.pairs[:MAX_PAIRS]]
        if len(c.pairs) > MAX_PAIRS:
            parts.append(m.paragraph(f"{len(c.pairs) - MAX_PAIRS} more pairs are in the JSON."))
        left = [*view.unmatched(c.only_a, "A", style), *view.unmatched(c.only_b, "B", style)]
        parts.append(self._listed("Left over", left[:MAX_PAIRS]))
        parts.append(self._listed("Fails on", [style.text(line, 300) for line in c.gate]))
        return "".join(parts).rstrip("\n") + "\n"

    def _listed(self, head: str, items: Sequence[str]) -> str:
        return self._m.heading(3, head) + self._m.bullets(items) if items else ""

    def _differences(self, found: Sequence[Difference]) -> str:
        rows = []
        for d in found[: view.MAX_DIFFERENCES]:
            code, sides, effect = view.difference_row(d, self._style)
            rows.append([d.weight, code, sides, effect])
        heads: list[tuple[str, Align]] = [
            (n, "left") for n in ("weight", "not alike", "A -> B", "what it does")
        ]
        return self._m.table(heads, rows) if rows else ""

    def _pair(self, pair: Pair) -> str:
        m, style = self._m, self._style
        parts = [m.heading(3, view.pair_title(pair, style)), m.paragraph(view.limits_line(pair, style))]
        parts.append(self._differences(pair.differences))
        if pair.refused is None:
            parts += [self._figures(pair), self._predictions(pair)]
        lines = [f"{m.bold(_STATES[f.state])} {view.finding_line(f, style)}" for f in pair.findings]
        return "".join(parts) + (m.bullets(lines[: view.MAX_FINDINGS]) if lines else "")

    def _figures(self, pair: Pair) -> str:
        m = self._m
        heads: list[tuple[str, Align]] = [(n or "figure", "right" if n else "left") for n in _FIGURE_HEADS]
        rows = [[r.name, r.a, r.b, r.change, r.interval] for r in view.figure_rows(pair.figures)]
        said = [line.strip() for line in view.throughput_lines(pair.throughput, self._style)]
        style = self._style
        return m.table(heads, rows) + m.bullets(
            [*said, *view.remarks(pair, style), *view.price_lines(pair, style)]
        )

    def _predictions(self, pair: Pair) -> str:
        rows = [list(row) for row in view.prediction_rows(pair.predictions, self._style)]
        heads: list[tuple[str, Align]] = [
            (name, "left") for name in ("what A said a fix would buy", "predicted", "realised", "")
        ]
        return self._m.table(heads, rows) if rows else ""
