"""Diagnosing: from an analysis of traces to the one document, tier `trace`."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import PurePath

import msgspec

from advisor import __version__
from advisor.bills import with_bills
from advisor.config import Config
from advisor.diagnosis import Row, iso, observed, totals
from advisor.document import DeviceProvenance, Diagnosis, Observed, Provenance
from advisor.reports.redact import host_hash
from advisor.telemetry.records import DeviceInfo
from advisor.traces.analyse import Analysis, distinct_names
from advisor.traces.attribution import KERNELS_MISSING
from advisor.traces.host_roles import drivers
from advisor.traces.timeline import Loss, Timeline, TraceDevice
from advisor.traces.trace_flags import flags
from advisor.whatifs import with_what_ifs
from probes.ceilings import Ceilings
from probes.specs import assumed_ceilings, find_spec
from rules.catalogue.traces_validity import ASKED, cpu_only
from rules.engine import Subject, conclude, judge, ranked
from rules.evidence import Device, Evidence, Workload
from rules.finding import TERMS, Finding, Price
from rules.ladder import priced_row
from rules.registry import Context
from rules.traces.causes import rank_row
from rules.traces.records import DeviceTrace, RankFigures, RankRow
from rules.traces.words import LOST, NO_KERNELS

UNKNOWN_GPU = "unknown GPU"
# No driver's name is as long; one from a file may be.
_NAME_LENGTH = 96
# Losses after which nothing is known of what a file held besides.
LOSSES = frozenset({"truncated", "damaged", "limit"})
NO_NAME = Price(
    usd_h=None, basis="none", source="the trace does not name the GPU; give --gpu-model, or --price USD_H"
)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """How a diagnosis of traces is made.

    created_s: Unix time that the document bears. command: as it was typed. gpu_model: a person's word for the
    GPU, where the trace has none or a wrong one. host: the pseudonym of the node the traces are of, where a
    person or a live look says so; a trace's own is not trusted to be. asked: the trace was asked of a running
    process, so that nobody wrote code to record it.
    """

    created_s: float
    command: str = ""
    gpu_model: str | None = None
    host: str = ""
    note: str = ""
    asked: bool = False
    config: Config | None = None


PriceOf = Callable[[DeviceInfo], Price]


def ceilings_of(timeline: Timeline, device: int, gpu_model: str | None = None) -> Ceilings | None:
    """What a traced device can do, from its model's data sheet and what such cards reach; None for an unknown
    model. Nothing that was measured on this machine's cards: a trace does not say which card it is of.
    """
    facts = timeline.facts_of(device)
    name = gpu_model or facts.name
    if not name:
        return None
    told = (None, None) if gpu_model else (facts.memory_bytes, facts.compute_capability)
    spec = find_spec(name, *told)
    return None if spec is None else assumed_ceilings(spec)


def diagnose_traces(analysis: Analysis, prices: PriceOf, how: Made) -> Diagnosis:
    """The document of one or several traces. prices: of one whole GPU, by what is known of the device."""
    rows = [_row(analysis, trace, prices, how) for trace in analysis.report.devices]
    ladder = [row.result.ladder for row in rows]
    found = [f for row in rows for f in row.result.findings]
    document = Diagnosis(
        provenance=_provenance(analysis, rows, how),
        verdicts=tuple(row.result.verdict for row in rows),
        ladder=tuple(sorted(ladder, key=lambda r: (r.gpu, r.key))),
        findings=(*ranked(found), *_cpu_only(analysis, how)),
        totals=totals(ladder),
        flags=tuple(flags(analysis.report, rows)),
        observed=tuple(_kept(row) for row in rows),
        trace=analysis.report,
    )
    return with_what_ifs(with_bills(document), how.config)


def _row(analysis: Analysis, trace: DeviceTrace, prices: PriceOf, how: Made) -> Row:
    timeline = analysis.timelines[trace.file]
    facts = timeline.facts_of(trace.device)
    evidence = _evidence(analysis, trace, timeline, facts, how)
    info = _info(evidence)
    price = prices(info) if evidence.device.name != UNKNOWN_GPU else _priced_without_name(prices(info))
    ceilings = analysis.ceilings.get((trace.file, trace.device))
    subject = Subject(evidence=evidence, ceilings=ceilings, price=price)
    result = conclude(subject, judge(subject))
    return Row(
        info=info,
        evidence=evidence,
        ceilings=ceilings,
        price=price,
        provenance=_device_provenance(evidence, trace, ceilings),
        result=result,
    )


def _kept(row: Row) -> Observed:
    """What what-ifs read of a row; the rest of its trace, and other ranks, stand once in the report."""
    kept, evidence = observed(row), row.evidence
    if evidence.trace is None:
        return kept
    trace = msgspec.structs.replace(evidence.trace, gaps=(), strip=None, steps=None, kernels=())
    ranks, own = evidence.ranks, rank_row(evidence)
    if ranks is not None:
        kept_rows = () if own is None else (own, *(r for r in _most_work(ranks) if r is not own))
        ranks = msgspec.structs.replace(ranks, rows=kept_rows, collectives=())
    return msgspec.structs.replace(
        kept, evidence=msgspec.structs.replace(kept.evidence, trace=trace, ranks=ranks)
    )


def _most_work(ranks: RankFigures) -> tuple[RankRow, ...]:
    """The rank that balanced work would spare most, which bounds what balancing buys."""
    return tuple(sorted(ranks.rows, key=lambda row: -row.work_us)[:1])


def _priced_without_name(price: Price) -> Price:
    """A price that holds for any model stays; else the reason for none is that the model is unknown."""
    return NO_NAME if price.usd_h is None else price


def _evidence(
    analysis: Analysis, trace: DeviceTrace, timeline: Timeline, facts: TraceDevice, how: Made
) -> Evidence:
    start_s, end_s = window_s(trace, timeline)
    return Evidence(
        key=trace.key,
        gpu=numbers(analysis.report.devices)[trace.key],
        device=Device(
            name=(how.gpu_model or facts.name or UNKNOWN_GPU)[:_NAME_LENGTH],
            memory_total_bytes=facts.memory_bytes,
            compute_capability=facts.compute_capability,
            sm_count=facts.sm_count,
        ),
        tier="trace",
        t_start_s=start_s,
        t_end_s=end_s,
        workload=_workload(analysis, trace, timeline),
        trace=trace,
        ranks=analysis.report.ranks,
        missing=dict(trace.unknown) | lost_of(timeline),
    )


def lost_of(timeline: Timeline) -> dict[str, str]:
    """What could not be read of a file, as evidence names it; nothing of a file that was read whole."""
    found = [loss.message for loss in timeline.losses if loss.code in LOSSES and not _behind(loss)]
    missing = [loss.message for loss in timeline.losses if loss.code == KERNELS_MISSING]
    lost = {LOST: "; ".join(dict.fromkeys(found))} if found else {}
    return lost | ({NO_KERNELS: missing[0]} if missing else {})


def _behind(loss: Loss) -> bool:
    """Whether all events are there, and only what stands behind them is not."""
    return "all events are there" in loss.message


def _workload(analysis: Analysis, trace: DeviceTrace, timeline: Timeline) -> Workload:
    """The traced program: one job for the ranks of one job, else one for each file."""
    name = trace.key.removeprefix("trace:").rpartition(":")[0]
    ranks = analysis.report.ranks
    together = ranks is not None and not ranks.refused and len(ranks.rows) > 1
    first = analysis.report.devices[0].key.removeprefix("trace:").rpartition(":")[0]
    return Workload(pid=pid_of(timeline, trace.device), name=name, job=f"trace:{first if together else name}")


def pid_of(timeline: Timeline, device: int) -> int:
    """The process that drove a device; 0 where the trace does not tell."""
    if timeline.meta.pid is not None:
        return timeline.meta.pid
    threads = drivers(timeline, device).tolist() if len(timeline.host) else []
    return timeline.threads[threads[0]].pid if threads else 0


def window_s(trace: DeviceTrace, timeline: Timeline) -> tuple[float, float]:
    """Unix time of the device's first and last interval; from 0 where the file has a clock of its own."""
    zero_s = (timeline.meta.zero_ns or 0) / 1e9
    start_s = zero_s + (trace.start_us / 1e6 if timeline.meta.zero_ns is not None else 0.0)
    return start_s, start_s + trace.span_us / 1e6


def numbers(devices: Sequence[DeviceTrace]) -> dict[str, int]:
    """Key -> the number by which people know the row: its device, else its rank, else its place.

    Numbers are distinct, so that bills and names tell rows apart.
    """
    choices: tuple[list[int | None], ...] = (
        [d.device for d in devices],
        [d.rank for d in devices],
        list(range(len(devices))),
    )
    found = next(c for c in choices if None not in c and len(set(c)) == len(c))
    return {d.key: number or 0 for d, number in zip(devices, found, strict=True)}


def _info(evidence: Evidence) -> DeviceInfo:
    device = evidence.device
    return DeviceInfo(
        key=evidence.key,
        index=evidence.gpu,
        name=device.name,
        uuid=evidence.key,
        memory_total_bytes=device.memory_total_bytes,
        compute_capability=device.compute_capability,
        sm_count=device.sm_count,
    )


def _device_provenance(evidence: Evidence, trace: DeviceTrace, ceilings: Ceilings | None) -> DeviceProvenance:
    return DeviceProvenance(
        key=evidence.key,
        gpu=evidence.gpu,
        name=evidence.device.name,
        tier="trace",
        observed_s=trace.span_us / 1e6,
        ceilings_label=ceilings.label if ceilings else None,
        ceilings_model=ceilings.model if ceilings else None,
        mem_total_bytes=evidence.device.memory_total_bytes,
        unknown=dict(trace.unknown),
    )


def _provenance(analysis: Analysis, rows: Sequence[Row], how: Made) -> Provenance:
    hosts = sorted({t.meta.host for t in analysis.timelines if t.meta.host})
    host = how.host or (host_hash(hosts[0]) if len(hosts) == 1 else "")
    return Provenance(
        advisor_version=__version__,
        created=iso(how.created_s),
        source="trace",
        host=host,
        t_start_s=min((row.evidence.t_start_s for row in rows), default=0.0),
        t_end_s=max((row.evidence.t_end_s for row in rows), default=0.0),
        interval_s=0.0,
        gpm_interval_s=0.0,
        python_version=platform.python_version(),
        command=how.command,
        note=how.note,
        devices=tuple(row.provenance for row in rows),
    )


def _cpu_only(analysis: Analysis, how: Made) -> list[Finding]:
    """A finding for each file in which nothing ran on a device."""
    names = distinct_names(analysis.timelines)
    files = zip(names, analysis.timelines, strict=True)
    found = [cpu_only(_without_device(name, t, how)) for name, t in files if not t.device_numbers()]
    return [f for f in found if f is not None]


def _without_device(name: str, timeline: Timeline, how: Made) -> Context:
    """A context without a trace, a price or a row of the ladder: there is no device to speak of."""
    evidence = Evidence(
        key=f"trace:{name}:cpu",
        gpu=0,
        device=Device(name=UNKNOWN_GPU),
        tier="trace",
        t_start_s=0.0,
        t_end_s=0.0,
        missing={
            "file": PurePath(timeline.meta.path).name,
            **lost_of(timeline),
            **({ASKED: "of a running process"} if how.asked else {}),
        },
    )
    price = Price(usd_h=None, basis="none", source="no device is in the trace")
    shares = {term: 1.0 if term == "unknown" else 0.0 for term in TERMS}
    return Context(
        evidence=evidence,
        verdict=judge(Subject(evidence=evidence, ceilings=None, price=price)),
        ladder=priced_row(evidence.key, 0, None, shares, price, 1.0),
        ceilings=None,
        price=price,
    )
