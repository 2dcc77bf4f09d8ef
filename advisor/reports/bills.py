"""What of the wasted money is recoverable, and what each job costs, in words that every format shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from advisor.bills import Amount, Statement, row_amounts, statement
from advisor.document import Diagnosis
from advisor.reports.common import CELL, Style
from advisor.reports.figures import SMALL_USD, UNKNOWN, percent, usd, usd_of
from rules.cents import HOURS
from rules.recover import Owner, Recoverable

WHO: dict[Owner, str] = {"job": "job owner", "fleet": "fleet"}
NOT_KNOWN = "not known"
_NAMES: dict[str, str] = {
    "free": "free time",
    "idle_held": "idle-held time",
    "host_gap": "host gap",
    "communication": "communication",
    "throttle": "throttle",
    "inefficiency": "inefficiency",
}
# Shares below this are shown as nothing, as cents below a half are.
_LEAST_SHARE = 0.005
_MOST_INDICES = 3
_ALL_UNKNOWN = 0.99


class Won(msgspec.Struct, frozen=True):
    """One term: who could recover how much of it, and because of what."""

    term: str
    name: str
    who: str
    amount: str
    because: str
    known: bool


class JobRow(msgspec.Struct, frozen=True):
    """One job, or the fleet, as a table shows it. Amounts are an hour's, `month` a month's; "–" for none."""

    name: str
    gpus: str
    price: str
    wasted: str
    won: str
    month: str


def span_of(low: int, high: int) -> str:
    """Cents as a range: "$1.45 to $2.91", "up to $2.91", "$6.88"."""
    if low == high:
        return usd(high / 100)
    return f"{usd(low / 100)} to {usd(high / 100)}" if low else f"up to {usd(high / 100)}"


def _exact_span(low: float, high: float, price: float) -> str:
    """A range of a bill that has hardly any cents."""
    least, most = usd_of(low, price), usd_of(high, price)
    if least == most:
        return most
    return f"{least} to {most}" if low > 0.0 else f"up to {most}"


def _is_small(amount: Amount) -> bool:
    """Whether an hour of this costs less than cents can show."""
    return amount.hours == 1.0 and 0.0 < (amount.bill.price_usd_h or 0.0) < SMALL_USD


def share_span(low: float, high: float) -> str:
    """Shares as a range: "21 % to 42 %", "up to 42 %"."""
    least, most = percent(low), percent(high)
    if least == most:
        return most
    return f"{least} to {most}" if low >= _LEAST_SHARE else f"up to {most}"


def total(amount: Amount) -> str:
    """What of a bill is known to be recoverable; empty where nothing is."""
    bill = amount.bill
    if _is_small(amount):
        high = bill.recoverable_usd_h_high or 0.0
        return _exact_span(bill.recoverable_usd_h_low or 0.0, high, bill.price_usd_h or 0.0) if high else ""
    if amount.won_back is not None:
        return span_of(*amount.won_back) if amount.won_back[1] else ""
    low, high = amount.won_back_share
    return share_span(low, high) if high >= _LEAST_SHARE else ""


def whole(diagnosis: Diagnosis) -> str:
    """The node's recoverable money or time; "–" for none."""
    made = statement(diagnosis)
    return (total(made.node) if made is not None else "") or "–"


def remark(diagnosis: Diagnosis) -> str:
    """Behind what is wasted: " ($1.45 to $2.91 of it recoverable)"; empty where nothing is wasted."""
    made = statement(diagnosis)
    if made is None or not _wasted(made.node):
        return ""
    found = total(made.node)
    return f" ({found} recoverable)" if found else " (none known to be recoverable)"


def _wasted(amount: Amount) -> bool:
    in_time = amount.wasted is None or _is_small(amount)
    return amount.wasted_share >= _LEAST_SHARE if in_time else bool(amount.wasted)


def won_back(diagnosis: Diagnosis, style: Style) -> list[Won]:
    """Every wasted term of the node, in the ladder's order; those of less than a cent are left out."""
    made = statement(diagnosis)
    if made is None:
        return []
    node, terms = made.node, dict.fromkeys(entry.term for entry in made.node.bill.recoverable)
    shown = [term for term in terms if _shows(node, term)]
    return [_won(node, term, [e for e in node.bill.recoverable if e.term == term], style) for term in shown]


def _shows(node: Amount, term: str) -> bool:
    if node.costs is None or _is_small(node):
        return node.bill.shares[term] >= _LEAST_SHARE
    return node.costs[term] > 0


def _won(node: Amount, term: str, entries: Sequence[Recoverable], style: Style) -> Won:
    able = [entry for entry in entries if entry.basis != "none" and _is_seen(node, entry)]
    owners = dict.fromkeys(WHO[entry.owner] for entry in able or entries)
    reasons = dict.fromkeys(style.text(entry.because, CELL) for entry in able or entries)
    return Won(
        term=term,
        name=_NAMES[term],
        who=", ".join(owners),
        amount=_amount(node, term, entries) if able else NOT_KNOWN,
        because="; ".join(reasons),
        known=bool(able),
    )


def _is_seen(node: Amount, entry: Recoverable) -> bool:
    """Whether what could be recovered can be shown at all."""
    if node.costs is None or _is_small(node):
        return entry.share_high >= _LEAST_SHARE
    return node.high[entry.term] > 0


def _amount(node: Amount, term: str, entries: Sequence[Recoverable]) -> str:
    if _is_small(node):
        low, high = (math.fsum(getattr(e, f"usd_h_{end}") or 0.0 for e in entries) for end in ("low", "high"))
        return _exact_span(low, high, node.bill.price_usd_h or 0.0)
    if node.costs is not None:
        return span_of(node.low[term], node.high[term])
    return share_span(
        math.fsum(entry.share_low for entry in entries), math.fsum(entry.share_high for entry in entries)
    )


def month_line(diagnosis: Diagnosis) -> str:
    """What the bill comes to in a month; empty without a price."""
    made = statement(diagnosis, "month")
    if made is None or made.node.price is None:
        return ""
    found = total(made.node) or "none of it known to be"
    unknown = (made.node.costs or {}).get("unknown", 0)
    rest = f", {usd(unknown / 100)} unknown" if unknown else ""
    said = f"A month ({HOURS['month']:g} h) at this rate: {usd(made.node.price / 100)}"
    if not made.node.wasted:
        return f"{said}, nothing of it wasted{rest}."
    return f"{said}, {usd(made.node.wasted / 100)} wasted ({found} recoverable){rest}."


def row_totals(diagnosis: Diagnosis) -> dict[str, str]:
    """Row's key -> what of it is recoverable an hour; "–" for nothing known."""
    return {key: total(amount) or "–" for key, amount in row_amounts(diagnosis).items()}


def job_rows(diagnosis: Diagnosis, style: Style) -> list[JobRow]:
    """Jobs by what they waste, then the fleet. Hours and months each sum to the node's."""
    hours, months = statement(diagnosis), statement(diagnosis, "month")
    if hours is None or months is None:
        return []
    monthly = {a.bill.name: a for a in months.jobs}
    gpus = {row.key: row.gpu for row in diagnosis.ladder}
    found = [_job_row(a, monthly[a.bill.name], gpus, style) for a in hours.jobs]
    return [*found, _node_row(hours, months, gpus)]


def _node_row(hours: Statement, months: Statement, gpus: dict[str, int]) -> JobRow:
    return JobRow("all", *_cells(hours.node, months.node, gpus))


def _job_row(hour: Amount, month: Amount, gpus: dict[str, int], style: Style) -> JobRow:
    return JobRow(job_label(hour, style), *_cells(hour, month, gpus))


def job_label(amount: Amount, style: Style) -> str:
    """ "slurm:123 train.py", "train.py (pid 7)", or whose the rest is."""
    bill = amount.bill
    if bill.scope == "fleet":
        return "fleet (free, or no job known)"
    name, program = style.text(bill.name, 60), style.text(bill.program or "", 40)
    more = f" (shares {bill.shared} GPU{'s' * (bill.shared > 1)} with others)" if bill.shared else ""
    return (
        f"{name} {program}{more}" if program and not bill.name.startswith(bill.program or "") else name + more
    )


def _indices(gpus: set[int]) -> str:
    """ "0", "0, 2", or how many there are."""
    return ", ".join(str(gpu) for gpu in sorted(gpus)) if len(gpus) <= _MOST_INDICES else f"{len(gpus)} GPUs"


def _cells(hour: Amount, month: Amount, gpus: dict[str, int]) -> tuple[str, str, str, str, str]:
    count = _indices({gpus[key] for key in hour.bill.rows})
    if hour.price is None or month.price is None or hour.wasted is None:
        return count, "–", percent(hour.wasted_share), total(hour) or "–", "–"
    price, lost = hour.price / 100, hour.wasted / 100
    if _is_small(hour):
        price, lost = hour.bill.price_usd_h or 0.0, hour.bill.wasted_usd_h or 0.0
    wasted = f"{usd_of(lost, price)} ({percent(hour.wasted_share)})"
    if hour.bill.shares["unknown"] > _ALL_UNKNOWN:
        wasted = UNKNOWN
    return count, usd_of(price, price), wasted, total(hour) or "–", usd(month.price / 100)
