"""Findings as a report words them: what, how it is known, what to do, what that would buy, how to check."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import msgspec

from advisor.document import Diagnosis
from advisor.reports.common import CELL, SENTENCE, Style, row_name, rows_by_key
from advisor.reports.figures import UNITS, factor, fraction, percent, usd, value
from advisor.reports.ladders import is_well_spent, shown_least, shown_usd
from rules.finding import Effect, Finding
from rules.verdict import EvidenceItem

MAX_EVIDENCE = 16
MAX_ACTIONS = 8
# Of a finding that contributes to another: what is said of it is small print.
MAX_ALSO = 2
MAX_CHECK_S = 600.0
_A_CENT = 0.01

_WELL_SPENT = "No dollars are counted on it: it does more for the same money."
_CODE = re.compile(r"[A-Z]{2,8}\d{1,4}")


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an evidence table, ready to show."""

    metric: str
    value: str
    threshold: str
    source: str


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """One finding, ready to show. `check` holds code. A contributing one is small print under its primary."""

    code: str
    title: str
    facts: tuple[str, ...]
    claim: str
    evidence: tuple[EvidenceRow, ...]
    more_evidence: int
    why: str
    actions: tuple[str, ...]
    expect: str
    check: tuple[str, ...]
    is_contributing: bool = False


def view(finding: Finding, diagnosis: Diagnosis, style: Style) -> FindingView:
    """A finding in words."""
    return FindingView(
        code=style.text(finding.code, 40),
        title=style.text(finding.title, CELL),
        facts=_facts(finding, diagnosis, style),
        claim=style.prose(finding.claim),
        evidence=evidence_rows(finding.evidence[:MAX_EVIDENCE], style),
        more_evidence=max(0, len(finding.evidence) - MAX_EVIDENCE),
        why=style.prose(finding.why),
        actions=tuple(style.prose(action, SENTENCE) for action in finding.actions[:MAX_ACTIONS]),
        expect=_expect(finding, diagnosis, style),
        check=tuple(style.code(command) for command in checks(finding, diagnosis)),
        is_contributing=is_small_print(finding, diagnosis),
    )


def is_small_print(finding: Finding, diagnosis: Diagnosis) -> bool:
    """Whether the finding is shown under another: it contributes to one that is there, and is no fault."""
    if finding.role == "primary" or finding.severity == "critical":
        return False
    place = (finding.key, finding.term)
    return any(f.role == "primary" and (f.key, f.term) == place for f in diagnosis.findings)


def is_remark(finding: Finding, diagnosis: Diagnosis) -> bool:
    """Whether a line says enough: no dollars are counted on it, and it informs or contributes to another."""
    if finding.usd_h is not None and not is_well_spent(finding):
        return False
    return finding.severity == "info" or (finding.usd_h is not None and is_small_print(finding, diagnosis))


def evidence_rows(items: Sequence[EvidenceItem], style: Style) -> tuple[EvidenceRow, ...]:
    """Evidence lines with values in their units."""
    return tuple(
        EvidenceRow(
            metric=style.text(item.metric),
            value=_value(item, style),
            threshold=style.text(item.threshold or "–", 80),
            source=style.text(item.source or "–"),
        )
        for item in items
    )


def _value(item: EvidenceItem, style: Style) -> str:
    """Figures are our own words; text and unknown units are not."""
    shown = value(item.value, item.unit)
    return shown if isinstance(item.value, float | int) and item.unit in UNITS else style.text(shown, 80)


def nothing_found(diagnosis: Diagnosis) -> str:
    """Why there are no findings: nothing to find, or too little known to look."""
    hidden = sum(diagnosis.provenance.ignored.values())
    if hidden and not diagnosis.findings:
        return f"{hidden} {'is' if hidden == 1 else 'are'} left out by --select or --ignore"
    if diagnosis.verdicts and all(v.class_ == "unknown" for v in diagnosis.verdicts):
        return "No rule could judge: what limits it is unknown"
    if diagnosis.ladder and all(row.shares.get("unknown", 0.0) > 0.5 for row in diagnosis.ladder):
        return "No rule saw a cost worth naming in what is known: what most of the time buys is not"
    return "No rule saw a cost worth naming"


def worth(finding: Finding, diagnosis: Diagnosis) -> str:
    """What is at stake, in dollars where a price is known; empty for what costs nothing yet."""
    dollars = shown_usd(finding, diagnosis)
    if (not dollars or is_well_spent(finding)) and not finding.share:
        return ""
    if finding.term == "unknown" and dollars:
        return f"{usd(dollars)}/h of unknown use, {percent(finding.share)} of paid time"
    if dollars is None or is_well_spent(finding):
        return f"{percent(finding.share)} of paid time"
    return f"up to {usd(dollars)}/h, {percent(finding.share)} of paid time"


def _most(finding: Finding, diagnosis: Diagnosis) -> str:
    """What a fix could win back at most, which may be less than the time that the finding stands for."""
    if finding.recoverable is None or finding.usd_h is not None:
        return worth(finding, diagnosis)
    return f"{percent(finding.recoverable)} of paid time"


def checks(finding: Finding, diagnosis: Diagnosis) -> list[str]:
    """Commands that show whether the fix worked, and how the rule decides."""
    p = diagnosis.provenance
    if p.source == "trace" or (diagnosis.trace is not None and finding.code.startswith("TRACE")):
        return [_again(finding, diagnosis), *_explained(finding)]
    length = min(MAX_CHECK_S, max(1.0, p.t_end_s - p.t_start_s))
    place = finding.key if finding.mig else str(finding.gpu)
    return [f"advisor diagnose --gpu {shlex.quote(place)} --duration {length:.0f}s", *_explained(finding)]


def _explained(finding: Finding) -> list[str]:
    return [f"advisor explain {finding.code}"] if _CODE.fullmatch(finding.code) else []


def _again(finding: Finding, diagnosis: Diagnosis) -> str:
    """Trace again after the fix, and see both."""
    report = diagnosis.trace
    found = next((d for d in report.devices if d.key == finding.key), None) if report is not None else None
    if report is None or found is None or found.file >= len(report.files):
        return "advisor trace AFTER_THE_FIX"
    name = report.files[found.file].name
    return f"advisor trace {shlex.quote(f'./{name}' if name.startswith('-') else name)} AFTER_THE_FIX"


def _on_device(finding: Finding) -> bool:
    """False for what is said of a trace without one."""
    return not (finding.key.startswith("trace:") and finding.key.endswith(":cpu"))


def _facts(finding: Finding, diagnosis: Diagnosis, style: Style) -> tuple[str, ...]:
    who = "the job's owner can act" if finding.owner == "job" else "the fleet's operator can act"
    place = row_name(finding.gpu, finding.mig, style) if _on_device(finding) else "no GPU"
    stake = worth(finding, diagnosis)
    sure = f"confidence {fraction(finding.confidence)}"
    return (place, f"severity {finding.severity}", *([stake] if stake else []), sure, who)


def _expect(finding: Finding, diagnosis: Diagnosis, style: Style) -> str:
    if finding.effect is None:
        if is_well_spent(finding):
            return ""
        if finding.term == "unknown" or finding.recoverable == 0.0:
            return ""
        most = _most(finding, diagnosis)
        return (f"{most}." if finding.usd_h is not None else f"up to {most}.") if most else ""
    row = rows_by_key(diagnosis).get(finding.key)
    price = row.price_usd_h if row else None
    effect = finding.effect
    money = _dollars(effect, price, shown_usd(finding, diagnosis), shown_least(finding, diagnosis))
    said = f"{_times(effect)}{money}.{_bound(effect)}"
    if is_well_spent(finding):
        said = f"{_times(effect)}.{_bound(effect)} {_WELL_SPENT}"
    return f"{said} Basis: {style.prose(effect.basis, SENTENCE)}" if effect.basis else said


def _times(effect: Effect) -> str:
    low, high = factor(effect.low), factor(effect.high)
    gains = _percent_gain(effect)
    slower = "; it may be slower" if effect.low < 1 else ""
    return (
        f"{low} throughput ({gains}{slower})"
        if low == high
        else f"{low} to {high} throughput ({gains}{slower})"
    )


def _percent_gain(effect: Effect) -> str:
    low, high = (f"{(x - 1) * 100:.0f} %" for x in (effect.low, effect.high))
    return f"{low} more" if low == high else f"{low} to {high} more"


def _dollars(effect: Effect, price_usd_h: float | None, at_most: float | None, least: float | None) -> str:
    """The same work at factor x costs 1/x of today's, so 1 - 1/x of the price is recoverable.

    What is not wasted in the ladder cannot be recovered: beyond that, a higher factor is more work for it.
    least: the lower end as the bill has it.
    """
    if price_usd_h is None or effect.low <= 0 or effect.high <= 0:
        return ""
    cap = price_usd_h if at_most is None else at_most
    whole_low, whole_high = (price_usd_h * (1 - 1 / x) for x in (effect.low, effect.high))
    beyond = "; beyond that it is more work for the same money" if whole_high > cap + _A_CENT else ""
    low = usd(max(0.0, min(cap, whole_low)) if least is None else least)
    high = usd(cap if whole_high > cap - _A_CENT else whole_high)
    if low != high and effect.low >= 1:
        return f", worth {low} to {high} per hour{beyond}"
    same = effect.low == effect.high and not beyond
    return f", worth {low} per hour" if same else f", worth up to {high} per hour{beyond}"


def _bound(effect: Effect) -> str:
    """The bound, unless the range or its basis has said it already."""
    known = effect.bound is None or effect.bound <= effect.high * 1.005 or "bound" in effect.basis
    return "" if known or effect.bound is None else f" No fix of this kind exceeds {factor(effect.bound)}."
