"""Records as plain text: figures in units people read, and a table without colour or box drawing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from probes.metrics import METRICS
from probes.record import Measurement, ProbeReport, ProbeRun, Unit

NOTHING = "-"
REASON_MAX = 100

_RATE_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_RATE_UNITS: dict[Unit, str] = {"bytes_s": "B/s", "flop_s": "FLOP/s", "op_s": "OP/s"}
_HEADINGS = ("", "median", "of spec", "of clock", "cv", "")


def figure(value: float | None, unit: Unit) -> str:
    """A figure with three digits and a sensible unit: `3.02 TB/s`, `798 TFLOP/s`, `2.31 µs`, `0.94`.

    Decimal prefixes, also for bytes. A dash for what is not known.
    """
    if value is None:
        return NOTHING
    if unit == "s":
        return seconds(value)
    if unit in _RATE_UNITS:
        return rate(value, _RATE_UNITS[unit])
    return f"{value:.2f}" if unit == "frac" else f"{value:g}"


def seconds(value: float) -> str:
    """A time in s, ms, µs or ns."""
    scale, name = next(((s, n) for s, n in _TIME_UNITS if _rounded(value) >= s), _TIME_UNITS[-1])
    return f"{_digits(value / scale)} {name}"


def rate(value: float, unit: str) -> str:
    """A rate such as B/s with its decimal prefix."""
    scale, name = next(((s, n) for s, n in _RATE_PREFIXES if _rounded(value) >= s), (1.0, ""))
    return f"{_digits(value / scale)} {name}{unit}"


def percent(frac: float | None) -> str:
    """A fraction as a percentage with one decimal below 10; a dash for what is not known."""
    if frac is None:
        return NOTHING
    value = 100 * frac
    return f"{value:.1f} %" if abs(value) < 9.95 else f"{value:.0f} %"


def title(metric: str) -> str:
    """What a metric is called in a table; a probe that gave nothing goes by its own name."""
    known = METRICS.get(metric)
    return known.title if known else one_line(metric, 40)


def one_line(text: str, limit: int = REASON_MAX) -> str:
    """Text of others on one line, without what a terminal would obey or draw as nothing, and bounded."""
    kept = "".join(map(_shown, text)).strip()
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def status(m: Measurement) -> str:
    """Whether a figure counts, and why not: empty for a valid one measured alone."""
    words: list[str] = [] if m.valid == "valid" else [m.valid]
    if m.label == "contended":
        words.append("contended")
    state = ", ".join(words)
    if not m.reason:
        return state
    reason = one_line(m.reason)
    if state and not reason.startswith(state):
        return f"{state}: {reason}"
    return reason


def run_table(run: ProbeRun) -> str:
    """Every report of a run, one after the other, and the GPUs that fall behind."""
    parts = [report_table(report) for report in run.reports]
    parts += [one_line(o.message, 200) for o in run.outliers]
    return "\n\n".join(parts)


def report_table(report: ProbeReport) -> str:
    """One device: what it is, a line a figure, and what was left undone."""
    lines = [_heading(report)]
    if report.refused:
        lines.append(f"not measured: {one_line(report.refused, 400)}")
    if report.contended:
        lines.append(f"contended, not a ceiling: {one_line(report.contended, 200)}")
    if report.measurements:
        lines += _aligned([_HEADINGS, *map(_row, report.measurements)])
    if report.interrupted:
        lines.append("interrupted: what was measured until then")
    return "\n".join(lines)


def _heading(report: ProbeReport) -> str:
    device = report.device
    where = "CPU" if device.kind == "cpu" else "GPU" if device.index is None else f"GPU {device.index}"
    mig = f", MIG {one_line(device.mig_profile, 40)}" if device.mig_profile else ""
    return f"{where}  {one_line(device.name, 80)}{mig}  ({report.mode}, {report.wall_s:.1f} s)"


def _row(m: Measurement) -> tuple[str, ...]:
    known = m.value
    cells = (figure(known, m.unit), percent(m.of_spec), percent(m.of_clock), percent(m.cv))
    return (title(m.metric), *cells, status(m))


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """First and last column to the left, figures to the right."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *figures, last = row
        cells = [first + " " * (widths[0] - _width(first))]
        cells += [" " * (w - _width(c)) + c for c, w in zip(figures, widths[1:-1], strict=True)]
        yield "  ".join([*cells, last]).rstrip()


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _digits(value: float) -> str:
    """Three significant digits, without an exponent below a million."""
    size = abs(value)
    if not size < 1e6:
        return f"{value:.3g}"
    decimals = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:,.{decimals}f}"


def _rounded(value: float) -> float:
    """As the three digits show it, so that 999.7 GB/s becomes 1.00 TB/s rather than 1000 GB/s."""
    return float(f"{value:.3g}")


def _shown(char: str) -> str:
    if char.isspace():
        return " "
    if unicodedata.category(char) == "Cf":
        return ""
    return char if char.isprintable() else "\ufffd"
