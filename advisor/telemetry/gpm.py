"""GPM counters (Hopper and newer) as one `Gpm` record per sub-window, of a GPU or of a MIG instance.

Two samples must be more than 100 ms apart (nvml.h); the previous one is kept, so each sub-window costs one
sample and one computation. All calls belong to one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from advisor.telemetry import nvml_api as api
from advisor.telemetry.gpm_metrics import (
    METRICS,
    Entry,
    GpmMetrics,
    Metric,
    address_of,
    in_units,
    problem_of,
)
from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_errors import LOST, NO_PERMISSION_RETRY_S, PERMANENT, DeviceLostError, describe
from advisor.telemetry.records import Gpm

WINDOW_MIN_S = 0.1
STALL_WINDOWS = 3.0
# A metric whose value cannot be believed in so many windows on end is left out, and tried again this often.
BAD_WINDOWS = 3
BAD_RETRY_S = 60.0

NEEDS_HOPPER = "GPM is not supported by this GPU (it needs Hopper or newer)"


class _Sample:
    """A sample buffer of the driver's and when it was taken."""

    __slots__ = ("address", "buffer", "taken_s")

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer
        self.address = address_of(buffer)
        self.taken_s = -math.inf


class _Distrust:
    """Which metrics are left out for now: each doubtful value costs a second round of single calls."""

    def __init__(self) -> None:
        self._bad: dict[Metric, int] = {}
        self._again_s: dict[Metric, float] = {}

    def believed(self, wanted: tuple[Metric, ...], now_s: float) -> tuple[Metric, ...]:
        """The metrics to ask for now."""
        if not self._again_s:
            return wanted
        return tuple(metric for metric in wanted if now_s >= self._again_s.get(metric, -math.inf))

    def note(self, metric: Metric, now_s: float) -> None:
        """It was bad again. One glitch costs one window; from then on a bad retry is the last for a while."""
        self._bad[metric] = self._bad.get(metric, 0) + 1
        if self._bad[metric] >= BAD_WINDOWS:
            self._again_s[metric] = now_s + BAD_RETRY_S

    def clear(self, metric: Metric) -> None:
        """It is fine."""
        if self._bad:
            self._bad.pop(metric, None)
            self._again_s.pop(metric, None)


class GpmWindows:
    """Sub-windows of one GPU, or of one MIG instance when `gi_id` is given (`handle` is then its GPU's).

    A window's `t_s` and `duration_s` are those of its two samples, so time that no window covers (after a
    stall, a failure) shows as a hole between one window's `t_s` and the next one's `t_s - duration_s`.
    `problem` says why there is nothing, or is None; `missing` maps "gpm.<field>" to why a metric is absent.
    """

    def __init__(
        self,
        nvml: Nvml,
        metrics: GpmMetrics,
        handle: Any,
        *,
        interval_s: float,
        gi_id: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nvml = nvml
        self._metrics = metrics
        self._handle = handle
        self._gi_id = gi_id
        self._clock = clock
        self._interval_s = max(interval_s, WINDOW_MIN_S)
        self._wanted: tuple[Metric, ...] = METRICS
        self._distrust = _Distrust()
        self._older: _Sample | None = None
        self._newer: _Sample | None = None
        self._retry_s = -math.inf
        self.problem: str | None = None
        self.missing: dict[str, str] = {}

    def open(self, now_s: float) -> bool:
        """Ask whether this device has GPM and take the first sample. Raises DeviceLostError."""
        self.problem = self._support_problem()
        if self.problem is not None:
            self._retry_s = math.inf
            return False
        self.take(now_s, 0.0)
        return self.problem is None

    def take(self, now_s: float, t_s: float) -> Gpm | None:
        """The sub-window that ends now (`now_s` monotonic, `t_s` Unix), if two usable samples bound it.

        None right after the start, a stall or a failure. Raises DeviceLostError, with the samples freed.
        """
        if now_s < self._retry_s or not self._far_enough(now_s):
            return None
        try:
            return self._take(now_s, t_s)
        except NvmlError as error:
            self._failed(error.code, now_s)
            return None

    def close(self) -> None:
        """Free the driver's sample buffers. Safe to call twice."""
        for sample in (self._older, self._newer):
            if sample is not None:
                self._free(sample)
        self._older = self._newer = None

    def _support_problem(self) -> str | None:
        """A probe that fails for a mismatched version says nothing (seen in the field): a sample decides."""
        try:
            support = self._nvml.call("nvmlGpmQueryDeviceSupport", self._handle)
        except NvmlError as error:
            if error.code in LOST:
                raise DeviceLostError(describe(error.code)) from None
            return describe(error.code) if error.code in (api.NOT_SUPPORTED, api.FUNCTION_NOT_FOUND) else None
        return None if support.isSupportedDevice else NEEDS_HOPPER

    def _far_enough(self, now_s: float) -> bool:
        return self._newer is None or now_s - self._newer.taken_s >= WINDOW_MIN_S

    def _take(self, now_s: float, t_s: float) -> Gpm | None:
        older, newer = self._newer, self._older or _Sample(self._nvml.call("nvmlGpmSampleAlloc"))
        self._older = newer
        before_s = self._clock()
        self._fetch(newer)
        waited_s = self._clock() - before_s
        newer.taken_s = now_s + waited_s
        self._older, self._newer = older, newer
        self.problem = None
        if older is None or newer.taken_s - older.taken_s > STALL_WINDOWS * self._interval_s:
            return None
        return self._window(older, newer, round(t_s + waited_s, 3))

    def _fetch(self, sample: _Sample) -> None:
        if self._gi_id is None:
            self._nvml.call("nvmlGpmSampleGet", self._handle, sample.buffer)
        else:
            self._nvml.call("nvmlGpmMigSampleGet", self._handle, self._gi_id, sample.buffer)

    def _window(self, older: _Sample, newer: _Sample, t_s: float) -> Gpm | None:
        wanted = self._distrust.believed(self._wanted, newer.taken_s)
        entries = self._metrics.compute(older.address, newer.address, wanted) if wanted else {}
        values: dict[str, float] = {}
        for metric, entry in entries.items():
            problem = problem_of(metric, entry)
            if problem is None and entry.code == api.SUCCESS:
                values[metric.field] = in_units(metric, entry.value)
                if self.missing:
                    self._present(metric)
            else:
                self._absent(metric, entry, problem, newer.taken_s)
        if not values:
            self.problem = next(iter(self.missing.values()), "the driver gives none of the GPM metrics")
            return None
        return Gpm(t_s=t_s, duration_s=round(newer.taken_s - older.taken_s, 4), **values)

    def _present(self, metric: Metric) -> None:
        self._distrust.clear(metric)
        self.missing.pop(f"gpm.{metric.field}", None)

    def _absent(self, metric: Metric, entry: Entry, problem: str | None, now_s: float) -> None:
        self.missing[f"gpm.{metric.field}"] = problem or describe(entry.code)
        if problem is not None:
            self._distrust.note(metric, now_s)
        elif entry.code in PERMANENT:
            self._wanted = tuple(m for m in self._wanted if m is not metric)

    def _failed(self, code: int, now_s: float) -> None:
        self.close()
        self.problem = describe(code)
        if code in LOST:
            raise DeviceLostError(self.problem)
        if code in PERMANENT:
            self._retry_s = math.inf
        elif code == api.NO_PERMISSION:
            self._retry_s = now_s + NO_PERMISSION_RETRY_S

    def _free(self, sample: _Sample) -> None:
        try:
            self._nvml.call("nvmlGpmSampleFree", sample.buffer)
        except NvmlError:
            return
