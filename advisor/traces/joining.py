"""Joining: findings of a trace beside a live diagnosis of the same job, or why they are not of one job."""

from __future__ import annotations

import msgspec

from advisor.bills import with_bills
from advisor.document import Diagnosis, Flag
from rules.economics import no_dust
from rules.engine import ranked
from rules.finding import SEVERITIES, Effect, Finding, LadderRow, Severity
from rules.headline import WORDS, cause_words, row_name
from rules.ladder import wasted
from rules.registry import all_rules, severity_of
from rules.roles import assigned
from rules.verdict import Verdict

# Clocks of a trace and of a live look may be off by this much on one node.
_CLOCKS_S = 5.0
# A trace without Unix time starts at 0: nothing live is as old.
_OWN_CLOCK_S = 1e8
# Flags that joining sets.
_FLAGS = frozenset({"trace-joined", "trace-agrees", "trace-differs", "trace-not-joined"})


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
    where both say the same, and where the trace reaches another class or cause, a flag says so. What another
    trace had added before is replaced. Raises JoinError where no row matches.
    """
    live = _without_trace(live)
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


def _without_trace(live: Diagnosis) -> Diagnosis:
    """The live document as it was before a trace was joined to it."""
    if live.trace is None or live.provenance.source == "trace":
        return live
    return msgspec.structs.replace(
        live,
        findings=tuple(f for f in live.findings if f.code not in _of_traces()),
        flags=tuple(flag for flag in live.flags if flag.code not in _FLAGS),
        trace=None,
    )


def _of_traces() -> frozenset[str]:
    """Codes of rules that read traces alone."""
    return frozenset(rule.code for rule in all_rules() if rule.tiers == ("trace",))


def _findings(match: Match, traced: Diagnosis, row: LadderRow | None) -> list[Finding]:
    mine = [f for f in traced.findings if f.key == match.traced.key]
    seen = next((r for r in traced.ladder if r.key == match.traced.key), None)
    return [_moved(f, match.live, seen, row) for f in mine]


def _moved(found: Finding, live: Verdict, seen: LadderRow | None, row: LadderRow | None) -> Finding:
    """The finding under the live row's key, said to be of the trace, in dollars that this row has.

    A trace is of a few steps under a profiler: where the live look sees less of the term that the finding
    explains, its share and what a fix saves are less in proportion, at both ends.
    """
    price = None if row is None else row.price_usd_h
    scale, room = _scale(found, seen, row), _at_stake(found, row)
    share = min(room, found.share * scale)
    part = min(room, (found.share if found.recoverable is None else found.recoverable) * scale)
    return msgspec.structs.replace(
        found,
        key=live.key,
        gpu=live.gpu,
        mig=live.mig,
        claim=f"In the trace: {found.claim}",
        severity=_severity(found, share),
        share=share,
        recoverable=part,
        effect=None if found.effect is None else _less(found.effect, scale),
        usd_h=None if price is None else no_dust(part * price, price),
    )


def _severity(found: Finding, share: float) -> Severity:
    """No more severe than this share of the live look's time is, where that is less than the trace's."""
    if share >= found.share:
        return found.severity
    return max(found.severity, severity_of(share, found.severity), key=SEVERITIES.index)


def _at_stake(found: Finding, row: LadderRow | None) -> float:
    """What a row has of the finding's term; all that is wasted, for a finding without one."""
    if row is None:
        return 1.0
    return wasted(row.shares) if found.term is None else row.shares.get(found.term, 0.0)


def _scale(found: Finding, seen: LadderRow | None, row: LadderRow | None) -> float:
    """The live row's part of what is at stake over the trace's, at most 1."""
    traced, live = _at_stake(found, seen), _at_stake(found, row)
    return 1.0 if seen is None or row is None or traced <= 0.0 else min(1.0, live / traced)


def _less(effect: Effect, scale: float) -> Effect:
    """An effect whose savings are this part of what they were."""
    if scale >= 1.0:
        return effect

    def less(factor: float) -> float:
        return 1.0 / (1.0 - scale * (1.0 - 1.0 / factor))

    return msgspec.structs.replace(
        effect,
        low=less(effect.low),
        high=less(effect.high),
        bound=None if effect.bound is None else less(effect.bound),
        basis=f"{effect.basis}; {100 * scale:.0f} % of it, as the live look sees less of such time",
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
    a, b = match.live, match.traced
    if "unknown" in (a.class_, b.class_):
        return found
    if (a.class_, a.cause) == (b.class_, b.cause):
        said = f"{name}: the live look and the trace agree: {WORDS[a.class_]}, {cause_words(a.cause)}"
        return [*found, Flag(code="trace-agrees", message=said, key=key)]
    said = f"{name}: the live look says {_words(a, b)}, the trace {_words(b, a)}"
    return [*found, Flag(code="trace-differs", message=f"{said}: {_why_differs(a, b)}", key=key)]


def _words(verdict: Verdict, other: Verdict) -> str:
    """The class, or the cause where the class is one."""
    return WORDS[verdict.class_] if verdict.class_ != other.class_ else cause_words(verdict.cause)


def _why_differs(live: Verdict, traced: Verdict) -> str:
    if live.class_ == traced.class_ == "host":
        return "from outside a cause is inferred; the trace saw what the host was in"
    return "a trace is of a few steps, under a profiler; the live figures are of the whole window"


def _left_out(reasons: list[str]) -> list[Flag]:
    return [Flag(code="trace-not-joined", message=reason) for reason in reasons]
