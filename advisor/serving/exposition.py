"""Exposition: a page in Prometheus' text format, sample by sample, so that a bad line loses only itself."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from prometheus_client.parser import text_string_to_metric_families

# A line longer than this is no sample of an engine's; parsing takes time in its length.
MAX_LINE = 4 << 10
# Samples that are wanted of one engine: each is kept of each look, and recorded. 64 ranks of vLLM have 8,000.
MAX_SAMPLES = 10_000
# Lines of a page, wanted or not: the largest real ones have ten thousand or two.
MAX_LINES = 100_000
# A page of 70 kB takes some hundredths of this; one that is made to take long keeps no core busy.
DEADLINE_S = 1.0
_LINES_A_LOOK = 100
_NAME = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)")


class ExpositionError(Exception):
    """The page is none of metrics, and why."""


class Point(NamedTuple):
    """One sample: its labels, and a finite value."""

    labels: Mapping[str, str]
    value: float


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """Samples by name. damaged: lines that were no sample; nonsense: values that were no finite number."""

    points: dict[str, list[Point]]
    names: frozenset[str]
    damaged: int = 0
    nonsense: int = 0


def parse(text: str, wanted: Callable[[str], bool], *, deadline_s: float = DEADLINE_S) -> Parsed:
    """The samples whose names are wanted. Raises ExpositionError where the text is no page of metrics.

    Only wanted lines are parsed, each by itself. names: all that were seen, wanted or not. A page with more
    than MAX_LINES or MAX_SAMPLES, or that takes longer than deadline_s, is refused.
    """
    _refuse_others(text)
    until_s = time.monotonic() + deadline_s
    page = _Page(wanted)
    for number, line in enumerate(_lines(text)):
        if number % _LINES_A_LOOK == 0 and time.monotonic() > until_s:
            raise ExpositionError(f"takes longer than {deadline_s:g} s to read; this is no page of metrics")
        page.take(line)
    return page.parsed()


def _lines(text: str) -> list[str]:
    lines = text.split("\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise ExpositionError(f"has more than {MAX_LINES} lines")
    return lines


class _Page:
    """What was read of a page so far."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._points: dict[str, list[Point]] = {}
        self._names: dict[str, bool] = {}
        self._count = self._damaged = self._nonsense = 0

    def take(self, line: str) -> None:
        found = _NAME.match(line)
        if found is None:
            self._damaged += bool(line.strip()) and not line.lstrip().startswith("#")
            return
        name = found.group(1)
        if name not in self._names:
            self._names[name] = self._wanted(name)
        if self._names[name]:
            self._keep(name, line)

    def _keep(self, name: str, line: str) -> None:
        self._count += 1
        if self._count > MAX_SAMPLES:
            raise ExpositionError(f"has more than {MAX_SAMPLES} samples of an engine")
        point = _point(line)
        if point is None:
            self._damaged += 1
        elif not math.isfinite(point.value):
            self._nonsense += 1
        else:
            self._points.setdefault(name, []).append(point)

    def parsed(self) -> Parsed:
        """All of it. Raises ExpositionError where there was nothing."""
        if not self._names:
            raise ExpositionError("holds no metrics")
        names = frozenset(self._names)
        return Parsed(points=self._points, names=names, damaged=self._damaged, nonsense=self._nonsense)


def _refuse_others(text: str) -> None:
    head = text[:200].lstrip("\ufeff \t\r\n").lower()
    if not head:
        raise ExpositionError("is empty")
    if head.startswith("<"):
        raise ExpositionError("is a web page, not metrics")
    if head.startswith(("{", "[")):
        raise ExpositionError("is JSON, not metrics")


def _point(line: str) -> Point | None:
    """The line's sample, None where it is none; one whose numbers are beyond all bounds is endless."""
    if len(line) > MAX_LINE:
        return None
    try:
        (family,) = text_string_to_metric_families(line)
        (sample,) = family.samples
        return Point(sample.labels, float(sample.value))
    except OverflowError:  # a value or a timestamp of hundreds of digits
        return Point({}, math.inf)
    except Exception:  # the parser is another's, the line anybody's: whatever it raises, it is no sample
        return None
