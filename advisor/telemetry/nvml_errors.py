"""What to do when an NVML call fails: remember, wait, retry, or give the device up as lost.

- NOT_SUPPORTED, FUNCTION_NOT_FOUND, DEPRECATED and ARGUMENT_VERSION_MISMATCH cannot change while this process
  runs: the call is never made again on that device.
- NO_PERMISSION may change (an administrator, a container's cgroup): asked again after a minute.
- GPU_IS_LOST and RESET_REQUIRED concern the whole device: `DeviceLostError`.
- Everything else is retried at the next tick.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_api import Nvml, NvmlError

PERMANENT = frozenset(
    {api.NOT_SUPPORTED, api.FUNCTION_NOT_FOUND, api.ARGUMENT_VERSION_MISMATCH, api.DEPRECATED}
)
LOST = frozenset({api.GPU_IS_LOST, api.RESET_REQUIRED})
NO_PERMISSION_RETRY_S = 60.0

_REASONS = {
    api.UNINITIALIZED: "NVML is not initialised",
    api.INVALID_ARGUMENT: "the driver refused the request as invalid",
    api.NOT_SUPPORTED: "not supported by this GPU",
    api.NO_PERMISSION: "no permission: the driver refuses this to the current user or container",
    api.NOT_FOUND: "the driver has no data",
    api.DRIVER_NOT_LOADED: "the driver is not loaded",
    api.TIMEOUT: "the driver timed out",
    api.FUNCTION_NOT_FOUND: "needs a newer driver (function not found)",
    api.GPU_IS_LOST: "it fell off the bus (GPU is lost)",
    api.RESET_REQUIRED: "it needs a reset (GPU requires reset)",
    api.OPERATING_SYSTEM: "blocked by the operating system",
    api.IN_USE: "GPU is in use",
    api.ARGUMENT_VERSION_MISMATCH: "needs another driver version (argument version mismatch)",
    api.DEPRECATED: "withdrawn by this driver",
}


def describe(code: int) -> str:
    """One phrase for an nvmlReturn_t, as kept in `Sample.missing`."""
    return _REASONS.get(code, f"NVML error {code}")


class DeviceLostError(Exception):
    """The driver says that this GPU is lost or needs a reset."""


class Reading(NamedTuple):
    """How fields are read: calls by preference (name, arguments after the handle), and the conversion.

    `convert` turns what pynvml returned into one value per field; it raises ValueError with the reason when
    the driver's value makes no sense.
    """

    fields: tuple[str, ...]
    convert: Callable[[Any], tuple[Any, ...]]
    calls: tuple[tuple[str, tuple[Any, ...]], ...]


class DeviceCalls:
    """Calls on one device under the error policy. `missing` maps each field it could not read to why."""

    def __init__(self, nvml: Nvml, handle: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._nvml = nvml
        self._clock = clock
        self._refused_until: dict[Hashable, float] = {}
        self.handle = handle
        self.missing: dict[str, str] = {}

    def read(self, reading: Reading, into: dict[str, Any]) -> None:
        """Put the reading's fields into `into`, or take them out and note why. Raises DeviceLostError."""
        for call in reading.calls:
            if not self.refused(call) and self._try(call, reading, into):
                return
        for field in reading.fields:
            into.pop(field, None)

    def refused(self, what: Hashable) -> bool:
        """Whether the policy says not to ask for `what` now."""
        until = self._refused_until.get(what)
        return until is not None and self._clock() < until

    def note(self, what: Hashable, fields: Iterable[str], code: int) -> None:
        """Record a failure: why the fields are missing, and whether to ask again. Raises DeviceLostError."""
        reason = describe(code)
        if code in LOST:
            raise DeviceLostError(reason)
        if code in PERMANENT:
            self._refused_until[what] = math.inf
        elif code == api.NO_PERMISSION:
            self._refused_until[what] = self._clock() + NO_PERMISSION_RETRY_S
        self.explain(fields, reason)

    def explain(self, fields: Iterable[str], reason: str) -> None:
        """Say why fields are missing."""
        self.missing.update(dict.fromkeys(fields, reason))

    def found(self, fields: Iterable[str]) -> None:
        """These fields are no longer missing."""
        if self.missing:
            for field in fields:
                self.missing.pop(field, None)

    def _try(self, call: tuple[str, tuple[Any, ...]], reading: Reading, into: dict[str, Any]) -> bool:
        try:
            values = reading.convert(self._nvml.call(call[0], self.handle, *call[1]))
        except NvmlError as error:
            self.note(call, reading.fields, error.code)
            return False
        except ValueError as nonsense:
            self.explain(reading.fields, str(nonsense))
            return False
        except (TypeError, AttributeError, LookupError) as strange:
            self.explain(reading.fields, f"the driver's answer has an unknown form ({strange})")
            return False
        into.update(zip(reading.fields, values, strict=True))
        self.found(reading.fields)
        return True
