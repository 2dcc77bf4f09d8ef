"""Flags of a diagnosis of traces: what a reader must know of the files before trusting the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from advisor.diagnosis import Row, price_notes
from advisor.document import Flag
from rules import thresholds as th
from rules.headline import row_name
from rules.traces.records import DeviceTrace, TraceFile, TraceReport
from rules.traces.words import PERTURBED_WORDS, percent


def flags(report: TraceReport, rows: Sequence[Row]) -> Iterable[Flag]:
    """Stable codes, of the files first, then device by device, then prices."""
    for file in report.files:
        yield from _of_file(file, said=report.cpu_only)
    if report.cpu_only:
        yield Flag(code="cpu-only", message="no file holds anything that ran on a GPU")
    for row in rows:
        yield from _of_row(row)
    for notes, name in price_notes(rows).items():
        yield Flag(code="price", message=f"{name}: {'; '.join(notes)}")
    if rows and all(row.result.ladder.price_usd_h is None for row in rows):
        why = rows[0].price.source
        yield Flag(code="no-price", message=f"shares are shown without dollars: {why}")


def _of_file(file: TraceFile, *, said: bool) -> Iterable[Flag]:
    """said: that no file holds anything of a GPU has a flag of its own."""
    for loss in file.losses:
        if said and loss.code == "no-gpu-events":
            continue
        yield Flag(code=f"trace-{loss.code}", message=f"{file.name}: {loss.message}")


def _of_row(row: Row) -> Iterable[Flag]:
    trace = row.evidence.trace
    if trace is None:
        return
    name, key = row_name(row.evidence.gpu, row.evidence.mig), row.evidence.key
    for code, text in (*_short(trace), *_perturbed(trace), *_ceilings(row)):
        yield Flag(code=code, message=f"{name}: {text}", key=key)


def _short(trace: DeviceTrace) -> Iterable[tuple[str, str]]:
    if trace.span_us < th.TRACE_SHORT_US.value:
        yield "short-trace", f"the trace spans {trace.span_us / 1000.0:.1f} ms of the device"
    steps = trace.steps
    if steps is None or steps.count < th.TRACE_FEW_STEPS.value:
        count = 0 if steps is None else steps.count
        yield "few-steps", f"{count or 'no'} step{'' if count == 1 else 's'} told apart; some five show more"


def _perturbed(trace: DeviceTrace) -> Iterable[tuple[str, str]]:
    if trace.perturbed:
        said = "; ".join(PERTURBED_WORDS.get(name, name) for name in trace.perturbed)
        yield "profiler-options", f"the host ran slower than it does without the profiler: {said}"
    part = trace.causes.get("profiler_overhead", 0.0) / trace.span_us if trace.span_us else 0.0
    if part >= th.TRACE_OVERHEAD.value:
        yield "profiler-overhead", f"{percent(part)} of the time the device waited for the profiler"


def _ceilings(row: Row) -> Iterable[tuple[str, str]]:
    if row.ceilings is None:
        yield "no-ceiling", "what this GPU can do is not known (`--gpu-model NAME`): kernels go by families"
    else:
        sheet = f"assumed from the data sheet of {row.ceilings.model}, not measured on this card"
        yield "assumed-ceilings", f"ceilings are {sheet}"
