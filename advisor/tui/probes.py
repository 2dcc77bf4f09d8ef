"""What is known of one device's limits: each ceiling and reading, how it came about, how to measure."""

from __future__ import annotations

from typing import cast, get_args

from advisor.snapshot import DeviceView
from advisor.tui.blocks import heading
from advisor.tui.ceilings import device_words
from advisor.tui.counters import COUNTER_WORDS, stale_rows
from advisor.tui.devices import full_label
from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, left, right, wrap
from advisor.tui.text import safe
from advisor.tui.unallocated import is_unallocated
from probes import plain
from probes.ceilings import Ceiling, Ceilings, Reading
from probes.record import Unit

# Below this width a line has no room for where a figure comes from.
SOURCE_WIDTH = 100
NAME, FIGURE, SPREAD, LABEL = 38, 12, 8, 9

# Ceilings that rules read by a name of their own; where a probe gave one, it stands under its name as well.
_TITLES: dict[str, str] = {
    "dram": "memory copy",
    "fp8": "fp8 GEMM",
    "fp4": "fp4 GEMM",
    "fp64": "fp64, plain pipe",
    "fp64_tensor": "fp64 GEMM, tensor cores",
    "pcie": "PCIe copy, one direction",
    "nvlink": "NVLink, one direction",
}
_NOT_HERE = (
    "Nothing is measured from this screen: a probe needs the GPU to itself, would slow down what runs there, "
    "and refuses a GPU that is busy."
)


def probe_rows(view: DeviceView | None, width: int, glyphs: Glyphs, *, live: bool = True) -> list[Row]:
    """Everything about one device's ceilings. live: whether this is the node that one can measure."""
    if view is None:
        return [(Span(" no GPU is selected, or it is no longer listed: Esc goes back", "warn"),)]
    title: Row = (Span(full_label(view), "title"), Span(f"  {safe(view.info.name)}"))
    if is_unallocated(view):
        return [title, (), *_paragraph(view.state_reason, width)]
    rows = [title, (Span(f"ceilings {device_words(view)}", "strong"), *_model(view.ceilings))]
    rows += stale_rows(view, width)
    if view.ceilings is not None:
        rows += [(), heading("ceilings", width, glyphs, _spread_words(view.ceilings))]
        rows += [_ceiling_row(ceiling, view.ceilings, width) for ceiling in _once(view.ceilings)]
        rows += [(), heading("live counters at the ceiling", width, glyphs, "what a full bar stands for")]
        rows += [_reading_row(reading, view.ceilings, width) for reading in view.ceilings.readings]
    else:
        rows += _paragraph("no data sheet is known for this model, so roofs cannot be told", width)
    return [*rows, (), *_how_rows(view, width, glyphs, live)]


def probe_command(view: DeviceView) -> str:
    """The command that measures this device."""
    info = view.info
    return f"advisor probe --device {info.index if info.parent_key is None else safe(info.key)}"


def _model(ceilings: Ceilings | None) -> Row:
    return (Span(f"  {safe(ceilings.model)}", "dim"),) if ceilings else ()


def _spread_words(ceilings: Ceilings) -> str:
    return "± half of p10 to p90" if any(map(_spread, ceilings.ceilings)) else ""


def _once(ceilings: Ceilings) -> list[Ceiling]:
    """Every ceiling; one that has two names under the one of its probe."""
    probed = {(c.value, c.source) for c in ceilings.ceilings if c.metric not in _TITLES}
    return [c for c in ceilings.ceilings if c.metric not in _TITLES or (c.value, c.source) not in probed]


def _ceiling_row(ceiling: Ceiling, ceilings: Ceilings, width: int) -> Row:
    figure = right(quantity(ceiling.value, ceiling.unit), FIGURE)
    name = safe(_TITLES.get(ceiling.metric) or plain.title(ceiling.metric))
    return _row(name, figure, _spread(ceiling), _label(ceiling.label, ceilings), ceiling.source, width)


def _spread(ceiling: Ceiling) -> str:
    """Half of what lies between the 10th and the 90th percentile, of the value."""
    if ceiling.p10 is None or ceiling.p90 is None or ceiling.value <= 0.0:
        return ""
    return f"± {plain.percent((ceiling.p90 - ceiling.p10) / 2 / ceiling.value)}"


def _reading_row(reading: Reading, ceilings: Ceilings, width: int) -> Row:
    words = COUNTER_WORDS.get(reading.counter)
    name = safe(f"{words} ({reading.counter})" if words else reading.counter)
    figure = right(f"{reading.frac:.2f}", FIGURE)
    return _row(name, figure, "", _label(reading.label, ceilings), reading.source, width)


def _row(name: str, figure: str, spread: str, label: str, source: str, width: int) -> Row:
    lead: Row = (Span(left(name, NAME)), Span(figure, "strong"), Span("  " + left(spread, SPREAD), "dim"))
    row: Row = (*lead, Span(left(label, LABEL), "warn" if label == "stale" else ""))
    room = width - NAME - FIGURE - SPREAD - LABEL - 3
    return row if width < SOURCE_WIDTH else (*row, Span(" " + left(safe(source), room), "dim"))


def _label(label: str, ceilings: Ceilings) -> str:
    return "stale" if label == "measured" and ceilings.stale else label


def quantity(value: float, unit: str) -> str:
    """A ceiling's value as `advisor probe` prints it: "2.98 TB/s", "794 TFLOP/s", "2.41 µs"."""
    if unit in get_args(Unit):
        return plain.figure(value, cast("Unit", unit))
    return f"{value:g} {safe(unit)}"


def _how_rows(view: DeviceView, width: int, glyphs: Glyphs, live: bool) -> list[Row]:
    command: Row = (Span(f"  {probe_command(view)}", "strong"),)
    where = "In another terminal" if live else "On the recorded node"
    intro = f"{where}, while nothing runs on this GPU:"
    after = "Screens, reports and recordings use the result from their next start on. " + _NOT_HERE
    rows = [heading("how to measure", width, glyphs), (Span(left(intro, width)),), command]
    return rows + _paragraph(after, width)


def _paragraph(text: str, width: int) -> list[Row]:
    return [(Span(line, "dim"),) for line in wrap(safe(text), width)]
