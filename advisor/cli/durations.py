"""Durations as people type them: 30s, 2m, 500ms, 1h, 1m30s; a bare number is seconds."""

from __future__ import annotations

import math
import re

UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError for anything that is not a duration above zero."""
    compact = text.strip().lower()
    if _NUMBER.fullmatch(compact):
        return _positive(float(compact), text)
    parts = list(_PART.finditer(compact))
    if not parts or "".join(part.group() for part in parts) != compact:
        raise ValueError(f"{text!r} is not a duration; write 30s, 2m, 500ms or 1h")
    return _positive(math.fsum(float(part[1]) * UNIT_S[part[2]] for part in parts), text)


def format_duration(seconds: float) -> str:
    """The shortest of ms, s, m and h that a person would write."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 120:
        return f"{seconds:.3g}s"
    if seconds < 7200:
        return f"{seconds / 60:.3g}m"
    return f"{seconds / 3600:.3g}h"


def _positive(seconds: float, text: str) -> float:
    if seconds <= 0:
        raise ValueError(f"{text!r} must be more than zero")
    return seconds
