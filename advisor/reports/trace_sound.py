"""Whether the times of traces in a document that was read add up; parts are shown of wholes alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from rules.traces.records import BUSY, CAUSES, DeviceTrace, TraceReport

# Times are whole nanoseconds over 1,000: sums of floats are off by far less than this, a nanosecond by more.
_CLOSE_US = 5e-4
# Sums of many years lose nanoseconds to floating point.
_CLOSE = 1e-12
# A trace of a year is none.
_MOST_US = 3.2e13


def wrong_times(report: TraceReport) -> Iterator[str]:
    """What cannot be of a document's traces, each with its path."""
    for i, device in enumerate(report.devices):
        at = f"$.trace.devices[{i}]"
        if not 0 <= device.file < max(1, len(report.files)):
            yield f"there is no file {device.file}: at `{at}.file`"
        yield from _device(device, at)


def _device(device: DeviceTrace, at: str) -> Iterator[str]:
    for name in ("span_us", "busy_us", "idle_us"):
        us = getattr(device, name)
        if not math.isfinite(us) or not 0.0 <= us <= _MOST_US:
            yield f"{us:g} µs is no length of time: at `{at}.{name}`"
            return
    if not _near(device.busy_us + device.idle_us, device.span_us):
        said = (
            f"busy {device.busy_us:.3f} and idle {device.idle_us:.3f} are not the span {device.span_us:.3f}"
        )
        yield f"{said}: at `{at}.span_us`"
    part = device.idle_us / device.span_us if device.span_us > 0 else 0.0
    if not math.isclose(device.idle_frac, part, abs_tol=1e-6):
        yield f"{device.idle_frac:g} is not idle time over the span, {part:g}: at `{at}.idle_frac`"
    yield from _parts(device.causes, CAUSES, device.idle_us, f"{at}.causes")
    yield from _parts(device.busy, BUSY, device.busy_us, f"{at}.busy")


def _parts(given: Mapping[str, float], known: tuple[str, ...], whole: float, at: str) -> Iterator[str]:
    for name, us in given.items():
        if name not in known:
            yield f"nothing is called {name[:40]!r}: at `{at}`"
        if not math.isfinite(us) or us < 0.0:
            yield f"{us:g} µs is no length of time: at `{at}.{name[:40]}`"
    total = math.fsum(us for us in given.values() if math.isfinite(us))
    if not _near(total, whole):
        yield f"the parts sum to {total:.3f} µs, the whole is {whole:.3f}: at `{at}`"


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE_US)
