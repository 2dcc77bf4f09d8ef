"""Times as people read them on an axis and in a sentence."""

from __future__ import annotations

_UNITS: tuple[tuple[int, str], ...] = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


def duration(ns: float) -> str:
    """Three digits in the unit that suits: "1.25 ms", "840 µs", "12.0 s"."""
    for scale, unit in _UNITS:
        if abs(ns) >= scale or scale == 1:
            value = ns / scale
            digits = 0 if scale == 1 or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
            return f"{value:.{digits}f} {unit}"
    raise AssertionError("unreachable")


def instant(ns: int, step_ns: int) -> str:
    """A time since the zero in the unit that suits the step, with as many digits as the step has."""
    scale, unit = next(((s, u) for s, u in _UNITS if max(abs(ns), step_ns) >= s), _UNITS[-1])
    digits = 0
    while digits < 9 and scale // 10**digits > step_ns:
        digits += 1
    return f"{ns / scale:.{digits}f} {unit}"


def nice_step(window_ns: int, most: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... ns of which at most `most` fit the window."""
    least = max(1, window_ns // max(1, most))
    step = 1
    while True:
        for factor in (1, 2, 5):
            if step * factor >= least:
                return step * factor
        step *= 10
