"""Kernels, families, copies and chains of a traced device, as tables and lines."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.reports.common import SENTENCE, Style
from advisor.reports.figures import size, usd, value
from advisor.reports.trace_figures import (
    NATURE_WORDS,
    TENSOR_WORDS,
    duration,
    middle_cut,
    points,
    rough,
    short_name,
)
from advisor.reports.trace_tables import Column, Fact, Room, Table
from rules.traces.kernel_records import ChainFigures, CopyRow, FamilyRow, KernelRow
from rules.traces.records import DeviceTrace
from rules.whatifs.trace_levers import graphs_us

_COPY_WORDS = {
    "h2d": "host to device",
    "d2h": "device to host",
    "d2d": "within the device",
    "p2p": "between devices",
    "memset": "set",
}
_A_CENT = 0.005
# A tail of less, or a wait before the kernel of a smaller part of its own time, is nothing to speak of.
_TAIL = 0.05
_WAIT = 0.1
MAX_FAMILIES = 16


def kernel_table(device: DeviceTrace, style: Style, room: Room) -> Table | None:
    """Kernels by their time. What is known of each beyond that is a line of its own below it."""
    shown = device.kernels[: room.kernels]
    if not shown:
        return None
    columns = (
        Column("time", "right"),
        Column("of busy", "right"),
        Column("launches", "right", 2),
        Column("mean", "right", 1),
        Column("kernel", "fill"),
    )
    rows = tuple(
        (
            duration(row.total_us),
            points(row.busy_frac),
            f"{row.count:,}",
            duration(row.mean_us),
            kernel_name(row, style, room),
        )
        for row in shown
    )
    return Table(
        name="kernels",
        title="Kernels by time",
        columns=columns,
        rows=rows,
        under=tuple((kernel_facts(row, style),) for row in shown),
        note=_left(device, len(shown)),
    )


def kernel_name(row: KernelRow, style: Style, room: Room) -> str:
    """The kernel's name, short enough for a cell."""
    return style.text(middle_cut(short_name(row.name), room.name), 2 * room.name)


def _left(device: DeviceTrace, shown: int) -> str:
    rest = device.kernels[shown:]
    count = len(rest) + device.kernels_left
    us = sum(row.total_us for row in rest) + device.kernels_left_us
    if count <= 0:
        return ""
    hint = "; --top N lists more of them" if rest else ""
    return f"{count:,} more kernel{'s take' if count != 1 else ' takes'} {duration(us)}{hint}."


def kernel_facts(row: KernelRow, style: Style) -> str:
    """ "gemm, bf16, tensor cores; 41 % of the compute roof; occupancy 0.38; tail 12 %": what is known."""
    kind = [style.text(row.family, 40), style.text(row.precision or "", 20), TENSOR_WORDS.get(row.tensor, "")]
    facts = [", ".join(part for part in kind if part)]
    facts += (
        [_roof(row)] if _roof(row) else [f"{NATURE_WORDS.get(row.nature, row.nature)} by {row.nature_basis}"]
    )
    facts += [f"occupancy {rough(row.occupancy)}"] if row.occupancy is not None else []
    if row.waves is not None and row.waves < 1:
        facts.append(f"fills {rough(row.waves)} of the device")
    elif row.tail_frac is not None and row.tail_frac >= _TAIL:
        facts.append(f"{rough(row.tail_frac)} lost in the last wave")
    if row.gap_before_us is not None and row.gap_before_us > _WAIT * row.mean_us > 0:
        facts.append(f"{duration(row.gap_before_us)} idle before it")
    return "; ".join(fact for fact in facts if fact)


def _roof(row: KernelRow) -> str:
    """Where it stands below its roofs; empty where neither flops nor bytes are known."""
    sides = (("compute", row.compute_frac), ("memory", row.memory_frac))
    said = [f"{rough(frac)} of the {name} roof" for name, frac in sides if frac is not None]
    beyond = " (caches serve some of it)" if row.memory_frac is not None and row.memory_frac > 1.0 else ""
    return " and ".join(said) + beyond


def family_table(device: DeviceTrace, style: Style) -> Table | None:
    """Kernel time by what kernels are."""
    if not device.families:
        return None
    columns = (
        Column("family"),
        Column("precision", drop=1),
        Column("tensor cores", drop=3),
        Column("nature", drop=4),
        Column("launches", "right", 2),
        Column("time", "right"),
        Column("of busy", "right"),
    )
    rows = tuple(_family(row, style) for row in device.families[:MAX_FAMILIES])
    more = len(device.families) - len(rows)
    note = f"{more} more are in the JSON." if more > 0 else ""
    return Table(name="families", title="Kernels by family", columns=columns, rows=rows, note=note)


def _family(row: FamilyRow, style: Style) -> tuple[str, ...]:
    tensor = {"used": "yes", "eligible": "no, though it could", "not-eligible": "no"}.get(row.tensor, "–")
    return (
        style.text(row.family, 40),
        style.text(row.precision or "–", 20),
        tensor,
        NATURE_WORDS.get(row.nature, row.nature),
        f"{row.count:,}",
        duration(row.total_us),
        points(row.busy_frac),
    )


def copy_table(device: DeviceTrace, style: Style) -> Table | None:
    """Copies by direction and by the host memory they use."""
    if not device.copies:
        return None
    columns = (
        Column("copies"),
        Column("count", "right", 4),
        Column("time", "right"),
        Column("exposed", "right", 1),
        Column("bytes", "right", 3),
        Column("rate", "right", 2),
        Column("of link", "right", 5),
    )
    return Table(
        name="copies",
        title="Copies",
        columns=columns,
        rows=tuple(_copy(row, style) for row in device.copies),
    )


def _copy(row: CopyRow, style: Style) -> tuple[str, ...]:
    return (
        copy_name(row, style),
        f"{row.count:,}",
        duration(row.total_us),
        duration(row.exposed_us),
        "unknown" if row.bytes is None else size(row.bytes),
        "unknown" if row.bytes_s is None else value(row.bytes_s, "bytes_s"),
        "–" if row.ceiling_frac is None else rough(row.ceiling_frac),
    )


def copy_name(row: CopyRow, style: Style) -> str:
    """ "host to device, pageable"."""
    memory = f", {style.text(row.memory, 20)}" if row.memory else ""
    return (_COPY_WORDS.get(row.kind) or style.text(row.kind, 20)) + memory


def chain_facts(
    device: DeviceTrace, found: ChainFigures, price: float | None, style: Style
) -> Iterator[Fact]:
    """What launching chains of short kernels at once would buy, in time and dollars."""
    if found.graphed:
        yield Fact("CUDA graphs", f"launched {found.graphed:,} of {found.of:,} kernels already")
    if not found.chains:
        return
    basis = f" Basis: {style.prose(found.basis, SENTENCE)}." if found.basis else ""
    yield Fact(
        "short kernels",
        f"{found.kernels:,} of {found.of:,} kernels stand in {found.chains:,} "
        f"chain{'s' * (found.chains != 1)} "
        f"launched one by one (median length {found.median_length}): {duration(found.kernel_us)} of work, "
        f"{duration(found.gap_us)} of gaps. {_saved(device, price)}{basis}",
    )


def _saved(device: DeviceTrace, price: float | None) -> str:
    """As the what-if of graphs counts it: at the low end without what the profiler adds to launches."""
    span_us, (low, high) = device.span_us, graphs_us(device)
    if high <= 0:
        return "A CUDA graph would save nothing here."
    amount = duration(high) if duration(low) == duration(high) else f"{duration(low)} to {duration(high)}"
    share = f"at most {rough(high / span_us)} of this trace" if span_us > 0 else ""
    money = "" if not price or span_us <= 0 else _worth(low / span_us * price, high / span_us * price)
    return f"A CUDA graph would save {amount} ({share}{money})."


def _worth(low: float, high: float) -> str:
    if high < _A_CENT:
        return ", less than a cent an hour"
    return f", {usd(high)} per hour" if usd(low) == usd(high) else f", {usd(low)} to {usd(high)} per hour"
