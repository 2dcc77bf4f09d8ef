"""Lists of decoded numbers as numpy columns; what is no number is UNKNOWN."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import UNKNOWN, Ints

# No time: rows that carry it are left out. Times beyond are no µs of any clock.
NO_TIME = int(np.iinfo(np.int64).min)
_LONGEST_US = 4.6e15
# From here on a double of µs does not hold whole nanoseconds.
_EXACT_FROM_US = float(1 << 42)
_FRACTION = re.compile(rb'"ts"\s*:\s*-?\d{13,}\.')


def whole(values: Sequence[Any], kind: type[np.integer[Any]] = np.int64) -> NDArray[Any]:
    """Integers as a column; numbers in text ("7", "0x0") are read, and what does not fit is UNKNOWN."""
    try:
        return np.array(values, dtype=kind)
    except (ValueError, TypeError, OverflowError):
        info = np.iinfo(kind)
        return np.array([_integer(v, int(info.min), int(info.max)) for v in values], dtype=kind)


def plausible(column: NDArray[Any], most: int) -> NDArray[Any]:
    """A column of sizes in which what is negative or above `most` is UNKNOWN."""
    column[(column < 0) | (column > most)] = UNKNOWN
    return column


def fractions_of(values: Sequence[Any]) -> NDArray[np.float32]:
    """Percentages as fractions; 0 and what is no number is NaN, for a profiler's 0 is unknown."""
    with np.errstate(over="ignore"):
        try:
            column = np.array(values, dtype=np.float32)
        except (ValueError, TypeError, OverflowError):
            column = np.array([_real(value) for value in values], dtype=np.float32)
    column = column / np.float32(100.0)
    column[~((column > 0) & (column < np.inf))] = np.nan
    return column


def nanoseconds(values: Sequence[Any]) -> Ints:
    """Microseconds (numbers or text) as whole nanoseconds; NO_TIME for what is no time."""
    found = np.array(values)
    if found.dtype.kind not in "iuf":  # text, gaps, or more than 64 bits among them
        return np.array([_exact_ns(value) for value in values], dtype=np.int64)
    column = found.astype(np.float64)
    good = np.abs(column) <= _LONGEST_US
    column = np.where(good, column, 0.0)
    below = np.floor(column)
    exact = below.astype(np.int64) * 1000 + np.rint((column - below) * 1000.0).astype(np.int64)
    return np.where(good, exact, NO_TIME)


def exact_nanoseconds(values: Sequence[Any]) -> Ints:
    """The same from Decimal, digit by digit, for clocks too large for a double."""
    return np.array([_exact_ns(value) for value in values], dtype=np.int64)


def needs_exact(values: Sequence[Any], text: bytes) -> bool:
    """Whether a double lost digits of these times: large ones that the text has with a fraction."""
    try:
        column = np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return True
    with np.errstate(invalid="ignore"):
        large = bool(np.any(np.abs(column) >= _EXACT_FROM_US))
    return large and _FRACTION.search(text) is not None


def _exact_ns(value: Any) -> int:
    if value is None or isinstance(value, bool):
        return NO_TIME
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value).strip())
        if not abs(number) <= Decimal(_LONGEST_US):
            return NO_TIME
        return int((number * 1000).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        return NO_TIME


def _integer(value: Any, low: int, high: int) -> int:
    try:
        number = int(value, 0) if isinstance(value, str) else int(value)
    except (ValueError, TypeError, OverflowError):
        return UNKNOWN
    return number if low <= number <= high else UNKNOWN


def _real(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return math.nan
