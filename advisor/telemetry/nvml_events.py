"""XIDs as the driver reports them: one event set for all GPUs, polled without waiting at every tick.

An XID is the driver's number for an error of a GPU, the same that the kernel log shows, without the right to
read that log. Only errors reported after the set was made are seen. `nvmlEventSetWait` with a timeout of 0
looks whether an event is ready and takes nothing from the GPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_devices import Device
from advisor.telemetry.nvml_errors import PERMANENT, describe

XID_EVENT = 0x8
# A burst of faults repeats itself; what is left is taken at the next tick.
EVENTS_A_TICK = 32
_NO_INSTANCE = 0xFFFFFFFF
_UNKNOWN_GPU = "an XID was reported of a GPU that cannot be told"


class XidEvents:
    """The XIDs of a device list. `missing` says of each key why its XIDs are not seen."""

    def __init__(self, nvml: Nvml, devices: Iterable[Device]) -> None:
        self._nvml = nvml
        self._devices = tuple(devices)
        self._set: Any = None
        self.missing: dict[str, str] = {}
        self._open()

    def poll(self) -> dict[str, tuple[int, ...]]:
        """XIDs since the last poll, by device. One that names no MIG instance concerns all of its GPU's."""
        found: dict[str, tuple[int, ...]] = {}
        for _ in range(EVENTS_A_TICK):
            event = self._next()
            if event is None:
                break
            for key in self._concerned(event):
                found[key] = (*found.get(key, ()), int(event.eventData))
        return found

    def close(self) -> None:
        """Free the set, where the driver still answers."""
        if self._set is None:
            return
        given, self._set = self._set, None
        try:
            self._nvml.call("nvmlEventSetFree", given)
        except NvmlError:
            return

    def _open(self) -> None:
        gpus = [d for d in self._devices if d.info.parent_key is None and d.handle is not None]
        if not gpus:
            return
        try:
            self._set = self._nvml.call("nvmlEventSetCreate")
        except NvmlError as error:
            self._give_up(describe(error.code))
            return
        refused = [self._refusal(gpu) for gpu in gpus]
        for gpu, reason in zip(gpus, refused, strict=True):
            if reason is not None:
                self.missing.update(dict.fromkeys(self._family(gpu.info.key), reason))
        if all(reason is not None for reason in refused):
            self.close()

    def _refusal(self, gpu: Device) -> str | None:
        try:
            self._nvml.call("nvmlDeviceRegisterEvents", gpu.handle, XID_EVENT, self._set)
        except NvmlError as error:
            return describe(error.code)
        return None

    def _next(self) -> Any | None:
        if self._set is None:
            return None
        try:
            return self._nvml.call("nvmlEventSetWait", self._set, 0)
        except NvmlError as error:
            if error.code in PERMANENT:
                self._give_up(describe(error.code))
            return None

    def _give_up(self, reason: str) -> None:
        self.close()
        self.missing = {device.info.key: reason for device in self._devices}

    def _concerned(self, event: Any) -> list[str]:
        """Keys of the rows that an event is about. A GPU that is gone no longer tells its UUID."""
        gpu = next((d for d in self._devices if _same(d.handle, event.device)), None)
        key = gpu.info.key if gpu is not None else self._uuid(event.device)
        family = self._family(key)
        if not family:
            self.missing.setdefault(self._devices[0].info.key, _UNKNOWN_GPU)
        if event.gpuInstanceId == _NO_INSTANCE:
            return family
        instance = [d.info.key for d in self._devices if _is(d, key, event)]
        return instance or family

    def _family(self, key: str) -> list[str]:
        return [d.info.key for d in self._devices if key in (d.info.key, d.info.parent_key)]

    def _uuid(self, handle: Any) -> str:
        try:
            return str(self._nvml.call("nvmlDeviceGetUUID", handle))
        except NvmlError:
            gpus = [d.info.key for d in self._devices if d.info.parent_key is None]
            return gpus[0] if len(gpus) == 1 else ""


def _is(device: Device, gpu_key: str, event: Any) -> bool:
    info = device.info
    place = (info.parent_key, info.gi_id, info.ci_id)
    return place == (gpu_key, event.gpuInstanceId, event.computeInstanceId)


def _same(one: Any, other: Any) -> bool:
    """Whether two handles are of one device: pynvml makes a new pointer object each time."""
    if one is None:
        return False
    try:
        return _address(one) == _address(other)
    except (TypeError, ctypes.ArgumentError):
        return bool(one is other)


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value
