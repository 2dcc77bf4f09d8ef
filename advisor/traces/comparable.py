"""In what two traces are not alike, and what that does to a comparison."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from advisor.comparing.comparable import ordered, told, unlike
from rules import thresholds_trace as tt
from rules.compare.records import Difference
from rules.traces.compared import Per
from rules.traces.records import DeviceTrace, TraceFile, TraceReport

Side = tuple[TraceReport, DeviceTrace]
# With so few kernels nothing tells one program from another.
_FEW_KERNELS = 5


def file_of(side: Side) -> TraceFile | None:
    """The file of a device; None where the report has lost it."""
    report, device = side
    return report.files[device.file] if 0 <= device.file < len(report.files) else None


def events(side: Side, per: Per) -> float:
    """What ran on the device: in a step, or at all."""
    steps = side[1].steps
    if per != "step" or steps is None:
        return float(side[1].events)
    known = [row.events for row in steps.rows if row.events is not None]
    if steps.events_mean is not None:
        return steps.events_mean
    return sum(known) / len(known) if known else float(side[1].events)


def per_of(a: Side, b: Side) -> tuple[Per, str | None]:
    """Of what times can be compared, and why not of anything."""
    kinds = [device.steps.source if device.steps and device.steps.count else "none" for _, device in (a, b)]
    same_work = not unlike(events(a, "span"), events(b, "span"), tt.TRACE_SAME_WORK.value)
    if "none" not in kinds and unlike(events(a, "step"), events(b, "step"), tt.TRACE_OTHER_WORK.value):
        return "share", (
            f"what runs in a step is other work ({events(a, 'step'):,.0f} and {events(b, 'step'):,.0f} "
            "kernels and copies): parts of the time are compared instead"
        )
    if "none" not in kinds:
        inferred = [kind.startswith("inferred") for kind in kinds]
        if not any(inferred) or (all(inferred) and events(a, "step") == events(b, "step")):
            return "step", None
    if same_work:
        return "span", None
    return "share", (
        f"without steps in both, times are of other amounts of work ({a[1].events:,} and {b[1].events:,} "
        "kernels and copies): parts of the time are compared instead"
    )


def differences(a: Side, b: Side, per: Per) -> tuple[Difference, ...]:
    """All of them, what weakens a comparison first."""
    found = [*_program(a[1], b[1]), *_device(a, b), *_capture(a, b), *_job(a, b)]
    return ordered([*found, *_work(a, b, per), *_steps(a, b, per)])


def _program(a: DeviceTrace, b: DeviceTrace) -> Iterator[Difference]:
    """Whether both can be one program. Another card, precision or compiler exchanges kernels, but hardly what
    families of them take most time."""
    parts = _in_both(a, b), _in_both(b, a)
    if min(len(a.kernels), len(b.kernels)) < _FEW_KERNELS:
        return
    if max(parts) >= tt.TRACE_COMMON_KERNELS.value or _alike(a, b) >= tt.TRACE_COMMON_FAMILIES.value:
        return
    effect = "so little is in kernels that the other runs too: two programs, and nothing here is a change"
    said = [f"{part * 100:.0f} % of kernel time in common" for part in parts]
    yield told("program", "blocking", said[0], said[1], effect)


def _in_both(a: DeviceTrace, b: DeviceTrace) -> float:
    """Part of A's listed kernel time in kernels that B lists too."""
    others = {row.name for row in b.kernels}
    spent = sum(row.total_us for row in a.kernels)
    return sum(row.total_us for row in a.kernels if row.name in others) / spent if spent > 0.0 else 1.0


def _alike(a: DeviceTrace, b: DeviceTrace) -> float:
    """How much of their kernel time the two spend in the same families, as parts of each."""
    parts = _families(a), _families(b)
    return sum(min(part, parts[1].get(family, 0.0)) for family, part in parts[0].items())


def _families(device: DeviceTrace) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    for row in device.families:
        spent[row.family] += row.total_us
    every = sum(spent.values())
    return {family: us / every for family, us in spent.items()} if every > 0.0 else {}


def _device(a: Side, b: Side) -> Iterator[Difference]:
    left, right = a[1].name, b[1].name
    if left is not None and right is not None and left != right:
        effect = "what changed may be the card alone, and its libraries choose other kernels"
        yield told("model", "weakening", left, right, effect)
    elif left != right:
        yield told("model", "info", left, right, "one trace does not say what card it is of")


def _capture(a: Side, b: Side) -> Iterator[Difference]:
    files = file_of(a), file_of(b)
    if files[0] is None or files[1] is None:
        return
    if files[0].format != files[1].format:
        effect = "other profilers cost the host other time"
        yield told("format", "weakening", files[0].format, files[1].format, effect)
    stacks = ["python_function" in file.events for file in files if file is not None]
    if stacks[0] != stacks[1]:
        words = {True: "with Python stacks", False: "without"}
        effect = "recording stacks slows the host: launches take longer where it was on"
        yield told("stacks", "weakening", words[stacks[0]], words[stacks[1]], effect)
    lost = ["; ".join(loss.code for loss in file.losses) for file in files if file is not None]
    cut = ("truncated" in lost[0], "truncated" in lost[1])
    if any(cut):
        words = {True: "truncated", False: "whole"}
        yield told("truncated", "weakening", words[cut[0]], words[cut[1]], "the end of a trace is missing")
    if _same(a, b):
        yield told("same-trace", "info", "this", "this", "both are one trace: nothing can have changed")


def _same(a: Side, b: Side) -> bool:
    left, right = a[1], b[1]
    return (left.span_us, left.busy_us, left.events, left.causes) == (
        right.span_us, right.busy_us, right.events, right.causes
    )  # fmt: skip


def _job(a: Side, b: Side) -> Iterator[Difference]:
    sizes = [None if file is None else file.world_size for file in (file_of(a), file_of(b))]
    sizes = [1 if size is None else size for size in sizes]
    if sizes[0] != sizes[1]:
        effect = "a job of another size communicates and batches otherwise"
        yield told("world-size", "weakening", f"{sizes[0]} ranks", f"{sizes[1]} ranks", effect)


def _work(a: Side, b: Side, per: Per) -> Iterator[Difference]:
    precisions = precision(a[1]), precision(b[1])
    if None not in precisions and precisions[0] != precisions[1]:
        effect = "kernels of another precision are other kernels: they appear and vanish"
        yield told("precision", "weakening", precisions[0], precisions[1], effect)
    ran = events(a, per), events(b, per)
    if per == "step" and unlike(*ran, tt.TRACE_STEP_WORK.value):
        effect = "a step may not be the same work (batch, accumulation, model); graphs and fusion do this too"
        yield told("work", "weakening", f"{ran[0]:,.0f} a step", f"{ran[1]:,.0f} a step", effect)


def precision(device: DeviceTrace) -> str | None:
    """That of most kernel time whose precision is known."""
    spent: dict[str, float] = defaultdict(float)
    for row in device.families:
        if row.precision is not None:
            spent[row.precision] += row.total_us
    return max(spent, key=lambda name: spent[name], default=None)


def _steps(a: Side, b: Side, per: Per) -> Iterator[Difference]:
    left, right = a[1].steps, b[1].steps
    if per != "step" or left is None or right is None:
        return
    if left.window != right.window:
        effect = "a step's time is not reached in the same way"
        yield told("step-window", "weakening", f"by {left.window}", f"by {right.window}", effect)
    counts = whole(left.count, left.partial), whole(right.count, right.partial)
    if min(counts) < int(tt.TRACE_FEW_STEPS.value):
        effect = "so few steps have no spread to hold a change against"
        yield told("few-steps", "weakening", f"{counts[0]} whole", f"{counts[1]} whole", effect)
    elif counts[0] != counts[1]:
        effect = "means are of other numbers of steps"
        yield told("steps", "info", f"{counts[0]} whole", f"{counts[1]} whole", effect)


def whole(count: int, partial: tuple[int, ...]) -> int:
    """Steps that the profiler did not cut."""
    return max(0, count - len(partial))
