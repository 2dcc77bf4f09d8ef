"""Objectives of serving: latencies that a request must keep, as people write them."""

from __future__ import annotations

import re

import msgspec

# Name as written -> which latency it is. "tpot" is what the time between tokens is also called.
_NAMES = {"ttft": "ttft_s", "itl": "itl_s", "tpot": "itl_s", "e2e": "e2e_s"}
_ORDER = ("ttft_s", "itl_s", "e2e_s")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-zµ]*)")
_HOW = "write it as ttft=200ms,itl=30ms,e2e=5s, with any of the three"


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """An objective in seconds: to the first token, between tokens, of the whole request; None is not asked.

    text: as it was given.
    """

    text: str = ""
    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Histogram -> its limit in seconds."""
        asked = {"ttft": self.ttft_s, "itl": self.itl_s, "e2e": self.e2e_s}
        return {name: limit for name, limit in asked.items() if limit is not None}


def parse_slo(text: str) -> Slo:
    """The objective that `text` states. Raises ValueError that says what is wrong and what is right."""
    limits: dict[str, float] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = (part.strip() for part in word.partition("="))
        field = _NAMES.get(name.lower())
        if not sign or field is None:
            raise ValueError(f"{word[:40]!r} is no objective: {_HOW}")
        if field in limits:
            raise ValueError(f"{name[:40]} is given twice")
        limits[field] = _seconds(value)
    if not limits:
        raise ValueError(f"no objective is given: {_HOW}")
    return Slo(text=_said(limits), **limits)


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text.lower().replace("µ", "u"))
    unit = _UNITS.get(found.group(2)) if found else None
    if found is None or unit is None:
        raise ValueError(f"{text[:40]!r} is no time with its unit: {_HOW}")
    seconds = float(found.group(1)) * unit
    if not 0.0 < seconds <= 86_400.0:
        raise ValueError(f"{text[:40]!r} is not above 0 and at most a day")
    return seconds


def _said(limits: dict[str, float]) -> str:
    """The objective in one form, however it was written."""
    return ",".join(f"{field[:-2]}={_time(limits[field])}" for field in sorted(limits, key=_ORDER.index))


def _time(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1.0 else f"{seconds * 1e3:g}ms"
