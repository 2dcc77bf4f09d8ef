"""Steps, gaps and ranks of traces, as lines and tables."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.reports.common import SENTENCE, Style
from advisor.reports.trace_figures import (
    BUSY_WORDS,
    CAUSE_WORDS,
    duration,
    middle_cut,
    present,
    rough,
    short_name,
)
from advisor.reports.trace_tables import Column, Fact, Room, Section, Table
from rules.traces.records import (
    BUSY,
    CAUSES,
    DeviceTrace,
    GapRow,
    HostRow,
    RankFigures,
    RankRow,
    StepFigures,
    StepRow,
)

MAX_RANKS = 32
MAX_COLLECTIVES = 8
MAX_OUTLIERS = 3
MAX_PHASES = 6
# What the cause in brackets takes beside the name of what the host was in.
_BESIDE_HOST = 14
_WINDOWS = {
    "launches": "A step is from the end of the previous one's work on the device to the end of its own.",
    "host": "A step is what the program marked: the trace does not tell which step launched what.",
    "kernels": "A step is from one repetition of the kernels to the next.",
}
_SOURCES = {
    "ProfilerStep": "marked by the profiler",
    "nvtx": "marked by NVTX ranges",
    "optimizer": "from one optimizer step to the next",
}


def step_facts(steps: StepFigures, style: Style) -> Iterator[Fact]:
    """Steps in a sentence or two: how long, how even, which stand out, what they consist of."""
    if not steps.count or steps.median_us is None:
        yield Fact("steps", "the trace marks none")
        return
    source = _SOURCES.get(steps.source) or style.text(steps.source, 40)
    spread = [f"median {duration(steps.median_us)}"]
    spread += [f"p90 {duration(steps.p90_us)}"] if steps.p90_us is not None and steps.count > 1 else []
    spread += [f"slowest {duration(steps.max_us)}"] if steps.max_us is not None and steps.count > 1 else []
    yield Fact("steps", f"{steps.count:,} {source}, {', '.join(spread)}{_trend(steps)}")
    phases = present(steps.phases, ())[:MAX_PHASES]
    if phases:
        said = ", ".join(f"{style.text(name, 40)} {duration(us)}" for name, us in phases)
        yield Fact("host phases", f"of a median step: {said}")
    yield from _outliers(steps, style)
    yield from (Fact("", style.prose(note, SENTENCE)) for note in steps.notes[:MAX_OUTLIERS])


def _trend(steps: StepFigures) -> str:
    if steps.trend is None:
        return ""
    noise = "" if steps.trend_noise is None else f" ± {abs(steps.trend_noise) * 100:.1f}"
    even = steps.trend_noise is not None and abs(steps.trend) <= steps.trend_noise
    said = "no trend" if even else "later steps are slower" if steps.trend > 0 else "later steps are faster"
    return f"; {said} ({steps.trend * 100:+.1f}{noise} %)"


def _outliers(steps: StepFigures, style: Style) -> Iterator[Fact]:
    by_number = {row.number: row for row in steps.rows}
    for number in steps.outliers[:MAX_OUTLIERS]:
        row = by_number.get(number)
        took = "" if row is None else f", it took {duration(row.duration_us)}"
        why = steps.outlier_because.get(str(number), "")
        because = f": {style.prose(why, SENTENCE)}" if why else ""
        yield Fact(f"step {number}", f"stands out{took}{because}")
    more = len(steps.outliers) - MAX_OUTLIERS
    if more > 0:
        yield Fact("more steps", f"{more} stand out as well; the JSON has them")


def step_table(device: DeviceTrace, style: Style, room: Room) -> Table | None:
    """The steps one by one."""
    rows = device.steps.rows if device.steps is not None else ()
    if not rows:
        return None
    columns = (
        Column("step", "right"),
        Column("time", "right"),
        Column("busy", "right"),
        Column("idle most for"),
        Column("busy most with", drop=1),
    )
    shown = rows[: room.steps]
    more = len(rows) - len(shown) + (device.steps.rows_left if device.steps is not None else 0)
    said = [_WINDOWS.get(device.steps.window, "")] if device.steps is not None else []
    said += ["* stands out."] if any(row.outlier for row in shown) else []
    said += [f"{more} more steps are not listed."] if more > 0 else []
    note = " ".join(part for part in said if part)
    cells = tuple(_step(row, style) for row in shown)
    return Table(name="steps", title="Steps", columns=columns, rows=cells, note=note)


def _step(row: StepRow, style: Style) -> tuple[str, ...]:
    busy = rough(row.busy_us / row.duration_us) if row.duration_us > 0 else "unknown"
    return (
        f"{row.number}{' *' if row.outlier else ''}{' (cut)' if row.partial else ''}",
        duration(row.duration_us),
        busy,
        _most(row.causes, CAUSES, CAUSE_WORDS, style),
        _most(row.busy, BUSY, BUSY_WORDS, style),
    )


def _most(given: dict[str, float], order: tuple[str, ...], words: dict[str, str], style: Style) -> str:
    found = present(given, order)
    if not found:
        return "–"
    name, us = found[0]
    return f"{words.get(name) or style.text(name, 40)} {duration(us)}"


def host_table(device: DeviceTrace, style: Style, room: Room) -> Table | None:
    """What the host was in while the device waited."""
    host = device.host
    if host is None or not host.rows or device.idle_us <= 0:
        return None
    columns = (
        Column("idle", "right"),
        Column("of idle", "right"),
        Column("times", "right", 1),
        Column("the host was in", "fill"),
    )
    shown = host.rows[: room.hosts]
    rows = tuple(
        (
            duration(row.idle_us),
            rough(row.idle_us / device.idle_us),
            f"{row.count:,}",
            _host(row, style, room),
        )
        for row in shown
    )
    return Table(
        name="host",
        title="What the host did while the device waited",
        columns=columns,
        rows=rows,
        note=""
        if host.named_frac > 0.995
        else f"Names were looked up for {rough(host.named_frac)} of idle time.",
    )


def _host(row: HostRow, style: Style, room: Room) -> str:
    limit = max(16, room.name - _BESIDE_HOST)
    name = style.text(middle_cut(short_name(row.name), limit), 2 * limit)
    return f"{name} ({CAUSE_WORDS.get(row.cause) or style.text(row.cause, 40)})"


def gap_table(device: DeviceTrace, style: Style, room: Room) -> Table | None:
    """The longest gaps: when, how long, why, and what stood around them."""
    shown = device.gaps[: room.gaps]
    if not shown:
        return None
    columns = (Column("at", "right"), Column("idle for", "right"), Column("because of", "fill"))
    return Table(
        name="gaps",
        title="Longest gaps",
        columns=columns,
        rows=tuple(_gap(row, device.start_us, style) for row in shown),
        under=tuple(_around(row, style, room) for row in shown),
        note="At: since the first work on the device.",
    )


def _gap(row: GapRow, zero_us: float, style: Style) -> tuple[str, ...]:
    """zero_us: the device's first work, since which charts of its time count too."""
    found = present(row.causes, CAUSES)
    most = [
        f"{CAUSE_WORDS.get(n) or style.text(n, 40)} ({rough(us / row.duration_us)})" for n, us in found[:2]
    ]
    return (duration(row.start_us - zero_us), duration(row.duration_us), ", ".join(most) or "unknown")


def _around(row: GapRow, style: Style, room: Room) -> tuple[str, ...]:
    """What the host was in, and the kernels on either side."""
    sides = (("host in", row.host), ("after", row.before), ("before", row.after))
    return tuple(
        f"{where} {style.text(middle_cut(short_name(name), room.name), 2 * room.name)}"
        for where, name in sides
        if name
    )


def rank_sections(ranks: RankFigures, style: Style, room: Room) -> Iterator[Section]:
    """Ranks beside each other."""
    tables = [_ranks(ranks)] if len(ranks.rows) > 1 else []
    if ranks.collectives:
        tables.append(_collectives(ranks, style, room))
    lead, *more = _rank_lines(ranks, style)
    yield Section(title="Ranks", lead=" ".join((lead, *more)), tables=tuple(tables))


def _rank_lines(ranks: RankFigures, style: Style) -> Iterator[str]:
    here = len(ranks.rows)
    world = f" of {ranks.world_size}" if ranks.world_size else ""
    missing = f"; {ranks.missing} have no file here" if ranks.missing else ""
    several = "s" * (max(here, ranks.world_size or 0) != 1)
    yield f"{here}{world} rank{several}{missing}; work is that of {style.text(ranks.work_of, 80)}."
    if ranks.refused is not None:
        yield f"They are not held against each other: {style.prose(ranks.refused, SENTENCE)}."
    known = (
        ("imbalance of work", ranks.imbalance_frac),
        ("time in collectives for later ranks", ranks.wait_frac),
        ("exposed communication", ranks.exposed_frac),
    )
    said = [f"{name} {rough(frac)}" for name, frac in known if frac is not None]
    if said:
        yield f"Of all ranks' time: {', '.join(said)}."
    notes = (style.prose(note, SENTENCE).rstrip(".") for note in ranks.notes[:MAX_OUTLIERS])
    yield from (f"{note[:1].upper()}{note[1:]}." for note in notes)
    if ranks.straggler is not None:
        because = f": {style.prose(ranks.straggler_because, SENTENCE)}" if ranks.straggler_because else ""
        yield f"The others wait for rank {ranks.straggler}{because}."


def _ranks(ranks: RankFigures) -> Table:
    columns = (
        Column("rank", "right"),
        Column("device", "right", 9),
        Column("span", "right", 6),
        Column("busy", "right", 5),
        Column("work", "right"),
        Column("exposed", "right", 4),
        Column("waited", "right"),
        Column("last", "right", 3),
        Column("made wait", "right", 7),
        Column("step", "right", 8),
    )
    shown = ranks.rows[:MAX_RANKS]
    more = len(ranks.rows) - len(shown)
    note = f"{more} more ranks are in the JSON." if more > 0 else ""
    return Table(name="ranks", columns=columns, rows=tuple(_rank(row) for row in shown), note=note)


def _rank(row: RankRow) -> tuple[str, ...]:
    return (
        str(row.rank),
        str(row.device),
        duration(row.span_us),
        rough(row.busy_us / row.span_us) if row.span_us > 0 else "unknown",
        duration(row.work_us),
        duration(row.exposed_us),
        "–" if row.wait_us is None else duration(row.wait_us),
        "–" if row.last_frac is None else rough(row.last_frac),
        "–" if row.caused_us is None else duration(row.caused_us),
        "–" if row.step_us is None else duration(row.step_us),
    )


def _collectives(ranks: RankFigures, style: Style, room: Room) -> Table:
    columns = (
        Column("waited", "right"),
        Column("time", "right", 1),
        Column("count", "right", 3),
        Column("last", "right", 2),
        Column("collective", "fill"),
    )
    rows = tuple(
        (
            duration(row.wait_us),
            duration(row.total_us),
            f"{row.count:,}",
            "–" if row.last_rank is None else str(row.last_rank),
            style.text(middle_cut(short_name(row.name), room.name), 2 * room.name),
        )
        for row in ranks.collectives[:MAX_COLLECTIVES]
    )
    return Table(name="collectives", title="Collectives", columns=columns, rows=rows)
