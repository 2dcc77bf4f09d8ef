"""Which processes the driver sees on which device: NVML's dearest question (4.5 ms measured), so rare.

Compute contexts are asked for at every look, graphics and MPS ones only every sixth while there are none.
With MIG the GPU is asked once and the answers are told apart by instance ids; where the GPU itself is out of
bounds (a container holding only an instance), each instance is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_devices import Device
from advisor.telemetry.nvml_errors import DeviceCalls, DeviceLostError
from advisor.telemetry.processes import GpuProcess

RARE_EVERY = 6
_COMPUTE = "nvmlDeviceGetComputeRunningProcesses"
_RARE = ("nvmlDeviceGetGraphicsRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses")
_UTILIZATION = "nvmlDeviceGetProcessUtilization"
_NOT_AVAILABLE = 2**64 - 1
_NO_INSTANCE = 0xFFFFFFFF


class GpuProcesses:
    """Looks at the processes of all devices. One object a device list; it remembers refusals and names."""

    def __init__(self, nvml: Nvml, devices: Iterable[Device]) -> None:
        self._nvml = nvml
        self._devices = tuple(device for device in devices if device.handle is not None)
        self._calls = {device.info.key: DeviceCalls(nvml, device.handle) for device in self._devices}
        self._instances = _by_instance(self._devices)
        self._looks_till_rare = {device.info.key: 0 for device in self._devices}
        self._seen_us: dict[str, int] = {}
        self._names: dict[int, str | None] = {}

    def look(self) -> list[GpuProcess]:
        """Every process on every device now. A device that does not answer has none."""
        found: dict[tuple[str, int], int | None] = {}
        shares: dict[tuple[str, int], float] = {}
        for device in self._devices:
            if device.info.parent_key is None or self._parent_refuses(device):
                found |= self._on(device)
                shares |= self._shares(device)
        self._names = {pid: self._names[pid] if pid in self._names else self._name(pid) for _, pid in found}
        return [self._process(key, pid, memory, shares) for (key, pid), memory in found.items()]

    def _process(
        self, key: str, pid: int, memory: int | None, shares: dict[tuple[str, int], float]
    ) -> GpuProcess:
        return GpuProcess(
            key=key,
            pid=pid,
            mem_used_bytes=memory,
            sm_frac=shares.get((key, pid)),
            driver_name=self._names[pid],
        )

    def _parent_refuses(self, device: Device) -> bool:
        parent = self._calls.get(device.info.parent_key or "")
        return parent is None or parent.refused(_COMPUTE)

    def _on(self, device: Device) -> dict[tuple[str, int], int | None]:
        found: dict[tuple[str, int], int | None] = {}
        for process in self._list(device, _COMPUTE) + self._rare(device):
            place = (self._place(device, process), int(process.pid))
            found[place] = _most(found.get(place), _memory(process))
        return found

    def _rare(self, device: Device) -> list[Any]:
        key = device.info.key
        if self._looks_till_rare[key] > 0:
            self._looks_till_rare[key] -= 1
            return []
        found = [process for function in _RARE for process in self._list(device, function)]
        self._looks_till_rare[key] = 0 if found else RARE_EVERY - 1
        return found

    def _list(self, device: Device, function: str) -> list[Any]:
        calls = self._calls[device.info.key]
        if calls.refused(function):
            return []
        try:
            return list(self._nvml.call(function, device.handle))
        except NvmlError as error:
            self._note(calls, function, error)
            return []

    def _note(self, calls: DeviceCalls, function: str, error: NvmlError) -> None:
        try:
            calls.note(function, (function,), error.code)
        except DeviceLostError:
            return

    def _place(self, device: Device, process: Any) -> str:
        gi, ci = process.gpuInstanceId, process.computeInstanceId
        if gi == _NO_INSTANCE:
            return device.info.key
        parent = device.info.parent_key or device.info.key
        return self._instances.get((parent, gi, ci), device.info.key)

    def _shares(self, device: Device) -> dict[tuple[str, int], float]:
        """SM share of each process since the last look: the mean of the driver's samples. Not under MIG."""
        key, calls = device.info.key, self._calls[device.info.key]
        if device.info.parent_key or device.info.mig_enabled or calls.refused(_UTILIZATION):
            return {}
        try:
            samples = self._nvml.call(_UTILIZATION, device.handle, self._seen_us.get(key, 0))
        except NvmlError as error:
            if error.code not in (api.SUCCESS, api.NOT_FOUND):
                self._note(calls, _UTILIZATION, error)
            return {}
        return {(key, pid): share for pid, share in self._means(key, samples).items()}

    def _means(self, key: str, samples: Iterable[Any]) -> dict[int, float]:
        by_pid: dict[int, list[int]] = {}
        newest = self._seen_us.get(key, 0)
        for sample in samples:
            newest = max(newest, int(sample.timeStamp))
            if sample.smUtil <= 100:
                by_pid.setdefault(int(sample.pid), []).append(int(sample.smUtil))
        self._seen_us[key] = newest
        return {pid: sum(values) / len(values) / 100.0 for pid, values in by_pid.items()}

    def _name(self, pid: int) -> str | None:
        try:
            return str(self._nvml.call("nvmlSystemGetProcessName", pid)) or None
        except NvmlError:
            return None


def _by_instance(devices: Iterable[Device]) -> dict[tuple[str, int, int], str]:
    infos = (device.info for device in devices)
    return {(i.parent_key, i.gi_id or 0, i.ci_id or 0): i.key for i in infos if i.parent_key is not None}


def _memory(process: Any) -> int | None:
    used = process.usedGpuMemory
    return None if used is None or used == _NOT_AVAILABLE else int(used)


def _most(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
