"""What traces show, as sections that every format draws in its own way: facts, and tables of ready cells.

Untrusted text goes through the format's `Style` here. Which section there is, in which order and with which
words is decided once; a format chooses how much room it has (`Room`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from advisor.document import Diagnosis
from advisor.reports.common import SENTENCE, Style
from advisor.reports.figures import size
from advisor.reports.trace_cpu import cpu_sections
from advisor.reports.trace_figures import (
    BUSY_WORDS,
    CAUSE_WORDS,
    duration,
    parts,
    points,
    present,
    rough,
)
from advisor.reports.trace_kernels import chain_facts, copy_table, family_table, kernel_table
from advisor.reports.trace_steps import gap_table, host_table, rank_sections, step_facts, step_table
from advisor.reports.trace_tables import Bar, Column, Fact, Room, Section, Table, gpu_numbers
from rules.traces.records import BUSY, CAUSES, DeviceTrace, TraceFile, TraceReport

CAUSE_ROLE: dict[str, str] = {
    "host_launch": "host",
    "synchronisation": "host",
    "data_loading": "host",
    "copy_wait": "host",
    "communication_wait": "link",
    "stream_dependency": "device",
    "kernel_gap": "device",
    "checkpoint_io": "host",
    "allocator": "host",
    "profiler_overhead": "unknown",
    "unknown": "unknown",
}
BUSY_ROLE: dict[str, str] = {
    "compute": "compute",
    "memory": "memory",
    "latency": "device",
    "other": "unknown",
    "communication": "link",
    "copy": "link",
}
# Devices, files and facts that a report has room for.
MAX_DEVICES = 16
MAX_FILES = 32
MAX_EVENTS = 6


def trace_sections(diagnosis: Diagnosis, style: Style, room: Room) -> list[Section]:
    """Every section of a document's traces, in order; none without traces."""
    report = diagnosis.trace
    if report is None:
        return []
    full = _most_lost(report, room.devices)
    return [
        *(_all_devices(report, gpu_numbers(diagnosis), style) if len(report.devices) > 1 else ()),
        *(_of_device(diagnosis, report, device, style, room) for device in full),
        *cpu_sections(report, style, room),
        *(rank_sections(report.ranks, style, room) if report.ranks is not None else ()),
        _files(report, style),
    ]


def _most_lost(report: TraceReport, count: int) -> list[DeviceTrace]:
    """The devices that were idle longest, in the document's order."""
    most = sorted(report.devices, key=lambda device: -device.idle_us)[:count]
    return [device for device in report.devices if any(device is one for one in most)]


def _all_devices(report: TraceReport, numbers: Mapping[str, int], style: Style) -> Iterator[Section]:
    """One line a device, where there are several."""
    columns = (
        Column("device"),
        Column("span", "right", 2),
        Column("busy", "right", 1),
        Column("idle", "right"),
        Column("idle most for", drop=3),
    )
    shown = report.devices[:MAX_DEVICES]
    rows = tuple(
        (
            device_title(report, device, numbers, style, short=True),
            duration(device.span_us),
            points(_part(device.busy_us, device.span_us)),
            points(device.idle_frac),
            _largest(device, style),
        )
        for device in shown
    )
    more = len(report.devices) - len(shown)
    note = f"{more} more devices are in the JSON." if more > 0 else ""
    yield Section(
        title="Traced devices", tables=(Table(name="devices", columns=columns, rows=rows, note=note),)
    )


def _largest(device: DeviceTrace, style: Style) -> str:
    found = present(device.causes, CAUSES)
    if not found or device.idle_us <= 0:
        return "–"
    name, us = found[0]
    return f"{CAUSE_WORDS.get(name) or style.text(name, 40)} ({rough(us / device.idle_us)})"


def _of_device(
    diagnosis: Diagnosis, report: TraceReport, device: DeviceTrace, style: Style, room: Room
) -> Section:
    price = next((r.price_usd_h for r in diagnosis.ladder if r.key == device.key), None)
    facts = list(_communication(device))
    if device.steps is not None:
        facts += step_facts(device.steps, style)
    if device.chains is not None:
        facts += chain_facts(device, device.chains, price, style)
    facts += _uncorrelated(device)
    tables = [host_table(device, style, room), kernel_table(device, style, room)]
    tables += [family_table(device, style)] if room.all else []
    tables += [copy_table(device, style), gap_table(device, style, room)]
    tables += [step_table(device, style, room)] if room.all else []
    return Section(
        title=device_title(report, device, gpu_numbers(diagnosis), style),
        key=device.key,
        split=_split(device),
        lead=_span(device),
        first=tuple(table for table in (_causes(device, style), _busy(device, style)) if table is not None),
        facts=tuple(facts),
        tables=tuple(table for table in tables if table is not None),
    )


def device_title(
    report: TraceReport, device: DeviceTrace, numbers: Mapping[str, int], style: Style, *, short: bool = False
) -> str:
    """ "GPU 0 (NVIDIA H100 80GB HBM3), rank 3, in trace.json": what is needed to tell devices apart."""
    name = f" ({style.text(device.name, 60)})" if device.name and not short else ""
    rank = f", rank {device.rank}" if device.rank is not None else ""
    several = len(report.files) > 1 and device.rank is None and device.file < len(report.files)
    file = f", in {style.text(report.files[device.file].name, 80)}" if several else ""
    number = numbers.get(device.key, device.device)
    own = f", device {device.device} there" if number != device.device else ""
    return f"GPU {number}{name}{rank}{own}{file}"


def _span(device: DeviceTrace) -> str:
    return (
        f"{duration(device.span_us)} from the first to the last work on it: busy {duration(device.busy_us)} "
        f"({points(_part(device.busy_us, device.span_us))}), idle {duration(device.idle_us)} "
        f"({points(device.idle_frac)}). {device.events:,} kernels and copies on {device.streams} "
        f"stream{'s' * (device.streams != 1)}."
    )


def _uncorrelated(device: DeviceTrace) -> Iterator[Fact]:
    if device.uncorrelated_us > 0:
        said = f"{duration(device.uncorrelated_us)} of work has no launch in the trace; it counts as busy too"
        yield Fact("no launch", said)


def _part(us: float, whole: float) -> float | None:
    return us / whole if whole > 0 else None


def _communication(device: DeviceTrace) -> Iterator[Fact]:
    whole = device.communication_us
    if whole <= 0:
        return
    exposed = _part(device.communication_exposed_us, device.span_us)
    hidden = _part(device.communication_overlapped_us, whole)
    yield Fact(
        "communication",
        f"{duration(whole)}, of which {duration(device.communication_exposed_us)} exposed ({points(exposed)} "
        f"of the span) and {duration(device.communication_overlapped_us)} beside other kernels "
        f"({rough(hidden)})",
    )


def _split(device: DeviceTrace) -> tuple[Bar, ...]:
    """Busy classes, then idle causes, as parts of the span."""
    busy = [(name, us, BUSY_ROLE) for name, us in present(device.busy, BUSY)]
    idle = [(name, us, CAUSE_ROLE) for name, us in present(device.causes, CAUSES)]
    whole = device.span_us
    if whole <= 0:
        return ()
    return tuple(
        Bar(frac=us / whole, role=roles.get(name, "unknown"), busy=roles is BUSY_ROLE)
        for name, us, roles in (*busy, *idle)
    )


def _causes(device: DeviceTrace, style: Style) -> Table | None:
    return _sums(device, style, "idle", device.causes, CAUSES, device.idle_us)


def _busy(device: DeviceTrace, style: Style) -> Table | None:
    return _sums(device, style, "busy", device.busy, BUSY, device.busy_us)


def _sums(
    device: DeviceTrace,
    style: Style,
    what: Literal["idle", "busy"],
    given: dict[str, float],
    order: Sequence[str],
    whole: float,
) -> Table | None:
    """Parts of idle or busy time; what is shown sums to what is shown as the sum."""
    found = present(given, order)
    if not found or whole <= 0:
        return None
    words, roles = (CAUSE_WORDS, CAUSE_ROLE) if what == "idle" else (BUSY_WORDS, BUSY_ROLE)
    times = [us for _, us in found]
    of_whole, of_span = parts(times, whole), parts(times, device.span_us)
    rows = [
        (words.get(name) or style.text(name, 40), duration(us), one, other)
        for (name, us), one, other in zip(found, of_whole, of_span, strict=True)
    ]
    rows.append(
        ("in all", duration(whole), parts([whole], whole)[0], parts([whole], device.span_us)[0]),
    )
    bars = [Bar(frac=us / whole, role=roles.get(name, "unknown"), busy=what == "busy") for name, us in found]
    head = "idle: it waited for" if what == "idle" else "busy with"
    columns = (
        Column(head),
        Column("time", "right"),
        Column(f"of {what}", "right"),
        Column("of span", "right"),
    )
    return Table(name=what, columns=columns, rows=tuple(rows), bars=(*bars, None), total=True)


def _files(report: TraceReport, style: Style) -> Section:
    shown = report.files[:MAX_FILES]
    facts = [fact for file in shown for fact in _file(file, style, said=report.cpu_only)]
    more = len(report.files) - len(shown)
    facts += [Fact("more files", f"{more} are in the JSON")] if more > 0 else []
    facts += [Fact("note", style.prose(note, SENTENCE)) for note in report.notes[:MAX_FILES]]
    return Section(title="What was read", facts=tuple(facts))


def _file(file: TraceFile, style: Style, *, said: bool) -> Iterator[Fact]:
    """said: that nothing ran on a GPU was said before."""
    rank = "" if file.rank is None else f", rank {file.rank}"
    world = "" if file.world_size is None else f" of {file.world_size}"
    took = "" if file.read_s is None else f" in {duration(file.read_s * 1e6)}"
    most = sorted(file.events.items(), key=lambda pair: -pair[1])[:MAX_EVENTS]
    kinds = ", ".join(f"{style.text(name, 40)} {count:,}" for name, count in most)
    yield Fact(
        "file",
        f"{style.text(file.name)}: {style.text(file.format, 20)}{rank}{world}, "
        f"{size(file.size_bytes)} read{took}, {sum(file.events.values()):,} events"
        + (f" ({kinds})" if kinds else ""),
    )
    facts = list(file.facts.items())[:MAX_EVENTS]
    if facts:
        yield Fact("", "; ".join(f"{style.text(k, 40)} {style.text(v, 60)}" for k, v in facts))
    losses = [loss for loss in file.losses if not (said and loss.code == "no-gpu-events")]
    for loss in losses[:MAX_EVENTS]:
        count = "" if loss.count is None else f" ({loss.count:,})"
        yield Fact("not read", f"{style.prose(loss.message, SENTENCE)}{count}")
    if len(losses) > MAX_EVENTS:
        yield Fact("not read", f"{len(losses) - MAX_EVENTS} more losses are in the JSON")


def unknown_lines(diagnosis: Diagnosis, style: Style) -> list[str]:
    """What is not known of traced devices and ranks, each with its reason, once."""
    report = diagnosis.trace
    if report is None:
        return []
    records = [device.unknown for device in report.devices]
    records += [report.ranks.unknown] if report.ranks is not None else []
    said = [_unknown(what, why, style) for record in records for what, why in record.items()]
    return list(dict.fromkeys(said))[:MAX_FILES]


def _unknown(what: str, why: str, style: Style) -> str:
    because = style.prose(why.removeprefix("because "), SENTENCE)
    return f"{style.text(what.replace('_', ' '), 60)}: unknown, because {because}"
