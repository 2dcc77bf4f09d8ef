"""The verdict in two sentences, and in one line."""

from __future__ import annotations

from advisor.document import Diagnosis
from advisor.reports.bills import remark
from advisor.reports.common import SENTENCE, Style, is_node, ranked, urgent_keys, worst
from advisor.reports.figures import fraction, percent, usd
from advisor.reports.ladders import Ladder, is_well_spent, ladder, shown_usd
from rules.finding import Finding
from rules.headline import WORDS, headline, row_name
from rules.traces.records import TraceReport
from rules.verdict import Verdict

# Losses after which nothing is known of what a file held besides.
CUT = frozenset({"truncated", "damaged", "limit"})


def title(diagnosis: Diagnosis, style: Style) -> tuple[str, str]:
    """Two sentences: what limits one GPU and what that costs, or a node's totals and the worst of it."""
    verdict = worst(diagnosis)
    if verdict is None and diagnosis.trace is not None and is_cut(diagnosis.trace):
        return (
            "The trace is cut before anything that ran on a GPU.",
            "What limits it is not known: nothing tells what ran after the part that could be read.",
        )
    if verdict is None and diagnosis.trace is not None:
        return (
            "Nothing ran on a GPU in this trace.",
            "What limits it cannot be told from the CPU's side alone.",
        )
    if verdict is None:
        return "No GPU was observed.", "There is nothing to judge."
    table = ladder(diagnosis, style)
    if is_node(diagnosis) and urgent_keys(diagnosis):
        first = f"{_limit(verdict, style)}{_critical(diagnosis, verdict, style)}."
        return first, f"{_node_cost(diagnosis, table)}{_gain(diagnosis, verdict, style)}."
    if is_node(diagnosis):
        return (
            f"{_node_cost(diagnosis, table)}.",
            f"Worst: {_limit(verdict, style)}{_main(diagnosis, verdict, style)}.",
        )
    cost = _cost(table, remark(diagnosis), _at_least(diagnosis))
    return f"{_limit(verdict, style)}.", f"{cost}{_main(diagnosis, verdict, style)}."


def is_cut(report: TraceReport) -> bool:
    """Whether nothing of a GPU was read, and something could not be read."""
    lost = (loss.code for file in report.files for loss in file.losses)
    return report.cpu_only and any(code in CUT for code in lost)


def workload_line(diagnosis: Diagnosis, style: Style) -> str:
    """Whose work the one GPU does, and how sure its verdict is; empty on a node, whose table says it."""
    if is_node(diagnosis) or not diagnosis.verdicts or diagnosis.verdicts[0].workload is None:
        return ""
    verdict, found = diagnosis.verdicts[0], diagnosis.verdicts[0].workload
    user = found.user and (found.user if found.user.startswith("user:") else f"user {found.user}")
    facts = [f"pid {found.pid}", *(style.text(fact, 80) for fact in (found.job, user) if fact)]
    more = f", {found.others} more process{'es' * (found.others != 1)}" if found.others else ""
    sure = f"; {WORDS[verdict.class_]}, confidence {fraction(verdict.confidence)}"
    who = f"workload: {style.text(found.name, 120)} ({', '.join(facts)}){more}"
    return who if verdict.class_ == "unknown" else who + sure


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


def _at_least(diagnosis: Diagnosis) -> str:
    """Where part of the busy time has no known roof, more of it may be wasted than is known."""
    return "at least " if any(v.unroofed_frac >= 0.005 for v in diagnosis.verdicts) else ""


def _cost(table: Ladder, won: str, least: str) -> str:
    if table.price_usd_h is None:
        said = f"{least}{percent(table.wasted_share)} of the paid time is wasted{won}{_unknown(table)}"
        return said[:1].upper() + said[1:]
    if table.unknown_share > 0.99:
        return f"What its {table.usd(table.price_usd_h)} per hour buys is unknown"
    said = f"{least}{table.usd(table.wasted_usd_h)} of {table.usd(table.price_usd_h)} per hour is wasted"
    return f"{said[:1].upper()}{said[1:]}{won}{_unknown(table)}"


def _node_cost(diagnosis: Diagnosis, table: Ladder) -> str:
    where, won, least = f"on {_count(diagnosis)}", remark(diagnosis), _at_least(diagnosis)
    if table.price_usd_h is None:
        part = f"{percent(table.wasted_share)} of the paid time {where}"
        said = f"{least}{part} is wasted{won}{_unknown(table, diagnosis)}"
        return said[:1].upper() + said[1:]
    whole = f"{table.usd(table.price_usd_h)} per hour ({percent(table.wasted_share)}) {where}"
    said = f"{least}{table.usd(table.wasted_usd_h)} of {whole} is wasted{won}{_unknown(table, diagnosis)}"
    return said[:1].upper() + said[1:]


def _unknown(table: Ladder, diagnosis: Diagnosis | None = None) -> str:
    """Money nothing is known of is neither wasted nor useful, so it is named beside both.

    diagnosis: of a node, whose lost GPUs are named; the headline of one GPU says it itself.
    """
    why = _lost(diagnosis) if diagnosis is not None else ""
    if table.price_usd_h is None:
        known = table.unknown_share < 0.005
        return "" if known else f", and what {percent(table.unknown_share)} of it buys is unknown{why}"
    known = (table.unknown_usd_h or 0.0) < 0.005 and table.unknown_share < 0.005
    return "" if known else f", and what {table.usd(table.unknown_usd_h)} buys is unknown{why}"


def _lost(diagnosis: Diagnosis) -> str:
    """ " (GPU 1 is lost)": what a driver has lost does no work that anybody could see."""
    gpus = sorted({v.gpu for v in diagnosis.verdicts if v.cause == "gpu-lost"})
    if not gpus:
        return ""
    return f" (GPU {gpus[0]} is lost)" if len(gpus) == 1 else f" ({len(gpus)} GPUs are lost)"


def _short_cost(diagnosis: Diagnosis, table: Ladder) -> str:
    where = f" on {_count(diagnosis)}" if is_node(diagnosis) else ""
    if table.price_usd_h is None:
        said = f"{percent(table.wasted_share)} of paid time wasted{where}{remark(diagnosis)}"
        return said if table.unknown_share < 0.005 else f"{said}, {percent(table.unknown_share)} unknown"
    said = f"{table.usd(table.wasted_usd_h)}/h of {table.usd(table.price_usd_h)}/h wasted{where}"
    said += remark(diagnosis)
    amount = table.unknown_usd_h or 0.0
    return f"{said}, {usd(amount)}/h unknown" if amount >= 0.01 else said


def _count(diagnosis: Diagnosis) -> str:
    gpus = {v.gpu for v in diagnosis.verdicts} | {row.gpu for row in diagnosis.ladder}
    instances = sum(v.mig is not None for v in diagnosis.verdicts)
    said = "1 GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    return f"{said} with {instances} MIG instance{'s' * (instances != 1)}" if instances else said


def _main(diagnosis: Diagnosis, verdict: Verdict, style: Style) -> str:
    """The first finding, and the most that one can recover; where, unless that has just been named."""
    return _critical(diagnosis, verdict, style) + _gain(diagnosis, verdict, style)


def _critical(diagnosis: Diagnosis, verdict: Verdict, style: Style) -> str:
    """The most urgent finding, and how many more GPUs have one or do not answer."""
    found = [f for f in ranked(diagnosis.findings) if f.severity == "critical"]
    said = (
        f"; critical: {_place(found[0], verdict, style)} ({style.text(found[0].title, 120)})" if found else ""
    )
    more = len(set(urgent_keys(diagnosis)) - {verdict.key, *(f.key for f in found[:1])})
    return f"{said}; {more} more need{'s' * (more == 1)} attention" if more else said


def _gain(diagnosis: Diagnosis, verdict: Verdict, style: Style) -> str:
    """The most that a finding can recover; nothing where all is well spent."""
    found = (f for f in ranked(diagnosis.findings) if f.severity != "critical")
    able = [f for f in found if f.share and not is_well_spent(f)]
    best = next((f for f in able if f.recoverable != 0.0), next(iter(able), None))
    return "" if best is None else f"; {_worth(best, diagnosis, verdict, style)}"


def _place(finding: Finding, verdict: Verdict, style: Style) -> str:
    elsewhere = finding.key != verdict.key
    where = f" on {style.text(row_name(finding.gpu, finding.mig), 80)}" if elsewhere else ""
    return f"{style.text(finding.code, 40)}{where}"


def _worth(finding: Finding, diagnosis: Diagnosis, verdict: Verdict, style: Style) -> str:
    place = _place(finding, verdict, style)
    dollars = shown_usd(finding, diagnosis)
    if finding.term == "unknown":
        return f"{place}: {percent(finding.share)} of the paid time"
    if dollars is None:
        if finding.recoverable is not None and finding.recoverable >= 0.005:
            return f"{place}: up to {percent(finding.recoverable)} of the paid time recoverable"
        return f"{place}: {percent(finding.share)} of the paid time"
    return f"{place}: up to {usd(dollars)} per hour recoverable"
