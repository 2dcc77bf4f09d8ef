"""The verdict in two sentences, and in one line."""

from __future__ import annotations

from advisor.document import Diagnosis
from advisor.reports.common import SENTENCE, Style, is_node, ranked, worst
from advisor.reports.figures import fraction, percent, usd
from advisor.reports.ladders import Ladder, ladder, shown_usd
from rules.finding import Finding
from rules.headline import WORDS, headline, row_name
from rules.verdict import Verdict


def title(diagnosis: Diagnosis, style: Style) -> tuple[str, str]:
    """Two sentences: what limits one GPU and what that costs, or a node's totals and the worst of it."""
    verdict = worst(diagnosis)
    if verdict is None:
        return "No GPU was observed.", "There is nothing to judge."
    table = ladder(diagnosis, style)
    if is_node(diagnosis):
        return (
            f"{_node_cost(diagnosis, table)}.",
            f"Worst: {_limit(verdict, style)}{_main(diagnosis, verdict, style)}.",
        )
    return f"{_limit(verdict, style)}.", f"{_cost(table)}{_main(diagnosis, verdict, style)}."


def render_summary_line(diagnosis: Diagnosis) -> str:
    """One line for a log or a status bar: class, confidence, cost, main finding. Safe to print."""
    from advisor.reports.escape import terminal

    style = Style(terminal, terminal)
    verdict = worst(diagnosis)
    if verdict is None:
        return "no GPU was observed"
    table = ladder(diagnosis, style)
    where = style.text(row_name(verdict.gpu, verdict.mig), 80)
    parts = [f"{where} {WORDS[verdict.class_]} {fraction(verdict.confidence)}", _short_cost(diagnosis, table)]
    parts += [style.text(f"{f.code} {f.title}", 120) for f in ranked(diagnosis.findings)[:1]]
    prefix = "synthetic: " if diagnosis.provenance.synthetic else ""
    return prefix + " · ".join(parts)


def _limit(verdict: Verdict, style: Style) -> str:
    """The headline, without its full stop, and how sure it is."""
    sentence = (verdict.headline or headline(verdict)).strip().rstrip(".")
    said = style.text(sentence, SENTENCE)
    return said if verdict.class_ == "unknown" else f"{said} (confidence {fraction(verdict.confidence)})"


def _cost(table: Ladder) -> str:
    if table.price_usd_h is None:
        return f"{percent(table.wasted_share)} of the paid time does no useful work"
    if table.unknown_share > 0.99:
        return f"What its {usd(table.price_usd_h)} per hour buys is unknown"
    said = f"{usd(table.wasted_usd_h or 0.0)} of {usd(table.price_usd_h)} per hour does no useful work"
    return f"{said}{_unknown(table)}"


def _node_cost(diagnosis: Diagnosis, table: Ladder) -> str:
    where = f"on {_count(diagnosis)}"
    if table.price_usd_h is None:
        return f"{percent(table.wasted_share)} of the paid time {where} does no useful work"
    part = table.wasted_usd_h or 0.0
    share = percent(part / table.price_usd_h) if table.price_usd_h > 0 else "0 %"
    whole = f"{usd(table.price_usd_h)} per hour ({share}) {where}"
    return f"{usd(part)} of {whole} does no useful work{_unknown(table)}"


def _unknown(table: Ladder) -> str:
    """Money nothing is known of is neither wasted nor useful, so it is named beside both."""
    amount = table.unknown_usd_h or 0.0
    return f", and what {usd(amount)} buys is unknown" if amount >= 0.01 else ""


def _short_cost(diagnosis: Diagnosis, table: Ladder) -> str:
    where = f" on {_count(diagnosis)}" if is_node(diagnosis) else ""
    if table.price_usd_h is None:
        return f"{percent(table.wasted_share)} of paid time wasted{where}"
    return f"{usd(table.wasted_usd_h or 0.0)}/h of {usd(table.price_usd_h)}/h wasted{where}"


def _count(diagnosis: Diagnosis) -> str:
    gpus = {v.gpu for v in diagnosis.verdicts} | {row.gpu for row in diagnosis.ladder}
    instances = sum(v.mig is not None for v in diagnosis.verdicts)
    said = "1 GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    return f"{said} with {instances} MIG instance{'s' * (instances != 1)}" if instances else said


def _main(diagnosis: Diagnosis, verdict: Verdict, style: Style) -> str:
    """The first finding, and what the largest could win back; where, unless that has just been named."""
    found = ranked(diagnosis.findings)
    if not found:
        return ""
    if found[0].severity != "critical":
        return f"; {_worth(found[0], diagnosis, verdict, style)}"
    urgent = f"; critical: {_place(found[0], verdict, style)} ({style.text(found[0].title, 120)})"
    rest = [f for f in found if f.severity != "critical" and (f.usd_h or f.share)]
    return urgent + (f"; {_worth(rest[0], diagnosis, verdict, style)}" if rest else "")


def _place(finding: Finding, verdict: Verdict, style: Style) -> str:
    elsewhere = finding.key != verdict.key
    where = f" on {style.text(row_name(finding.gpu, finding.mig), 80)}" if elsewhere else ""
    return f"{style.text(finding.code, 40)}{where}"


def _worth(finding: Finding, diagnosis: Diagnosis, verdict: Verdict, style: Style) -> str:
    place = _place(finding, verdict, style)
    dollars = shown_usd(finding, diagnosis)
    if dollars is None:
        return f"{place} stands for {percent(finding.share)}"
    return f"{place} could win back up to {usd(dollars)} per hour"
