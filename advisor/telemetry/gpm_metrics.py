"""GPM metrics of two samples, with guards against a driver whose structure differs from pynvml's.

The metrics array in `nvmlGpmMetricsGet_t` grew with the drivers (98, 210, 333, 477 entries) while its version
constant stayed 1, so nothing in the call tells whether both sides mean the same layout. Here:

- the buffer is ours and larger than any known array, so that no driver writes past it;
- before each call every entry is filled with a sentinel, and every entry's own return code is read;
- shares must be within 0 to 105 %, rates not negative and below a pebibyte a second;
- the first windows are computed twice, all at once and one metric a call, which must agree;
- a driver that fails any of this with many metrics but not with one is asked one metric a call from then on.
"""

from __future__ import annotations

import ctypes
import math
import struct
from typing import Any, NamedTuple

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_errors import LOST

METRICS_GET_VERSION = 1
CAPACITY = 2048
MIB = 1024 * 1024
PERCENT_MAX = 105.0
# A pebibyte a second, which no link of a GPU comes near.
RATE_MAX_MIB_S = 1024.0**3
DIGITS = 5

_UNFILLED_RETURN = 0x5EED5EED
_UNFILLED_VALUE = -7.25e300
_ENTRY = struct.Struct("=IId24x")
_HEADER_BYTES = 24


class Metric(NamedTuple):
    """A GPM metric: NVML's id, the field of `Gpm` it fills, and whether it is a percentage or MiB/s."""

    id: int
    field: str
    percent: bool


METRICS = (
    Metric(1, "gr_active", True),
    Metric(2, "sm_active", True),
    Metric(3, "sm_occupancy", True),
    Metric(4, "int_active", True),
    Metric(5, "tensor_active", True),
    Metric(6, "dfma", True),
    Metric(7, "hmma", True),
    Metric(8, "dmma", True),
    Metric(9, "imma", True),
    Metric(10, "dram_active", True),
    Metric(11, "fp64", True),
    Metric(12, "fp32", True),
    Metric(13, "fp16", True),
    Metric(20, "pcie_tx_bytes_s", False),
    Metric(21, "pcie_rx_bytes_s", False),
    Metric(60, "nvlink_rx_bytes_s", False),
    Metric(61, "nvlink_tx_bytes_s", False),
)


class _MetricsGet(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint),
        ("num_metrics", ctypes.c_uint),
        ("sample1", ctypes.c_void_p),
        ("sample2", ctypes.c_void_p),
        ("metrics", ctypes.c_uint8 * (_ENTRY.size * CAPACITY)),
    )


class Entry(NamedTuple):
    """One metric as the driver left it."""

    metric_id: int
    code: int
    value: float


def problem_of(metric: Metric, entry: Entry) -> str | None:
    """Why an entry cannot be believed, or None. An error code of its own is an answer, not a problem."""
    metric_id, code, value = entry
    if code == api.SUCCESS and metric_id == metric.id and _plausible(metric, value):
        return None
    if entry.metric_id != metric.id or entry.code == _UNFILLED_RETURN:
        return "the driver did not fill the value in"
    if entry.code == api.SUCCESS and entry.value == _UNFILLED_VALUE:
        return "the driver did not fill the value in"
    if entry.code == api.SUCCESS:
        return f"the driver's value makes no sense ({entry.value:g})"
    return None


def _plausible(metric: Metric, value: float) -> bool:
    return 0.0 <= value <= (PERCENT_MAX if metric.percent else RATE_MAX_MIB_S)


def in_units(metric: Metric, value: float) -> float:
    """A percentage as a fraction of at most 1, MiB/s as bytes/s."""
    return round(min(value / 100.0, 1.0), DIGITS) if metric.percent else round(value * MIB)


class GpmMetrics:
    """Computes metrics between two samples. What one object learns of the driver holds for all GPUs."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._request = _MetricsGet()
        self._entries = memoryview(self._request).cast("B")[_HEADER_BYTES:]
        self._templates: dict[tuple[Metric, ...], bytes] = {}
        self._first_check_left = True
        self._busy_check_left = True
        self._rescue_left = True
        self.one_at_a_time = False

    def compute(self, older: int, newer: int, metrics: tuple[Metric, ...]) -> dict[Metric, Entry]:
        """Entries between two samples (addresses). Raises NvmlError when the call as a whole fails."""
        if self.one_at_a_time:
            return self._singly(older, newer, metrics)
        try:
            entries = self._at_once(older, newer, metrics)
        except NvmlError as error:
            return self._rescued(older, newer, metrics, error)
        if self._doubtful(entries):
            singles = self._singly(older, newer, metrics)
            if _contradict(entries, singles):
                self.one_at_a_time = True
                return singles
        return entries

    def _rescued(
        self, older: int, newer: int, metrics: tuple[Metric, ...], error: NvmlError
    ) -> dict[Metric, Entry]:
        """After a failure of the whole call: once, see whether one metric a call works."""
        if error.code in LOST or not self._rescue_left:
            raise error
        self._rescue_left = False
        singles = self._singly(older, newer, metrics)
        if all(entry.code != api.SUCCESS for entry in singles.values()):
            raise error
        self.one_at_a_time = True
        return singles

    def _doubtful(self, entries: dict[Metric, Entry]) -> bool:
        check = self._first_check_left
        self._first_check_left = False
        if self._busy_check_left and any(e.code == api.SUCCESS and e.value > 0 for e in entries.values()):
            self._busy_check_left = False
            check = True
        return check or any(problem_of(metric, entry) for metric, entry in entries.items())

    def _at_once(self, older: int, newer: int, metrics: tuple[Metric, ...]) -> dict[Metric, Entry]:
        size = _ENTRY.size * len(metrics)
        request = self._request
        request.version = METRICS_GET_VERSION
        request.num_metrics = len(metrics)
        request.sample1 = older
        request.sample2 = newer
        self._entries[:size] = self._template(metrics)
        self._nvml.call("nvmlGpmMetricsGet", request)
        found = _ENTRY.iter_unpack(self._entries[:size])
        return {metric: Entry(*raw) for metric, raw in zip(metrics, found, strict=True)}

    def _singly(self, older: int, newer: int, metrics: tuple[Metric, ...]) -> dict[Metric, Entry]:
        entries: dict[Metric, Entry] = {}
        for metric in metrics:
            try:
                entries |= self._at_once(older, newer, (metric,))
            except NvmlError as error:
                if error.code in LOST:
                    raise
                entries[metric] = Entry(metric.id, error.code, 0.0)
        return entries

    def _template(self, metrics: tuple[Metric, ...]) -> bytes:
        template = self._templates.get(metrics)
        if template is None:
            template = b"".join(_ENTRY.pack(m.id, _UNFILLED_RETURN, _UNFILLED_VALUE) for m in metrics)
            self._templates[metrics] = template
        return template


def _contradict(entries: dict[Metric, Entry], singles: dict[Metric, Entry]) -> bool:
    """Whether one-metric calls answer where the many-metric call did not, or answer differently."""
    return any(_differs(metric, entries[metric], single) for metric, single in singles.items())


def _differs(metric: Metric, entry: Entry, single: Entry) -> bool:
    if problem_of(metric, single) is not None:
        return False
    if problem_of(metric, entry) is not None:
        return True
    if entry.code != single.code:
        return entry.code == api.SUCCESS or single.code == api.SUCCESS
    return entry.code == api.SUCCESS and not math.isclose(
        entry.value, single.value, rel_tol=1e-6, abs_tol=1e-9
    )


def address_of(sample: Any) -> int:
    """The address behind an nvmlGpmSample_t, as the request structure wants it."""
    return ctypes.cast(sample, ctypes.c_void_p).value or 0
