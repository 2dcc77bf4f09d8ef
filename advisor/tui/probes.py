"""What is known of one device's limits: each ceiling and reading, how it came about, how to measure."""

from __future__ import annotations

from advisor.snapshot import DeviceView
from advisor.tui import format as fmt
from advisor.tui.ceilings import device_words
from advisor.tui.devices import full_label
from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, left, right, wrap
from advisor.tui.sections import COUNTER_WORDS, heading, stale_rows
from advisor.tui.text import safe
from advisor.tui.unallocated import is_unallocated
from probes.ceilings import Ceiling, Ceilings, Reading

# Below this width a line has no room for where a figure comes from.
SOURCE_WIDTH = 100
NAME, FIGURE, SPREAD, LABEL = 38, 12, 15, 9

# Ceilings that no single probe is called after.
_TITLES: dict[str, str] = {
    "dram": "memory copy",
    "fp8": "fp8 GEMM",
    "fp4": "fp4 GEMM",
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
        rows += [_ceiling_row(ceiling, view.ceilings, width) for ceiling in view.ceilings.ceilings]
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
    return "p10 to p90 beside it" if any(c.p10 is not None for c in ceilings.ceilings) else ""


def _ceiling_row(ceiling: Ceiling, ceilings: Ceilings, width: int) -> Row:
    figure = right(quantity(ceiling.value, ceiling.unit), FIGURE)
    low, high = quantity(ceiling.p10, ceiling.unit), quantity(ceiling.p90, ceiling.unit)
    spread = "" if ceiling.p10 is None else f"{low.split(' ')[0]} to {high.split(' ')[0]}"
    name = safe(_TITLES.get(ceiling.metric) or _probe_title(ceiling.metric))
    return _row(name, figure, spread, _label(ceiling.label, ceilings), ceiling.source, width)


def _reading_row(reading: Reading, ceilings: Ceilings, width: int) -> Row:
    name = safe(COUNTER_WORDS.get(reading.counter, reading.counter))
    figure = right(f"{reading.frac:.2f}", FIGURE)
    return _row(name, figure, "", _label(reading.label, ceilings), reading.source, width)


def _row(name: str, figure: str, spread: str, label: str, source: str, width: int) -> Row:
    lead: Row = (Span(left(name, NAME)), Span(figure, "strong"), Span("  " + left(spread, SPREAD), "dim"))
    row: Row = (*lead, Span(left(label, LABEL), "warn" if label == "stale" else ""))
    room = width - NAME - FIGURE - SPREAD - LABEL - 3
    return row if width < SOURCE_WIDTH else (*row, Span(" " + left(safe(source), room), "dim"))


def _label(label: str, ceilings: Ceilings) -> str:
    return "stale" if label == "measured" and ceilings.stale else label


def _probe_title(metric: str) -> str:
    from probes.metrics import METRICS

    return METRICS[metric].title if metric in METRICS else metric


def quantity(value: float | None, unit: str) -> str:
    """A ceiling's value in the unit people use: "2.98 TB/s", "794 TFLOP/s", "2.41 µs"."""
    if value is None:
        return fmt.NONE
    suffix, scales = _SCALES.get(unit, (unit, ((1.0, ""),)))
    scale, prefix = next((s for s in scales if abs(value) >= s[0]), scales[-1])
    digits = value / scale
    shown = f"{digits:.0f}" if abs(digits) >= 100 else f"{digits:.3g}"
    return f"{shown} {prefix}{suffix}".rstrip()


_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SCALES: dict[str, tuple[str, tuple[tuple[float, str], ...]]] = {
    "bytes_s": ("B/s", _LARGE),
    "flop_s": ("FLOP/s", _LARGE),
    "op_s": ("OP/s", _LARGE),
    "s": ("s", ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))),
    "frac": ("", ((1.0, ""),)),
    "count": ("", ((1.0, ""),)),
    "w": ("W", ((1.0, ""),)),
    "mhz": ("MHz", ((1.0, ""),)),
}


def _how_rows(view: DeviceView, width: int, glyphs: Glyphs, live: bool) -> list[Row]:
    command: Row = (Span(f"  {probe_command(view)}", "strong"),)
    where = "In another terminal" if live else "On the recorded node"
    intro = f"{where}, while nothing runs on this GPU:"
    after = "Screens, reports and recordings use the result from their next start on. " + _NOT_HERE
    rows = [heading("how to measure", width, glyphs), (Span(left(intro, width)),), command]
    return rows + _paragraph(after, width)


def _paragraph(text: str, width: int) -> list[Row]:
    return [(Span(line, "dim"),) for line in wrap(safe(text), width)]
