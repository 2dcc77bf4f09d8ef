"""An in-memory NVML behind the `Nvml` protocol. Its figures are invented and stand for no card."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

from advisor.telemetry import nvml_api as api
from advisor.telemetry.gpm_metrics import METRICS
from advisor.telemetry.nvml_api import NvmlError

GIB = 1024**3
Fault = int | Callable[[], int]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Process:
    """A process as the driver sees it."""

    pid: int
    memory: int | None = GIB
    gi: int = 0xFFFFFFFF
    ci: int = 0xFFFFFFFF
    sm_util: int | None = None


@dataclass
class Mig:
    """A MIG instance. name: None makes the driver give the GPU's name alone."""

    uuid: str
    gi: int
    ci: int = 0
    profile: str | None = "1g.10gb"
    slices: int = 1
    compute_slices: int = 1
    sms: int = 16
    memory_mib: int = 9856


@dataclass
class Gpu:
    """One card. faults: function -> code it returns (or a callable giving the code, 0 for none)."""

    uuid: str = "GPU-00000000-0000-4000-8000-000000000000"
    name: str = "NVIDIA Simulated X100 80GB"
    gpm: dict[int, float] = field(default_factory=lambda: {m.id: 10.0 + m.id for m in METRICS})
    migs: list[Mig] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    graphics: list[Process] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    fields: dict[int, tuple[int, int]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    xids: list[int] = field(default_factory=list)
    xid_place: dict[str, int] = field(default_factory=dict)
    util: int = 62
    reasons: int = 0b101


@dataclass(frozen=True)
class Handle:
    """A device handle: a GPU, or a MIG instance of it."""

    gpu: Gpu = field(compare=False)
    mig: Mig | None = field(default=None, compare=False)


_DEFAULT_FIELDS = {197: (3, 1000), 198: (3, 2000), 138: (3, 4), 139: (3, 8), 82: (1, 71)}


class FakeNvml:
    """Answers like pynvml, counts calls, and fails where told.

    gpm_layout: what is wrong with the driver's idea of the metrics array: "" nothing, "short" fills only the
    first entry, "shifted" gives each entry its neighbour's value, "silent" fills none.
    """

    def __init__(self, *gpus: Gpu, faults: dict[str, Fault] | None = None, gpm_layout: str = "") -> None:
        self.gpus = list(gpus) or [Gpu()]
        self.faults = faults or {}
        self.gpm_layout = gpm_layout
        self.calls: Counter[str] = Counter()
        self.samples: dict[int, Gpu | None] = {}
        self._next_sample = 1

    def call(self, function: str, *args: Any) -> Any:
        """What pynvml would return; NvmlError where a fault is planted."""
        self.calls[function] += 1
        handle = args[0] if args and isinstance(args[0], Handle) else None
        for faults in (self.faults, handle.gpu.faults if handle else {}):
            fault = faults.get(function, faults.get("*" if handle else "", 0))
            code = fault() if callable(fault) else fault
            if code:
                raise NvmlError(code, function)
        if handle and function in handle.gpu.values:
            return handle.gpu.values[function]
        answer = getattr(self, f"_{function}", None)
        if answer is None:
            raise NvmlError(api.FUNCTION_NOT_FOUND, function)
        return answer(*args)

    def _nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "999.1"

    def _nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        return 12080

    def _nvmlSystemGetProcessName(self, pid: int) -> str:  # noqa: N802
        return f"/usr/bin/proc{pid}"

    def _nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def _nvmlDeviceGetHandleByIndex(self, index: int) -> Handle:  # noqa: N802
        gpu = self.gpus[index]
        fault = gpu.faults.get("nvmlDeviceGetHandleByIndex", 0)
        code = fault() if callable(fault) else fault
        if code:
            raise NvmlError(code)
        return Handle(gpu)

    def _nvmlDeviceGetUUID(self, handle: Handle) -> str:  # noqa: N802
        return handle.mig.uuid if handle.mig else handle.gpu.uuid

    def _nvmlDeviceGetName(self, handle: Handle) -> str:  # noqa: N802
        if handle.mig and handle.mig.profile:
            return f"{handle.gpu.name} MIG {handle.mig.profile}"
        return handle.gpu.name

    def _nvmlDeviceGetPciInfo(self, handle: Handle) -> Any:  # noqa: N802
        return SimpleNamespace(busId=b"00000000:1B:00.0")

    def _nvmlDeviceGetMemoryInfo(self, handle: Handle, version: int = 0) -> Any:  # noqa: N802
        total = handle.mig.memory_mib * 1024**2 if handle.mig else 80 * GIB
        return SimpleNamespace(total=total, used=total // 2, free=total // 2)

    def _nvmlDeviceGetCudaComputeCapability(self, handle: Handle) -> tuple[int, int]:  # noqa: N802
        return (9, 0)

    def _nvmlDeviceGetNumGpuCores(self, handle: Handle) -> int:  # noqa: N802
        return 132 * 128

    def _nvmlDeviceGetEnforcedPowerLimit(self, handle: Handle) -> int:  # noqa: N802
        return 600_000

    def _nvmlDeviceGetPowerManagementDefaultLimit(self, handle: Handle) -> int:  # noqa: N802
        return 700_000

    def _nvmlDeviceGetPowerManagementLimitConstraints(self, handle: Handle) -> list[int]:  # noqa: N802
        return [200_000, 700_000]

    def _nvmlDeviceGetMaxClockInfo(self, handle: Handle, kind: int) -> int:  # noqa: N802
        return {1: 1980, 2: 2619}[kind]

    def _nvmlDeviceGetApplicationsClock(self, handle: Handle, kind: int) -> int:  # noqa: N802
        return 1500

    def _nvmlDeviceGetDefaultApplicationsClock(self, handle: Handle, kind: int) -> int:  # noqa: N802
        return 1700

    def _nvmlDeviceGetMaxCustomerBoostClock(self, handle: Handle, kind: int) -> int:  # noqa: N802
        return 1980

    def _nvmlEventSetCreate(self) -> list[Gpu]:  # noqa: N802
        return []

    def _nvmlEventSetFree(self, registered: list[Gpu]) -> None:  # noqa: N802
        registered.clear()

    def _nvmlDeviceRegisterEvents(self, handle: Handle, kinds: int, registered: list[Gpu]) -> None:  # noqa: N802
        assert kinds == 8
        registered.append(handle.gpu)

    def _nvmlEventSetWait(self, registered: list[Gpu], timeout_ms: int) -> Any:  # noqa: N802
        assert timeout_ms == 0, "the sampler must not wait"
        for gpu in registered:
            if gpu.xids:
                place = {"gpuInstanceId": 0xFFFFFFFF, "computeInstanceId": 0xFFFFFFFF, **gpu.xid_place}
                return SimpleNamespace(device=Handle(gpu), eventType=8, eventData=gpu.xids.pop(0), **place)
        raise NvmlError(api.TIMEOUT)

    def _nvmlDeviceGetTemperatureThreshold(self, handle: Handle, which: int) -> int:  # noqa: N802
        assert which == 2, "NVML_TEMPERATURE_THRESHOLD_MEM_MAX"
        return 105

    def _nvmlDeviceGetMaxPcieLinkGeneration(self, handle: Handle) -> int:  # noqa: N802
        return 5

    def _nvmlDeviceGetMaxPcieLinkWidth(self, handle: Handle) -> int:  # noqa: N802
        return 16

    def _nvmlDeviceGetEccMode(self, handle: Handle) -> list[int]:  # noqa: N802
        return [1, 1]

    def _nvmlDeviceGetPersistenceMode(self, handle: Handle) -> int:  # noqa: N802
        return 0

    def _nvmlDeviceGetCpuAffinity(self, handle: Handle, words: int) -> list[int]:  # noqa: N802
        return [0b1011]

    def _nvmlDeviceGetMigMode(self, handle: Handle) -> list[int]:  # noqa: N802
        return [int(bool(handle.gpu.migs))] * 2

    def _nvmlDeviceGetMaxMigDeviceCount(self, handle: Handle) -> int:  # noqa: N802
        return 7

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Handle, index: int) -> Handle:  # noqa: N802
        if index >= len(handle.gpu.migs):
            raise NvmlError(api.NOT_FOUND)
        return Handle(handle.gpu, handle.gpu.migs[index])

    def _mig(self, handle: Handle) -> Mig:
        if handle.mig is None:
            raise NvmlError(api.NOT_SUPPORTED)
        return handle.mig

    def _nvmlDeviceGetGpuInstanceId(self, handle: Handle) -> int:  # noqa: N802
        return self._mig(handle).gi

    def _nvmlDeviceGetComputeInstanceId(self, handle: Handle) -> int:  # noqa: N802
        return self._mig(handle).ci

    def _nvmlDeviceGetAttributes(self, handle: Handle) -> Any:  # noqa: N802
        mig = self._mig(handle)
        return SimpleNamespace(
            multiprocessorCount=mig.sms,
            gpuInstanceSliceCount=mig.slices,
            computeInstanceSliceCount=mig.compute_slices,
            memorySizeMB=mig.memory_mib,
        )

    def _nvmlDeviceGetUtilizationRates(self, handle: Handle) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=handle.gpu.util, memory=18)

    def _nvmlDeviceGetPowerUsage(self, handle: Handle) -> int:  # noqa: N802
        return 291_500

    def _nvmlDeviceGetTotalEnergyConsumption(self, handle: Handle) -> int:  # noqa: N802
        return 5_000_250

    def _nvmlDeviceGetClockInfo(self, handle: Handle, kind: int) -> int:  # noqa: N802
        return {1: 1755, 2: 2600}[kind]

    def _nvmlDeviceGetTemperature(self, handle: Handle, sensor: int) -> int:  # noqa: N802
        return 55

    def _nvmlDeviceGetCurrentClocksEventReasons(self, handle: Handle) -> int:  # noqa: N802
        return handle.gpu.reasons

    def _nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Handle) -> int:  # noqa: N802
        return handle.gpu.reasons

    def _nvmlDeviceGetCurrPcieLinkGeneration(self, handle: Handle) -> int:  # noqa: N802
        return 4

    def _nvmlDeviceGetCurrPcieLinkWidth(self, handle: Handle) -> int:  # noqa: N802
        return 8

    def _nvmlDeviceGetPcieReplayCounter(self, handle: Handle) -> int:  # noqa: N802
        return 3

    def _nvmlDeviceGetTotalEccErrors(self, handle: Handle, kind: int, counter: int) -> int:  # noqa: N802
        return (7, 1)[kind]

    def _nvmlDeviceGetRemappedRows(self, handle: Handle) -> tuple[int, int, int, int]:  # noqa: N802
        return (0, 1, 1, 0)

    def _nvmlDeviceGetFieldValues(self, handle: Handle, wanted: list[tuple[int, int]]) -> Any:  # noqa: N802
        array = (pynvml.c_nvmlFieldValue_t * len(wanted))()
        for entry, (number, scope) in zip(array, wanted, strict=True):
            kind, value = {**_DEFAULT_FIELDS, **handle.gpu.fields}[number]
            entry.fieldId, entry.scopeId = number, scope
            if kind < 0:
                entry.nvmlReturn = -kind
                continue
            entry.valueType, entry.value.ullVal = kind, value
        return array

    def _nvmlDeviceGetComputeRunningProcesses(self, handle: Handle) -> list[Any]:  # noqa: N802
        mig = handle.mig
        mine = (p for p in handle.gpu.processes if mig is None or (p.gi, p.ci) == (mig.gi, mig.ci))
        return [_process_info(process) for process in mine]

    def _nvmlDeviceGetGraphicsRunningProcesses(self, handle: Handle) -> list[Any]:  # noqa: N802
        return [_process_info(process) for process in handle.gpu.graphics]

    def _nvmlDeviceGetMPSComputeRunningProcesses(self, handle: Handle) -> list[Any]:  # noqa: N802
        return []

    def _nvmlDeviceGetProcessUtilization(self, handle: Handle, since_us: int) -> list[Any]:  # noqa: N802
        used = [p for p in handle.gpu.processes if p.sm_util is not None]
        if not used:
            raise NvmlError(api.SUCCESS)
        return [SimpleNamespace(pid=p.pid, smUtil=p.sm_util, timeStamp=since_us + 1) for p in used]

    def _nvmlGpmQueryDeviceSupport(self, handle: Handle) -> Any:  # noqa: N802
        return SimpleNamespace(isSupportedDevice=int(bool(handle.gpu.gpm)))

    def _nvmlGpmSampleAlloc(self) -> ctypes.c_void_p:  # noqa: N802
        address = self._next_sample
        self._next_sample += 1
        self.samples[address] = None
        return ctypes.c_void_p(address)

    def _nvmlGpmSampleFree(self, sample: ctypes.c_void_p) -> None:  # noqa: N802
        del self.samples[sample.value or 0]

    def _nvmlGpmSampleGet(self, handle: Handle, sample: ctypes.c_void_p) -> None:  # noqa: N802
        self.samples[sample.value or 0] = handle.gpu

    def _nvmlGpmMigSampleGet(self, handle: Handle, gi: int, sample: ctypes.c_void_p) -> None:  # noqa: N802
        assert handle.mig is None, "NVML wants the GPU's handle here"
        self.samples[sample.value or 0] = Gpu(gpm=dict.fromkeys(handle.gpu.gpm, gi * 1.0))

    def _nvmlGpmMetricsGet(self, request: Any) -> None:  # noqa: N802
        gpu = self.samples[request.sample2]
        assert gpu is not None and self.samples[request.sample1] is not None, "a sample was never taken"
        seen = pynvml.c_nvmlGpmMetricsGet_t.from_buffer(request)
        many = seen.numMetrics > 1
        for index in range(seen.numMetrics):
            broken = self.gpm_layout if many else ""
            if broken != "silent" and not (broken == "short" and index):
                source = seen.metrics[index - 1 if broken == "shifted" else index].metricId
                _fill(seen.metrics[index], gpu.gpm.get(source))


def _fill(entry: Any, value: float | None) -> None:
    entry.nvmlReturn = api.SUCCESS if value is not None else api.NOT_SUPPORTED
    entry.value = value if value is not None else 0.0


def _process_info(process: Process) -> Any:
    memory = pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value if process.memory is None else process.memory
    return SimpleNamespace(
        pid=process.pid, usedGpuMemory=memory, gpuInstanceId=process.gi, computeInstanceId=process.ci
    )
