"""NVML for the probes: starting it, and the facts of every GPU and MIG instance that can be probed.

The only module of the probes that knows pynvml, which it imports when NVML is started. Everything goes
through `Nvml.call(function, *args)` with pynvml's function names. One thread at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from probes.record import DeviceFacts
from probes.specs import find_spec

SUCCESS = 0
NOT_SUPPORTED = 3
NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
OPERATING_SYSTEM = 17
LIB_RM_VERSION_MISMATCH = 18
UNKNOWN = 999

# Version word of nvmlMemory_v2_t, whose total leaves out what the driver keeps for itself.
MEMORY_INFO_V2 = 0x02000028
CLOCK_SM, CLOCK_MEM = 1, 2
MIG_SLICES = 7

# CUDA programming guide, arithmetic throughput per multiprocessor: FP32 lanes an SM has. NVML counts lanes.
_LANES_PER_SM = {
    "6.0": 64, "6.1": 128, "7.0": 64, "7.2": 64, "7.5": 64, "8.0": 64, "8.6": 128, "8.7": 128, "8.9": 128,
    "9.0": 128, "10.0": 128, "10.3": 128, "11.0": 128, "12.0": 128, "12.1": 128,
}  # fmt: skip

_CONTAINER = "In a container, start it with the GPUs: `docker run --gpus all ...` (NVIDIA Container Toolkit)."
_LOOK = "Look at `nvidia-smi` and `dmesg | grep -i -e nvrm -e xid`."
_STARTS = {
    LIBRARY_NOT_FOUND: (
        "no NVIDIA driver found (libnvidia-ml.so.1 could not be loaded)",
        f"Install the NVIDIA driver, or probe the host with `--device cpu`. {_CONTAINER}",
    ),
    DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded",
        f"Load it with `sudo modprobe nvidia`; if that fails, reinstall it. {_LOOK}",
    ),
    LIB_RM_VERSION_MISMATCH: (
        "the driver's library and kernel module have different versions",
        "The driver was upgraded under a running kernel: reboot, or stop all GPU work and reload `nvidia`.",
    ),
    NO_PERMISSION: (
        "no permission to use the NVIDIA driver",
        f"Give this user read and write access to /dev/nvidiactl and /dev/nvidia*. {_CONTAINER}",
    ),
    OPERATING_SYSTEM: (
        "the operating system blocks the NVIDIA driver",
        f"Check access to /dev/nvidia* and what the sandbox or security modules allow. {_CONTAINER}",
    ),
    GPU_IS_LOST: ("a GPU is lost: it fell off the bus", f"{_LOOK} A reboot is usually needed."),
    FUNCTION_NOT_FOUND: ("the NVIDIA driver is too old for NVML to start", "Update the NVIDIA driver."),
}

_REASONS = {
    1: "NVML is not initialised",
    2: "the driver refused the request as invalid",
    NOT_SUPPORTED: "not supported by this GPU",
    NO_PERMISSION: "no permission: the driver refuses this to the current user or container",
    6: "the driver has no data",
    DRIVER_NOT_LOADED: "the driver is not loaded",
    10: "the driver timed out",
    FUNCTION_NOT_FOUND: "needs a newer driver (function not found)",
    GPU_IS_LOST: "it fell off the bus (GPU is lost)",
    16: "it needs a reset (GPU requires reset)",
    OPERATING_SYSTEM: "blocked by the operating system",
    19: "GPU is in use",
    25: "needs another driver version (argument version mismatch)",
    26: "withdrawn by this driver",
}
LOST = frozenset({GPU_IS_LOST, 16})


class NvmlError(Exception):
    """A call that failed. code: nvmlReturn_t."""

    def __init__(self, code: int, function: str) -> None:
        super().__init__(describe(code))
        self.code = code
        self.function = function


class CannotProbeError(Exception):
    """The driver gives nothing here. fix: what to do about it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def describe(code: int) -> str:
    """One phrase for an nvmlReturn_t."""
    return _REASONS.get(code, f"NVML error {code}")


class Nvml:
    """A started NVML. Raises CannotProbeError where it does not start; hangs where the driver does."""

    def __init__(self) -> None:
        import pynvml

        self._module = pynvml
        self._failure: type[Exception] = pynvml.NVMLError
        self._open = False
        try:
            self.call("nvmlInit")
        except NvmlError as error:
            raise cannot_start(error.code) from None
        self._open = True

    def call(self, function: str, *args: Any) -> Any:
        """What pynvml's `function` returns. Raises NvmlError; text that is not UTF-8 is decoded anyway."""
        bound: Callable[..., Any] | None = getattr(self._module, function, None)
        if bound is None:
            raise NvmlError(FUNCTION_NOT_FOUND, function)
        try:
            return bound(*args)
        except self._failure as error:
            raise NvmlError(int(getattr(error, "value", UNKNOWN)), function) from None
        except UnicodeDecodeError as garbled:
            return bytes(garbled.object).decode(errors="replace")

    @property
    def simulated(self) -> bool:
        """True when the library plays a scenario: no driver has this symbol, and nothing is a measurement."""
        return hasattr(self._module.nvmlLib, "advisorSimulatedNvml")

    def versions(self) -> dict[str, str]:
        """`driver`, and `cuda_driver`: the newest CUDA it runs. One that it does not tell is left out."""
        found: dict[str, str] = {}
        try:
            found["driver"] = str(self.call("nvmlSystemGetDriverVersion"))
            cuda = int(self.call("nvmlSystemGetCudaDriverVersion"))
            found["cuda_driver"] = f"{cuda // 1000}.{cuda % 1000 // 10}"
        except (NvmlError, ValueError):
            return found
        return found

    def close(self) -> None:
        """Let go of the driver. Safe to call twice."""
        if self._open:
            self._open = False
            try:
                self.call("nvmlShutdown")
            except NvmlError:
                return


def cannot_start(code: int) -> CannotProbeError:
    """What to tell a person when nvmlInit fails with this code."""
    message, fix = _STARTS.get(code, (f"the NVIDIA driver does not start NVML: {describe(code)}", _LOOK))
    return CannotProbeError(message, fix)


class Device(NamedTuple):
    """A GPU or MIG instance that can be probed.

    handle: the device's own. gpu: its GPU's, which has the clocks, and GPM where `gi` is given. gi, ci: ids
    of a MIG instance.
    """

    facts: DeviceFacts
    handle: Any
    gpu: Any
    gi: int | None = None
    ci: int | None = None


class Listing(NamedTuple):
    """What can be probed, and why each other GPU (by index) cannot."""

    devices: tuple[Device, ...]
    skipped: dict[int, str]

    def find(self, wanted: str) -> Device:
        """The device with this index or UUID (a unique start will do, as in CUDA_VISIBLE_DEVICES).

        Raises CannotProbeError that says what there is.
        """
        if wanted.isdigit():
            found = [d for d in self.devices if d.facts.index == int(wanted) and d.gi is None]
        else:
            found = [d for d in self.devices if wanted and d.facts.key.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        raise self._no_such(wanted, ambiguous=bool(found))

    def _no_such(self, wanted: str, *, ambiguous: bool) -> CannotProbeError:
        there = ", ".join(d.facts.key if d.gi is not None else str(d.facts.index) for d in self.devices)
        fix = f"Name one of: {there}." if there else f"There is none. {_LOOK} {_CONTAINER}"
        if ambiguous:
            return CannotProbeError(f"several devices start with {wanted[:80]!r}", fix)
        if wanted.isdigit() and int(wanted) in self.skipped:
            return CannotProbeError(f"GPU {wanted} cannot be probed: {self.skipped[int(wanted)]}", fix)
        return CannotProbeError(f"there is no device {wanted[:80]!r}", fix)


def list_devices(nvml: Nvml, sysfs: Path = Path("/sys")) -> Listing:
    """Every GPU, or its MIG instances where it is divided. Raises CannotProbeError when none is counted."""
    try:
        count = int(nvml.call("nvmlDeviceGetCount"))
    except NvmlError as error:
        raise cannot_start(error.code) from None
    devices: list[Device] = []
    skipped: dict[int, str] = {}
    for index in range(count):
        try:
            found = _on_gpu(nvml, index, sysfs)
        except NvmlError as error:
            skipped[index] = describe(error.code)
            continue
        devices += found
        if not found or found[0].gi is not None:
            skipped[index] = _divided(found)
    return Listing(tuple(devices), skipped)


def _divided(instances: list[Device]) -> str:
    if not instances:
        return "MIG is on and it has no instance"
    return f"MIG is on; its instances are {', '.join(device.facts.key for device in instances)}"


def _on_gpu(nvml: Nvml, index: int, sysfs: Path) -> list[Device]:
    handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
    key = str(nvml.call("nvmlDeviceGetUUID", handle))
    asked = Asked(nvml, handle)
    facts = _facts(asked, index, key, sysfs)
    if not _mig_on(nvml, handle):
        return [Device(facts, handle, handle)]
    return _instances(nvml, handle, facts)


class Asked:
    """Questions to one device; `missing` keeps, by fact, why one was not answered."""

    def __init__(self, nvml: Nvml, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.missing: dict[str, str] = {}

    def get(self, fact: str, function: str, *args: Any, of: Callable[[Any], Any] = lambda v: v) -> Any:
        """The answer through `of`, or None with the reason in `missing`."""
        try:
            answer = of(self._nvml.call(function, self._handle, *args))
        except NvmlError as error:
            self.missing[fact] = describe(error.code)
            return None
        except (TypeError, ValueError, AttributeError, LookupError) as strange:
            self.missing[fact] = f"the driver's answer has an unknown form ({strange})"
            return None
        self.missing.pop(fact, None)
        return answer

    def memory(self) -> tuple[int | None, int | None]:
        """Bytes in all and free."""
        for version in ((MEMORY_INFO_V2,), ()):
            memory = self.get(
                "memory_total_bytes", "nvmlDeviceGetMemoryInfo", *version, of=lambda m: (m.total, m.free)
            )
            if memory is not None:
                return int(memory[0]), int(memory[1])
        self.missing["memory_free_bytes"] = self.missing["memory_total_bytes"]
        return None, None


def _milli(value: int) -> float:
    return value / 1000.0


def _facts(asked: Asked, index: int, key: str, sysfs: Path) -> DeviceFacts:
    name = str(asked.get("name", "nvmlDeviceGetName") or "GPU of unknown name")
    total, free = asked.memory()
    capability = asked.get(
        "compute_capability", "nvmlDeviceGetCudaComputeCapability", of=lambda v: f"{v[0]}.{v[1]}"
    )
    limit = asked.get("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", of=_milli)
    model = find_spec(name, total, capability, limit)
    if model is None:
        asked.missing["model"] = "no data sheet is known for this name, memory and compute capability"
    return DeviceFacts(
        kind="cuda",
        key=key,
        name=name,
        index=index,
        model=model.model if model else None,
        compute_capability=capability,
        sm_count=_sm_count(asked, capability),
        memory_total_bytes=total,
        memory_free_bytes=free,
        sm_mhz_max=asked.get("sm_mhz_max", "nvmlDeviceGetMaxClockInfo", CLOCK_SM, of=float),
        mem_mhz_max=asked.get("mem_mhz_max", "nvmlDeviceGetMaxClockInfo", CLOCK_MEM, of=float),
        mem_bus_bits=asked.get("mem_bus_bits", "nvmlDeviceGetMemoryBusWidth", of=int),
        power_limit_w=limit,
        ecc_enabled=asked.get("ecc_enabled", "nvmlDeviceGetEccMode", of=lambda v: bool(v[0])),
        persistence=asked.get("persistence", "nvmlDeviceGetPersistenceMode", of=bool),
        numa_node=_numa_node(asked, sysfs),
        pcie_gen_max=asked.get("pcie_gen_max", "nvmlDeviceGetMaxPcieLinkGeneration", of=int),
        pcie_width_max=asked.get("pcie_width_max", "nvmlDeviceGetMaxPcieLinkWidth", of=int),
        pcie_gen_device_max=asked.get("pcie_gen_device_max", "nvmlDeviceGetGpuMaxPcieLinkGeneration", of=int),
        missing=asked.missing,
    )


def _sm_count(asked: Asked, capability: str | None) -> int | None:
    lanes = _LANES_PER_SM.get(capability or "")
    cores = asked.get("sm_count", "nvmlDeviceGetNumGpuCores", of=int)
    if cores is not None and lanes is None:
        asked.missing["sm_count"] = "the number of lanes an SM of this compute capability has is not known"
    return None if cores is None or lanes is None else int(cores) // lanes


def _numa_node(asked: Asked, sysfs: Path) -> int | None:
    """The NUMA node of the PCIe slot; the kernel says -1 where the platform does not tell."""
    bus_id = asked.get("numa_node", "nvmlDeviceGetPciInfo", of=lambda pci: pci.busId)
    if bus_id is None:
        return None
    text = bus_id.decode(errors="replace") if isinstance(bus_id, bytes) else str(bus_id)
    try:
        node = (sysfs / "bus/pci/devices" / text.lower()[-12:] / "numa_node").read_text().strip()
    except (OSError, ValueError):
        asked.missing["numa_node"] = "the kernel does not say where the slot is"
        return None
    if re.fullmatch(r"[0-9]+", node):
        return int(node)
    asked.missing["numa_node"] = "the platform does not say which NUMA node the slot is on"
    return None


def _mig_on(nvml: Nvml, handle: Any) -> bool:
    try:
        return bool(nvml.call("nvmlDeviceGetMigMode", handle)[0])
    except NvmlError as error:
        if error.code in LOST:
            raise
        return False


def _instances(nvml: Nvml, gpu: Any, facts: DeviceFacts) -> list[Device]:
    found = []
    for index in range(int(nvml.call("nvmlDeviceGetMaxMigDeviceCount", gpu))):
        try:
            handle = nvml.call("nvmlDeviceGetMigDeviceHandleByIndex", gpu, index)
            key = str(nvml.call("nvmlDeviceGetUUID", handle))
        except NvmlError:
            continue
        found.append(_instance(Asked(nvml, handle), gpu, handle, key, facts))
    return found


def _instance(asked: Asked, gpu: Any, handle: Any, key: str, whole: DeviceFacts) -> Device:
    """A MIG instance: its own name, memory and SMs; clocks, link and modes are its GPU's."""
    name = str(asked.get("name", "nvmlDeviceGetName") or f"{whole.name} MIG instance")
    total, free = asked.memory()
    shape = asked.get("slice_frac", "nvmlDeviceGetAttributes")
    facts = msgspec.structs.replace(
        whole,
        key=key,
        name=name,
        mig_profile=_profile(name, shape),
        slice_frac=_slice_frac(shape, whole.sm_count),
        sm_count=getattr(shape, "multiprocessorCount", None) or None,
        memory_total_bytes=total,
        memory_free_bytes=free,
        missing={**whole.missing, **asked.missing},
    )
    gi = asked.get("gi", "nvmlDeviceGetGpuInstanceId", of=int)
    ci = asked.get("ci", "nvmlDeviceGetComputeInstanceId", of=int)
    return Device(facts, handle, gpu, -1 if gi is None else gi, ci)


def _profile(name: str, shape: Any) -> str:
    """The profile in the driver's name of the instance ("... MIG 1g.10gb"), else made from its slices."""
    named = re.search(r"\bMIG\s+((?:\d+c\.)?\d+g\.\d+gb\S*)", name)
    if named:
        return named[1]
    slices, memory_mib = getattr(shape, "gpuInstanceSliceCount", 0), getattr(shape, "memorySizeMB", 0)
    return f"{slices}g.{round(memory_mib / 1024)}gb" if slices else "unknown"


def _slice_frac(shape: Any, whole_sms: int | None) -> float | None:
    """SMs of the instance over SMs of its GPU; where these are unknown, compute slices of seven."""
    sms, slices = getattr(shape, "multiprocessorCount", 0), getattr(shape, "computeInstanceSliceCount", 0)
    if sms and whole_sms:
        return min(1.0, round(sms / whole_sms, 4))
    return round(min(1.0, slices / MIG_SLICES), 4) if slices else None
