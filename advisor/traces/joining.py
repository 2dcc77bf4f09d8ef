"""Joining: findings of a trace beside a live diagnosis of the same job, or why they are not of one job."""

from __future__ import annotations

import msgspec

from advisor.bills import with_bills
from advisor.document import Diagnosis, Flag
from rules.economics import no_dust
from rules.engine import ranked
from rules.finding import Finding, LadderRow
from rules.headline import WORDS, row_name
from rules.registry import all_rules
from rules.roles import assigned
from rules.verdict import Verdict

# Clocks of a trace and of a live look may be off by this much on one node.
_CLOCKS_S = 5.0
# A trace without Unix time starts at 0: nothing live is as old.
_OWN_CLOCK_S = 1e8


class JoinError(ValueError):
    """A trace and a live diagnosis are not of one job. The message says why, device by device."""


class Match(msgspec.Struct, frozen=True):
    """A traced row and the live one of the same device and job. because: what they have in common."""

    traced: Verdict
    live: Verdict
    because: str


def join(live: Diagnosis, traced: Diagnosis) -> Diagnosis:
    """The live document with the trace's findings under its own rows, each said to be of the trace.

    Verdicts, ladder and bill stay those of the live look, which saw the job as it runs without a profiler;
    where the trace reaches another class, a flag says so. Raises JoinError where no row matches.
    """
    matches, reasons = matched(live, traced)
    if not matches:
        raise JoinError("; ".join(reasons) or "the trace holds no device")
    rows = {row.key: row for row in live.ladder}
    more = [f for m in matches for f in _findings(m, traced, rows.get(m.live.key))]
    document = msgspec.structs.replace(
        live,
        findings=ranked(_with_roles(live, more)),
        flags=(*live.flags, *(flag for m in matches for flag in _flags(m)), *_left_out(reasons)),
        trace=traced.trace,
    )
    return with_bills(document) if live.bills else document


def matched(live: Diagnosis, traced: Diagnosis) -> tuple[list[Match], list[str]]:
    """Rows of both that are of one device and job; and why others are not."""
    if _of_other_hosts(live, traced):
        return [], ["the trace is of another host"]
    found, reasons = [], []
    for verdict in traced.verdicts:
        same = [(v, _because(live, traced, v, verdict)) for v in live.verdicts]
        told = [(v, why) for v, why in same if why]
        best = max(told, key=lambda pair: "process" in pair[1], default=None)
        if best is None:
            reasons.append(_why_not(live, traced, verdict))
        else:
            found.append(Match(verdict, *best))
    return found, reasons


def _of_other_hosts(live: Diagnosis, traced: Diagnosis) -> bool:
    """Both say where they are from, and differ."""
    both = (live.provenance.host, traced.provenance.host)
    return all(both) and both[0] != both[1]


def _because(live: Diagnosis, traced: Diagnosis, row: Verdict, verdict: Verdict) -> str:
    """What makes a live row and a traced one the same; "" where they are not, or nothing tells."""
    if not _same_model(row, verdict) or row.mig is not None:
        return ""
    if _has_time(traced, verdict) and not _overlap(live, traced, verdict):
        return ""
    pids = [v.workload.pid if v.workload else 0 for v in (row, verdict)]
    index = _device(traced, verdict) == row.gpu
    if all(pids) and pids[0] == pids[1]:
        return f"process {pids[0]}"
    if index and _has_time(traced, verdict) and not all(pids):
        return f"device {row.gpu} at the same time"
    return ""


def _same_model(row: Verdict, verdict: Verdict) -> bool:
    names = [" ".join(v.device_name.lower().split()) for v in (row, verdict)]
    return names[0] == names[1] or names[1] == "unknown gpu"


def _device(traced: Diagnosis, verdict: Verdict) -> int | None:
    devices = () if traced.trace is None else traced.trace.devices
    return next((d.device for d in devices if d.key == verdict.key), None)


def _window(traced: Diagnosis, verdict: Verdict) -> tuple[float, float]:
    """When the traced device was at work."""
    seen = next((o.evidence for o in traced.observed if o.key == verdict.key), None)
    if seen is None:
        return traced.provenance.t_start_s, traced.provenance.t_end_s
    return seen.t_start_s, seen.t_end_s


def _has_time(traced: Diagnosis, verdict: Verdict) -> bool:
    return _window(traced, verdict)[0] >= _OWN_CLOCK_S


def _overlap(live: Diagnosis, traced: Diagnosis, verdict: Verdict) -> bool:
    start, end = _window(traced, verdict)
    seen = live.provenance
    return start <= seen.t_end_s + _CLOCKS_S and end >= seen.t_start_s - _CLOCKS_S


def _why_not(live: Diagnosis, traced: Diagnosis, verdict: Verdict) -> str:
    """The first thing in which a traced row differs from all live ones."""
    name = f"GPU {verdict.gpu} of the trace"
    if not any(_same_model(row, verdict) for row in live.verdicts):
        return f"{name} is a {verdict.device_name}, and no live row is"
    if _has_time(traced, verdict) and not _overlap(live, traced, verdict):
        return f"{name} was recorded at another time than the live look"
    pid = verdict.workload.pid if verdict.workload else 0
    if not pid:
        return f"{name}: the trace tells neither its process nor when it ran"
    return f"{name} belongs to process {pid}, which no live row shows"


def _findings(match: Match, traced: Diagnosis, row: LadderRow | None) -> list[Finding]:
    mine = [f for f in traced.findings if f.key == match.traced.key]
    return [_moved(f, match.live, row) for f in mine]


def _moved(found: Finding, live: Verdict, row: LadderRow | None) -> Finding:
    """The finding under the live row's key, in that row's dollars, and said to be of the trace."""
    price = None if row is None else row.price_usd_h
    part = found.share if found.recoverable is None else found.recoverable
    return msgspec.structs.replace(
        found,
        key=live.key,
        gpu=live.gpu,
        mig=live.mig,
        claim=f"In the trace: {found.claim}",
        usd_h=None if price is None else no_dust(part * price, price),
    )


def _with_roles(live: Diagnosis, more: list[Finding]) -> list[Finding]:
    """All findings, with roles given anew where a row has some of either kind."""
    causes = {rule.code: rule.causes for rule in all_rules()}
    touched = {f.key for f in more}
    found = [f for f in live.findings if f.key not in touched]
    for verdict in live.verdicts:
        if verdict.key in touched:
            mine = [f for f in (*live.findings, *more) if f.key == verdict.key]
            found += assigned(mine, verdict, causes)
    return found


def _flags(match: Match) -> list[Flag]:
    name, key = row_name(match.live.gpu, match.live.mig), match.live.key
    found = [Flag(code="trace-joined", message=f"{name}: findings of a trace, by {match.because}", key=key)]
    a, b = match.live.class_, match.traced.class_
    if a != b and "unknown" not in (a, b):
        said = f"{name}: the live look says {WORDS[a]}, the trace {WORDS[b]}"
        why = "a trace is of a few steps, under a profiler; the live figures are of the whole window"
        found.append(Flag(code="trace-differs", message=f"{said}: {why}", key=key))
    return found


def _left_out(reasons: list[str]) -> list[Flag]:
    return [Flag(code="trace-not-joined", message=reason) for reason in reasons]
