"""What a comparison says, in words and cells; how it looks is each format's own business."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from advisor.reports.common import Style, row_name
from advisor.reports.figures import factor, fraction, number, span, usd
from rules.compare.records import (
    Comparison,
    Difference,
    Figure,
    FindingChange,
    Look,
    Pair,
    Prediction,
    Side,
    Throughput,
)

MAX_DIFFERENCES = 40
# From here on decimals of a factor say nothing.
MANY_TIMES = 1e4
MAX_FINDINGS = 20
TITLES = {
    "free": "free",
    "idle_held": "idle-held",
    "host": "host gap",
    "communication": "communication",
    "throttle": "throttled",
    "device": "neither roof",
    "memory": "at the memory roof",
    "compute": "at the compute roof",
    "unknown": "unknown",
    "useful": "useful",
    "wasted": "wasted",
    "dram_roof": "DRAM roof when busy",
    "pipe_roof": "pipe roof when busy",
    "power": "power, mean",
    "sm_clock": "SM clock, median",
    "wasted_usd": "wasted, per hour",
}
_HOW = {
    "asked": "matched as asked",
    "uuid": "the same card",
    "index": "matched by index and model",
    "workload": "matched by workload",
    "only": "the only ones left",
}
_JUDGED = {
    "inside": "inside the range",
    "within-noise": "outside, by no more than noise",
    "below": "less than predicted",
    "above": "more than predicted",
    "not-made": "not made, as it seems",
    "unknown": "cannot be told",
}
_BASES = {"serving": "counted by the engine", "work": "counted by the user", "estimate": "estimated"}

# Changes that the last digit shown cannot hold.
_LEAST_SHOWN = {"frac": 0.0005, "w": 0.5, "mhz": 0.5, "usd_h": 0.005}


class FigureRow(msgspec.Struct, frozen=True):
    """One line of the table of figures."""

    name: str
    a: str
    b: str
    change: str
    interval: str


def headline(c: Comparison, style: Style) -> str:
    """The outcome in a sentence or two."""
    if c.refused is not None:
        return f"Not comparable: {style.text(c.refused, 300)}."
    compared = [pair for pair in c.pairs if pair.refused is None]
    if len(compared) == 1:
        return f"{_place(compared[0], style)}: {_speed(compared[0].throughput)}{_money(c)}."
    return f"{len(compared)} GPUs compared{_money(c) or '; dollars are not known'}."


def _speed(got: Throughput) -> str:
    if got.factor is None:
        return "how much faster or slower cannot be told"
    counted = got.low is None and got.basis != "estimate"
    how = [
        *(["forced"] if got.forced else []),
        *(["of other demand"] if got.demand else []),
        *([] if counted else [within(got)]),
        _BASES[got.basis or "estimate"],
    ]
    if got.says == "no-difference":
        noise = "" if got.low is None else " within noise"
        return f"no difference in throughput{noise} ({', '.join(how)})"
    return f"{_factor(got.factor, got)} the work per hour ({', '.join(how)})"


def within(got: Throughput) -> str:
    """The interval of a factor in words: what sampling does, and nothing of what an estimate assumes."""
    if got.low is None or got.high is None:
        return "no interval"
    return f"{_factor(got.low, got)} to {_factor(got.high, got)} by sampling only"


def _factor(times: float, got: Throughput) -> str:
    """With as many digits as tell its interval's ends apart, up to four."""
    width = 0.0 if got.low is None or got.high is None else got.high - got.low
    digits = min(4, math.ceil(-math.log10(width))) if 0.0 < width < 1.0 else 0
    shown_ = factor(times)
    decimals = len(shown_.rstrip("×").partition(".")[2])
    return f"{times:,.{digits}f}×" if digits > decimals and times < MANY_TIMES else shown_


def _money(c: Comparison) -> str:
    total = next((f for f in c.totals if f.change is not None), None)
    if total is None or total.change is None:
        return ""
    if total.says == "no-difference":
        return "; dollars wasted: no difference within noise"
    if abs(total.change) < _LEAST_SHOWN["usd_h"]:
        return "; as many dollars are wasted"
    way = "more" if total.change > 0 else "less"
    remarks_ = [*(["no interval"] if total.low is None else []), *(["forced"] if total.forced else [])]
    said = f" ({', '.join(remarks_)})" if remarks_ else ""
    return f"; {usd(abs(total.change))}/h {way} is wasted{said}"


def warnings(c: Comparison) -> list[str]:
    """What must be read before anything else."""
    found = []
    if c.a.synthetic or c.b.synthetic:
        both = c.a.synthetic and c.b.synthetic
        which = "A and B hold" if both else "A holds" if c.a.synthetic else "B holds"
        found.append(f"SYNTHETIC DATA: {which} figures that no GPU produced.")
    if c.forced:
        found.append("FORCED: the two are not comparable, and figures marked as forced may mean nothing.")
    return found


def look_line(look: Look, style: Style) -> str:
    """Which document it is."""
    facts = [style.text(look.name, 60), style.text(look.created, 40), f"{look.source}, {span(look.window_s)}"]
    return " · ".join([*facts, style.text(look.host, 40)] if look.host else facts)


PAIR_HEADS = ("", "limited by", "throughput", "wasted, $/h")


def pair_rows(c: Comparison, style: Style) -> list[tuple[str, str, str, str]]:
    """One line a pair, where there are several."""
    return [] if len(c.pairs) < 2 else [_pair_row(pair, style) for pair in c.pairs]


def _pair_row(pair: Pair, style: Style) -> tuple[str, str, str, str]:
    limits = pair.a.class_ if pair.a.class_ == pair.b.class_ else f"{pair.a.class_} -> {pair.b.class_}"
    if pair.refused is not None:
        return _place(pair, style), limits, "refused", "refused"
    got = pair.throughput
    speed = "unknown" if got.factor is None else factor(got.factor)
    if got.says == "no-difference":
        speed = "no difference" if got.low is None else "within noise"
    wasted = next((f for f in pair.figures if f.name == "wasted_usd"), None)
    return _place(pair, style), limits, speed, "unknown" if wasted is None else _change(wasted)


def pair_title(pair: Pair, style: Style) -> str:
    """ "GPU 2 (train.py): host -> memory"."""
    names = [style.text(s.workload or "no process", 60) for s in (pair.a, pair.b)]
    who = names[0] if names[0] == names[1] else f"{names[0]}, then {names[1]}"
    return f"{_place(pair, style)} ({who})"


def _place(pair: Pair, style: Style) -> str:
    a, b = (side_name(s, style) for s in (pair.a, pair.b))
    return a if a == b else f"{a} and {b}"


def side_name(side: Side, style: Style) -> str:
    """ "GPU 2", or with its MIG instance."""
    return row_name(side.gpu, side.mig, style)


def limits_line(pair: Pair, style: Style) -> str:
    """What limited each, and how the two were told to be one."""
    a, b = (f"{s.class_} ({style.text(s.cause, 40)})" for s in (pair.a, pair.b))
    limit = f"limited by {a} in both" if a == b else f"limited by {a} in A, by {b} in B"
    return f"{limit}; {_HOW[pair.matched_by]}"


def price_lines(pair: Pair, style: Style) -> list[str]:
    """Whose price the dollars are at."""
    said = [
        "no price" if s.price_usd_h is None else f"{usd(s.price_usd_h)}/h, {style.text(s.price_source, 300)}"
        for s in (pair.a, pair.b)
    ]
    return (
        [f"price: {said[0]}"] if said[0] == said[1] else [f"price of A: {said[0]}", f"price of B: {said[1]}"]
    )


def unmatched(sides: Sequence[Side], which: str, style: Style) -> list[str]:
    """Rows that have no counterpart."""
    return [
        f"{side_name(s, style)} of {which} ({style.text(s.device_name, 60)}, "
        f"{style.text(s.workload or 'no process', 60)}) has no counterpart"
        for s in sides
    ]


# --- figures --------------------------------------------------------------------------------------


def figure_rows(figures: Sequence[Figure]) -> list[FigureRow]:
    """The table's lines."""
    return [
        FigureRow(
            TITLES.get(f.name, f.name), shown(f.a, f.unit), shown(f.b, f.unit), _change(f), _interval(f)
        )
        for f in figures
    ]


def shown(figure: float | None, unit: str) -> str:
    """A figure with its unit."""
    if figure is None:
        return "unknown"
    if unit == "frac":
        return f"{figure * 100:.1f} %"
    if unit == "usd_h":
        return usd(figure)
    return f"{number(round(figure))} {'W' if unit == 'w' else 'MHz'}"


def _change(f: Figure) -> str:
    if f.refused is not None:
        return "refused"
    if f.change is None:
        return "unknown"
    if f.says == "no-difference":
        return "within noise"
    if abs(f.change) < _LEAST_SHOWN.get(f.unit, 0.0):
        return "none"
    return _signed(f.change, f.unit, "pt")


def _interval(f: Figure) -> str:
    if f.change is None:
        return ""
    forced = ["forced"] if f.forced else []
    if f.low is None or f.high is None:
        return ", ".join(["no interval", *forced])
    ends = f"{_signed(f.low, f.unit)} to {_signed(f.high, f.unit)}{' ~' if f.slow else ''}"
    return ", ".join([ends, *forced])


def _signed(change: float, unit: str, points: str = "") -> str:
    sign = "-" if change < 0 else "+"
    if unit == "frac":
        return f"{sign}{abs(change) * 100:.1f}{' ' + points if points else ''}"
    if unit == "usd_h":
        return f"{sign}${abs(change):,.2f}"
    unit_name = {"w": " W", "mhz": " MHz"}[unit] if points else ""
    return f"{sign}{number(round(abs(change)))}{unit_name}"


def remarks(pair: Pair, style: Style) -> list[str]:
    """What the table's words mean where they occur: refusals, missing intervals, slow series."""
    refused = dict.fromkeys(f.refused for f in pair.figures if f.refused)
    missing = dict.fromkeys(
        f.no_interval
        for f in pair.figures
        if f.no_interval and f.no_interval != "documents hold no series of it"
    )
    found = [f"refused: {style.text(why, 300)}" for why in refused]
    found += [f"no interval: {style.text(why, 300)}" for why in missing]
    if any(f.slow for f in pair.figures):
        found.append(
            "~: it wanders for longer than a window lasts; the interval is a least one, watch longer"
        )
    return found


def throughput_lines(got: Throughput, style: Style) -> list[str]:
    """Throughput, how it is known, and the energy of the same work."""
    if got.refused is not None:
        return [f"throughput: refused, {style.text(got.refused, 300)}"]
    if got.factor is None:
        return ["throughput: unknown"]
    lines = [f"throughput: {_speed(got)}"]
    if got.basis in ("work", "serving") and got.a is not None and got.b is not None:
        lines[0] += (
            f": {number(got.a)} to {number(got.b)} {got.unit if got.unit != 'work' else ''}".rstrip() + "/s"
        )
    lines.append(f"  {got.assumes}")
    if got.demand:
        lines.append(f"  demand was not the same: {style.text(got.demand, 200)}; no measure of speed")
    if got.no_interval:
        lines.append(f"  no interval: {style.text(got.no_interval, 300)}")
    if got.energy is not None:
        lines.append(f"energy for the same work: {factor(got.energy)} of A's")
    return lines


# --- differences, findings, predictions -----------------------------------------------------------


def difference_row(d: Difference, style: Style) -> tuple[str, str, str]:
    """Weight and code, both sides, what it does."""
    effect = style.text(d.effect, 300)
    if d.refuses and d.weight != "blocking":
        groups = {
            "roofs": "roofs, useful and wasted time",
            "money": "dollars",
            "estimate": "the throughput estimate",
        }
        effect += f"; refused: {', '.join(groups[g] for g in d.refuses if g in groups)}"
    return d.code, _sides(d, style), effect


def _sides(d: Difference, style: Style) -> str:
    a, b = style.text(d.a, 80), style.text(d.b, 80)
    return f"both {a}" if a == b else f"{a} -> {b}"


def finding_line(change: FindingChange, style: Style) -> str:
    """ "HOST003 the input pipeline is CPU-bound (38 %, $2.61/h)"."""
    dollars = bool(change.usd_h_a or change.usd_h_b)
    a, b = (
        _worth(share, usd_h, dollars)
        for share, usd_h in ((change.share_a, change.usd_h_a), (change.share_b, change.usd_h_b))
    )
    worth = " -> ".join(part for part in (a, b) if part)
    return f"{change.code} {style.text(change.title, 120)}" + (f" ({worth})" if worth else "")


def _worth(share: float | None, usd_h: float | None, dollars: bool) -> str:
    """Dollars where either look has any, so that both are said in one unit; else the share."""
    if dollars and usd_h is not None:
        return f"{usd(usd_h)}/h"
    return f"{fraction(share)} of the time" if share else ""


def prediction_rows(found: Sequence[Prediction], style: Style) -> list[tuple[str, str, str, str]]:
    """What, predicted, realised, judged; what several fixes realised together is said once."""
    shared: set[str] = set()
    rows = []
    for prediction in found:
        name, said, came, judged = _prediction_row(prediction, style)
        rows.append((name, said, "that same figure" if came in shared else came, judged))
        shared |= {came} if prediction.together and came else set()
    return rows


def _prediction_row(p: Prediction, style: Style) -> tuple[str, str, str, str]:
    said = f"{factor(p.low)} to {factor(p.high)}"
    came = "unknown" if p.factor is None else factor(p.factor)
    if not p.made:
        came = ""
    if p.saving_low_usd_h is not None and p.saving_high_usd_h is not None:
        said += f", saving {usd(p.saving_low_usd_h)} to {usd(p.saving_high_usd_h)}/h"
    if p.saving_usd_h is not None and came:
        came += f", saving {usd(p.saving_usd_h)}/h"
    if p.together and came:
        came += (
            f", by one or more of {', '.join(style.text(fix, 40) for fix in sorted((p.fix, *p.together)))}"
        )
    alone = ", if it was this one alone" if p.together and p.says != "unknown" else ""
    said_of_it = (f"{_JUDGED[p.says]}{alone}", style.text(p.because, 200), "forced" if p.forced else "")
    judged = "; ".join(part for part in said_of_it if part)
    return f"{style.text(p.title, 100)} ({style.text(p.fix, 40)})", said, came, judged
