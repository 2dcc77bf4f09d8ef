"""XIDs as the driver reports them: an event set for each GPU, polled without waiting at every tick.

An XID is the driver's number for an error of a GPU, the same that the kernel log shows, without the right to
read that log. Only errors reported after the set was made are seen. `nvmlEventSetWait` with a timeout of 0
looks whether an event is ready and takes nothing from the GPU. A set with a lost GPU in it answers nothing
but that one is lost; so no two GPUs share a set.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable, Iterator
from typing import Any

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_devices import Device
from advisor.telemetry.nvml_errors import LOST, PERMANENT, describe

XID_EVENT = 0x8
# Of one GPU: a burst of faults repeats itself; what is left is taken at the next tick.
EVENTS_A_TICK = 32
_NO_INSTANCE = 0xFFFFFFFF
_UNKNOWN_GPU = "an XID was reported of a GPU that cannot be told"


class XidEvents:
    """The XIDs of a device list. `missing` says of each key why its XIDs are not seen."""

    def __init__(self, nvml: Nvml, devices: Iterable[Device]) -> None:
        self._nvml = nvml
        self._devices = tuple(devices)
        self._sets: dict[str, Any] = {}
        self._lost: set[str] = set()
        self.missing: dict[str, str] = {}
        for device in self._devices:
            if device.info.parent_key is None and device.handle is not None:
                self._open(device)

    def poll(self) -> dict[str, tuple[int, ...]]:
        """XIDs since the last poll, by device. One that names no MIG instance concerns all of its GPU's."""
        found: dict[str, tuple[int, ...]] = {}
        for gpu in tuple(self._sets):
            for event in self._events(gpu):
                for key in self._concerned(event):
                    found[key] = (*found.get(key, ()), int(event.eventData))
        return found

    def close(self) -> None:
        """Free the sets, where the driver still answers."""
        for gpu in tuple(self._sets):
            self._free(gpu)

    def _open(self, gpu: Device) -> None:
        key = gpu.info.key
        try:
            self._sets[key] = self._nvml.call("nvmlEventSetCreate")
            self._nvml.call("nvmlDeviceRegisterEvents", gpu.handle, XID_EVENT, self._sets[key])
        except NvmlError as error:
            self._give_up(key, error.code)

    def _events(self, gpu: str) -> Iterator[Any]:
        """What is ready, as far as one tick goes."""
        for _ in range(EVENTS_A_TICK):
            event = self._next(gpu)
            if event is None:
                return
            yield event

    def _next(self, gpu: str) -> Any | None:
        try:
            event = self._nvml.call("nvmlEventSetWait", self._sets[gpu], 0)
        except NvmlError as error:
            self._failed(gpu, error.code)
            return None
        self._answers(gpu)
        return event

    def _failed(self, gpu: str, code: int) -> None:
        if code in PERMANENT:
            self._give_up(gpu, code)
        elif code in LOST:  # asked again: a reset may bring it back
            self._lost.add(gpu)
            self._miss(gpu, code)
        elif code == api.TIMEOUT:
            self._answers(gpu)

    def _answers(self, gpu: str) -> None:
        if gpu in self._lost:
            self._lost.discard(gpu)
            for key in self._family(gpu):
                self.missing.pop(key, None)

    def _give_up(self, gpu: str, code: int) -> None:
        self._free(gpu)
        self._miss(gpu, code)

    def _miss(self, gpu: str, code: int) -> None:
        self.missing.update(dict.fromkeys(self._family(gpu), describe(code)))

    def _free(self, gpu: str) -> None:
        given = self._sets.pop(gpu, None)
        if given is None:
            return
        with contextlib.suppress(NvmlError):
            self._nvml.call("nvmlEventSetFree", given)

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
