"""What a comparison of two traces says, in words and cells; how it looks is each format's own business."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.reports.common import Style
from advisor.reports.compare_view import difference_row as difference_row
from advisor.reports.compare_view import finding_line as told_finding
from advisor.reports.figures import factor
from advisor.reports.trace_figures import BUSY_WORDS, CAUSE_WORDS, duration, middle_cut, rough, short_name
from rules import thresholds_trace as tt
from rules.compare.records import FindingChange
from rules.traces.compared import KernelChange, TraceComparison, TraceFigure, TracePair, TraceSide

MAX_KERNELS = 12
# From here on a factor is easier to read than a percentage.
_TIMES = 4.0
_TOLD = tt.TRACE_CHANGE_TOLD.value
MAX_FINDINGS = 20
# From here on what was gained is as good as what remains.
_MOST_OF_IT = 0.9
_TWO_PROGRAMS = "Two different programs"
FIGURE_HEADS = ("", "A", "B", "change", "95 % interval")
KERNEL_HEADS = ("kernel", "", "A", "B", "one launch")
GROUPS = (
    ("step", "Time"),
    ("cause", "Idle, because of"),
    ("busy", "Busy with"),
    ("phase", "Phases of the host"),
    ("work", "Work"),
)
_STEP_WORDS = {"time": "time", "idle": "device idle", "busy": "device busy"}
_PHASE_WORDS = {"data": "data loading", "zero_grad": "zero_grad", "other": "other"}
_PER = {"step": "a step", "span": "the trace", "share": "part of the time"}


def headline(pair: TracePair) -> str:
    """The outcome in a sentence."""
    if any(found.code == "program" for found in pair.differences):
        return f"{_TWO_PROGRAMS}, as far as their kernels tell: nothing here is a change. {_idle(pair)}."
    if pair.per == "share":
        return f"{_idle(pair)}; how much faster or slower cannot be told."
    time = figure(pair, "step", "time")
    if time is None or time.a is None or time.b is None or time.change is None:
        return "Times are not known."
    what = "A step takes" if pair.per == "step" else "The same work takes"
    mean = " on average" if pair.per == "step" and max(pair.a.steps, pair.b.steps) > 1 else ""
    if time.low is None and time.says == "unclear" and abs(time.relative or 0.0) < _TOLD:
        return (
            f"{what} {duration(time.b)}{mean}, {duration(time.a)} before: "
            "too few steps to tell such a difference."
        )
    if time.says == "no-difference":
        return f"{what} {duration(time.b)}{mean}, {duration(time.a)} before: no difference{_noise(time)}."
    how = "" if time.low is not None else ", no interval"
    return f"{what} {duration(time.b)}{mean} instead of {duration(time.a)} ({_relative(time)}{how})."


def _noise(time: TraceFigure) -> str:
    return "" if time.low is None else " within the spread of steps"


def _relative(time: TraceFigure) -> str:
    if time.relative is None or not time.b:
        return "a change"
    way = "less" if time.relative < 0 else "more"
    return f"{rough(abs(time.relative))} {way}, {factor((time.a or 0.0) / time.b)} the speed"


def _idle(pair: TracePair) -> str:
    return f"The device is idle {rough(pair.b.idle_frac)} of the time, {rough(pair.a.idle_frac)} before"


def explanation(pair: TracePair) -> list[str]:
    """What the change is made of: "data loading went from 56.7 ms to 554 µs a step: that is the gain"."""
    if headline(pair).endswith("such a difference.") or headline(pair).startswith(_TWO_PROGRAMS):
        return []
    falls, rises = _said(pair, pair.gains), _said(pair, pair.losses)
    time = figure(pair, "step", "time")
    better = pair.per == "share" or time is None or (time.change or 0.0) <= 0.0
    first, second = ("gain", "lost again") if better else ("loss", "won back")
    main, other = (falls, rises) if better else (rises, falls)
    names = (pair.gains if better else pair.losses)[:2]
    lines = []
    if main:
        lines.append(f"{'; '.join(main[:2])}: that is the {first}{_remains(pair, names)}.")
    if other:
        lines.append(f"{'; '.join(other[:2])}: {second}.")
    return lines


def _remains(pair: TracePair, names: Sequence[str]) -> str:
    """What is left in all of a gain, or counts of a loss, where what else changed took a good part of it."""
    time = figure(pair, "step", "time")
    found = [figure(pair, "cause", name) or figure(pair, "busy", name) for name in names]
    moved = abs(sum((one.change or 0.0) for one in found if one is not None))
    if time is None or time.change is None or abs(time.change) > _MOST_OF_IT * moved:
        return ""
    return f", of which {cell(time, abs(time.change))} remain in all"


def _said(pair: TracePair, names: Sequence[str]) -> list[str]:
    made = []
    for name in names:
        found = figure(pair, "cause", name) or figure(pair, "busy", name)
        if found is not None:
            each = " a step" if pair.per == "step" else ""
            made.append(
                f"{figure_name(found)} went from {cell(found, found.a)} to {cell(found, found.b)}{each}"
            )
    return made


def figure(pair: TracePair, group: str, name: str) -> TraceFigure | None:
    """The figure of this name."""
    return next((f for f in pair.figures if f.group == group and f.name == name), None)


def figure_name(found: TraceFigure) -> str:
    """As people call it."""
    if found.group == "step":
        return _STEP_WORDS[found.name]
    if found.group == "work":
        return "kernels and copies"
    words = {**CAUSE_WORDS, **BUSY_WORDS} if found.group != "phase" else _PHASE_WORDS
    if found.name in ("unknown", "other") and found.group != "phase":
        return "idle, unknown why" if found.name == "unknown" else BUSY_WORDS["other"]
    return words.get(found.name, found.name)


def cell(found: TraceFigure, value: float | None) -> str:
    """A value in the figure's unit."""
    if value is None:
        return "unknown"
    if found.unit == "frac":
        return f"{value * 100:.1f} %"
    return f"{value:,.0f}" if found.unit == "count" else duration(value)


def figure_rows(pair: TracePair, group: str) -> list[tuple[str, str, str, str, str]]:
    """The lines of one part of the table."""
    return [
        (figure_name(f), cell(f, f.a), cell(f, f.b), _change(f), _interval(f))
        for f in pair.figures
        if f.group == group
    ]


def _change(f: TraceFigure) -> str:
    if f.change is None:
        return "unknown"
    if f.says == "no-difference":
        return "none" if f.change == 0 else "within noise"
    if f.unit == "frac":
        return f"{f.change * 100:+.1f} pt"
    shown = _signed(f, f.change)
    if f.relative is None:
        return shown
    return (
        f"{shown} ({f.relative * 100:+.0f} %)"
        if f.relative < _TIMES
        else f"{shown} ({factor(f.relative + 1)})"
    )


def _signed(f: TraceFigure, value: float) -> str:
    sign = "-" if value < 0 else "+"
    return f"{sign}{cell(f, abs(value))}"


def _interval(f: TraceFigure) -> str:
    if f.low is None or f.high is None:
        return ""
    return f"{_signed(f, f.low)} to {_signed(f, f.high)}"


def kernel_rows(pair: TracePair, style: Style, room: int) -> list[tuple[str, str, str, str, str]]:
    """One line a kernel that changed."""
    return [
        (
            kernel_name(one, style, room),
            state_words(one),
            duration(one.a_us) if one.calls_a else "-",
            duration(one.b_us) if one.calls_b else "-",
            _launch(one),
        )
        for one in pair.kernels[:MAX_KERNELS]
    ]


def kernel_name(one: KernelChange, style: Style, room: int) -> str:
    """With the name of its other variant where it was exchanged."""
    name = style.text(middle_cut(short_name(one.name), room))
    if one.name_b is None:
        return name
    return f"{name}, now {style.text(middle_cut(short_name(one.name_b), room))}"


def state_words(one: KernelChange) -> str:
    """What changed: a launch that takes longer may be one of fewer, so that all of them take less time."""
    if one.state not in ("slower", "faster"):
        return one.state
    launches = "fewer" if one.calls_b < one.calls_a else "more"
    differs = abs(one.calls_b - one.calls_a) > 0.05 * max(one.calls_a, one.calls_b)
    return f"{one.state} each, {launches} launches" if differs else one.state


def _launch(one: KernelChange) -> str:
    """How long a launch took, or how often it was launched where that is what changed."""
    if one.state in ("more", "fewer"):
        return f"{one.calls_a:,.0f} to {one.calls_b:,.0f} launches"
    if one.call_a_us is None or one.call_b_us is None:
        return duration(one.call_b_us if one.call_a_us is None else one.call_a_us)
    return f"{duration(one.call_a_us)} to {duration(one.call_b_us)}"


def kernels_note(pair: TracePair) -> str:
    """What is not listed."""
    left = len(pair.kernels) - MAX_KERNELS + pair.kernels_left
    said = f"A and B: {_PER[pair.per]}, all launches of a kernel; one launch: the median."
    return f"{said} {left} more are in the JSON." if left > 0 else said


def side_line(side: TraceSide, style: Style) -> str:
    """Which trace it is: "w0.json.gz · GPU 0 (Tesla V100) · 996 ms, 5 whole steps of 6 · idle 39.4 %"."""
    rank = "" if side.rank is None else f"rank {side.rank}, "
    name = "" if side.device_name is None else f" ({style.text(side.device_name, 60)})"
    whole = "1 whole step" if side.steps == 1 else f"{side.steps} whole steps"
    steps = f", {whole} of {side.marked}" if side.marked else ", no steps"
    facts = [style.text(side.file, 80), f"{rank}GPU {side.device}{name}", f"{duration(side.span_us)}{steps}"]
    return " · ".join([*facts, f"idle {rough(side.idle_frac)}"])


def pair_title(pair: TracePair) -> str:
    """Which devices."""
    a, b = (f"rank {s.rank}" if s.rank is not None else f"GPU {s.device}" for s in (pair.a, pair.b))
    return a if a == b else f"{a} of A, {b} of B"


def finding_line(change: FindingChange, style: Style) -> str:
    """A finding that came, went or stayed, with its device where several are compared."""
    where = f"{style.text(change.device, 40)}: " if change.device else ""
    return f"{where}{told_finding(change, style)}"


def unmatched(c: TraceComparison, style: Style) -> list[str]:
    """Devices without a counterpart."""
    return [
        f"{side_line(side, style)}: in {which} alone"
        for which, sides in (("A", c.only_a), ("B", c.only_b))
        for side in sides
    ]


def notes(pair: TracePair, style: Style) -> list[str]:
    """What a reader should know of the figures."""
    return [style.text(note, 300) for note in (*((pair.refused,) if pair.refused else ()), *pair.notes)]
