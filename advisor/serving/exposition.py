"""Exposition: a page in Prometheus' text format, sample by sample, so that a bad line loses only itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from prometheus_client.parser import text_string_to_metric_families

# A line longer than this is no sample of an engine's; parsing takes time in its length.
MAX_LINE = 16 << 10
# Samples of one engine: the largest real pages have some thousands.
MAX_SAMPLES = 50_000
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


def parse(text: str, wanted: Callable[[str], bool]) -> Parsed:
    """The samples whose names are wanted. Raises ExpositionError where the text is no page of metrics.

    Only wanted lines are parsed, each by itself. names: all that were seen, wanted or not.
    """
    _refuse_others(text)
    points: dict[str, list[Point]] = {}
    names: set[str] = set()
    damaged = nonsense = count = 0
    for line in text.split("\n"):
        found = _NAME.match(line)
        if found is None:
            damaged += bool(line.strip()) and not line.lstrip().startswith("#")
            continue
        name = found.group(1)
        names.add(name)
        if not wanted(name):
            continue
        count += 1
        if count > MAX_SAMPLES:
            raise ExpositionError(f"has more than {MAX_SAMPLES} samples of an engine")
        point = _point(line)
        if point is None:
            damaged += 1
        elif not math.isfinite(point.value):
            nonsense += 1
        else:
            points.setdefault(name, []).append(point)
    if not names:
        raise ExpositionError("holds no metrics")
    return Parsed(points=points, names=frozenset(names), damaged=damaged, nonsense=nonsense)


def _refuse_others(text: str) -> None:
    head = text[:200].lstrip("\ufeff \t\r\n").lower()
    if not head:
        raise ExpositionError("is empty")
    if head.startswith("<"):
        raise ExpositionError("is a web page, not metrics")
    if head.startswith(("{", "[")):
        raise ExpositionError("is JSON, not metrics")


def _point(line: str) -> Point | None:
    """The line's sample, None where it is none."""
    if len(line) > MAX_LINE:
        return None
    try:
        (family,) = text_string_to_metric_families(line)
        (sample,) = family.samples
        return Point(sample.labels, _number(sample.value))
    except (ValueError, IndexError, KeyError, TypeError):
        return None


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf
