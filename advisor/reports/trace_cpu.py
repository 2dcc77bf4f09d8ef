"""What the CPU's side of a trace holds in which nothing ran on a device, as a section of a report."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.reports.common import Style
from advisor.reports.trace_figures import duration, middle_cut, rough
from advisor.reports.trace_tables import Column, Fact, Room, Section, Table
from rules.traces.records import CpuFigures, TraceReport


def cpu_sections(report: TraceReport, style: Style, room: Room) -> Iterator[Section]:
    """A section for each such file that a report has room for."""
    for cpu in report.cpu[: room.devices]:
        if cpu.file < len(report.files):
            several = len(report.files) > 1
            where = f", in {style.text(report.files[cpu.file].name, 80)}" if several else ""
            yield Section(
                title=f"What the CPU did{where}",
                lead=_lead(cpu),
                facts=tuple(_facts(cpu)),
                tables=(_table(cpu, style, room),) if cpu.rows else (),
            )


def _lead(cpu: CpuFigures) -> str:
    threads = f"{cpu.threads} thread{'s' * (cpu.threads != 1)}"
    return f"{duration(cpu.span_us)} from the first to the last host event, on {threads}."


def _facts(cpu: CpuFigures) -> Iterator[Fact]:
    if cpu.steps and cpu.median_step_us is not None:
        yield Fact("steps", f"{cpu.steps}, median {duration(cpu.median_step_us)}")
    if cpu.loader_us > 0 and cpu.span_us > 0:
        part = rough(cpu.loader_us / cpu.span_us)
        yield Fact("data loading", f"{duration(cpu.loader_us)} in a DataLoader ({part} of it all)")


def _table(cpu: CpuFigures, style: Style, room: Room) -> Table:
    shown = cpu.rows[: room.hosts]
    limit = max(16, room.name)
    rows = tuple(
        (
            duration(row.own_us),
            rough(row.own_us / cpu.ops_us) if cpu.ops_us > 0 else "unknown",
            f"{row.count:,}",
            style.text(middle_cut(row.name, limit), 2 * limit),
        )
        for row in shown
    )
    return Table(
        name="cpu",
        title="Operators by their own time",
        columns=(
            Column("own time", "right"),
            Column("of operators", "right"),
            Column("times", "right", 1),
            Column("operator", "fill"),
        ),
        rows=rows,
        note="Own time: no other operator ran within it.",
    )
