"""Findings as rows: the list by dollars an hour, and one finding in full."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.tui import format as fmt
from advisor.tui.banner import by_weight, place_of
from advisor.tui.blocks import heading
from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import SEVERITY_ROLE
from advisor.tui.rows import Row, Span, left, text_of, wrap
from advisor.tui.sections import SOURCE_WIDTH, evidence_rows
from advisor.tui.text import safe
from rules.finding import Finding


def finding_key(finding: Finding) -> str:
    """What stays the same while figures change: rule and device."""
    return f"{finding.code} {finding.key}"


def ranked(findings: Sequence[Finding], previous: Sequence[str] = ()) -> list[Finding]:
    """By dollars an hour, largest first; findings already listed keep their order among themselves."""
    ordered = by_weight(findings)
    place = {key: number for number, key in enumerate(previous)}
    if not previous or any(finding_key(found) not in place for found in findings):
        return ordered
    return sorted(ordered, key=lambda found: place[finding_key(found)])


def list_head(width: int) -> Row:
    """Column names of the list."""
    return (Span(left(f"  {'code':<8} {'$/h':>6}  {'severity':<8}  {'where':<7} finding", width), "dim"),)


def list_row(finding: Finding, width: int) -> Row:
    """One line of the list."""
    dollars = fmt.money(finding.usd_h).removeprefix("$")
    lead = f"{left(finding.code, 8)} {dollars:>6}  "
    where = left(place_of(finding), 7)
    room = max(8, width - len(lead) - 10 - 8 - 3)
    if finding.role == "contributing":
        also = left(f"also: {safe(finding.title)}", room)
        return (Span(f"{lead}{left(finding.severity, 8)}  {where} {also}", "dim"),)
    return (
        Span(lead, "strong"),
        Span(left(finding.severity, 8) + "  ", SEVERITY_ROLE.get(finding.severity, "")),
        Span(where + " "),
        Span(left(safe(finding.title), room)),
    )


def full_rows(finding: Finding | None, width: int, glyphs: Glyphs) -> list[Row]:
    """Claim, evidence, why it costs, what to do, what that would buy."""
    if finding is None:
        return [(Span("no finding: nothing stands out so far", "dim"),)]
    part = ", contributes" if finding.role == "contributing" else ""
    confidence = f"confidence {finding.confidence:.2f}, for the {finding.owner} to act{part}"
    rows: list[Row] = [heading(f"{finding.code} on {place_of(finding)}", width, glyphs, confidence)]
    rows += [(Span(line, "strong"),) for line in wrap(safe(finding.title), width)]
    rows += _paragraph(finding.claim, width)
    rows += [(), heading("evidence", width, glyphs, "value, threshold, where it was read")]
    rows += _evidence_rows(finding, width) or [(Span("none", "dim"),)]
    if finding.why:
        rows += [(), heading("why it costs", width, glyphs), *_paragraph(finding.why, width)]
    rows += [(), heading("what to do", width, glyphs)]
    for number, action in enumerate(finding.actions, start=1):
        rows += _hanging(f"{number}. ", safe(action), width)
    rows += [(), heading("what that would buy", width, glyphs), *_effect_rows(finding, width)]
    return [*rows, (), (Span(f"x explains {finding.code}", "dim"),)]


def _evidence_rows(finding: Finding, width: int) -> list[Row]:
    """A line a metric; where there is no room beside it, the source has a line of its own."""
    rows = evidence_rows(finding.evidence, width)
    if width >= SOURCE_WIDTH:
        return rows
    sources = [(Span(f"  {left(safe(item.source), width - 2)}", "dim"),) for item in finding.evidence]
    return [line for pair in zip(rows, sources, strict=True) for line in pair if text_of(line).strip()]


def _paragraph(text: str, width: int) -> list[Row]:
    return [(Span(line),) for line in wrap(safe(text), width)]


def _hanging(lead: str, text: str, width: int) -> list[Row]:
    lines = wrap(text, width - len(lead))
    return [(Span(lead if number == 0 else " " * len(lead)), Span(line)) for number, line in enumerate(lines)]


def _effect_rows(finding: Finding, width: int) -> list[Row]:
    rows: list[Row] = []
    effect = finding.effect
    if effect is not None:
        rows.append((Span(f"{effect.low:.2f}× to {effect.high:.2f}× throughput", "good"),))
        if effect.bound is not None:
            rows.append((Span(f"no fix of this kind can exceed {effect.bound:.2f}×", "dim"),))
        rows += [(Span(line, "dim"),) for line in wrap(safe(effect.basis), width)]
    if finding.usd_h is not None:
        rows.append((Span(f"at most {fmt.money(finding.usd_h)} per hour", "money"),))
    rows.append((Span(f"it stands for {fmt.percent(finding.share)} of the paid time"),))
    return rows
