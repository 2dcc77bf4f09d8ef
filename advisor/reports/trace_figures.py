"""Figures and names of traces in words: times to compare, percentages that sum, kernels without noise."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from rules.economics import divide

UNKNOWN = "unknown"
_SCALES = ((60e6, "min"), (1e6, "s"), (1e3, "ms"), (1.0, "µs"))
# From here on three digits round up to the next unit: 999.6 µs are 1.00 ms.
_NEARLY = 0.9995
# Hundredths of a percent: the finest that tables show.
_WHOLE = 10_000

CAUSE_WORDS: dict[str, str] = {
    "host_launch": "host launches",
    "synchronisation": "synchronisation",
    "data_loading": "data loading",
    "copy_wait": "copy to or from the host",
    "communication_wait": "other ranks",
    "stream_dependency": "another stream",
    "kernel_gap": "between kernels",
    "checkpoint_io": "checkpoint or files",
    "allocator": "memory allocator",
    "profiler_overhead": "the profiler itself",
    "unknown": "unknown",
}
BUSY_WORDS: dict[str, str] = {
    "compute": "compute kernels",
    "memory": "memory-bound kernels",
    "latency": "latency-bound kernels",
    "other": "other kernels",
    "communication": "exposed communication",
    "copy": "copies alone",
}
NATURE_WORDS: dict[str, str] = {
    "compute": "compute",
    "memory": "memory",
    "latency": "latency",
    "other": "unknown",
    "communication": "communication",
    "copy": "copy",
}
TENSOR_WORDS: dict[str, str] = {
    "used": "tensor cores",
    "eligible": "no tensor cores, though it could",
    "not-eligible": "",
    "unknown": "",
}

_RETURNS = re.compile(r"^(?:void|int|float|double)\s+(?=[\w:(])")
_NOISE = ("(anonymous namespace)::", "at::native::", "at::cuda::", "c10::cuda::", "at_cuda_detail::")


def duration(us: float | None) -> str:
    """Microseconds as people read them: "812 ns", "12.3 µs", "12.3 ms", "2.32 s"."""
    if us is None or not math.isfinite(us):
        return UNKNOWN
    if us == 0:
        return "0"
    if abs(us) < 1.0:
        return f"{us * 1e3:.0f} ns"
    scale, unit = next((s for s in _SCALES if abs(us) >= _NEARLY * s[0]), _SCALES[-1])
    return f"{three(us / scale)} {unit}"


def three(figure: float) -> str:
    """Three digits: "2.32", "12.3", "812"; more before the point where there are more."""
    if not math.isfinite(figure):
        return UNKNOWN
    size = abs(figure)
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{figure:,.{decimals}f}"


def points(frac: float | None) -> str:
    """A fraction with a hundredth of a point: "47.44 %"."""
    return UNKNOWN if frac is None or not math.isfinite(frac) else f"{frac * 100:.2f} %"


def rough(frac: float | None) -> str:
    """A fraction with as many digits as it deserves: "47 %", "4.7 %", "<0.1 %"."""
    if frac is None or not math.isfinite(frac):
        return UNKNOWN
    if 0 < frac < 0.001:
        return "<0.1 %"
    return f"{frac * 100:.0f} %" if abs(frac) >= 0.0995 else f"{frac * 100:.1f} %"


def parts(values: Sequence[float], whole: float) -> list[str]:
    """Each as a percentage of the whole, in hundredths; shown figures sum to the shown sum."""
    if not whole > 0 or any(not math.isfinite(v) or v < 0 for v in values):
        return [UNKNOWN] * len(values)
    total = round(_WHOLE * min(1.0, math.fsum(values) / whole))
    return [f"{share / 100:.2f} %" for share in divide(list(values), total)]


def present(given: Mapping[str, float], order: Iterable[str]) -> list[tuple[str, float]]:
    """What is above nothing, the most first; names that we do not know come along."""
    known = [*order, *(name for name in given if name not in set(order))]
    found = [(name, given.get(name, 0.0)) for name in known if given.get(name, 0.0) > 0]
    return sorted(found, key=lambda pair: -pair[1])


def short_name(name: str) -> str:
    """A kernel's name without its return type, its arguments and namespaces that say nothing.

    The template's arguments stay: they tell kernels apart. Names of one word stay as they are.
    """
    text = _without_arguments(_RETURNS.sub("", name.strip()))
    for noise in _NOISE:
        text = text.replace(noise, "")
    return text or name


def _without_arguments(text: str) -> str:
    """Without a last (...), where it closes the text and is no template's."""
    if not text.endswith(")"):
        return text
    depth = 0
    for place in range(len(text) - 1, -1, -1):
        depth += (text[place] == ")") - (text[place] == "(")
        if depth == 0:
            return text[:place].rstrip() or text
    return text


def middle_cut(text: str, limit: int) -> str:
    """At most `limit` characters, with the middle left out: what tells kernels apart stands at both ends."""
    if len(text) <= limit:
        return text
    if limit < 8:
        return text[: max(0, limit - 1)] + "…"
    tail = min((limit - 1) // 3, 24)
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}"
