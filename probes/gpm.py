"""GPM counters (Hopper and newer) between two samples, of a GPU or of a MIG instance.

The metrics array in `nvmlGpmMetricsGet_t` grew with the drivers (98, 210, 333, 477 entries) while its version
constant stayed 1, so nothing in a call tells whether both sides mean the same layout. The buffer here is
larger than any known array, every entry is filled with a sentinel before a call, its own return code and
value are checked, and the first answer is compared with one metric a call, which all layouts agree on.
"""

from __future__ import annotations

import ctypes
import math
import struct
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from probes.meter import GpmWindow
from probes.nvml import (
    FUNCTION_NOT_FOUND,
    LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    SUCCESS,
    Nvml,
    NvmlError,
    describe,
)

# nvml.h: samples must be more than 100 ms apart.
WINDOW_MIN_S = 0.11

# NVML's id of each counter, by the name that live counters have. All are percentages.
METRICS: dict[str, int] = {
    "gr_active": 1,
    "sm_active": 2,
    "sm_occupancy": 3,
    "int_active": 4,
    "tensor_active": 5,
    "dfma": 6,
    "hmma": 7,
    "dmma": 8,
    "imma": 9,
    "dram_active": 10,
    "fp64": 11,
    "fp32": 12,
    "fp16": 13,
}

_CAPACITY = 2048
_ENTRY = struct.Struct("=IId24x")
_HEADER_BYTES = 24
_UNFILLED_CODE, _UNFILLED_VALUE = 0x5EED5EED, -7.25e300
_PERCENT_MAX = 105.0
_FINAL = LOST | {NOT_SUPPORTED, FUNCTION_NOT_FOUND, NO_PERMISSION}


class _Request(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint),
        ("count", ctypes.c_uint),
        ("older", ctypes.c_void_p),
        ("newer", ctypes.c_void_p),
        ("metrics", ctypes.c_uint8 * (_ENTRY.size * _CAPACITY)),
    )


class Entry(NamedTuple):
    """One metric as the driver left it."""

    metric_id: int
    code: int
    value: float


class Gpm:
    """Windows of one GPU, or of one MIG instance when `gi` is given (`gpu` is then its GPU's handle).

    missing: why a counter ("dram_active") or all of them ("counters") cannot be read. One thread at a time.
    """

    def __init__(
        self, nvml: Nvml, gpu: Any, gi: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._nvml = nvml
        self._gpu = gpu
        self._gi = gi
        self._clock = clock
        self._request = _Request()
        self._entries = memoryview(self._request).cast("B")[_HEADER_BYTES:]
        self._samples: list[Any] = []
        self._taken_s: float | None = None
        self._asked_s = 0.0
        self._singly: bool | None = None
        self.missing: dict[str, str] = {}
        self._supported = self._asked_support()

    def begin(self) -> None:
        """Start afresh: the next `take` gives the first sample of a new stretch."""
        self._taken_s = None

    def due(self) -> bool:
        """Whether a sample may be taken now."""
        return self.due_s() <= 0.0

    def due_s(self) -> float:
        """Seconds until a sample may be taken; infinite where none ever may."""
        if not self._supported:
            return math.inf
        return 0.0 if self._taken_s is None else self._taken_s + WINDOW_MIN_S - self._clock()

    def take(self) -> GpmWindow | None:
        """The window since the last sample, if there was one and the driver tells. Raises nothing."""
        if not self.due():
            return None
        try:
            return self._take()
        except NvmlError as error:
            self._give_up(error)
            return None

    def close(self) -> None:
        """Free the driver's buffers. Safe to call twice."""
        samples, self._samples, self._taken_s = self._samples, [], None
        for sample in samples:
            try:
                self._nvml.call("nvmlGpmSampleFree", sample)
            except NvmlError:
                continue

    def _asked_support(self) -> bool:
        """Where the question fails for another reason, such as a mismatched version, a sample decides."""
        try:
            supported = bool(self._nvml.call("nvmlGpmQueryDeviceSupport", self._gpu).isSupportedDevice)
        except NvmlError as error:
            if error.code in _FINAL:
                self.missing["counters"] = describe(error.code)
                return False
            return True
        if not supported:
            self.missing["counters"] = "GPM is not supported by this GPU (it needs Hopper or newer)"
        return supported

    def _take(self) -> GpmWindow | None:
        while len(self._samples) < 2:
            self._samples.append(self._nvml.call("nvmlGpmSampleAlloc"))
        older, newer = self._samples
        begin_s, self._asked_s = self._asked_s, self._clock()
        self._fetch(older)
        self._samples.reverse()
        now_s, before_s = self._clock(), self._taken_s
        self._taken_s = now_s
        if before_s is None:
            return None
        counters = self._counters(_address(newer), _address(older))
        return GpmWindow(now_s - before_s, counters, begin_s, now_s) if counters else None

    def _fetch(self, sample: Any) -> None:
        if self._gi is None:
            self._nvml.call("nvmlGpmSampleGet", self._gpu, sample)
        else:
            self._nvml.call("nvmlGpmMigSampleGet", self._gpu, self._gi, sample)

    def _counters(self, older: int, newer: int) -> dict[str, float]:
        read: dict[str, float] = {}
        self.missing = {}
        for name, entry in self._read(older, newer).items():
            if (problem := _problem(METRICS[name], entry)) is None:
                read[name] = round(min(entry.value / 100.0, 1.0), 5)
            else:
                self.missing[name] = problem
        if not read:
            self.missing = {"counters": next(iter(self.missing.values()), "GPM gives nothing")}
        return read

    def _read(self, older: int, newer: int) -> dict[str, Entry]:
        """All at once where that agrees with one metric a call, else one a call."""
        if self._singly:
            return self._one_by_one(older, newer)
        try:
            entries = self._call(older, newer, tuple(METRICS))
        except NvmlError as error:
            if error.code in LOST or self._singly is not None:
                raise
            entries = {}
        if entries and self._singly is False and not _doubtful(entries):
            return entries
        singles = self._one_by_one(older, newer)
        if not _agree(entries, singles):
            self._singly = True
        elif any(entry.value > 0 for entry in singles.values()):
            self._singly = False
        return singles

    def _one_by_one(self, older: int, newer: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for name, metric_id in METRICS.items():
            try:
                entries |= self._call(older, newer, (name,))
            except NvmlError as error:
                if error.code in LOST:
                    raise
                entries[name] = Entry(metric_id, error.code, 0.0)
        return entries

    def _call(self, older: int, newer: int, names: tuple[str, ...]) -> dict[str, Entry]:
        size = _ENTRY.size * len(names)
        request = self._request
        request.version, request.count, request.older, request.newer = 1, len(names), older, newer
        filled = (_ENTRY.pack(METRICS[name], _UNFILLED_CODE, _UNFILLED_VALUE) for name in names)
        self._entries[:size] = b"".join(filled)
        self._nvml.call("nvmlGpmMetricsGet", request)
        found = (Entry(*raw) for raw in _ENTRY.iter_unpack(self._entries[:size]))
        return dict(zip(names, found, strict=True))

    def _give_up(self, error: NvmlError) -> None:
        """Say why, and ask again only where the answer may soon change."""
        self.close()
        self.missing = {"counters": describe(error.code)}
        self._supported = error.code not in _FINAL


def _problem(metric_id: int, entry: Entry) -> str | None:
    """Why an entry cannot be used, or None."""
    if entry.metric_id != metric_id or entry.code == _UNFILLED_CODE or entry.value == _UNFILLED_VALUE:
        return "the driver did not fill the value in"
    if entry.code != SUCCESS:
        return describe(entry.code)
    if not 0.0 <= entry.value <= _PERCENT_MAX:
        return f"the driver's value makes no sense ({entry.value:g})"
    return None


def _doubtful(entries: dict[str, Entry]) -> bool:
    """Whether a value was not filled in or makes no sense; an error code of its own is an answer."""
    return any(
        _problem(METRICS[name], e) is not None
        and (e.code in (SUCCESS, _UNFILLED_CODE) or e.metric_id != METRICS[name])
        for name, e in entries.items()
    )


def _agree(entries: dict[str, Entry], singles: dict[str, Entry]) -> bool:
    """Whether the call for all metrics told what the calls for each did."""
    return bool(entries) and all(
        entries[name].metric_id == single.metric_id
        and entries[name].code == single.code
        and (single.code != SUCCESS or math.isclose(entries[name].value, single.value, rel_tol=1e-6))
        for name, single in singles.items()
    )


def _address(sample: Any) -> int:
    """The address behind an nvmlGpmSample_t, as the request wants it."""
    return ctypes.cast(sample, ctypes.c_void_p).value or 0
